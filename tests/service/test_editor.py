"""What an editor asks: words of the package, marks in a text, and a check that runs in the sandbox alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.service.conftest import Service, short_home
from tidemill import indicator, sandbox, strategy
from tidemill.service import strategy as schema
from tidemill.stores.lake import Lake
from tidemill.strategies import template

MINUTE = 60_000_000_000
FIRST = 1_700_000_000_000_000_000 // MINUTE * MINUTE
PATH = "/api/v1/strategies"
APPLE = "AAPL.polygon"
LOOKS = """
from tidemill.strategy import Bar, Strategy


class Ahead(Strategy):
    told = 0

    def on_bar(self, bar: Bar) -> None:
        Ahead.told += 1
        self.target(bar.instrument, (Ahead.told % 1009) / 1009)
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    home = short_home()
    closes = 15_000 + np.random.default_rng(1).integers(-40, 41, 400).cumsum()
    rows = {
        "start": FIRST + np.arange(400) * MINUTE, "open": closes, "high": closes + 5, "low": closes - 5,
        "close": closes, "volume": [100] * 400, "trades": [7] * 400, "price_scale": 2, "size_scale": 0,
    }  # fmt: skip
    Lake(home.lake).import_bars(APPLE, "1m", rows, source="polygon", chunk="all", ts_recv=time.time_ns())
    running = Service(home)
    yield running
    running.stop()
    shutil.rmtree(home.path, ignore_errors=True)


@pytest.fixture(scope="module")
def isolated() -> None:
    found = sandbox.available()
    if not found.ok:
        pytest.skip(f"no sandbox here: {'; '.join(found.reasons)}")


def test_the_language_is_what_the_package_has(service: Service) -> None:
    found = schema.StrategyLanguage.model_validate(service.client.get(f"{PATH}/language").json())
    assert [one.name for one in found.names] == strategy.__all__
    bars = {one.name: one for one in found.members["Bars"]}
    assert set(indicator.registry()) < set(bars)
    assert bars["macd"].outputs == ["macd", "signal", "histogram"]


@pytest.mark.parametrize("kind", ["signal", "event"])
def test_a_template_is_one_without_a_mark(service: Service, kind: str) -> None:
    made = service.client.get(f"{PATH}/template", params={"name": "my_own", "kind": kind}).json()
    assert made == {"name": "my_own", "code": template.text("my_own", event=kind == "event")}
    found = service.client.post(f"{PATH}/diagnose", json={"code": made["code"]}).json()
    schema.StrategyDiagnosis.model_validate(found)
    assert found["problems"] == []
    assert (found["about"]["class_name"], found["about"]["kind"]) == ("MyOwn", kind)
    assert found["about"]["params"][0]["name"] == "period"
    assert service.client.get(f"{PATH}/template", params={"name": "No Name"}).status_code == 422


def test_marks_have_their_place(service: Service) -> None:
    code = template.text("mine", event=False).replace("bars.sma(self.period)", "bars.smma(self.period)")
    found = service.client.post(f"{PATH}/diagnose", json={"code": code}).json()
    (mark,) = found["problems"]
    line = code.splitlines()[mark["line"] - 1]
    assert line[mark["column"] - 1 : mark["end_column"] - 1] == "smma"
    assert (mark["severity"], mark["code"]) == ("error", "indicator_unknown")
    broken = service.client.post(f"{PATH}/diagnose", json={"code": "def f(:\n"}).json()
    assert [(one["code"], one["line"], one["column"]) for one in broken["problems"]] == [("syntax", 1, 7)]


@pytest.mark.usefixtures("isolated")
def test_a_check_runs_over_made_up_and_over_stored_bars(service: Service) -> None:
    code = template.text("mine", event=False)
    asked = {"code": code, "name": "mine", "parameters": {"period": 9}, "bars": 300}
    found = service.client.post(f"{PATH}/check", json=asked).json()
    schema.StrategyCheck.model_validate(found)
    assert (found["findings"], found["problems"], found["warm_up"]) == ([], [], 9)
    assert found["runs"] == 9
    stored = {"code": code, "instruments": [APPLE], "interval": "1m", "bars": 400}
    found = service.client.post(f"{PATH}/check", json=stored).json()
    assert (found["instruments"], found["bars"], found["warm_up"]) == ([APPLE], 400, 50)


@pytest.mark.usefixtures("isolated")
def test_what_keeps_something_from_run_to_run_is_found_at_its_line(service: Service) -> None:
    found = service.client.post(f"{PATH}/check", json={"code": LOOKS, "bars": 60}).json()
    assert {one["way"] for one in found["findings"]} >= {"again"}
    mark = found["problems"][0]
    assert mark["code"] == "lookahead_found"
    assert LOOKS.splitlines()[mark["line"] - 1].strip().startswith("def on_bar")
    fails = LOOKS.replace("Ahead.told += 1", "self.nothing()")
    (mark,) = service.client.post(f"{PATH}/check", json={"code": fails, "bars": 60}).json()["problems"]
    assert mark["code"] == "strategy_failed"
    assert "nothing" in LOOKS.replace("Ahead.told += 1", "self.nothing()").splitlines()[mark["line"] - 1]


def test_what_is_no_strategy_is_not_run(service: Service) -> None:
    answer = service.client.post(f"{PATH}/check", json={"code": "x = 1\n"})
    assert (answer.status_code, answer.json()["code"]) == (422, "strategy_invalid")
    unknown = {"code": template.text("mine", event=False), "parameters": {"pace": 3}}
    assert service.client.post(f"{PATH}/check", json=unknown).json()["code"] == "parameter_unknown"


def test_no_strategy_takes_the_name_of_a_path(service: Service) -> None:
    for name in ("language", "template", "diagnose", "check"):
        body = {"name": name, "code": template.text("mine", event=False)}
        assert service.client.post(f"{PATH}/create", json=body).status_code == 409
