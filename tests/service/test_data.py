"""Series, books and lists over a real journal and lake: exact, whole, paged without skip or repeat."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.conftest import Service, short_home
from tests.service.journal import MINUTE, START, Venue, store
from tidemill.service import schema

BTC = "BTC-USD.sim-kraken"
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Service, Venue]]:
    home = short_home()
    kraken = Venue.make(home, "sim-kraken", "BTC-USD", "ETH-USD", "SOL-USD")
    coinbase = Venue.make(home, "sim-coinbase", "BTC-USD")
    coinbase.write(coinbase.trades("BTC-USD", 10, START, SECOND))
    kraken.write(kraken.trades("BTC-USD", 900, START, SECOND))
    kraken.write(kraken.quotes("BTC-USD", 50, START, SECOND))
    kraken.gap(START + 3 * MINUTE, START + 3 * MINUTE + SECOND)
    kraken.write(kraken.trades("ETH-USD", 30, START, SECOND, seed=2))
    store(home, kraken)
    # What follows is in the journal alone.
    kraken.write(kraken.trades("BTC-USD", 300, START + 15 * MINUTE, SECOND, seed=3))
    kraken.write(kraken.quotes("BTC-USD", 20, START + 15 * MINUTE, SECOND))
    kraken.write(kraken.book("BTC-USD", START + 20 * MINUTE))
    kraken.gap(START + 20 * MINUTE, None, "SOL-USD")
    service = Service(home)
    yield service, kraken
    service.stop()
    shutil.rmtree(home.path, ignore_errors=True)


@pytest.fixture
def service(world: tuple[Service, Venue]) -> Service:
    return world[0]


@pytest.fixture
def venue(world: tuple[Service, Venue]) -> Venue:
    return world[1]


def get(service: Service, path: str, **params: Any) -> dict[str, Any]:
    answer = service.client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    value: dict[str, Any] = answer.json()
    return value


def refusal(service: Service, path: str, **params: Any) -> tuple[int, str]:
    answer = service.client.get(f"/api/v1/{path}", params=params)
    return answer.status_code, answer.json()["code"]


# ── bars ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("interval", "length"), [("1s", SECOND), ("1m", MINUTE), ("5m", 5 * MINUTE), ("7m", 7 * MINUTE)]
)
def test_bars_are_what_the_trades_say(service: Service, venue: Venue, interval: str, length: int) -> None:
    expected = venue.bars("BTC-USD", length)
    found = get(service, f"data/{BTC}/bars", interval=interval, format="rows")
    schema.BarRows.model_validate(found)
    rows = {int(row["ts"]): row for row in found["items"]}
    if found["current"]:
        rows[int(found["current"]["ts"])] = found["current"]
    assert sorted(rows) == sorted(expected)
    for start, (first, high, low, last, volume, count) in expected.items():
        row = rows[start]
        if row is found["current"]:
            assert row["close"] == float(last)
            continue
        assert [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")] == [
            first,
            high,
            low,
            last,
            volume,
        ]
        assert row["trades"] == count
    assert list(rows) == sorted(rows)


def test_columns_are_the_same_numbers(service: Service) -> None:
    rows = get(service, f"data/{BTC}/bars", format="rows")
    columns = get(service, f"data/{BTC}/bars")
    schema.Bars.model_validate(columns)
    assert columns["ts"] == [row["ts"] for row in rows["items"]]
    assert columns["close"] == [float(row["close"]) for row in rows["items"]]
    assert columns["volume"] == [float(row["volume"]) for row in rows["items"]]
    assert columns["through"] == {"epoch": 1, "sequence": rows["through"]["sequence"]}


def test_a_series_names_the_gaps_it_touches(service: Service) -> None:
    touched = get(service, f"data/{BTC}/bars", start=START // SECOND, end=(START + 4 * MINUTE) // SECOND)
    assert touched["complete"] is False
    assert touched["gaps"] == [
        {"channel": "trades", "cause": "disconnect", "start": str(START + 3 * MINUTE),
         "end": str(START + 3 * MINUTE + SECOND), "missing": -1, "state": "open"}
    ]  # fmt: skip
    whole = get(service, f"data/{BTC}/bars", start=START // SECOND, end=(START + 2 * MINUTE) // SECOND)
    assert (whole["complete"], whole["gaps"]) == (True, [])


@pytest.mark.parametrize("form", ["arrow", "parquet", "csv"])
def test_files_hold_the_same_exact_numbers(service: Service, form: str) -> None:
    rows = get(service, f"data/{BTC}/bars", format="rows")["items"]
    answer = service.client.get(f"/api/v1/data/{BTC}/bars", params={"format": form})
    assert answer.status_code == 200
    facts = json.loads(answer.headers["x-tidemill-facts"])
    assert (facts["instrument"], facts["interval"], facts["complete"]) == (BTC, "1m", False)
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert [Decimal(line["close"]) for line in lines] == [Decimal(row["close"]) for row in rows]
        assert [line["ts"] for line in lines] == [row["ts"] for row in rows]
        iso = service.client.get(f"/api/v1/data/{BTC}/bars", params={"format": "csv", "time": "iso"}).text
        wanted = get(service, f"data/{BTC}/bars", format="rows", time="iso")["items"]
        assert [line["ts"] for line in csv.DictReader(io.StringIO(iso))] == [row["ts"] for row in wanted]
        return
    table = (
        pa.ipc.open_stream(answer.content).read_all()
        if form == "arrow"
        else pq.read_table(io.BytesIO(answer.content))
    )
    assert table["close"].to_pylist() == [Decimal(row["close"]) for row in rows]
    assert table["volume"].to_pylist() == [Decimal(row["volume"]) for row in rows]
    assert table["ts"].cast(pa.int64()).to_pylist() == [int(row["ts"]) for row in rows]
    assert json.loads(table.schema.metadata[b"tidemill"])["next"] is None


def test_older_bars_are_paged_without_skip_or_repeat(service: Service) -> None:
    whole = get(service, f"data/{BTC}/bars")["ts"]
    for limit in (1, 3, 7):
        pages: list[list[str]] = []
        cursor: dict[str, str] = {}
        while True:
            page = get(service, f"data/{BTC}/bars", limit=limit, **cursor)
            pages.insert(0, page["ts"])
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert [ts for page in pages for ts in page] == whole


def test_bars_from_a_start_are_paged_onward(service: Service) -> None:
    whole = get(service, f"data/{BTC}/bars")
    wanted = [ts for ts in whole["ts"] if int(ts) >= START + 5 * MINUTE]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = get(service, f"data/{BTC}/bars", start=START + 5 * MINUTE, limit=4, **cursor)
        seen += page["ts"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == wanted


# ── times ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_way_to_write_a_time_means_the_same(service: Service) -> None:
    at = START + 5 * MINUTE
    iso = datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    ways = [
        str(at // SECOND), str(at // 10**6), str(at // 10**3), str(at), f"{at // SECOND}.0",
        iso, iso + "Z", iso + "+00:00", iso + ".000000000Z", iso.replace("T", " "),
    ]  # fmt: skip
    answers = [get(service, f"data/{BTC}/bars", start=way, limit=3)["ts"] for way in ways]
    assert answers == [answers[0]] * len(ways)
    assert answers[0][0] == str(at)
    raw = service.client.get(f"/api/v1/data/{BTC}/bars?limit=3&start={iso}+00:00")
    assert raw.json()["ts"] == answers[0]
    shown = get(service, f"data/{BTC}/bars", start=at, limit=1, time="iso")
    assert shown["ts"] == [iso + "Z"]
    nanos = get(service, f"data/{BTC}/ticks", start=at, limit=1, time="iso")["items"][0]["ts_recv"]
    assert nanos == f"{iso}.001Z"


@pytest.mark.parametrize(
    "wrong",
    ["yesterday", "2026-13-01", "1e10", "NaN", "", "9" * 25, "99999-01-01", "0001-01-01", "2026-11-20T25:00"],
)
def test_what_is_no_time_is_refused(service: Service, wrong: str) -> None:
    assert refusal(service, f"data/{BTC}/bars", start=wrong) == (422, "time_invalid")


def test_a_range_that_ends_before_it_begins_is_refused(service: Service) -> None:
    assert refusal(service, f"data/{BTC}/ticks", start=2, end=1) == (422, "range_reversed")


# ── symbols ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "asked",
    [
        "ETH-USD.sim-kraken",
        "ETH-USD",
        "ETH%2FUSD",
        "eth-usd",
        "eth/usd",
        "ETH%2FUSD.sim-kraken",
        "Eth-Usd.Sim-Kraken",
    ],
)
def test_a_name_that_one_venue_has_is_understood(service: Service, asked: str) -> None:
    answer = service.client.get(f"/api/v1/data/{asked}/bars")
    assert answer.status_code == 200
    assert answer.json()["instrument"] == "ETH-USD.sim-kraken"


def test_a_name_that_two_venues_have_is_a_choice(service: Service) -> None:
    answer = service.client.get("/api/v1/data/BTC-USD/bars")
    assert answer.status_code == 409
    assert "BTC-USD.sim-coinbase" in answer.json()["hint"]
    assert "BTC-USD.sim-kraken" in answer.json()["hint"]


@pytest.mark.parametrize("route", ["bars", "ticks", "quotes", "book", "metadata"])
def test_an_unknown_name_gives_the_nearest(service: Service, route: str) -> None:
    answer = service.client.get(f"/api/v1/data/ETH-USB.sim-kraken/{route}")
    assert answer.status_code == 404
    assert "ETH-USD.sim-kraken" in answer.json()["hint"]


def test_an_instrument_without_trades_is_empty_and_not_unknown(service: Service) -> None:
    for route in ("bars", "ticks", "quotes"):
        found = get(service, f"data/SOL-USD/{route}", format="rows")
        assert (found["items"], found["next"]) == ([], None)
    book = get(service, "data/SOL-USD/book")
    assert (book["bids"], book["asks"], book["valid"]) == ([], [], False)


# ── ticks, quotes, books ──────────────────────────────────────────────────────────────────────────


def test_ticks_are_the_journals_records(service: Service, venue: Venue) -> None:
    found = get(service, f"data/{BTC}/ticks", limit=100_000)
    schema.Trades.model_validate({**found, "columns": None})
    expected = venue.traded("BTC-USD")
    assert len(found["items"]) == len(expected) == 1200
    for row, (sequence, record) in zip(found["items"], expected, strict=True):
        assert (row["epoch"], row["sequence"]) == (1, sequence)
        assert row["ts_event"] == str(record["ts_event"])
        assert row["ts_recv"] == str(record["ts_recv"])
        assert Decimal(row["price"]) == Decimal(int(record["price"])).scaleb(-1)
        assert Decimal(row["size"]) == Decimal(int(record["size"])).scaleb(-8)
        assert row["id"] == str(record["id"])
        assert row["aggressor"] == ("buy" if record["flags"] & 3 == 1 else "sell")
    assert found["items"][0]["price"].count(".") == 1
    assert found["complete"] is False


@pytest.mark.parametrize("route", ["ticks", "quotes"])
@pytest.mark.parametrize("limit", [1, 2, 7, 400])
@pytest.mark.parametrize("forward", [False, True])
def test_ticks_are_paged_without_skip_or_repeat(
    service: Service, route: str, limit: int, forward: bool
) -> None:
    window = (
        {"end": str(START + MINUTE)} if not forward else {"start": str(START), "end": str(START + MINUTE)}
    )
    whole = get(service, f"data/{BTC}/{route}", limit=10_000, **window)["items"]
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = get(service, f"data/{BTC}/{route}", limit=limit, **window, **cursor)
        assert len(page["items"]) <= limit
        seen = seen + page["items"] if forward else page["items"] + seen
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == whole
    assert len(whole) == (60 if route == "ticks" else 50)


def test_pages_stay_put_while_trades_arrive(service: Service, venue: Venue) -> None:
    first = get(service, f"data/{BTC}/ticks", limit=50)
    older = get(service, f"data/{BTC}/ticks", limit=50, cursor=first["next"])
    last = int(first["items"][-1]["ts_event"])
    venue.write(venue.trades("BTC-USD", 60, last + SECOND, SECOND, seed=9))
    assert get(service, f"data/{BTC}/ticks", limit=50, cursor=first["next"])["items"] == older["items"]
    newest = get(service, f"data/{BTC}/ticks", limit=60)["items"]
    assert [row["sequence"] for row in newest] == [s for s, _ in venue.traded("BTC-USD")[-60:]]


def test_quotes_join_both_sides(service: Service) -> None:
    found = get(service, f"data/{BTC}/quotes", limit=1000)
    schema.Quotes.model_validate({**found, "columns": None})
    assert len(found["items"]) == 70
    row = found["items"][0]
    assert (row["bid_price"], row["ask_price"]) == ("64200.0", "64200.5")
    assert (row["bid_size"], row["ask_size"]) == ("0.00000001", "0.00000002")


def test_a_half_of_a_quote_stands_alone(service: Service, venue: Venue) -> None:
    last = int(get(service, f"data/{BTC}/quotes", limit=1)["items"][0]["ts_event"])
    bid = venue.quotes("BTC-USD", 1, last + SECOND, SECOND)[:1]
    venue.write(bid)
    row = get(service, f"data/{BTC}/quotes", limit=1)["items"][0]
    assert (row["ts_event"], row["bid_price"], row["ask_price"], row["ask_size"]) == (
        str(last + SECOND),
        "64200.0",
        None,
        None,
    )
    columns = get(service, f"data/{BTC}/quotes", limit=1, format="columns")["columns"]
    assert (columns["bid_price"], columns["ask_price"]) == ([64200.0], [None])
    file = service.client.get(f"/api/v1/data/{BTC}/quotes", params={"limit": 1, "format": "arrow"})
    assert pa.ipc.open_stream(file.content).read_all()["ask_price"].to_pylist() == [None]


def test_a_book_is_best_first_and_exact(service: Service) -> None:
    book = get(service, f"data/{BTC}/book", depth=3)
    schema.Book.model_validate(book)
    assert book["bids"] == [["64199.9", "1.50000000"], ["64199.8", "1.50000000"], ["64199.7", "1.50000000"]]
    assert book["asks"][0] == ["64200.1", "1.50000000"]
    before = get(service, f"data/{BTC}/book", at=START)
    assert (before["valid"], before["bids"], before["sequence"]) == (False, [], None)


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────


def test_instruments_are_listed_filtered_and_paged(service: Service) -> None:
    found = get(service, "instruments")
    schema.Instruments.model_validate(found)
    names = [row["instrument"] for row in found["items"]]
    assert names == ["BTC-USD.sim-coinbase", BTC, "ETH-USD.sim-kraken", "SOL-USD.sim-kraken"]
    assert found["items"][3]["last"] is None
    assert found["items"][1]["last"]["price"].startswith("64")
    assert [r["instrument"] for r in get(service, "instruments", venue="sim-kraken", q="btc")["items"]] == [
        BTC
    ]
    assert get(service, "instruments", q="eth/usd")["items"][0]["instrument"] == "ETH-USD.sim-kraken"
    first = get(service, "instruments", limit=3)
    assert [
        r["instrument"] for r in get(service, "instruments", limit=3, cursor=first["next"])["items"]
    ] == names[3:]


def test_datasets_say_what_is_stored(service: Service) -> None:
    found = get(service, "datasets")
    schema.Datasets.model_validate(found)
    rows = {row["id"]: row for row in found["items"]}
    trades = rows[f"{BTC}:trades"]
    assert trades["rows"] == 900
    assert (trades["start"], trades["complete"]) == (str(START), False)
    assert rows["ETH-USD.sim-kraken:trades"]["rows"] == 30
    assert get(service, f"datasets/{BTC}:trades") == trades
    assert refusal(service, f"datasets/{BTC}:trade") == (404, "dataset_unknown")
    assert {row["kind"] for row in get(service, "datasets", kind="quotes")["items"]} == {"quotes"}


def test_metadata_holds_what_a_page_needs(service: Service) -> None:
    deadline = time.monotonic() + 20
    while not (found := get(service, f"data/{BTC}/metadata"))["gaps"] and time.monotonic() < deadline:
        time.sleep(0.1)
    schema.DataMetadata.model_validate(found)
    assert found["instrument"]["instrument"] == BTC
    assert {row["kind"] for row in found["datasets"]} >= {"trades", "quotes", "bars"}
    assert [row["cause"] for row in found["gaps"]] == ["disconnect"]


def test_gaps_reach_the_ledger_and_end_there(service: Service, venue: Venue) -> None:
    def gaps(**filters: str) -> list[dict[str, Any]]:
        found = get(service, "gaps", **filters)
        schema.Gaps.model_validate(found)
        items: list[dict[str, Any]] = found["items"]
        return items

    deadline = time.monotonic() + 20
    while len(gaps()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    open_, ended = gaps()
    assert (open_["instrument"], open_["ended_at"], open_["missing"]) == ("SOL-USD.sim-kraken", None, -1)
    assert (ended["instrument"], ended["ts_event_end"]) == (None, str(START + 3 * MINUTE + SECOND))
    assert gaps(venue="sim-coinbase") == []
    assert len(gaps(venue="sim-kraken", state="open")) == 2
    # A collector that does not run cannot say that one of them goes on: the ledger can.
    service.client.post("/api/v1/collection/start", json={"venue": "sim-kraken"})
    rows = get(service, "collection/status")["collectors"]
    assert {row["venue"]: row["gaps_open"] for row in rows} == {"sim-kraken": 1}
    assert refusal(service, "gaps", state="ajar") == (422, "parameter_invalid")


# ── cursors and parameters ────────────────────────────────────────────────────────────────────────


def test_a_cursor_is_good_for_its_own_list_and_filters_only(service: Service) -> None:
    bars = get(service, f"data/{BTC}/bars", limit=1)["next"]
    ticks = get(service, f"data/{BTC}/ticks", limit=1)["next"]
    assert refusal(service, f"data/{BTC}/ticks", cursor=bars) == (422, "cursor_invalid")
    assert refusal(service, f"data/{BTC}/bars", cursor=ticks) == (422, "cursor_invalid")
    assert refusal(service, f"data/{BTC}/bars", interval="5m", cursor=bars) == (422, "cursor_invalid")
    assert refusal(service, "data/ETH-USD/bars", cursor=bars) == (422, "cursor_invalid")
    assert refusal(service, f"data/{BTC}/bars", end=START, cursor=bars) == (422, "cursor_invalid")
    assert get(service, f"data/{BTC}/bars", limit=2, cursor=bars)["ts"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 200), letter=st.sampled_from("Aa0_-=.+/ "), cut=st.integers(0, 60))
def test_a_cursor_that_was_touched_is_refused(
    world: tuple[Service, Venue], place: int, letter: str, cut: int
) -> None:
    service = world[0]
    cursor = _cursor(service)
    at = place % len(cursor)
    touched = (cursor[:at] + letter + cursor[at + 1 :])[: len(cursor) - cut]
    if touched.rstrip("=") == cursor:
        return
    answer = service.client.get(f"/api/v1/data/{BTC}/bars", params={"limit": 1, "cursor": touched})
    assert (answer.status_code, answer.json().get("code")) == (422, "cursor_invalid")


def _cursor(service: Service) -> str:
    cursor: str = get(service, f"data/{BTC}/bars", limit=1)["next"]
    return cursor


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"intervl": "1m"}, "parameter_unknown"),
        ({"limit": "0"}, "parameter_invalid"),
        ({"limit": "500001"}, "parameter_invalid"),
        ({"limit": "NaN"}, "parameter_invalid"),
        ({"interval": "1x"}, "interval_invalid"),
        ({"interval": "99999w"}, "interval_invalid"),
        ({"format": "xml"}, "parameter_invalid"),
        ({"time": "utc"}, "parameter_invalid"),
    ],
)
def test_wrong_parameters_are_named(service: Service, params: dict[str, str], code: str) -> None:
    answer = service.client.get(f"/api/v1/data/{BTC}/bars", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    name = next(iter(params))
    assert name in answer.json()["message"] or code == "interval_invalid"
    if code == "parameter_unknown":
        assert answer.json()["hint"] == "did you mean interval?"


@pytest.mark.alone
def test_a_chart_page_is_quick(service: Service) -> None:
    """Not a benchmark: catches a path that reads everything again for each request."""
    get(service, f"data/{BTC}/bars")
    times = []
    with httpx.Client(base_url=service.url, headers=service.bearer, trust_env=False) as client:
        for _ in range(30):
            started = time.perf_counter()
            client.get(f"/api/v1/data/{BTC}/bars")
            times.append(time.perf_counter() - started)
    assert sorted(times)[15] < 0.1


def test_bars_by_zone_and_calendar(service: Service) -> None:
    path = f"data/{BTC}/bars"
    plain = get(service, path, interval="1h")
    # London has no offset in this season's November: its days are those of UTC.
    days = get(service, path, interval="1d", zone="Europe/London")
    assert days["ts"] == get(service, path, interval="1d")["ts"]
    shifted = get(service, path, interval="1d", zone="Asia/Kathmandu")
    ts = shifted["ts"] + ([shifted["current"]["ts"]] if shifted["current"] else [])
    assert {(int(one) // MINUTE) % 1_440 for one in ts} == {18 * 60 + 15}
    assert get(service, path, interval="1h", calendar="24/7")["ts"] == plain["ts"]
    assert refusal(service, path, zone="Europe/Lundon") == (422, "zone_unknown")
    assert refusal(service, path, calendar="XNYX") == (422, "calendar_unknown")
    assert refusal(service, path, calendar="XNYS", zone="UTC") == (422, "calendar_twice")
    assert refusal(service, path, calendar="XNYS", interval="48h") == (422, "interval_invalid")
