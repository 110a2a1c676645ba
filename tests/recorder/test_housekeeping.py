"""Compaction, checkpoints, vacuum and retention change files, never rows that are to stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stores.make import NAMES, SECOND, START, VENUE, damage, mixed, name, number, trades
from tests.stores.test_live import World
from tidemill.log import Log
from tidemill.model.interval import DAY, HOUR
from tidemill.recorder import housekeeping
from tidemill.recorder.housekeeping import MERGED_ROWS_MAX, Housekeeping, groups, size_class
from tidemill.stores import verify
from tidemill.stores.api import Query, journal_application
from tidemill.stores.delta import DataFile
from tidemill.stores.lake import Lake, StaleError
from tidemill.stores.live import LiveView
from tidemill.stores.table import BARS, COMMITTED, LEVELS, QUOTES, TRADES, rows_of

KINDS = COMMITTED[:-1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.journal.close()


def fill(lake: Lake, batches: int, venue: str = VENUE, start: int = START, epoch: int = 1) -> None:
    for batch in range(batches):
        records = mixed(300, start=start + batch * 30 * SECOND, seed=batch)
        sequences = np.arange(1 + batch * 300, 301 + batch * 300)
        for table in KINDS:
            rows = rows_of(table, records, sequences, epoch, venue, lambda n: name(n).replace(VENUE, venue))
            if len(rows):
                lake.append(table, rows, {journal_application(venue, epoch): (batch + 1) * 300})


def keeper(lake: Lake, levels_hours: float = 48, sim_hours: float = 48) -> Housekeeping:
    made = Housekeeping(lake, Log("test"), levels_hours=levels_hours, sim_hours=sim_hours)
    made._measure()
    return made


def contents(lake: Lake) -> dict[str, list]:
    return {table.name: lake.read(table).to_pylist() for table in KINDS}


def test_compaction_keeps_every_row_and_offset(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    fill(lake, 20)
    before = contents(lake)
    for table in KINDS:
        keeper(lake).compact(table)
    for other in (lake, Lake(tmp_path)):
        assert contents(other) == before
        snapshot = other.snapshot(TRADES, [journal_application(VENUE, 1)])
        assert snapshot
        assert len(snapshot.files) == 1
        assert snapshot.offsets[journal_application(VENUE, 1)] == 6_000
    assert not [1 for table in KINDS if keeper(lake).compact(table)]


def test_a_reader_with_an_older_version_still_reads(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    fill(lake, 12)
    reader = Lake(tmp_path)
    snapshot = reader.snapshot(TRADES)
    before = reader.read(TRADES, snapshot=snapshot)
    keeper(lake).compact(TRADES)
    keeper(lake).vacuum()
    assert reader.read(TRADES, snapshot=snapshot).equals(before)
    assert reader.read(TRADES).equals(before)


def test_appends_pass_a_compaction(tmp_path: Path) -> None:
    lake, other = Lake(tmp_path), Lake(tmp_path)
    fill(lake, 10)
    other.snapshot(TRADES)  # a handle from before
    keeper(lake).compact(TRADES)
    records = mixed(300, start=START + 10**12, seed=77)
    rows = rows_of(TRADES, records, np.arange(3_001, 3_301), 1, VENUE, name)
    assert other.append(TRADES, rows, {journal_application(VENUE, 1): 3_300})
    found = lake.read(TRADES)["sequence"].to_pylist()
    assert len(found) == len(set(found))
    assert max(found) > 3_000


def test_a_stale_compaction_is_refused(tmp_path: Path) -> None:
    lake, stale = Lake(tmp_path), Lake(tmp_path)
    fill(lake, 10)
    before = contents(lake)
    snapshot = stale.snapshot(TRADES)
    assert snapshot
    keeper(lake).compact(TRADES)
    partition = dict(snapshot.files[0].partition)
    with pytest.raises(StaleError):
        keeper(stale)._merge(TRADES, partition, snapshot.files)
    assert contents(Lake(tmp_path)) == before


def test_retention_takes_old_levels_and_simulated_rows_only(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    fill(lake, 3, "kraken")
    fill(lake, 3, "sim-kraken")
    fill(lake, 3, "kraken", START + 3 * DAY, epoch=2)
    fill(lake, 3, "sim-kraken", START + 3 * DAY, epoch=2)
    fill_later = contents(lake)
    keeper(lake).retain(START + HOUR)
    assert contents(lake) == fill_later
    keeper(lake).retain(START + 3 * DAY + HOUR)
    after = contents(lake)

    def still(table: str, venue: str) -> list:
        return [
            row for row in fill_later[table] if row["venue"] == venue or row["ts_event"] >= START + 3 * DAY
        ]

    assert after["trades"] == still("trades", "kraken")
    assert after["quotes"] == still("quotes", "kraken")
    assert after["levels"] == still("levels", "nobody")
    # What says how much trades and bars are worth outlives them.
    assert after["gaps"] == fill_later["gaps"] != []
    assert after["status"] == fill_later["status"]
    keeper(lake, levels_hours=0, sim_hours=0).retain(START + 300 * DAY)
    assert contents(lake) == after
    assert lake.offset(TRADES, journal_application("sim-kraken", 1)) == 900


def test_simulated_venues_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    fill(lake, 10)
    fill(lake, 3, "kraken")
    sizes = {t.name: sum(f.bytes for f in lake.snapshot(t).files) for t in (TRADES, QUOTES, LEVELS)}  # type: ignore[union-attr]
    monkeypatch.setattr(housekeeping, "SIM_BYTES_MAX", sum(sizes.values()) // 2)
    before = contents(lake)
    keeper(lake).retain(START + 1_000 * SECOND)
    after = contents(lake)
    # Today's trades stay, the oldest of the rest has gone, real venues are not looked at.
    assert after["trades"] == before["trades"]
    assert len(after["levels"]) < len(before["levels"])
    assert [r for r in after["levels"] if r["venue"] == "kraken"] == [
        r for r in before["levels"] if r["venue"] == "kraken"
    ]


def hour(world: World, at: int, *, trades_: int = 360) -> None:
    """An hour of trades of one instrument, stored."""
    records = trades(trades_, start=at, step=HOUR // trades_, first_id=1 + len(world.written) * 1_000)
    records["instrument"] = number(NAMES[0])
    world.write(records)
    world.record()


def days(world: World, start: int) -> list[tuple[int, int]]:
    """Revision and trades of every stored row of a day's bar."""
    query = Query(instruments=(NAMES[0],), interval="1d", start=start, end=start + DAY, revisions=True)
    rows = Lake(world.home / "lake").read(BARS, query).to_pylist()
    return [(row["revision"], row["trades"]) for row in rows]


