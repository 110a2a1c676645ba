"""Tiles hold, bucket by bucket, what all the trades say, at every level, stored or just arrived."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.stores.make import NAMES, SECOND, START, trades
from tests.stores.test_live import World
from tidemill import wire
from tidemill.errors import NotFoundError, UsageError
from tidemill.model.interval import DAY
from tidemill.stores import imported, tile
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView

NAME = NAMES[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two thirds of the trades stored, the last third only in the journal; some at one and the same time."""
    world = World(tmp_path_factory.mktemp("home"))
    records = trades(30_000, step=SECOND // 7)
    records["ts_event"] -= records["ts_event"] % (30 * 1_000_000)
    records["flags"][::97] |= wire.FLAG_IRREGULAR
    world.write(records[:20_000])
    world.record()
    world.write(records[20_000:])
    yield world
    world.journal.close()


@pytest.fixture(scope="module")
def view(world: World) -> Iterator[LiveView]:
    view = world.view(follow=False)
    yield view
    view.close()


def oracle(world: World, level: int, start: int, end: int) -> dict[int, tuple[int, int, int, int, int, int]]:
    """By bucket: first, high, low, last, volume, trades; one trade at a time."""
    records, _ = world.trades(NAME)
    found: dict[int, list[tuple[int, int]]] = {}
    order = np.argsort(records["ts_event"], kind="stable")
    for record in records[order]:
        at = int(record["ts_event"])
        if start <= at < end and not record["flags"] & wire.FLAG_IRREGULAR:
            found.setdefault((at - start) // level, []).append((int(record["price"]), int(record["size"])))
    return {
        bucket: (
            held[0][0],
            max(price for price, _ in held),
            min(price for price, _ in held),
            held[-1][0],
            sum(size for _, size in held),
            len(held),
        )
        for bucket, held in found.items()
    }


def shown(one: tile.Tile) -> dict[int, tuple[int, int, int, int, int, int]]:
    volume = np.rint(one.volume * 1e8).astype(np.int64)
    columns = (one.first, one.high, one.low, one.last, volume, one.trades)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return dict(zip(one.at.tolist(), rows, strict=True))


@pytest.mark.parametrize("level", [level for level in tile.LEVELS if level < tile.SECOND and level])
def test_narrow_buckets_hold_what_the_trades_say(world: World, view: LiveView, level: int) -> None:
    index = (START + 400 * SECOND) // (level * tile.BUCKETS)
    seen = 0
    for at in range(index, index + 3):
        found = tile.tile(view, NAME, level, at)
        expected = oracle(world, level, found.start, found.end)
        assert shown(found) == expected
        seen += len(expected)
    assert seen > 50


@pytest.mark.parametrize("level", [level for level in tile.LEVELS if level >= tile.SECOND])
def test_wide_buckets_are_the_trades_own(world: World, view: LiveView, level: int) -> None:
    index = START // (level * tile.BUCKETS)
    seen = 0
    for at in range(index, index + 2):
        found = tile.tile(view, NAME, level, at)
        expected = oracle(world, level, found.start, found.end)
        assert shown(found) == expected
        seen += len(expected)
    assert seen >= 1


def test_single_trades_keep_their_order(world: World, view: LiveView) -> None:
    index = (START + 500 * SECOND) // tile.RAW_NS
    found = tile.tile(view, NAME, tile.RAW, index)
    records, _ = world.trades(NAME)
    mine = records[(records["ts_event"] >= found.start) & (records["ts_event"] < found.end)]
    mine = mine[mine["flags"] & wire.FLAG_IRREGULAR == 0]
    assert len(mine) > 3
    assert found.first.tolist() == found.last.tolist() == mine["price"].tolist()
    assert found.at.tolist() == (mine["ts_event"] - found.start).tolist()


def test_tiles_of_a_level_abut_and_hold_every_trade_once(world: World, view: LiveView) -> None:
    records, _ = world.trades(NAME)
    regular = records[records["flags"] & wire.FLAG_IRREGULAR == 0]
    for level in (100 * tile.MILLI, tile.SECOND, 5 * tile.SECOND):
        first = int(regular["ts_event"].min()) // (level * tile.BUCKETS)
        last = int(regular["ts_event"].max()) // (level * tile.BUCKETS)
        found = [tile.tile(view, NAME, level, at) for at in range(first, last + 1)]
        assert sum(int(one.trades.sum()) for one in found) == len(regular)
        assert all(a.end == b.start for a, b in itertools.pairwise(found))


def test_the_newest_bucket_is_open_and_a_time_without_trades_is_empty(view: LiveView) -> None:
    newest = tile.tile(view, NAME, 20 * DAY, START // (20 * DAY * tile.BUCKETS))
    assert newest.open
    for level in (tile.RAW, 10 * tile.MILLI, tile.SECOND):
        empty = tile.tile(view, NAME, level, 3)
        assert len(empty.at) == len(empty.first) == len(empty.volume) == 0
        assert not empty.open


def test_a_tile_in_bytes_is_read_by_its_layout(view: LiveView) -> None:
    one = tile.tile(view, NAME, tile.SECOND, START // (tile.SECOND * tile.BUCKETS))
    raw = one.encode()
    magic, version, scale, flags, zero, start, width, count, _ = struct.unpack_from("<IBBBBqqII", raw)
    assert raw[:4] == b"TMTL"
    assert (magic, version, zero) == (tile.MAGIC, 1, 0)
    assert (scale, start, width, count) == (1, one.start, tile.SECOND, len(one.at))
    assert flags == 0
    assert count > 0
    assert len(raw) == 32 + count * (4 * 8 + 8 + 4 + 4)
    high = np.frombuffer(raw, "<i8", count, 32 + 8 * count)
    assert high.tolist() == one.high.tolist()
    assert np.frombuffer(raw, "<u4", count, 32 + 44 * count).tolist() == one.at.tolist()


@pytest.mark.parametrize(("level", "index"), [(7, 0), (-1, 0), (tile.SECOND, -1), (20 * DAY, 2**40)])
def test_what_is_no_tile_is_refused(view: LiveView, level: int, index: int) -> None:
    with pytest.raises(UsageError, match="tile"):
        tile.tile(view, NAME, level, index)


def test_an_unknown_instrument_is_named(view: LiveView) -> None:
    for level in (tile.RAW, tile.SECOND):
        with pytest.raises(NotFoundError):
            tile.tile(view, "BTC-USD.nowhere", level, 1)


def test_where_only_longer_bars_are_stored_they_stand_in(tmp_path: Path) -> None:
    name, start = "AAPL.somewhere", START // DAY * DAY
    store = Lake(tmp_path / "lake")
    count = 300
    close = 19_000 + np.arange(count)
    columns = {
        "start": start + np.arange(count) * 60 * SECOND,
        "open": close - 1,
        "high": close + 2,
        "low": close - 3,
        "close": close,
        "volume": np.full(count, 7),
        "trades": np.ones(count, np.int64),
        "price_scale": 2,
        "size_scale": 0,
    }
    imported.keep(store, name, "1m", columns, source="test", chunk="1", ts_recv=start + DAY)
    view = LiveView(tmp_path, follow=False)
    for level in (tile.SECOND, 15 * tile.SECOND):
        found = tile.tile(view, name, level, start // (level * tile.BUCKETS) + 1)
        begin = (columns["start"] >= found.start) & (columns["start"] < found.end)
        assert found.at.tolist() == ((columns["start"][begin] - found.start) // level).tolist()
        assert found.high.tolist() == columns["high"][begin].tolist()
        assert found.grain == 60 * SECOND
    fitting = tile.tile(view, name, 60 * SECOND, start // (60 * SECOND * tile.BUCKETS))
    assert fitting.grain == 0
    told = [tile.HEAD.unpack_from(one.encode())[-1] for one in (found, fitting)]
    assert told == [60_000, 0]  # ms, as the browser reads it
    for level in (tile.RAW, 10 * tile.MILLI, 100 * tile.MILLI):
        moment = start + 90 * 60 * SECOND
        width = tile.RAW_NS if level == tile.RAW else level * tile.BUCKETS
        near = tile.tile(view, name, level, moment // width)
        assert near.high.tolist()[:1] == [19_092]
        assert near.grain == 60 * SECOND
    view.close()


def test_a_hole_is_filled_only_by_bars_that_nothing_finer_covers(tmp_path: Path) -> None:
    """Seconds of one minute, then minutes alone: the first minute is its seconds, not itself."""
    name, start = "AAPL.somewhere", START // DAY * DAY
    level = tile.SECOND
    begin = (start // (level * tile.BUCKETS) + 1) * level * tile.BUCKETS
    begin += -begin % (60 * SECOND)
    store = Lake(tmp_path / "lake")

    def keep(interval: str, first: int, width: int, count: int) -> None:
        price = np.full(count, 100)
        columns = {
            "start": first + np.arange(count) * width,
            **dict.fromkeys(("open", "high", "low", "close", "volume", "trades"), price),
            "price_scale": 2,
            "size_scale": 0,
        }
        imported.keep(store, name, interval, columns, source="t", chunk=interval, ts_recv=begin + DAY)

    keep("1s", begin, SECOND, 60)
    keep("1m", begin + 60 * SECOND, 60 * SECOND, 5)
    view = LiveView(tmp_path, follow=False)
    found = tile.tile(view, name, level, begin // (level * tile.BUCKETS))
    offset = (begin - found.start) // level
    assert found.at.tolist() == [offset + n for n in (*range(60), 60, 120, 180, 240, 300)]
    view.close()


def test_the_golden_tiles_are_written_to_the_byte() -> None:
    golden = json.loads((Path(__file__).parents[2] / "vectors" / "tile" / "tile.json").read_text())
    for one in golden["tiles"]:
        said = one["expect"]
        made = tile.Tile(
            level=tile.SECOND,
            start=one["start"],
            end=one["start"] + 1_000 * tile.SECOND,
            at=np.array(one["at"], np.uint32),
            **{name: np.array(values, np.int64) for name, values in one["mantissas"].items()},
            volume=np.array(said["volume"], np.float64),
            trades=np.array(said["trades"], np.uint32),
            price_scale=said["price_scale"],
            open=said["open"],
            complete=said["complete"],
        )
        assert made.encode().hex() == one["bytes"]
