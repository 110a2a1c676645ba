"""Proof that what is stored is what was recorded: no sequence missing or doubled, bars as of their trades."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tidemill import _native
from tidemill.model.bar import BAR, Bars
from tidemill.model.interval import DAY, STORED
from tidemill.stores import join, restore
from tidemill.stores.api import Position, Query
from tidemill.stores.delta import DataFile
from tidemill.stores.lake import RETENTION, Lake, Snapshot
from tidemill.stores.table import BARS, COMMITTED, GAPS, LEVELS, QUOTES, TRADES, Table, bars_of, records_of

_SHOWN = 10
_FIELDS = ["start", "end", "open", "high", "low", "close", "volume_low", "volume_high", "trades"]


@dataclass
class Report:
    """What was looked at in one venue, and what is wrong with it."""

    venue: str
    through: Position | None = None
    """The last record that every table covers."""
    rows: int = 0
    files: int = 0
    dense_from: int = 0
    """Sequences were checked from here on: before it, retention has let rows go."""
    missing: int = 0
    """Sequences in no table and in no recorded hole."""
    missing_first: list[int] = field(default_factory=list)
    doubled: int = 0
    """Sequences in more than one row."""
    doubled_first: list[int] = field(default_factory=list)
    bars: int = 0
    """Stored bars compared with their trades."""
    bars_wrong: int = 0
    bars_wrong_first: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Files that cannot be read, or do not hold the rows their log says."""

    @property
    def clean(self) -> bool:
        return not (self.missing or self.doubled or self.bars_wrong or self.unreadable)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.clean}


def verify(home: Path, venue: str, instrument: str | None = None) -> Report:
    """Checks what is stored of a venue; bars of one instrument, or of all."""
    lake = Lake(home / "lake")
    report = Report(venue)
    epoch = join.newest_epoch(home, venue) or 2**20
    report.through = join.stored_position(lake, venue, epoch)
    snapshots = {table.name: lake.snapshot(table) for table in COMMITTED}
    _sequences(lake, venue, snapshots, report)
    # Trades first: bars that are committed in between say nothing about older trades.
    for name in [instrument] if instrument else _instruments(lake, venue):
        _bars(lake, name, report)
    return report


def _mine(snapshot: Snapshot | None, venue: str) -> list[DataFile]:
    return [file for file in (snapshot.files if snapshot else ()) if file.partition["venue"] == venue]


def _sequences(lake: Lake, venue: str, snapshots: dict[str, Snapshot | None], report: Report) -> None:
    parts: list[npt.NDArray[np.int64]] = []
    firsts: list[int] = []
    holes: list[tuple[int, int]] = []
    for table in COMMITTED[:-1]:
        found = list(_columns(lake, table, _mine(snapshots[table.name], venue), report))
        parts += found
        if found and table in (TRADES, QUOTES, LEVELS):
            firsts.append(min(int(part.min()) for part in found))
    if not parts:
        return
    for line in lake.read(GAPS, Query(venues=(venue,)), snapshots[GAPS.name]).to_pylist():
        if line["edge"] == "journal":
            holes.append((line["opened"], line["opened"] + line["missing"]))
    low = min(int(part.min()) for part in parts)
    last = report.through[1] if report.through else max(int(part.max()) for part in parts)
    # One byte a sequence: a hundred million records fit in a hundred megabytes.
    counts = np.zeros(max(last - low + 1, 0), np.uint8)
    for part in parts:
        inside = part[part <= last] - low
        np.add.at(counts, inside, 1)
    doubled = np.flatnonzero(counts > 1) + low
    report.doubled, report.doubled_first = len(doubled), doubled[:_SHOWN].tolist()
    # Rows are let go table by table: only from the youngest beginning on is every record's row to be there.
    cut = any(lake.offset(table, RETENTION) is not None for table in COMMITTED)
    report.dense_from = max([low, *firsts]) if cut else low
    for first, end in holes:
        # A row of the gaps table stands for the hole; it has the number of the first lost record.
        counts[max(first - low, 0) : max(end - low, 0)] = 1
    missing = np.flatnonzero(counts[report.dense_from - low :] == 0) + report.dense_from
    report.missing, report.missing_first = len(missing), missing[:_SHOWN].tolist()


def _columns(
    lake: Lake, table: Table, files: list[DataFile], report: Report
) -> Iterator[npt.NDArray[np.int64]]:
    for file in files:
        report.files += 1
        try:
            with pq.ParquetFile(lake.path / table.name / file.path) as found:
                sequences = found.read(columns=["sequence"])["sequence"].to_numpy()
        except FileNotFoundError:
            continue  # compacted since: its rows are in another file of a later version
        except (OSError, ValueError) as error:
            report.unreadable.append(f"{table.name}/{file.path}: {error}")
            continue
        report.rows += len(sequences)
        if len(sequences) != file.rows:
            report.unreadable.append(
                f"{table.name}/{file.path}: {len(sequences)} rows, its log says {file.rows}"
            )
        if len(sequences):
            yield sequences


def _instruments(lake: Lake, venue: str) -> list[str]:
    snapshot = lake.snapshot(TRADES)
    names: set[str] = set()
    for file in _mine(snapshot, venue):
        found = ds.dataset(str(lake.path / TRADES.name / file.path)).to_table(columns=["instrument"])
        names |= set(found["instrument"].unique().to_pylist())
    return sorted(names)


def _bars(lake: Lake, instrument: str, report: Report) -> None:
    """Every stored live bar whose trades are all still there equals the bar of those trades."""
    trades = lake.snapshot(TRADES)
    venue = instrument.rpartition(".")[2]
    files = _mine(trades, venue)
    if not files:
        return
    first = min(file.ts_min for file in files)
    for day in sorted({day for file in files for day in range(file.ts_min // DAY, file.ts_max // DAY + 1)}):
        span = Query(instruments=(instrument,), start=day * DAY, end=(day + 1) * DAY)
        rows = lake.read(TRADES, span, trades)
        stored = restore.live(lake.read(BARS, span))
        if report.through:
            rows = rows.filter(
                (ds.field("epoch") <= report.through[0]) & (ds.field("sequence") <= report.through[1])
            )
        records = records_of(TRADES, rows, lambda _: 0)
        sequences = np.ascontiguousarray(rows["sequence"].to_numpy().astype(np.uint64))
        for interval in STORED:
            expected = np.frombuffer(_native.bars_of_trades(records, sequences, interval), BAR)
            found = bars_of(stored.filter(ds.field("interval") == interval))
            _compare(instrument, interval, expected, found, first, report)


def _compare(instrument: str, interval: str, expected: Bars, found: Bars, first: int, report: Report) -> None:
    # Retention may have taken trades of the first bar.
    expected, found = expected[expected["start"] >= first], found[found["start"] >= first]
    report.bars += len(found)
    _, here, there = np.intersect1d(found["start"], expected["start"], return_indices=True)
    wrong = found["start"][here][found[_FIELDS][here] != expected[_FIELDS][there]].tolist()
    wrong += np.setdiff1d(found["start"], expected["start"]).tolist()
    if len(found):
        # Bars after the newest stored one are still open.
        closed = expected["start"] <= found["start"][-1]
        wrong += np.setdiff1d(expected["start"][closed], found["start"]).tolist()
    report.bars_wrong += len(wrong)
    room = _SHOWN - len(report.bars_wrong_first)
    report.bars_wrong_first += [f"{instrument} {interval} {start}" for start in wrong[: max(0, room)]]
