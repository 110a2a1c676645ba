"""Deleting rows from the lake: those alone, for good, and not taken for a loss."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.compute as pc
import pytest

from tests.stores.make import NAMES, SECOND, START, mixed
from tests.stores.test_live import World
from tidemill.log import Log
from tidemill.model.interval import DAY
from tidemill.recorder.housekeeping import Housekeeping
from tidemill.stores import verify
from tidemill.stores.api import Query
from tidemill.stores.forget import forget
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, LEVELS, QUOTES, TRADES

TICKS = (TRADES, QUOTES, LEVELS)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for at in range(3):
        world.write(mixed(1_000, start=START + at * DAY, first_id=1 + at * 5_000, seed=at))
        world.record()
    return world


def test_only_what_was_meant_goes(world: World) -> None:
    lake = Lake(world.home / "lake")
    before = {table.name: lake.read(table) for table in (*TICKS, BARS)}
    for table in (*TICKS, BARS):
        mine = len(lake.read(table, Query(instruments=(NAMES[0],))))
        assert mine
        assert forget(lake, table, NAMES[0]) >= mine
    for table in (*TICKS, BARS):
        assert len(lake.read(table, Query(instruments=(NAMES[0],)))) == 0
        for name in NAMES[1:]:
            kept = before[table.name].filter(pc.field("instrument") == name)
            assert lake.read(table, Query(instruments=(name,))).equals(kept.combine_chunks())
    assert forget(lake, TRADES, NAMES[0]) == 0
    report = verify.verify(world.home, "sim-kraken")
    assert report.missing == 0
    assert report.clean


def test_the_recorder_goes_on_behind_it(world: World) -> None:
    lake = Lake(world.home / "lake")
    forget(lake, TRADES, NAMES[1])
    world.start_recorder()
    world.write(mixed(500, start=START + 3 * DAY, first_id=50_000, seed=9))
    world.record()
    assert verify.verify(world.home, "sim-kraken").clean
    assert len(lake.read(TRADES, Query(instruments=(NAMES[1],))))


def test_old_days_go_and_what_open_bars_need_stays(world: World) -> None:
    lake = Lake(world.home / "lake")
    edge = START // DAY * DAY + DAY
    assert forget(lake, TRADES, NAMES[0], edge) > 0
    rows = lake.read(TRADES, Query(instruments=(NAMES[0],)))
    assert min(rows["ts_event"].to_pylist()) >= edge
    assert forget(lake, TRADES, NAMES[0], START + 10 * DAY) > 0
    left = lake.read(TRADES, Query(instruments=(NAMES[0],)))["ts_event"].to_pylist()
    assert min(left) >= (START + 2 * DAY) // DAY * DAY
    assert left
    world.start_recorder()
    assert verify.verify(world.home, "sim-kraken").clean


def test_a_merge_meanwhile_is_no_loss(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, other = Lake(world.home / "lake"), Lake(world.home / "lake")
    keeping = Housekeeping(other, Log("test"), levels_hours=0, sim_hours=0)
    for at in range(3):
        world.write(mixed(300, start=START + at * SECOND * 40, first_id=90_000 + at * 1_000, seed=20 + at))
        world.record()
    merged: list[int] = []

    def told(_done: int, _total: int) -> None:
        if not merged:
            merged.append(keeping.compact(TRADES))

    others = len(lake.read(TRADES)) - len(lake.read(TRADES, Query(instruments=(NAMES[0],))))
    assert forget(lake, TRADES, NAMES[0], told=told) > 0
    assert merged[0] > 0
    assert len(lake.read(TRADES)) == others


def test_an_import_may_come_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    columns = {
        "start": [START // (60 * SECOND) * 60 * SECOND], "open": [1], "high": [2], "low": [1], "close": [2],
        "volume": [5], "trades": [1], "price_scale": 0, "size_scale": 0,
    }  # fmt: skip

    def bring(name: str) -> bool:
        return lake.import_bars(name, "1m", columns, source="t", chunk="c", ts_recv=time.time_ns())

    assert bring("A-B.x")
    assert bring("C-D.x")
    assert not bring("A-B.x")
    assert forget(lake, BARS, "A-B.x") == 3
    assert lake.held(BARS)[0].sources == ("t",)
    assert not bring("C-D.x")
    assert bring("A-B.x")
    assert not Lake(tmp_path).import_bars(
        "A-B.x", "1m", columns, source="t", chunk="c", ts_recv=time.time_ns()
    )
    lake.checkpoint(BARS)
    assert forget(lake, BARS, "A-B.x") == 3
    assert bring("A-B.x")