MIDNIGHT = START // DAY * DAY


def test_a_day_that_is_not_over_keeps_its_trades(world: World) -> None:
    for at in range(20):
        hour(world, MIDNIGHT + at * HOUR)
    keeper(Lake(world.home / "lake"), sim_hours=6).retain(MIDNIGHT + 20 * HOUR)
    world.start_recorder()
    for at in range(20, 25):
        hour(world, MIDNIGHT + at * HOUR)
    assert days(world, MIDNIGHT) == [(0, 24 * 360)]
    keeper(Lake(world.home / "lake"), sim_hours=6).retain(MIDNIGHT + 40 * HOUR)
    assert Lake(world.home / "lake").read(TRADES)["ts_event"][0].as_py() == MIDNIGHT + 24 * HOUR
    assert verify.verify(world.home, VENUE).clean


def test_the_bound_of_simulated_venues_leaves_bars_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(25):
        hour(world, MIDNIGHT + at * HOUR)
    monkeypatch.setattr(housekeeping, "SIM_BYTES_MAX", 0)
    keeper(Lake(world.home / "lake")).retain(MIDNIGHT + 24 * HOUR + 300 * SECOND)
    world.start_recorder()
    hour(world, MIDNIGHT + 25 * HOUR)
    assert days(world, MIDNIGHT) == [(0, 24 * 360)]


