"""Compaction, checkpoints, vacuum and retention change files, never rows that are to stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stores.make import SECOND, START, VENUE, mixed, name
from tidemill.log import Log
from tidemill.model.interval import DAY, HOUR
from tidemill.recorder import housekeeping
from tidemill.recorder.housekeeping import MERGED_ROWS_MAX, Housekeeping, groups, size_class
from tidemill.stores.api import journal_application
from tidemill.stores.delta import DataFile
from tidemill.stores.lake import Lake, StaleError
from tidemill.stores.table import COMMITTED, LEVELS, QUOTES, TRADES, rows_of

KINDS = COMMITTED[:-1]


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
    fill_later = contents(lake)
    keeper(lake).retain(START + HOUR)
    assert contents(lake) == fill_later
    keeper(lake).retain(START + 3 * DAY + HOUR)
    after = contents(lake)
    assert {row["venue"] for row in after["trades"]} == {"kraken"}
    assert len(after["trades"]) == sum(row["venue"] == "kraken" for row in fill_later["trades"])
    assert {row["ts_event"] >= START + 3 * DAY for row in after["levels"]} == {True}
    assert len(after["quotes"]) == sum(row["venue"] == "kraken" for row in fill_later["quotes"])
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
