"""The paths that the requirements name: each answers as it is named, with a slash at its end and without."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.jobs.test_query import Context
from tests.service.conftest import Service, short_home
from tests.stores.make import NAMES, SECOND, START, VENUE, trades
from tests.stores.test_live import World
from tidemill.home import Home
from tidemill.jobs import kind
from tidemill.metadata import Metadata
from tidemill.metadata.table import leases
from tidemill.model.interval import MINUTE
from tidemill.query import indicator
from tidemill.service import schema
from tidemill.stores.lake import Lake

BTC = NAMES[0]
APPLE = "AAPL.polygon"
BARS = 12_000
FIRST = START // MINUTE * MINUTE - 20_000 * MINUTE


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    place = short_home()
    world = World(place.path)
    world.write(trades(2_000))
    world.record()
    closes = 15_000 + np.random.default_rng(3).integers(-20, 21, BARS).cumsum()
    Lake(world.home / "lake").import_bars(
        APPLE,
        "1m",
        {
            "start": FIRST + np.arange(BARS) * MINUTE, "open": closes, "high": closes + 5, "low": closes - 5,
            "close": closes, "volume": [100] * BARS, "trades": [7] * BARS, "price_scale": 2, "size_scale": 0,
        },
        source="polygon", chunk="all", ts_recv=time.time_ns(),
    )  # fmt: skip
    yield world
    world.journal.close()
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[Service]:
    running = Service(Home.at(str(world.home)))
    yield running
    running.stop()


def ask(service: Service, method: str, path: str, **rest: Any) -> Any:
    """The answer, which is the same with a slash at the end."""
    answers = [service.client.request(method, one, **rest) for one in (path, path + "/")]
    for answer in answers:
        assert answer.status_code < 300, answer.text
    assert answers[0].json().keys() == answers[1].json().keys()
    return answers[0].json()


def test_historical_comes_in_chunks(service: Service) -> None:
    found = ask(service, "GET", "/historical", params={"symbol": APPLE, "interval": "1m"})
    schema.Historical.model_validate(found)
    assert len(found["ts"]) == 5_000
    starts = [int(ts) for ts in found["ts"]]
    sizes = [5_000]
    while found["before"]:
        params = {"request_id": found["request_id"], "before": found["before"]}
        found = ask(service, "GET", "/historical/chunk", params=params)
        schema.Historical.model_validate(found)
        starts = [int(ts) for ts in found["ts"]] + starts
        sizes.append(len(found["ts"]))
    assert sizes == [5_000, 5_000, 2_000]
    assert starts == (FIRST + np.arange(BARS) * MINUTE).tolist()


def test_historical_within_a_span(service: Service) -> None:
    low, high = FIRST + 100 * MINUTE, FIRST + 5_200 * MINUTE
    span = {"symbol": APPLE, "interval": "1m", "start": str(low), "end": str(high)}
    found = ask(service, "GET", "/historical", params=span)
    assert int(found["ts"][-1]) == high - MINUTE
    assert len(found["ts"]) == 5_000
    params = {"request_id": found["request_id"], "before": found["before"]}
    rest = ask(service, "GET", "/historical/chunk", params=params)
    assert [int(rest["ts"][0]), len(rest["ts"]), rest["before"]] == [low, 100, None]
    for wrong in ({"request_id": "x", "before": "1"}, {"request_id": found["request_id"]}):
        assert service.client.get("/historical/chunk", params=wrong).status_code == 422
    assert service.client.get("/historical/", params={"symbol": "nobody"}).status_code == 404
    assert service.stranger.get("/historical/", params=span).status_code == 401


def test_a_lease_holds_what_was_answered(service: Service, world: World) -> None:
    lease = ask(service, "GET", "/utils/session/initiate")
    schema.Lease.model_validate(lease)
    name = lease["session_id"]
    beat = ask(service, "POST", "/utils/session/heartbeat", json={"session_id": name})
    assert beat["session_id"] == name
    assert (beat["heartbeat_s"], int(beat["expires"]) > time.time_ns() + 29 * 60 * SECOND) == (60, True)
    asked = {"symbol": BTC, "interval": "1m"}
    before = ask(service, "GET", "/historical", params={**asked, "session_id": name})
    world.write(trades(500, start=START + 400 * SECOND, first_id=9_000, seed=8))
    fresh = ask(service, "GET", "/historical", params=asked)
    assert len(fresh["ts"]) > len(before["ts"])
    assert ask(service, "GET", "/historical", params={**asked, "session_id": name}) == before
    other = service.client.get("/historical", params={**asked, "session_id": "00"})
    assert (other.status_code, other.json()["code"]) == (404, "session_unknown")
    metadata = Metadata.of(Home(world.home))
    with metadata.write() as connection:
        connection.execute(leases.update().where(leases.c.id == name).values(seen=1))
    assert service.client.post("/utils/session/heartbeat", json={"session_id": name}).status_code == 404
    assert service.client.get("/historical", params={**asked, "session_id": name}).status_code == 404
    assert kind.load("tidy").run(Context(world.home), {})["leases"] == 1
    metadata.close()


def test_candles_are_bars(service: Service) -> None:
    low, high = FIRST, FIRST + 60 * MINUTE
    found = ask(
        service, "GET", "/candles",
        params={"symbol": APPLE, "interval": "5m", "from_ts": str(low), "to_ts": str(high)},
    )  # fmt: skip
    schema.BarRows.model_validate(found)
    core = service.client.get(
        f"/api/v1/data/{APPLE}/bars",
        params={"interval": "5m", "start": str(low), "end": str(high), "format": "rows"},
    ).json()
    assert found == core
    assert len(found["items"]) == 12


def test_datasets_and_data_under_their_names(service: Service) -> None:
    schema.Datasets.model_validate(ask(service, "GET", "/api/v1/datasets"))
    schema.Dataset.model_validate(ask(service, "GET", f"/api/v1/datasets/{APPLE}:bars"))
    schema.Subscription.model_validate(ask(service, "POST", f"/api/v1/datasets/{APPLE}:bars/subscribe"))
    schema.Trades.model_validate(ask(service, "GET", f"/api/v1/data/{BTC}/ticks"))
    schema.Bars.model_validate(ask(service, "GET", f"/api/v1/data/{BTC}/bars"))
    schema.DataMetadata.model_validate(ask(service, "GET", f"/api/v1/data/{BTC}/metadata"))
    schema.QueryAnswer.model_validate(
        ask(service, "POST", "/api/v1/data/query", json={"sql": "SELECT 1 AS a"})
    )
    schema.CollectionStatus.model_validate(ask(service, "GET", "/api/v1/collection/status"))


def test_stock_rows_have_what_charts_of_stocks_show(service: Service) -> None:
    listed = ask(service, "GET", "/api/v1/stocks/tables")
    schema.StockTables.model_validate(listed)
    assert {item["table"] for item in listed["items"]} == {f"{name}:bars" for name in (*NAMES, APPLE)}
    path = f"/api/v1/stocks/data/{APPLE}:bars"
    found = ask(service, "GET", path, params={"interval": "1m", "limit": 300})
    schema.StockData.model_validate(found)
    assert len(found["items"]) == 300
    assert found["more"] is True
    assert found["zone"] == "America/New_York"
    row = found["items"][-1]
    assert row["market_time"].endswith("-05:00")
    assert (row["transactions"], row["vwap"], row["is_projection"]) == (7, None, False)
    whole = ask(service, "GET", path, params={"interval": "1m", "start": str(FIRST), "limit": BARS})["items"]
    assert len(whole) == BARS
    closes = np.array([float(one["close"]) for one in whole])
    for name, values in (
        ("sma_20", indicator.sma(closes, 20)),
        ("ema_20", indicator.ema(closes, 20)),
        ("rsi_14", indicator.rsi(closes, 14)),
    ):
        assert [one[name] for one in whole[:13]] == [None] * 13
        assert [one[name] for one in whole[20:]] == pytest.approx(values[20:].tolist())
        assert [one[name] for one in found["items"]] == pytest.approx(values[-300:].tolist(), rel=1e-6)
    page = ask(
        service, "GET", path, params={"interval": "1m", "start": str(FIRST + 9_000 * MINUTE), "limit": 50}
    )
    assert [one["ema_20"] for one in page["items"]] == pytest.approx(
        [one["ema_20"] for one in whole[9_000:9_050]], rel=1e-6
    )
    refused = service.client.get(f"/api/v1/stocks/data/{APPLE}:trades")
    assert (refused.status_code, refused.json()["code"]) == (422, "table_unfit")
    assert service.client.get("/api/v1/stocks/data/'; DROP TABLE x").status_code == 404


def test_vwap_is_of_trades_that_are_all_there(service: Service, world: World) -> None:
    found = ask(service, "GET", f"/api/v1/stocks/data/{BTC}:bars", params={"interval": "1m"})
    assert found["zone"] == "UTC"
    rows = [row for row in found["items"] if int(row["ts"]) < START + 100 * SECOND]
    records, _ = world.trades(BTC)
    for row in rows:
        low = int(row["ts"])
        mine = records[(records["ts_event"] >= low) & (records["ts_event"] < low + MINUTE)]
        sizes = mine["size"] / 1e8
        assert row["vwap"] == pytest.approx((mine["price"] / 10 * sizes).sum() / sizes.sum())
        assert row["transactions"] == len(mine)
    assert rows


def test_projected_rows_follow_and_stay_apart(service: Service) -> None:
    path, last = f"/api/v1/data/{APPLE}/projections", FIRST + (BARS - 1) * MINUTE
    made = [
        {"ts": str(last + at * MINUTE), "open": "1", "high": "2.5", "low": "0.5", "close": "1.25"}
        for at in range(3)
    ]
    body = {"interval": "1m", "source": "model-1", "rows": made}
    assert ask(service, "POST", path, json=body) == {"instrument": APPLE, "rows": 3}
    data = f"/api/v1/stocks/data/{APPLE}:bars"
    found = ask(service, "GET", data, params={"interval": "1m", "limit": 10})["items"]
    assert [row["is_projection"] for row in found] == [False] * 10 + [True] * 2
    assert found[-1]["projection_source"] == "model-1"
    assert (found[-1]["close"], found[-1]["sma_20"], found[-1]["vwap"]) == ("1.25", None, None)
    without = ask(service, "GET", data, params={"interval": "1m", "limit": 10, "projections": False})["items"]
    assert without == found[:10]
    asked = {"table": APPLE, "interval": "1m", "limit": 10, "indicators": ["rsi_14"]}
    chart = ask(service, "POST", "/api/v1/stocks/chart-data", json=asked)
    schema.StockChart.model_validate(chart)
    assert chart["columns"]["close"][-1] == 1.25
    assert "ema_20" not in chart["columns"]
    assert chart["columns"]["is_projection"][-3:] == [False, True, True]
    assert service.client.get(f"/api/v1/data/{APPLE}/bars", params={"limit": 1}).json()["ts"] == [str(last)]
    bad = {**body, "rows": [{**made[0], "close": "NaN"}]}
    assert service.client.post(path, json=bad).status_code == 422
    gone = service.client.delete(path, params={"interval": "1m", "source": "model-1"})
    assert gone.json() == {"instrument": APPLE, "rows": 3}


def test_a_table_is_deleted_by_its_name(service: Service) -> None:
    answer = ask(service, "DELETE", f"/api/v1/stocks/table/{APPLE}:bars")
    schema.Job.model_validate(answer)
    assert answer["kind"] == "delete"
    refused = service.client.delete(f"/api/v1/stocks/table/{BTC}:bars")
    assert (refused.status_code, refused.json()["code"]) == (422, "confirm_missing")
    assert service.client.delete("/api/v1/stocks/table/trades").status_code == 404
    assert VENUE
