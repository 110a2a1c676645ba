"""What came no live way: kept once, whatever cuts, orders and doubles it came in; and beside live rows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.make import NAMES, START
from tests.stores.make import trades as live_trades
from tests.stores.test_live import FIELDS, World
from tidemill import wire
from tidemill.errors import UsageError
from tidemill.model.interval import DAY, HOUR, MINUTE, SECOND, STORED, Interval
from tidemill.providers.api import TradeColumns
from tidemill.stores import imported, series
from tidemill.stores.api import Query, Store
from tidemill.stores.lake import Lake
from tidemill.stores.memory import Memory
from tidemill.stores.table import BARS, DETAILS, TRADES, bars_of

NAME, SOURCE = "AAA.made", "made"
FIRST = START // DAY * DAY + 20 * HOUR
SPAN = 8 * HOUR


def columns(count: int = 500, *, start: int = FIRST, span: int = SPAN, seed: int = 3) -> TradeColumns:
    """Trades at random times, some at the same, some without an id, some irregular."""
    random = np.random.default_rng(seed)
    ts = np.sort(start + random.integers(0, span // SECOND, count) * SECOND)
    ids = np.arange(count) + 10
    ids[::17] = -1
    return TradeColumns(
        ts, 10_000 + random.integers(-9, 9, count).cumsum(), random.integers(1, 900, count),
        random.integers(0, 3, count).astype(np.int8), ids, np.arange(count) % 13 == 5, 2, 3,
        conditions=tuple("T" if at % 13 == 5 else "" for at in range(count)),
    )  # fmt: skip


def within(trades: TradeColumns, low: int, high: int) -> TradeColumns:
    at = np.flatnonzero((trades.ts_event >= low) & (trades.ts_event < high))
    arrays = {
        name: getattr(trades, name)[at]
        for name in ("ts_event", "price", "size", "aggressor", "id", "irregular")
    }
    return replace(trades, **arrays, conditions=tuple(trades.conditions[one] for one in at.tolist()))


def rows(store: Store, table: Any, *, revisions: bool = True) -> pa.Table:
    """All rows but when we had them, in one order."""
    found = store.read(table, Query(revisions=revisions)).drop_columns(["ts_recv"])
    keys = [name for name in ("interval", "ts_event", "sequence", "revision") if name in found.column_names]
    return found.sort_by([(name, "ascending") for name in keys])


def everything(store: Store) -> list[pa.Table]:
    return [rows(store, table) for table in (TRADES, DETAILS, BARS)]


def fetched(store: Store, chunks: list[tuple[int, int]], trades: TradeColumns, batch: int) -> None:
    """As a job does it: several chunks a commit, at the end the bars that they share."""
    parts = [
        imported.trades_part(
            NAME, within(trades, low, high), source=SOURCE, chunk=f"{low}-{high}", ts_recv=n, delay_ns=SECOND,
            span=(low, high),
        )
        for n, (low, high) in enumerate(chunks)
    ]  # fmt: skip
    for at in range(0, len(parts), batch):
        imported.keep_all(store, parts[at : at + batch])
    imported.join(store, NAME, "trades", *chunks, source=SOURCE, ts_recv=1, delay_ns=SECOND)


TRADED = columns()
WHOLE = Memory()
fetched(WHOLE, [(FIRST, FIRST + SPAN)], TRADED, 1)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """The span in chunks, in any order, some of them twice; and how many make a commit."""
    inner = draw(st.lists(st.integers(1, SPAN // (SECOND // 2) - 1), max_size=6, unique=True))
    edges = [FIRST, *(FIRST + at * SECOND // 2 for at in sorted(inner)), FIRST + SPAN]
    chunks = list(itertools.pairwise(edges))
    again = draw(st.lists(st.sampled_from(chunks), max_size=3))
    return draw(st.permutations(chunks + again)), draw(st.integers(1, 4))


@settings(max_examples=20, deadline=None)
@given(cuts())
def test_any_cut_order_and_doubling_of_trades_ends_in_the_same_rows(
    how: tuple[list[tuple[int, int]], int],
) -> None:
    store = Memory()
    fetched(store, how[0], TRADED, how[1])
    assert everything(store) == everything(WHOLE)


@settings(max_examples=10, deadline=None)
@given(cuts())
def test_chunks_kept_one_by_one_end_in_the_same_newest_bars(how: tuple[list[tuple[int, int]], int]) -> None:
    store = Memory()
    for low, high in how[0]:
        imported.keep_trades(
            store, NAME, within(TRADED, low, high), source=SOURCE, chunk=f"{low}-{high}", ts_recv=5,
            delay_ns=SECOND,
        )  # fmt: skip
    assert rows(store, TRADES) == rows(WHOLE, TRADES)
    got, expected = (rows(one, BARS, revisions=False) for one in (store, WHOLE))
    assert got.drop_columns(["revision"]) == expected.drop_columns(["revision"])


def test_the_bars_are_those_of_the_regular_trades() -> None:
    regular = TRADED.ts_event[~TRADED.irregular]
    for text in STORED:
        found = bars_of(WHOLE.read(BARS, Query(interval=text)))
        length = Interval.parse(text).length_ns
        starts = np.unique(regular // length * length)
        assert found["start"].tolist() == starts.tolist()
        prices, sizes = TRADED.price[~TRADED.irregular], TRADED.size[~TRADED.irregular]
        for bar in found:
            inside = (regular >= bar["start"]) & (regular < bar["end"])
            mine = prices[inside]
            assert (bar["open"], bar["close"]) == (mine[0], mine[-1])
            assert (bar["high"], bar["low"]) == (mine.max(), mine.min())
            assert (bar["volume_low"], bar["trades"]) == (sizes[inside].sum(), inside.sum())
            assert bar["ts_known"] == bar["end"] + SECOND


def test_rows_of_trades_say_where_they_came_from() -> None:
    found = WHOLE.read(TRADES)
    assert len(found) == len(TRADED)
    assert set(found["source"].to_pylist()) == {SOURCE}
    assert set(found["epoch"].to_pylist()) == {0}
    flags = found["flags"].to_numpy()
    assert (flags & wire.FLAG_BACKFILLED != 0).all()
    assert ((flags & wire.FLAG_IRREGULAR != 0) == TRADED.irregular).all()
    assert ((flags & wire.FLAG_HAS_ID != 0) == (TRADED.id >= 0)).all()
    assert (found["id"].fill_null(-1).to_numpy() == TRADED.id).all()
    assert (found["ts_known"].to_numpy() == TRADED.ts_event + SECOND).all()
    keys = set(zip(found["ts_event"].to_pylist(), found["sequence"].to_pylist(), strict=True))
    assert len(keys) == len(found)
    details = WHOLE.read(DETAILS).to_pylist()
    assert len(details) == TRADED.irregular.sum()
    assert all(json.loads(line["payload"]) == {"conditions": "T"} for line in details)
    assert {(line["ts_event"], line["sequence"]) for line in details} <= keys


def test_text_ids_and_exchanges_are_details_and_ids_of_one_exchange_are_its_own() -> None:
    one = within(TRADED, FIRST, FIRST + HOUR)
    count = len(one)
    same = replace(
        one, id=np.full(count, 7), exchange=tuple("QN"[at % 2] for at in range(count)), conditions=(),
        text_id=tuple(f"x{at}" for at in range(count)),
    )  # fmt: skip
    store = Memory()
    assert imported.keep_trades(store, NAME, same, source=SOURCE, chunk="a", ts_recv=1)
    assert len(store.read(TRADES)) == count
    assert not imported.keep_trades(store, NAME, same, source=SOURCE, chunk="a", ts_recv=2)
    assert imported.keep_trades(store, NAME, same, source=SOURCE, chunk="b", ts_recv=2)
    assert len(store.read(TRADES)) == count == len(store.read(DETAILS))
    said = json.loads(store.read(DETAILS)["payload"][0].as_py())
    assert said == {"exchange": "Q", "id": "x0"}


# ── beside live rows ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()


def test_a_trade_that_was_live_is_not_kept_again_and_live_bars_stand(world: World) -> None:
    records = live_trades(3_000)
    world.write(records)
    world.record()
    mine = records[records["instrument"] == records["instrument"][0]]
    name = NAMES[int(mine["instrument"][0]) - int(records["instrument"].min())]
    hour = int(mine["ts_event"][0]) // HOUR * HOUR
    early = np.arange(200) * SECOND + hour
    fetched_ = TradeColumns(
        np.concatenate([early, mine["ts_event"]]),
        # What the provider says of a trade that was live is not believed.
        np.concatenate([np.full(200, 500_000), mine["price"].astype(np.int64) + 7]),
        np.concatenate([np.full(200, 10**8), mine["size"].astype(np.int64)]),
        np.zeros(200 + len(mine), np.int8),
        np.concatenate([np.arange(200) + 10**6, mine["id"].astype(np.int64)]),
        np.zeros(200 + len(mine), bool), 1, 8,
    )  # fmt: skip
    lake = Lake(world.home / "lake")
    assert imported.keep_trades(lake, name, fetched_, source="sim-kraken", chunk="all", ts_recv=START)
    stored = lake.read(TRADES, Query(instruments=(name,)))
    assert len(stored) == 200 + len(mine)
    assert pc.sum(pc.equal(stored["epoch"], 0)).as_py() == 200
    view = world.view()
    minutes = view.bars(name, "1m", limit=100_000)
    both = np.concatenate([minutes.bars, minutes.current])
    live = world.bars(name, "1m")
    kept = both[np.isin(both["start"], live["start"])]
    np.testing.assert_array_equal(kept[FIELDS], live[FIELDS])
    assert len(both) == len(live) + 4  # 200 s before
    ticks = view.trades(name, limit=100_000).rows
    assert len(ticks) == 200 + len(mine)
    for text in ("1h", "1d"):
        longer = view.bars(name, text, limit=1_000)
        got = np.concatenate([longer.bars, longer.current])
        np.testing.assert_array_equal(got[FIELDS], series.merge(both, Interval.parse(text))[FIELDS])
    view.close()


def test_a_live_trade_with_a_text_for_an_id_is_not_kept_again(world: World) -> None:
    trades = live_trades(600)
    trades["flags"] &= ~np.uint8(wire.FLAG_HAS_ID)
    said = [f"{'DV'[at % 2]}|@ I|{'long' * (at % 9)}{at // 2}|C" for at in range(len(trades))]
    lines = []
    for trade, text in zip(trades, said, strict=True):
        lines.append(trade)
        for cut in range(0, len(text), 24):
            detail = np.zeros(1, wire.RECORD)
            detail["kind"] = wire.KIND_DETAIL
            for field in ("instrument", "ts_event", "ts_recv"):
                detail[field] = trade[field]
            raw = detail.view(np.uint8)
            raw[24:48] = np.frombuffer(text[cut : cut + 24].encode().ljust(24, b"\0"), np.uint8)
            lines.append(detail[0])
    world.write(np.array(lines, wire.RECORD))
    world.record()
    at = np.flatnonzero(trades["instrument"] == trades["instrument"][0])
    mine = trades[at]
    name = NAMES[int(mine["instrument"][0]) - int(trades["instrument"].min())]
    texts = [said[one].split("|") for one in at.tolist()]
    price = mine["price"].astype(np.int64) * 100  # with two more places
    price[-1] += 1
    ts = mine["ts_event"] + 999_999
    ts[-2] += 5 * SECOND
    order = np.argsort(ts, kind="stable")
    exchange = [text[0] for text in texts]
    exchange[-3] = "Q"
    fetched_ = TradeColumns(
        ts[order], price[order], mine["size"].astype(np.int64), np.zeros(len(mine), np.int8),
        np.full(len(mine), -1), np.zeros(len(mine), bool), 3, 8,
        text_id=tuple(texts[one][2] for one in order.tolist()),
        exchange=tuple(exchange[one] for one in order.tolist()),
    )  # fmt: skip
    lake = Lake(world.home / "lake")
    assert imported.keep_trades(lake, name, fetched_, source="sim-kraken", chunk="all", ts_recv=START)
    stored = lake.read(TRADES, Query(instruments=(name,)))
    # another price, another time and another exchange are other trades
    assert pc.sum(pc.equal(stored["epoch"], 0)).as_py() == 3
    assert len(stored) == len(mine) + 3


def test_an_instrument_that_was_only_fetched_is_read_beside_a_collected_venue(world: World) -> None:
    world.write(live_trades(100))
    world.record()
    name = "LTC-USD.sim-kraken"
    lake = Lake(world.home / "lake")
    imported.keep(lake, name, "1m", minutes_of(FIRST, 60), source="x", chunk="c", ts_recv=1)
    view = world.view()
    assert len(view.bars(name, "1m").bars) == 60
    assert len(view.bars(name, "1h").bars) == 1
    with pytest.raises(Exception, match="no instrument"):
        view.bars("XXX-USD.sim-kraken", "1m")
    view.close()


# ── bars ──────────────────────────────────────────────────────────────────────────────────────────


def minutes_of(start: int, count: int, price: int = 100) -> dict[str, Any]:
    flat = np.full(count, price)
    return {
        "start": start + np.arange(count) * MINUTE, "open": flat, "high": flat + 2, "low": flat - 2,
        "close": flat + 1, "volume": np.full(count, 5), "trades": np.full(count, 1), "price_scale": 2,
        "size_scale": 3,
    }  # fmt: skip


def keep(store: Store, columns: dict[str, Any], chunk: str, interval: str = "1m", **rest: Any) -> bool:
    return imported.keep(store, NAME, interval, columns, source=SOURCE, chunk=chunk, ts_recv=1, **rest)


def test_a_bar_that_says_something_else_is_a_revision_and_the_same_again_is_nothing() -> None:
    store = Memory()
    assert keep(store, minutes_of(FIRST, 60), "a")
    before = rows(store, BARS)
    assert keep(store, minutes_of(FIRST, 60), "b")
    assert rows(store, BARS) == before
    # The same prices with more decimal places are the same.
    more = minutes_of(FIRST, 60)
    for name in ("open", "high", "low", "close"):
        more[name] = more[name] * 100
    assert keep(store, more | {"price_scale": 4}, "c")
    assert rows(store, BARS) == before
    changed = minutes_of(FIRST, 60)
    changed["high"] = changed["high"].copy()
    changed["high"][7] += 50
    assert keep(store, changed, "d")
    found = store.read(BARS, Query(interval="1m", revisions=True, revised=True)).to_pylist()
    assert [(line["ts_event"], line["revision"], line["high"]) for line in found] == [
        (FIRST + 7 * MINUTE, 1, 152)
    ]
    for text in ("1h", "1d"):
        newest = store.read(BARS, Query(interval=text)).to_pylist()
        assert [(line["revision"], line["high"]) for line in newest] == [(1, 152)]
    # Another source's bar of the same minute is none of its business.
    assert imported.keep(store, NAME, "1m", minutes_of(FIRST, 60, 9), source="other", chunk="a", ts_recv=1)
    assert pc.max(store.read(BARS, Query(interval="1m", revisions=True))["revision"]).as_py() == 1


def test_a_day_that_came_in_two_halves_is_the_whole_day() -> None:
    store, day = Memory(), FIRST // DAY * DAY
    keep(store, minutes_of(day + 12 * HOUR, 720, 100), "second")
    keep(store, minutes_of(day, 720, 200), "first")
    (found,) = store.read(BARS, Query(interval="1d")).to_pylist()
    assert (found["open"], found["high"], found["low"], found["close"]) == (200, 202, 98, 101)
    assert (found["trades"], found["revision"], found["sequence"]) == (1440, 1, imported.MADE)


def test_what_a_source_gave_is_not_replaced_by_what_is_made_here() -> None:
    store, day = Memory(), FIRST // DAY * DAY
    whole = {
        name: values[:1] if isinstance(values, np.ndarray) else values
        for name, values in minutes_of(day, 1).items()
    }
    keep(store, whole | {"volume": np.array([10**6])}, "days", "1d")
    keep(store, minutes_of(day + 12 * HOUR, 60), "minutes")
    (found,) = store.read(BARS, Query(interval="1d", revisions=True)).to_pylist()
    assert (int(found["volume"]), found["sequence"]) == (10**6, imported.OWN)
    assert len(store.read(BARS, Query(interval="1h"))) == 1
    # And what was made gives way to what comes from the source.
    keep(store, minutes_of(day + DAY + HOUR, 60), "next")
    keep(store, whole | {"start": np.array([day + DAY])}, "next day", "1d")
    found = store.read(BARS, Query(interval="1d", start=day + DAY)).to_pylist()
    assert [(line["sequence"], line["revision"]) for line in found] == [(imported.OWN, 1)]


def test_days_of_a_zone_are_kept_at_midnight_utc_of_their_date() -> None:
    store = Memory()
    # New York: 8 March 2026 has 23 hours, 1 November 25.
    starts = [1_772_859_600, 1_772_946_000, 1_773_028_800, 1_793_505_600, 1_793_595_600]
    days = minutes_of(0, 5) | {"start": np.array(starts) * SECOND}
    with pytest.raises(UsageError, match="row 0"):
        keep(store, days, "a", "1d")
    keep(store, days, "a", "1d", zone="America/New_York", delay_ns=SECOND)
    found = store.read(BARS, Query(interval="1d"))
    dates = [str(one.as_py())[:10] for one in pc.cast(found["ts_event"], pa.timestamp("ns"))]
    assert dates == ["2026-03-07", "2026-03-08", "2026-03-09", "2026-11-01", "2026-11-02"]
    assert (found["ts_known"].to_numpy() == found["ts_event"].to_numpy() + DAY + SECOND).all()


def test_many_chunks_are_one_commit_and_are_known_by_their_names(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    parts = [
        imported.bars_part(
            NAME, "1m", minutes_of(FIRST + n * HOUR, 60), source=SOURCE, chunk=f"{n}", ts_recv=1,
            span=(FIRST + n * HOUR, FIRST + (n + 1) * HOUR),
        )
        for n in range(50)
    ]  # fmt: skip
    names = [part.application for part in parts]
    assert imported.keep_all(lake, parts[:30]) > 0
    assert lake.log_version(BARS) == 1
    assert imported.held(lake, names) == set(names[:30])
    assert imported.keep_all(lake, parts) > 0
    assert lake.log_version(BARS) == 2
    assert imported.held(lake, names) == set(names)
    lake.checkpoint(BARS)
    assert imported.held(Lake(tmp_path), [*names, "nobody"]) == set(names)
    assert len(lake.read(BARS, Query(interval="1m"))) == 3_000
    assert imported.keep_all(lake, parts) == 0