def test_a_late_trade_changes_no_bar_whose_trades_were_let_go(world: World) -> None:
    hour(world, START, trades_=3_600)
    hour(world, START + 3 * DAY)
    keeper(Lake(world.home / "lake")).retain(START + 3 * DAY + HOUR)
    query = Query(instruments=(NAMES[0],), start=START - DAY, end=START + HOUR, revisions=True)
    before = Lake(world.home / "lake").read(BARS, query)
    view = LiveView(world.home, follow=False)
    shown = view.bars(NAMES[0], "1h", start=START - HOUR, end=START + HOUR).bars["trades"].tolist()
    for at in (700, 1_000):
        late = trades(1, start=START + at * SECOND, first_id=10**6 + at)
        late["instrument"], late["ts_recv"] = number(NAMES[0]), START + 3 * DAY + 2 * HOUR
        world.write(late)
        assert (
            view.bars(NAMES[0], "1h", start=START - HOUR, end=START + HOUR).bars["trades"].tolist() == shown
        )
        world.record()
        world.start_recorder()
    assert Lake(world.home / "lake").read(BARS, query).equals(before)
    assert verify.verify(world.home, VENUE).clean


@pytest.mark.parametrize("hours", range(0, 49, 8))
def test_what_retention_took_is_not_missing(world: World, hours: int) -> None:
    lake, at = Lake(world.home / "lake"), START
    dice = np.random.default_rng(5)
    for seed in range(10):
        count = int(dice.choice([300, 600, 3_000]))
        records = mixed(count, start=at, first_id=1 + seed * 10_000, seed=seed)
        records["ts_event"] = at + np.arange(count) * (6 * HOUR // count)
        records["ts_recv"] = records["ts_event"] + 3_000_000
        at += 6 * HOUR
        world.write(records)
        world.record()
        if seed == 5:
            for table in KINDS:
                keeper(lake).compact(table)
    assert verify.verify(world.home, VENUE).dense_from == (1, 1)
    keeper(lake).retain(at + hours * HOUR)
    report = verify.verify(world.home, VENUE)
    assert report.clean, report
    assert report.bars
    assert LiveView(world.home, follow=False).gaps() != []


@pytest.mark.parametrize("harm", ["flip", "rot", "cut", "gone"])
def test_a_damaged_file_keeps_nothing_else_from_being_merged(
    tmp_path: Path, harm: str, capfd: pytest.CaptureFixture[str]
) -> None:
    lake = Lake(tmp_path)
    fill(lake, 10)
    snapshot = lake.snapshot(LEVELS)
    assert snapshot
    damage(tmp_path / "levels" / snapshot.files[0].path, harm)
    made = keeper(lake)
    made._next_compact = 0
    made.step()
    assert snapshot.files[0].path in capfd.readouterr().err
    for table, files in ((LEVELS, 10), (QUOTES, 1), (TRADES, 1)):
        after = lake.snapshot(table)
        assert after
        assert len(after.files) == files


def file(path: int, rows: int, ts: int) -> DataFile:
    return DataFile(str(path), rows * 11, rows, ts, ts + 10, (1, 1), (1, 2), {"venue": "v", "date": "d"})


@given(st.lists(st.integers(1, 3_000_000), max_size=60), st.booleans())
def test_groups_are_bounded_and_disjoint(rows: list[int], closed: bool) -> None:
    files = [file(i, n, i) for i, n in enumerate(rows)]
    seen: set[str] = set()
    for group in groups(files, closed):
        assert len(group) > 1
        assert sum(f.rows for f in group) <= MERGED_ROWS_MAX
        assert not seen & {f.path for f in group}
        seen |= {f.path for f in group}
        if not closed:
            assert len({size_class(f.rows) for f in group}) == 1


def test_an_open_folder_is_not_rewritten_again_and_again() -> None:
    # A day of small files, compacted as they come: each row is rewritten once per size class.
    files: list[DataFile] = []
    rewritten = 0
    for i in range(3_000):
        files.append(file(i, 900, i))
        if i % 90 == 89:
            for group in list(groups(files, False)):
                total = sum(f.rows for f in group)
                rewritten += total
                files = [f for f in files if f not in group] + [file(10_000 + i, total, group[0].ts_min)]
    assert rewritten < 5 * 3_000 * 900
    assert len(files) < 120
