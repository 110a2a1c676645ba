"""`/api/v1/indicators/*` and `/ws/indicators` over a real journal: the same values by every door."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
import time
from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from tests.service.conftest import Service, close_code, short_home
from tests.service.journal import MINUTE, START, Venue
from tests.service.test_hostile import check, text
from tidemill import indicator, talib_spec
from tidemill.service import schema, websocket
from tidemill.service.indicator_session import Session

BTC, ETH = "BTC-USD.sim-kraken", "ETH-USD.sim-kraken"
SECOND = MINUTE // 60
LATER = START + 1_200 * SECOND
"""Where nothing is yet."""


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Service, Venue]]:
    home = short_home()
    venue = Venue.make(home, "sim-kraken", "BTC-USD", "ETH-USD")
    venue.write(venue.trades("BTC-USD", 3_600, START, SECOND // 3))
    venue.write(venue.trades("ETH-USD", 30, START, SECOND))
    running = Service(home)
    yield running, venue
    running.stop()
    shutil.rmtree(home.path, ignore_errors=True)


@pytest.fixture
def service(world: tuple[Service, Venue]) -> Service:
    return world[0]


def ask(service: Service, **body: Any) -> dict[str, Any]:
    body.setdefault("instrument", BTC)
    body.setdefault("interval", "1s")
    answer = service.client.post("/api/v1/indicators/calculate", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refusal(service: Service, **body: Any) -> tuple[int, str]:
    answer = service.client.post("/api/v1/indicators/calculate", json={"instrument": BTC, **body})
    return answer.status_code, answer.json()["code"]


# ── the list ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/api/v1/indicators/list", "/api/v1/indicators/list/"])
def test_the_list_has_all_of_ours_first(service: Service, path: str) -> None:
    answer = service.client.get(path)
    found = schema.Indicators.model_validate_json(answer.text).items
    ours = list(indicator.registry())
    assert [one.name for one in found][: len(ours)] == ours
    assert [one.name for one in found][len(ours) :] == list(talib_spec.registry())
    rsi = next(one for one in found if one.name == "rsi")
    assert [p.model_dump() for p in rsi.params] == [
        {"name": "period", "kind": "int", "default": 14.0, "low": 1.0, "high": 100_000.0}
    ]
    assert rsi.warm_up == indicator.spec("rsi").warm_up
    assert all(one.title and one.source and one.outputs for one in found)


# ── calculating ───────────────────────────────────────────────────────────────────────────────────


def test_a_page_equals_the_whole_and_is_as_described(service: Service) -> None:
    whole = ask(service, indicator="rsi", params={"period": 5}, limit=5_000)
    schema.CalculatedSeries.model_validate(whole)
    (one,) = whole["indicators"]
    values = one["values"]["rsi"]
    assert values[:5] == [None] * 5
    assert None not in values[5:]
    assert one["params"] == {"period": 5}
    assert whole["next"] is None
    part = ask(service, indicator="rsi", params={"period": 5}, limit=100, start=whole["ts"][700])
    assert part["indicators"][0]["values"]["rsi"] == values[700:800]
    again = ask(
        service, indicator="rsi", params={"period": 5}, limit=100, start=whole["ts"][700], cursor=part["next"]
    )
    assert again["indicators"][0]["values"]["rsi"] == values[800:900]
    older: list[float | None] = []
    cursor = None
    while len(older) < len(values):
        page = ask(service, indicator="rsi", params={"period": 5}, limit=333, cursor=cursor)
        older = page["indicators"][0]["values"]["rsi"] + older
        cursor = page["next"]
    assert older == values
    assert page["next"] is None


def test_values_are_those_of_the_bars(service: Service) -> None:
    bars = service.client.get(f"/api/v1/data/{BTC}/bars", params={"interval": "1s"}).json()
    found = ask(service, indicator="sma", params={"period": 1})
    assert found["ts"] == bars["ts"]
    assert found["indicators"][0]["values"]["sma"] == bars["close"]
    assert found["current"] == bars["current"]["ts"]
    assert found["indicators"][0]["current"] == {"sma": bars["current"]["close"]}
    assert found["through"] == bars["through"]


def test_several_share_the_bars(service: Service) -> None:
    asked = [
        {"indicator": "ema", "params": {"period": 9}}, {"indicator": "macd"}, {"indicator": "ema"},
        {"indicator": "obv"},
    ]  # fmt: skip
    found = ask(service, indicators=asked, limit=50)
    for one, said in zip(asked, found["indicators"], strict=True):
        alone = ask(service, **one, limit=50)
        assert alone["indicators"][0]["values"] == said["values"]
    rows = ask(service, indicators=asked, limit=50, format="rows")
    schema.CalculatedRows.model_validate(rows)
    assert list(rows["items"][0]) == [
        "ts", "ema.ema", "macd.macd", "macd.signal", "macd.histogram", "ema_2.ema", "obv.obv",
    ]  # fmt: skip
    assert rows["items"][-1]["ema_2.ema"] == found["indicators"][2]["values"]["ema"][-1]


def test_files_hold_the_same_numbers(service: Service) -> None:
    body = {"instrument": BTC, "interval": "1s", "indicator": "rsi", "limit": 5_000, "end": str(LATER)}
    values = ask(service, **body)["indicators"][0]["values"]["rsi"]

    def file(form: str) -> bytes:
        answer = service.client.post("/api/v1/indicators/calculate", json={**body, "format": form})
        assert answer.status_code == 200
        return answer.content

    with pa.ipc.open_stream(file("arrow")) as reader:
        arrow = reader.read_all()
    assert arrow["rsi"].to_pylist() == values
    assert json.loads(arrow.schema.metadata[b"tidemill"])["indicators"][0]["indicator"] == "rsi"
    assert pq.read_table(io.BytesIO(file("parquet")))["rsi"].to_pylist() == values
    lines = list(csv.DictReader(io.StringIO(file("csv").decode())))
    assert [float(line["rsi"]) if line["rsi"] else None for line in lines] == values


def test_an_answer_is_kept_by_the_version_of_its_bars(service: Service, world: tuple[Service, Venue]) -> None:
    venue = world[1]
    body = {"instrument": ETH, "interval": "1s", "indicator": "sma", "params": {"period": 2}}
    before = ask(service, **body)
    venue.write(venue.trades("ETH-USD", 9, START + 40 * SECOND, SECOND, seed=7))
    until = time.monotonic() + 5
    while len(ask(service, **body)["ts"]) <= len(before["ts"]):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_makes_no_sense_is_named(service: Service) -> None:
    assert refusal(service, indicator="rsii") == (422, "indicator_unknown")
    assert refusal(service, indicator="talib:NOPE") == (422, "indicator_unknown")
    assert refusal(service, indicator="rsi", params={"period": 0}) == (422, "parameter_invalid")
    assert refusal(service, indicator="rsi", params={"self": 1}) == (422, "parameter_invalid")
    assert refusal(service, indicator="rsi", params={"period": "14"}) == (422, "parameter_invalid")
    assert refusal(service, indicator="rsi", params={"period": True}) == (422, "parameter_invalid")
    assert refusal(service, indicator="rsi", surprise=1) == (422, "parameter_invalid")
    assert refusal(service) == (422, "parameter_invalid")
    assert refusal(service, indicator="rsi", indicators=[{"indicator": "ema"}]) == (422, "parameter_invalid")
    assert refusal(service, indicator="rsi", instrument="NO-USD.sim-kraken") == (404, "instrument_unknown")
    assert refusal(service, indicator="rsi", interval="1x") == (422, "interval_invalid")
    assert refusal(service, indicator="rsi", start="x") == (422, "time_invalid")
    assert refusal(service, indicator="rsi", start="1", last="1h") == (422, "span_invalid")
    assert refusal(service, indicator="rsi", cursor="x") == (422, "cursor_invalid")
    many = [{"indicator": "macd"}] * 32
    assert refusal(service, indicators=many, limit=500_000) == (422, "limit_invalid")


numbers = st.one_of(st.integers(), st.floats(), text, st.none(), st.booleans(), st.lists(st.integers()))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.one_of(st.sampled_from([*indicator.registry(), *talib_spec.registry(), "talib:"]), text),
    params=st.dictionaries(
        st.one_of(st.sampled_from(["period", "fast", "timeperiod", "matype", "step", "since"]), text),
        numbers, max_size=3,
    ),
    more=st.dictionaries(
        st.sampled_from(["interval", "start", "end", "last", "since", "limit", "format", "time", "cursor"]),
        st.one_of(numbers, st.sampled_from(["1s", "1mo", "rows", "arrow", "iso", "999999999w"])), max_size=3,
    ),
)  # fmt: skip
@example(name="rsi", params={"period": 10**400}, more={})
@example(name="talib:SMA", params={"timeperiod": 1e300}, more={})
@example(name="talib:MA", params={"matype": 99}, more={})
@example(name="ema", params={"period": 100_000}, more={"interval": "1mo", "limit": 1})
@example(name="rsi", params={}, more={"last": "106751d"})
@example(name="obv", params={}, more={"since": "1710-01-02", "start": "1710-01-02"})
def test_no_input_is_a_server_error(
    service: Service, name: str, params: dict[str, Any], more: dict[str, Any]
) -> None:
    body = json.dumps({"instrument": BTC, "interval": "1s", "indicator": name, "params": params, **more})
    answer = service.client.post(
        "/api/v1/indicators/calculate",
        content=body.encode("utf-8", "surrogatepass"),
        headers={"Content-Type": "application/json"},
    )
    check(answer.status_code, answer.content, body[:300])
    if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
        assert "NaN" not in answer.text


def test_a_calculation_is_told_of(service: Service) -> None:
    with follow(service, "/ws/events") as client:
        assert json.loads(client.recv(10))["type"] == "hello"
        ask(service, indicator="slope", params={"period": 3}, limit=10)
        said = json.loads(client.recv(10))
    assert (said["kind"], said["subject"]) == ("indicator_calculated", BTC)
    assert said["data"]["indicators"] == ["slope(period=3)"]
    assert (said["data"]["interval"], said["data"]["rows"]) == ("1s", 10)


# ── as it moves ───────────────────────────────────────────────────────────────────────────────────


def follow(service: Service, path: str = "/ws/indicators") -> ClientConnection:
    return connect(f"ws://{service.address}{path}", additional_headers=service.bearer, proxy=None)


def tell(client: ClientConnection, **message: Any) -> None:
    client.send(json.dumps(message))


def hear(client: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a type."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        said: dict[str, Any] = json.loads(client.recv(10))
        if said["type"] == kind:
            return said
    raise AssertionError(f"no {kind} came")


def test_closed_bars_have_the_values_of_rest(world: tuple[Service, Venue]) -> None:
    service, venue = world
    asked: list[tuple[str, dict[str, int]]] = [
        ("rsi", {"period": 14}), ("ema", {"period": 50}), ("sma", {}), ("macd", {}), ("obv", {}),
        ("vwap", {}),
    ]  # fmt: skip
    if talib_spec.installed():
        asked.append(("talib:RSI", {}))
    seen: dict[int, dict[str, dict[str, float | None]]] = {}
    provisional = 0
    with follow(service) as client:
        for at, (name, params) in enumerate(asked):
            tell(client, op="subscribe", id=at, instrument=BTC, interval="1s", indicator=name, params=params,
                 limit=20)  # fmt: skip
            said = hear(client, "subscribed")
            assert (said["id"], said["indicator"], said["instrument"]) == (at, name, BTC)
            snapshot = hear(client, "snapshot")
            assert len(snapshot["ts"]) == 20
            seen[at] = {
                ts: {output: column[i] for output, column in snapshot["values"].items()}
                for i, ts in enumerate(snapshot["ts"])
            }
        # 600 seconds pass: a block ends in them, whatever its phase.
        for step in range(12):
            venue.write(venue.trades("BTC-USD", 150, LATER + step * 50 * SECOND, SECOND // 3, seed=step + 9))
            time.sleep(0.3)
        # The newest bar is open, and nothing comes that closes it.
        last = str(LATER + 11 * 50 * SECOND + 47 * SECOND)
        while not all(last in values for values in seen.values()):
            said = json.loads(client.recv(10))
            if said["type"] == "value" and said["closed"]:
                seen[said["id"]][said["ts"]] = said["values"]
            elif said["type"] == "snapshot":
                for i, ts in enumerate(said["ts"]):
                    seen[said["id"]][ts] = {name: column[i] for name, column in said["values"].items()}
            else:
                provisional += said["type"] == "value"
    assert provisional > 0
    found = ask(service, indicators=[{"indicator": n, "params": p} for n, p in asked], limit=700)
    for at in seen:
        values = found["indicators"][at]["values"]
        rest = {ts: {name: column[i] for name, column in values.items()} for i, ts in enumerate(found["ts"])}
        assert len(seen[at]) > 600
        assert seen[at] == {ts: rest[ts] for ts in seen[at]}


def test_a_late_trade_changes_what_was_said(world: tuple[Service, Venue]) -> None:
    service, venue = world
    begin = START + 600 * SECOND
    venue.write(venue.trades("ETH-USD", 30, begin, SECOND, seed=21))
    with follow(service) as client:
        tell(
            client, op="subscribe", id=1, instrument=ETH, interval="1s", indicator="sma", params={"period": 1}
        )
        first = hear(client, "snapshot")
        late = venue.trades("ETH-USD", 1, int(first["ts"][-1]) + SECOND // 2, SECOND, seed=22)
        late["price"] += 777
        late["ts_recv"] = begin + 31 * SECOND
        venue.write(late)
        said = hear(client, "snapshot")
        assert said["ts"][0] == first["ts"][-1]
        assert said["values"]["sma"][0] != first["values"]["sma"][-1]
        rest = ask(service, instrument=ETH, indicator="sma", params={"period": 1}, start=said["ts"][0])
        assert rest["indicators"][0]["values"]["sma"] == said["values"]["sma"]


def test_going_on_is_asking_again(service: Service) -> None:
    with follow(service) as client:
        tell(client, op="subscribe", id=1, instrument=BTC, interval="1s", indicator="atr", limit=50)
        whole = hear(client, "snapshot")
    with follow(service) as client:
        tell(client, op="subscribe", id=1, instrument=BTC, interval="1s", indicator="atr", limit=50,
             start=whole["ts"][30])  # fmt: skip
        rest = hear(client, "snapshot")
    assert rest["ts"] == whole["ts"][30:]
    assert rest["values"]["atr"] == whole["values"]["atr"][30:]


def test_mistakes_are_said_and_the_connection_goes_on(service: Service) -> None:
    with follow(service) as client:
        good = {"op": "subscribe", "id": 1, "instrument": BTC, "interval": "1s", "indicator": "rsi"}
        for wrong, code in (
            ({"indicator": "nope"}, "indicator_unknown"),
            ({"params": {"period": -1}}, "parameter_invalid"),
            ({"params": {"period": None}}, "parameter_invalid"),
            ({"instrument": "X-USD.sim-kraken"}, "instrument_unknown"),
            ({"interval": "soon"}, "interval_invalid"),
            ({"id": "one"}, "parameter_invalid"),
            ({"extra": 1}, "parameter_invalid"),
            ({"op": "dance"}, "op_unknown"),
            ({"start": "yesterday"}, "time_invalid"),
            ({"op": "unsubscribe"}, "subscription_unknown"),
        ):
            client.send(json.dumps({**good, **wrong}))
            assert hear(client, "error")["code"] == code, wrong
            time.sleep(0.06)
        tell(client, **good)
        hear(client, "snapshot")
        tell(client, **good)
        assert hear(client, "error")["code"] == "subscription_exists"
        tell(client, op="unsubscribe", id=1)
        assert hear(client, "unsubscribed")["id"] == 1
        tell(client, op="ping", id=5)
        assert hear(client, "pong")["id"] == 5


def test_a_connection_follows_so_many_and_no_more(service: Service) -> None:
    with follow(service) as client:
        for at in range(65):
            tell(client, op="subscribe", id=at, instrument=ETH, interval="1m", indicator="sma", limit=1)
            if at < 64:
                hear(client, "snapshot")
            time.sleep(0.055)
        assert hear(client, "error")["code"] == "subscriptions_full"


def test_nobody_follows_without_being_let_in(service: Service) -> None:
    with connect(f"ws://{service.address}/ws/indicators", proxy=None) as client:
        tell(client, op="subscribe", id=1, instrument=BTC, indicator="rsi")
        assert close_code(client) == 4401


def test_who_does_not_read_is_left_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        async def send_text(self, _text: str) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(websocket, "SEND_S", 0.01)
    session = Session(cast(Any, None), cast(Any, Stuck()))
    with pytest.raises(websocket.Leave) as left:
        asyncio.run(session.handle({"op": "dance"}))
    assert (left.value.code, left.value.error.code) == (4008, "client_slow")
