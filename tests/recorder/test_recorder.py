"""The recorder's heart: holes, errors on the way, positions, instruments."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recorder.test_kill import start_recorder, status, until
from tests.stores.make import NAMES, SECOND, START, VENUE, damage, mixed, rot, writer
from tests.stores.test_live import World
from tidemill import _native
from tidemill.stores import verify
from tidemill.stores.api import FencedError, UnavailableError, journal_application
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView
from tidemill.stores.table import BARS, COMMITTED, GAPS, INSTRUMENTS, QUOTES, TRADES, Table


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.journal.close()


def stored(home: Path) -> list[int]:
    lake = Lake(home / "lake")
    return sorted(s for t in COMMITTED if t is not BARS for s in lake.read(t)["sequence"].to_pylist())


def drain(world: World) -> None:
    """As the process does it: batches and holes, then a flush."""
    while (batch := world.source.read(1 << 16, 0)) is not None:
        world.recorder.take(world.venue, batch)
    for hole in world.source.holes():
        world.recorder.lose(world.venue, hole)
    world.recorder.flush()


def test_a_damaged_frame_becomes_a_row_of_its_own(world: World) -> None:
    batches = [mixed(50, start=START + i * 10 * SECOND, first_id=1 + i * 50, seed=i) for i in range(6)]
    for batch in batches:
        world.write(batch)
    rot(world.home, batches[3])
    drain(world)
    assert stored(world.home) == sorted({*range(1, 151), 151, *range(201, 301)})
    holes = [line for line in Lake(world.home / "lake").read(GAPS).to_pylist() if line["edge"] == "journal"]
    assert [(h["sequence"], h["missing"], h["cause"]) for h in holes] == [(151, 50, "corrupt")]
    report = verify.verify(world.home, VENUE)
    assert report.clean, report
    view = LiveView(world.home, follow=False)
    gap = next(line for line in view.gaps() if line["state"] == "unfillable")
    assert (gap["sequence"], gap["missing"], gap["instrument"]) == (151, 50, None)
    assert not view.trades(NAMES[0]).complete


@pytest.mark.parametrize("failing", [table.name for table in COMMITTED])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_in_any_table_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: str, when: str
) -> None:
    real = Lake.append
    armed = [True]

    def append(self: Lake, table: Table, rows: object, *offsets: object) -> bool:
        kept = real(self, table, rows, *offsets) if when == "after" else False  # type: ignore[arg-type]
        if table.name == failing and armed:
            armed.clear()
            raise OSError(28, "No space left on device")
        return kept if when == "after" else real(self, table, rows, *offsets)  # type: ignore[arg-type]

    records = mixed(600)
    records["kind"][::40] = 7
    records["kind"][5] = 5
    world.write(records)
    monkeypatch.setattr(Lake, "append", append)
    with pytest.raises(OSError, match="No space"):
        world.record()
    world.write(mixed(300, start=START + 60 * SECOND, first_id=601, seed=8))
    world.record()
    assert not armed
    assert stored(world.home) == list(range(1, 901))
    bars = Lake(world.home / "lake").read(BARS)
    assert set(bars["revision"].to_pylist()) == {0}
    keys = bars.select(["instrument", "interval", "ts_event"]).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == len(keys)
    assert verify.verify(world.home, VENUE).clean


def test_a_commit_whose_answer_was_lost_and_that_is_kept_late_is_no_other_writer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Lake.append
    late: list[Callable[[], bool]] = []

    def append(self: Lake, table: Table, *rest: Any) -> bool:
        if table is TRADES and not late:
            late.append(lambda: real(self, TRADES, *rest))
            raise UnavailableError("the connection is gone, the server goes on")
        if table is TRADES and len(late) == 1:
            late.append(late[0])
            assert late[0]()  # after the recorder has looked again
        return real(self, table, *rest)

    world.write(mixed(600))
    monkeypatch.setattr(Lake, "append", append)
    with pytest.raises(UnavailableError, match="goes on"):
        world.record()
    world.write(mixed(300, start=START + 60 * SECOND, first_id=601, seed=8))
    with pytest.raises(UnavailableError, match="kept after all"):
        world.record()
    world.record()
    assert stored(world.home) == list(range(1, 901))
    assert verify.verify(world.home, VENUE).clean
    # Another writer is another writer.
    lake = Lake(world.home / "lake")
    application = journal_application(VENUE, 1)
    assert lake.append(
        TRADES, TRADES.empty(), {application: 905}, {application: lake.offset(TRADES, application)}
    )
    world.write(mixed(100, start=START + 120 * SECOND, first_id=901, seed=9))
    with pytest.raises(FencedError):
        world.record()


def test_a_restart_between_two_tables_skips_what_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(mixed(500))
    real = world.recorder._commit

    def stop_at_quotes(table: Table, work: object) -> None:
        if table is QUOTES:
            raise KeyboardInterrupt
        real(table, work)  # type: ignore[arg-type]

    monkeypatch.setattr(world.recorder, "_commit", stop_at_quotes)
    with pytest.raises(KeyboardInterrupt):
        world.record()
    world.write(mixed(100, start=START + 60 * SECOND, first_id=501, seed=8))
    world.start_recorder()
    world.record()
    assert stored(world.home) == list(range(1, 601))


def test_epochs_go_on_in_one_table(world: World) -> None:
    for epoch in range(2, 6):
        world.write(mixed(100, start=START + epoch * 10 * SECOND, first_id=epoch * 100, seed=epoch))
        if epoch % 2:
            world.record()
        world.journal.close()
        world.journal = writer(world.home)
        assert world.journal.epoch == epoch
    world.write(mixed(100, start=START + 100 * SECOND, first_id=1_000, seed=9))
    world.record()
    assert stored(world.home) == list(range(1, 501))
    assert len(set(Lake(world.home / "lake").read(TRADES)["epoch"].to_pylist())) == 5
    assert (world.home / "run" / "offsets" / f"{VENUE}.json").read_text() == '{"epoch": 5, "sequence": 500}'
    world.start_recorder()
    assert world.venue.position == (5, 500)


def test_a_lake_put_back_from_an_older_copy_gets_from_the_journal_what_it_lacks(world: World) -> None:
    lake, copy = world.home / "lake", world.home / "copy"
    offset = world.home / "run" / "offsets" / f"{VENUE}.json"
    world.write(mixed(300))
    world.record()
    shutil.copytree(lake, copy)
    world.write(mixed(300, start=START + 60 * SECOND, first_id=301, seed=2))
    world.record()
    assert json.loads(offset.read_text())["sequence"] == 600
    shutil.rmtree(lake)
    shutil.copytree(copy, lake)
    world.start_recorder()
    assert json.loads(offset.read_text())["sequence"] == 300
    world.record()
    assert stored(world.home) == list(range(1, 601))
    shutil.rmtree(lake)
    world.start_recorder()
    assert not offset.exists()


def test_instruments_are_kept_by_revision(world: World) -> None:
    world.write(mixed(10))
    world.record()
    lake = Lake(world.home / "lake")
    assert lake.read(INSTRUMENTS)["instrument"].to_pylist() == sorted(NAMES)
    world.journal.instrument(
        NAMES[0], symbol="BTC/USD", base="BTC", quote="USD", tick="0.01", lot="0.00000001",
        price_scale=2, size_scale=8,
    )  # fmt: skip
    world.write(mixed(10, seed=3))
    world.record()
    world.record()
    rows = lake.read(INSTRUMENTS).to_pylist()
    assert [(r["revision"], r["tick"]) for r in rows if r["instrument"] == NAMES[0]] == [
        (0, "0.1"),
        (1, "0.01"),
    ]
    assert len(rows) == 4


def test_a_trade_too_large_for_a_bar_is_kept_and_counted(world: World) -> None:
    records = mixed(100)
    records = records[records["kind"] == 1]
    records["price"][5], records["price_scale"][5] = 2**63 - 1, 0
    records["price_scale"][6] = 10
    records["instrument"], records["ts_event"] = records["instrument"][0], START
    world.write(records)
    world.record()
    assert len(Lake(world.home / "lake").read(TRADES)) == len(records)
    assert world.venue.refused >= 1


def test_an_unknown_number_keeps_its_rows_apart(world: World) -> None:
    records = mixed(100)
    records["instrument"][::2] = 1 << 20 | 77
    world.write(records)
    world.record()
    names = set(Lake(world.home / "lake").read(TRADES)["instrument"].to_pylist())
    assert f"#{1 << 20 | 77}.{VENUE}" in names
    assert stored(world.home) == list(range(1, 101))
    world.start_recorder()
    assert np.frombuffer(world.venue.builder.native.open(), np.uint8).size > 0
    assert _native.instruments(str(world.home), VENUE)


def test_a_damaged_file_stops_no_other_venue(world: World) -> None:
    home = world.home
    world.write(mixed(600))
    world.record()
    harmed = next((home / "lake" / "trades").rglob("*.parquet"))
    whole = harmed.read_bytes()
    damage(harmed, "cut")
    more = mixed(100, start=START + 100 * SECOND, first_id=601, seed=2)
    world.write(more)
    other = writer(home, "sim-coinbase")
    records = mixed(500)
    records["instrument"] += np.uint32(1 << 20)
    other.append(records)
    recorder = start_recorder(home)
    try:
        until(lambda: status(home).get("metrics", {}).get("records") == 500, "the other venue is stored")
        until(lambda: status(home)["error"], "the damage is told")
        assert status(home)["error"]["code"] == "data_unreadable"
        assert str(harmed) in status(home)["error"]["message"]
        until(lambda: status(home)["state"] == "live", "the recorder goes on")
        harmed.write_bytes(whole)
        until(lambda: status(home)["metrics"]["records"] == 600, "the venue is recorded again")
        assert status(home)["error"] is None
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(15) == 0
    finally:
        if recorder.poll() is None:
            recorder.kill()
            recorder.wait()
        other.close()
    for venue in (VENUE, "sim-coinbase"):
        assert verify.verify(home, venue).clean
