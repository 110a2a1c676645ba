"""Backtests over REST: a job, a kept run, its tables and report; strange words are refused, never a 5xx."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import tidemill as tm
from tests.service.conftest import Service, short_home
from tests.service.journal import MINUTE, START, Venue
from tidemill.errors import NotFoundError, UsageError
from tidemill.home import Home
from tidemill.remote import Remote
from tidemill.research.run import FILLS
from tidemill.service import backtest
from tidemill.strategies.sma_cross import SmaCross

NAME = "BTC-USD.sim-kraken"
HOSTILE = "</script><script>alert(1)</script>"
STORED = '''"""Holds half."""
from tidemill.strategy import Bars, Param, Signal, Strategy, when


class Half(Strategy):
    """</script><script>alert(1)</script>"""

    share = Param(0.5, low=0.0, high=1.0)
    note = Param("</script><script>alert(1)</script>", choices=("</script><script>alert(1)</script>",))

    def signal(self, bars: Bars) -> Signal:
        return when(bars.close > bars.sma(10), self.share, 0.0)
'''


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    place = short_home()
    venue = Venue.make(place, "sim-kraken", "BTC-USD", "ETH-USD")
    for one in ("BTC-USD", "ETH-USD"):
        venue.write(venue.trades(one, 1500, START, MINUTE))
    venue.writer.close()
    yield place
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture(scope="module")
def service(home: Home) -> Iterator[Service]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "worker", "--home", str(home.path), "--slots", "1"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env=dict(os.environ),
    )  # fmt: skip
    running = Service(home)
    yield running
    running.stop()
    worker.terminate()
    worker.wait(20)


def ended(service: Service, job_id: str) -> dict[str, Any]:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        job: dict[str, Any] = service.client.get(f"/api/v1/jobs/{job_id}").json()
        if job["ended"] is not None:
            return job
        time.sleep(0.1)
    raise AssertionError("the job has not ended")


def ran(service: Service, **asked: Any) -> dict[str, Any]:
    """The kept run of a backtest."""
    body = {"strategy": "sma_cross", "instruments": [NAME], **asked}
    answer = service.client.post("/api/v1/backtests", json=body)
    assert answer.status_code in (200, 202), answer.text
    said = backtest.BacktestStart.model_validate(answer.json())
    if said.run is not None:
        return answer.json()["run"]  # type: ignore[no-any-return]
    assert said.job_id is not None
    job = ended(service, said.job_id)
    assert job["state"] == "done", job["error"]
    return service.client.get(f"/api/v1/backtests/{job['result']['run']}").json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def first(service: Service) -> dict[str, Any]:
    return ran(service, params={"fast": 5, "slow": 20}, costs={"taker": "0.0001"})


def test_a_run_is_kept_and_answers_the_same_question(service: Service, first: dict[str, Any]) -> None:
    backtest.Backtest.model_validate(first)
    assert first["state"] == "done"
    assert first["summary"]["numbers"]["fills"] > 0
    assert "class SmaCross" in first["source"]
    body = {
        "strategy": "sma_cross", "instruments": ["BTC-USD"], "params": {"slow": 20, "fast": 5.0},
        "costs": {"taker": "0.0001"},
    }  # fmt: skip
    same = service.client.post("/api/v1/backtests", json=body)
    assert same.status_code == 200
    assert same.json()["run"]["id"] == first["id"]
    other = service.client.post("/api/v1/backtests", json={**body, "params": {"fast": 6, "slow": 20}})
    assert other.status_code == 202
    assert other.headers["location"] == f"/api/v1/jobs/{other.json()['job_id']}"
    assert ended(service, other.json()["job_id"])["state"] == "done"


def test_its_tables(service: Service, first: dict[str, Any]) -> None:
    path = f"/api/v1/backtests/{first['id']}"
    whole = service.client.get(f"{path}/fills").json()
    backtest.BacktestTable.model_validate(whole)
    assert whole["rows"] == first["summary"]["numbers"]["fills"]
    pages: dict[str, list[Any]] = {name: [] for name in FILLS.names}
    text = None
    while True:
        query = {"limit": 3, **({"cursor": text} if text else {})}
        page = service.client.get(f"{path}/fills", params=query).json()
        for name, values in page["columns"].items():
            pages[name] += values
        if (text := page["next"]) is None:
            break
    assert pages == whole["columns"]
    arrow = service.client.get(f"{path}/fills", params={"format": "arrow"})
    with pa.ipc.open_stream(arrow.content) as reader:
        table = reader.read_all()
    assert table.schema == FILLS
    assert [str(ts) for ts in table["ts"].to_pylist()] == whole["columns"]["ts"]
    for name in ("trades", "orders", "days", "prices"):
        backtest.BacktestTable.model_validate(service.client.get(f"{path}/{name}").json())
    equity = service.client.get(f"{path}/equity", params={"points": 50}).json()
    backtest.BacktestTable.model_validate(equity)
    assert len(equity["columns"]["ts"]) <= 50
    assert equity["rows"] > 100


def test_lists_and_comparison(service: Service, first: dict[str, Any]) -> None:
    second = ran(service, params={"fast": 9, "slow": 30})
    found = service.client.get("/api/v1/backtests", params={"limit": 1}).json()
    backtest.Backtests.model_validate(found)
    assert found["items"][0]["id"] == second["id"]
    more = service.client.get("/api/v1/backtests", params={"limit": 1, "cursor": found["next"]}).json()
    assert more["items"][0]["id"] != second["id"]
    moved = service.client.get(
        "/api/v1/backtests", params={"limit": 1, "sort": "sharpe", "cursor": found["next"]}
    )
    assert moved.status_code == 422
    best = service.client.get("/api/v1/backtests", params={"sort": "total_return"}).json()["items"]
    returned = [one["summary"]["numbers"]["total_return"] for one in best]
    assert returned == sorted(returned, reverse=True)
    by_text = service.client.get("/api/v1/backtests", params={"text": "fast=9 slow=30"}).json()["items"]
    assert [one["id"] for one in by_text] == [second["id"]]
    beside = service.client.get("/api/v1/backtests/compare", params={"ids": f"{first['id']},{second['id']}"})
    backtest.BacktestComparison.model_validate(beside.json())
    assert beside.json()["differences"]["param fast"] == [5, 9]
    assert "interval" not in beside.json()["differences"]
    assert beside.json()["growth"][0][0] == 1.0
    assert beside.json()["code"] == [None, None]


def test_a_list_is_narrowed_and_taken_along(service: Service, first: dict[str, Any]) -> None:
    second = ran(service, params={"fast": 9, "slow": 30})
    both = {first["id"], second["id"]}

    def found(where: str) -> dict[str, Any]:
        answer = service.client.get("/api/v1/backtests", params={"where": where})
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    assert both <= {one["id"] for one in found("strategy:sma* instrument:btc*")["items"]}
    assert [one["id"] for one in found("strategy:sma* param:fast=9")["items"]] == [second["id"]]
    fills = first["summary"]["numbers"]["trades"]
    assert found(f"param:fast=5 trades>={fills}")["total"] >= 1
    assert found(f"param:fast=5 trades>{fills}")["items"] == []
    refused = service.client.get("/api/v1/backtests", params={"where": "sharp>1"})
    assert (refused.status_code, refused.json()["code"]) == (422, "filter_invalid")
    lines = service.client.get("/api/v1/backtests/export", params={"where": "param:fast=9"}).text.splitlines()
    assert lines[0].startswith("id,created,state,strategy,")
    assert lines[1].startswith(f"{second['id']},20")
    assert len(lines) == 2


def test_other_paths_of_a_run(service: Service, first: dict[str, Any]) -> None:
    answer = service.client.get(f"/api/v1/backtests/{first['id']}/robustness")
    found = backtest.BacktestRobustness.model_validate(answer.json())
    days = service.client.get(f"/api/v1/backtests/{first['id']}/days").json()["columns"]
    assert [one.way for one in found.ways][1:] == ["order", "missed"]
    if found.ways:
        assert found.ts[-1] == days["end"][-1]
        assert found.own[-1] == pytest.approx(days["equity"][-1] / days["equity"][0])
    order = found.ways[1]
    assert order.total_return[0] == pytest.approx(order.total_return[2])


def test_again_is_the_same_to_the_bit(service: Service, first: dict[str, Any]) -> None:
    said = service.client.post(f"/api/v1/backtests/{first['id']}/again")
    assert said.status_code == 202
    result = ended(service, said.json()["job_id"])["result"]
    assert (result["same_data"], result["same_outcome"]) == (True, True)
    assert result["run"] != first["id"]
    gone = service.client.delete(f"/api/v1/backtests/{result['run']}")
    assert gone.json()["id"] == result["run"]
    assert service.client.get(f"/api/v1/backtests/{result['run']}").status_code == 404


def test_the_report_runs_no_script_but_its_own(service: Service, first: dict[str, Any]) -> None:
    page = service.client.get(f"/api/v1/backtests/{first['id']}/report")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "sandbox allow-scripts" in policy
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page.text
    zipped = service.client.get(f"/api/v1/backtests/{first['id']}/report", params={"format": "csv"})
    assert zipped.content.startswith(b"PK")
    assert "attachment" in zipped.headers["content-disposition"]
    told = service.client.get(f"/api/v1/backtests/{first['id']}/report", params={"format": "json"}).json()
    assert told["tables"]["fills"]["ts"]


def test_stored_code_runs_in_the_sandbox_and_its_words_are_escaped(service: Service) -> None:
    made = service.client.post("/api/v1/strategies/create", json={"name": "half", "code": STORED})
    assert made.status_code in (200, 201), made.text
    found = ran(service, strategy="half", params={"share": 0.25})
    assert found["params"]["share"] == 0.25
    assert found["summary"]["numbers"]["fills"] > 0
    assert found["summary"]["numbers"]["leverage_max"] < 0.3
    page = service.client.get(f"/api/v1/backtests/{found['id']}/report").text
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"strategy": "sma_cros"}, 404, "strategy_unknown"),
        ({"instruments": ["NO-PE.kraken"]}, 404, "instrument_unknown"),
        ({"params": {"fast": 10_000}}, 422, "parameter_invalid"),
        ({"params": {"nope": 1}}, 422, "parameter_unknown"),
        ({"costs": {"taker": "9"}}, 422, "costs_invalid"),
        ({"costs": {"taker": "1.2.3"}}, 422, "costs_invalid"),
        ({"cash": "-5"}, 422, "costs_invalid"),
        ({"interval": "7q"}, 422, "interval_invalid"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, 422, "range_reversed"),
        ({"instruments": [NAME, NAME]}, 422, "history_invalid"),
        ({"instruments": []}, 422, "parameter_invalid"),
        ({"engine": "slow"}, 422, "parameter_invalid"),
        ({"params": {"fast": "\x00"}}, 422, "parameter_invalid"),
        ({"strategy": "../sma_cross"}, 404, "strategy_unknown"),
        ({"strategy": "api"}, 404, "strategy_unknown"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    service: Service, body: dict[str, Any], status: int, code: str
) -> None:
    answer = service.client.post(
        "/api/v1/backtests", json={"strategy": "sma_cross", "instruments": [NAME], **body}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize(
    "path",
    ["", "/equity", "/trades", "/fills", "/orders", "/days", "/prices", "/robustness", "/report"],
)
@pytest.mark.parametrize("name", ["nope", "%00", "%25", "..%2f..%2fetc", "%F0%9F%92%A5", "a" * 50])
def test_no_such_run(service: Service, name: str, path: str) -> None:
    answer = service.client.get(f"/api/v1/backtests/{name}{path}")
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["message"]


def test_python_over_rest_is_python_here(service: Service, home: Home) -> None:
    with tm.connect(url=service.url, token=service.token) as there, tm.connect(home.path) as here:
        assert isinstance(there, Remote)
        far = there.backtest("sma_cross", NAME, "5m", fast=4, slow=12, costs={"taker": 0.0002}, quiet=True)
        near = here.run(far.id)
        assert far.stats == near.stats
        assert far.digest == near.digest
        for name in ("orders", "fills", "trades", "equity", "days"):
            assert getattr(far, name).equals(getattr(near, name)), name
        assert there.run(far.id[:14]).row == far.row
        again = far.again()
        assert again.digest == far.digest
        assert again.id != far.id
        with pytest.raises(NotFoundError):
            there.run("nope")
        with pytest.raises(UsageError, match="class"):
            there.backtest(SmaCross, NAME)


def test_the_answer_is_json_of_the_document(service: Service, first: dict[str, Any]) -> None:
    assert json.loads(json.dumps(first, allow_nan=False)) == first
