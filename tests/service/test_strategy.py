"""Strategies over REST: listed with what is wrong, kept in versions, put on a chart, and never run here."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.conftest import Service, short_home
from tidemill.service import strategy as schema
from tidemill.stores.lake import Lake
from tidemill.strategies import library, template

MINUTE = 60_000_000_000
FIRST = 1_700_000_000_000_000_000 // MINUTE * MINUTE
BARS = 1_200
APPLE, MSFT = "AAPL.polygon", "MSFT.polygon"
CODE = template.text("mine", event=False)
EVIL = "import pathlib\npathlib.Path({!r}).write_text('ran')\n" + CODE
LIST = "/api/v1/strategies"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    home = short_home()
    folder = library.folder(home)
    folder.mkdir(parents=True)
    (folder / "own_one.py").write_text(template.text("own_one", event=True))
    (folder / "broken.py").write_text("x = (1\n")
    (folder / "evil.py").write_text(EVIL.format(str(home.path / "ran")))
    lake = Lake(home.lake)
    for seed, name in enumerate((APPLE, MSFT)):
        closes = 15_000 + np.random.default_rng(seed).integers(-40, 41, BARS).cumsum()
        rows = {
            "start": FIRST + np.arange(BARS) * MINUTE, "open": closes, "high": closes + 5, "low": closes - 5,
            "close": closes, "volume": [100] * BARS, "trades": [7] * BARS, "price_scale": 2, "size_scale": 0,
        }  # fmt: skip
        lake.import_bars(name, "1m", rows, source="polygon", chunk="all", ts_recv=time.time_ns())
    running = Service(home)
    yield running
    running.stop()
    assert not (home.path / "ran").exists()
    shutil.rmtree(home.path, ignore_errors=True)


def create(service: Service, name: str, code: str = CODE, **rest: Any) -> Any:
    answer = service.client.post(f"{LIST}/create", json={"name": name, "code": code, **rest})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_list_under_all_its_names_a_page_at_a_time(service: Service) -> None:
    create(service, "listed", EVIL.format("ran"), description="in words", author="somebody")
    names = []
    for path in (LIST, f"{LIST}/list", "/strategies", "/strategies/"):
        found = service.client.get(path).json()
        schema.Strategies.model_validate(found)
        names.append([one["name"] for one in found["items"]])
    assert names[0] == names[1] == names[2] == names[3] == sorted(names[0])
    paged, after = [], {}
    while True:
        page = service.client.get(LIST, params={"limit": 3, **after}).json()
        paged += [one["name"] for one in page["items"]]
        assert page["total"] == len(names[0])
        if page["next"] is None:
            break
        after = {"cursor": page["next"]}
    assert paged == names[0]
    items = {one["name"]: one for one in service.client.get(LIST).json()["items"]}
    assert (items["sma_cross"]["origin"], items["sma_cross"]["kind"]) == ("builtin", "signal")
    assert items["sma_cross"]["params"][0]["low"] == 2
    assert (items["own_one"]["origin"], items["own_one"]["kind"]) == ("folder", "event")
    assert items["own_one"]["trusted"] is False
    assert int(items["own_one"]["changed"]) > FIRST
    assert (items["broken"]["faults"][0]["line"], items["broken"]["params"]) == (1, [])
    assert (items["listed"]["description"], items["listed"]["author"]) == ("in words", "somebody")

    def only(**filters: str) -> set[str]:
        return {one["name"] for one in service.client.get(LIST, params=filters).json()["items"]}

    assert only(origin="folder") == {"own_one", "broken", "evil"}
    assert only(kind="event", origin="builtin") == {"bollinger_reversion", "donchian_breakout"}
    assert only(search="bollinger limit") == {"bollinger_reversion"}
    assert service.client.get(LIST, params={"cursor": after["cursor"], "origin": "folder"}).status_code == 422
    for path in (LIST, "/strategies"):
        assert service.stranger.get(path).status_code == 401


def test_a_strategy_is_made_changed_and_hidden(service: Service) -> None:
    made = create(service, "versions", parameters={"period": 9})
    schema.Strategy.model_validate(made)
    assert (made["version"], made["parameters"], made["author"]) == (1, {"period": 9}, "owner")
    path = f"{LIST}/versions"
    shown = service.client.get(path)
    assert shown.headers["ETag"] == '"1"'
    assert (shown.json()["code"], shown.json()["kind"]) == (CODE, "signal")
    second = service.client.put(path, json={"code": CODE + "\n"}, headers={"If-Match": '"1"'})
    assert (second.status_code, second.headers["ETag"]) == (200, '"2"')
    assert second.json()["parameters"] == {"period": 9}
    late = service.client.put(path, json={"description": "x"}, headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["code"]) == (409, "version_conflict")
    third = service.client.put(path, json={"description": "third", "version": 2}).json()
    assert (third["version"], third["description"]) == (3, "third")
    for headers, version in (({}, None), ({"If-Match": '"3"'}, 2), ({"If-Match": "*"}, None)):
        body = {"description": "y", "version": version}
        assert service.client.put(path, json=body, headers=headers).status_code == 422
    page = service.client.get(f"{path}/versions", params={"limit": 2}).json()
    schema.StrategyVersions.model_validate(page)
    rest = service.client.get(f"{path}/versions", params={"limit": 2, "cursor": page["next"]}).json()
    assert [one["version"] for one in page["items"] + rest["items"]] == [3, 2, 1]
    first = service.client.get(f"{path}/versions/1").json()
    schema.StrategyVersionText.model_validate(first)
    assert (first["code"], first["sha256"]) == (CODE, made["sha256"])
    assert service.client.get(f"{path}/versions/9").json()["code"] == "version_unknown"
    schema.Strategy.model_validate(service.client.delete(path).json())
    gone = service.client.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "strategy_unknown")
    assert len(service.client.get(f"{path}/versions").json()["items"]) == 3
    assert create(service, "versions")["version"] == 4
    kinds = [one["kind"] for one in service.client.get("/api/v1/events?limit=1000").json()["items"]
             if one["subject"] == "versions"]  # fmt: skip
    assert kinds == ["strategy_created", "strategy_changed", "strategy_changed", "strategy_deleted",
                     "strategy_created"]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"code": "x = (1\n"}, 422, "strategy_invalid", "line 1, column 5: '(' was never closed"),
        ({"code": "class A:\n  def f(self):\n pass"}, 422, "strategy_invalid", "line 3"),
        ({"parameters": {"period": 1}}, 422, "parameter_invalid", "from 2 to 500"),
        ({"parameters": {"perod": 5}}, 422, "parameter_unknown", "perod"),
        ({"name": "sma_cross"}, 409, "strategy_exists", "package"),
        ({"name": "own_one"}, 409, "strategy_exists", "DIR/strategies"),
        ({"name": "list"}, 409, "strategy_exists", "taken"),
        ({"name": "Mine"}, 422, "parameter_invalid", "name"),
        ({"name": "../x"}, 422, "parameter_invalid", "name"),
        ({"code": ""}, 422, "parameter_invalid", "code"),
        ({"code": "a\x00"}, 422, "parameter_invalid", "code"),
        ({"parameters": {"period": [1]}}, 422, "parameter_invalid", "period"),
        ({"extra": 1}, 422, "parameter_invalid", "extra"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(
    service: Service, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    answer = service.client.post(f"{LIST}/create", json={"name": "refused", "code": CODE, **body})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert says in answer.json()["message"]
    assert service.client.get(f"{LIST}/refused").status_code == 404


def test_a_draft_is_kept_with_its_faults(service: Service) -> None:
    made = create(service, "draft", "from tidemill.strategy import *\n\nclass Draft(Strategy):\n    pass\n")
    assert made["faults"] == [
        {"message": "Draft has neither signal() nor on_bar()", "line": 3, "column": 1}
    ]  # fmt: skip
    told = service.client.post(f"{LIST}/describe", json={"code": CODE}).json()
    schema.StrategyDescription.model_validate(told)
    assert (told["class_name"], told["faults"], told["params"][0]["high"]) == ("Mine", [], 500)
    assert service.client.post(f"{LIST}/describe", json={"code": "x = ("}).json()["faults"][0]["line"] == 1


def test_ours_cannot_be_changed(service: Service) -> None:
    for answer in (
        service.client.put(f"{LIST}/sma_cross", json={"code": CODE, "version": 1}),
        service.client.delete(f"{LIST}/sma_cross"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "strategy_fixed")
    assert service.client.get(f"{LIST}/sma_cross/versions").json() == {"items": [], "next": None}
    shown = service.client.get(f"{LIST}/sma_cross").json()
    schema.Strategy.model_validate(shown)
    assert "class SmaCross" in shown["code"]
    unknown = service.client.get(f"{LIST}/sma_crss").json()
    assert (unknown["code"], unknown["hint"].split(",")[0]) == ("strategy_unknown", "nearest: sma_cross")


def test_a_strategy_on_a_chart(service: Service) -> None:
    newest = service.client.get("/api/v1/events?limit=1000").json()["next"]
    body = {
        "strategy": "sma_cross", "instrument": "AAPL", "interval": "1m", "limit": 500,
        "parameters": {"fast": 3, "slow": 12},
    }  # fmt: skip
    answer = service.client.post(f"{LIST}/apply", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    schema.StrategyApplied.model_validate(found)
    (targets,) = found["targets"]
    assert (found["instrument"], found["warm_up"], found["shown"]) == (APPLE, 12, ["targets", "markers"])
    assert len(targets["ts"]) == 500
    assert targets["ts"][-1] == str(FIRST + (BARS - 1) * MINUTE)
    closes = np.array(service.client.get(
        f"/api/v1/data/{APPLE}/bars", params={"interval": "1m", "limit": 500}).json()["close"])  # fmt: skip

    def mean(period: int, at: int) -> float:
        return float(closes[at - period + 1 : at + 1].mean())

    clear = [at for at in range(11, 500) if abs(mean(3, at) - mean(12, at)) > 1e-6]
    assert [targets["target"][at] for at in clear] == [float(mean(3, at) > mean(12, at)) for at in clear]
    assert targets["target"][:11] == [None] * 11
    sides = [one["side"] for one in found["markers"]]
    assert sides == ["buy" if at % 2 == 0 else "sell" for at in range(len(sides))]
    assert len(sides) > 10
    (told,) = service.client.get(f"/api/v1/events?after={newest}").json()["items"]
    assert (told["kind"], told["subject"]) == ("strategy_applied", "sma_cross")
    assert told["data"] == {"instrument": APPLE, "interval": "1m", "parameters": {"fast": 3, "slow": 12},
                            "version": None, "job_id": None}  # fmt: skip
    pair = {**body, "strategy": "pairs_spread", "others": ["MSFT"], "parameters": {}}
    both = service.client.post(f"{LIST}/apply", json=pair).json()
    assert [one["instrument"] for one in both["targets"]] == [APPLE, MSFT]
    first, second = (one["target"] for one in both["targets"])
    assert [(a, -b if b is not None else b) for a, b in zip(first, second, strict=True)] == [
        (a, a) for a in first
    ]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"strategy": "sma_crss"}, 404, "strategy_unknown"),
        ({"instrument": "XYZ"}, 404, "instrument_unknown"),
        ({"interval": "7x"}, 422, "interval_invalid"),
        ({"parameters": {"fast": 1}}, 422, "parameter_invalid"),
        ({"parameters": {"fats": 1}}, 422, "parameter_unknown"), ({"limit": 1}, 422, "parameter_invalid"),
        ({"strategy": "pairs_spread"}, 422, "market_unfit"), ({"others": ["AAPL"]}, 422, "history_invalid"),
        ({"strategy": "broken"}, 422, "strategy_invalid"),
        ({"strategy": "own_one", "parameters": {"period": 1}}, 422, "parameter_invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused(
    service: Service, change: dict[str, Any], status: int, code: str
) -> None:
    body = {"strategy": "sma_cross", "instrument": "AAPL", "interval": "1m", **change}
    answer = service.client.post(f"{LIST}/apply", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_one_that_is_not_ours_becomes_a_backtest_in_the_sandbox(service: Service) -> None:
    create(service, "guest", parameters={"period": 9})
    for name, parameters in (("guest", {"period": 9}), ("own_one", {"period": 50, "below": 0.05})):
        body = {"strategy": name, "instrument": "AAPL", "interval": "1m", "limit": 300}
        answer = service.client.post(f"{LIST}/apply", json=body)
        assert answer.status_code == 202, answer.text
        found = answer.json()
        schema.StrategyApplied.model_validate(found)
        assert (found["shown"], found["parameters"]) == ([], parameters)
        job = service.client.get(answer.headers["Location"]).json()
        assert (job["id"], job["kind"]) == (found["job_id"], "backtest")
        assert job["detail"]["start"] == str(FIRST + (BARS - 300) * MINUTE)
        assert job["detail"]["params"] == parameters
        told = service.client.get("/api/v1/events?limit=1000").json()["items"]
        assert found["job_id"] in {one["data"].get("job_id") for one in told}


odd = st.one_of(
    st.text(max_size=40), st.integers(), st.floats(), st.booleans(), st.none(),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.sampled_from(["\ud800", "a\x00", "-" * 3000 + "1", "class A(Strategy): x = Param(1e999)", CODE]),
)  # fmt: skip
fields = st.sampled_from(
    [
        "name",
        "code",
        "description",
        "parameters",
        "author",
        "strategy",
        "instrument",
        "interval",
        "version",
        "others",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(["create", "apply", "describe", "sma_cross", "draft"]),
       body=st.dictionaries(fields, odd, max_size=6), sound=st.booleans())  # fmt: skip
def test_nothing_that_is_sent_is_our_fault(
    service: Service, path: str, body: dict[str, Any], sound: bool
) -> None:
    good = {
        "create": {"name": "odd", "code": CODE},
        "apply": {"strategy": "macd_trend", "instrument": "AAPL", "interval": "1m"},
        "describe": {"code": CODE},
    }.get(path, {"version": 1})
    import json

    sent = json.dumps({**good, **body} if sound else body).encode()
    answer = service.client.request(
        "PUT" if path in ("sma_cross", "draft") else "POST", f"{LIST}/{path}", content=sent,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code < 500, answer.text
    assert service.client.get(LIST).status_code == 200
