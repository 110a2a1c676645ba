"""Proof that what is stored is what was recorded: no sequence missing or doubled, bars as of their trades."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds

from tidemill import _native
from tidemill.errors import DataQualityError
from tidemill.model.bar import BAR, Bars
from tidemill.model.interval import DAY, STORED
from tidemill.stores import join, restore
from tidemill.stores.api import Position, Query, Store, journal_application, retention_application
from tidemill.stores.delta import DataFile, open_file, unreadable
from tidemill.stores.lake import Lake, Snapshot
from tidemill.stores.opening import open_store
from tidemill.stores.table import BARS, COMMITTED, GAPS, TRADES, Table, bars_of, records_of

_SHOWN = 10
_Parts = dict[int, list[npt.NDArray[np.int64]]]
"""Sequences of each epoch."""
_FIELDS = ["start", "end", "open", "high", "low", "close", "volume_low", "volume_high", "trades"]


@dataclass
class Report:
    """What was looked at in one venue, and what is wrong with it."""

    venue: str
    through: Position | None = None
    """The last record that every table covers."""
    rows: int = 0
    files: int = 0
    """In a lake alone: other stores are asked for rows."""
    dense_from: Position | None = None
    """The first record that was looked for: before it, retention has let rows go."""
    missing: int = 0
    """Records in no table and in no recorded hole."""
    missing_first: list[str] = field(default_factory=list)
    """EPOCH:SEQUENCE of the first of them."""
    doubled: int = 0
    """Records in more than one row."""
    doubled_first: list[str] = field(default_factory=list)
    bars: int = 0
    """Stored bars compared with their trades."""
    bars_wrong: int = 0
    bars_wrong_first: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Files that cannot be read, or do not hold the rows their log says."""

    @property
    def clean(self) -> bool:
        return not (self.missing or self.doubled or self.bars_wrong or self.unreadable)

    @property
    def anything(self) -> bool:
        """Is anything stored of the venue? Only a lake has files."""
        return self.rows > 0 or self.files > 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.clean}


def verify(home: Path, venue: str, instrument: str | None = None, *, store: Store | None = None) -> Report:
    """Checks what is stored of a venue; bars of one instrument, or of all. In a lake every page of every file
    is read; another store is asked for its rows."""
    kept = store if store is not None else open_store(home)
    try:
        report = Report(venue)
        if isinstance(kept, Lake):
            names = _lake(kept, report, instrument)
        else:
            names = _rows(kept, home, report, instrument)
        # Trades first: bars that are committed in between say nothing about older trades.
        for name in names:
            _bars(kept, name, report)
    finally:
        if store is None:
            kept.close()
    return report


def _lake(lake: Lake, report: Report, instrument: str | None) -> list[str]:
    """Sequences by the files that they are in; returns the instruments to look at."""
    venue = report.venue
    looked = [_mine(lake.snapshot(table), venue) for table in COMMITTED[:-1]]
    epochs = range(1, max((file.last[0] for files in looked for file in files), default=0) + 1)
    names = [journal_application(venue, epoch) for epoch in epochs]
    names += [retention_application(venue, epoch) for epoch in epochs]
    # The bars table is committed last: what it says is stored is in the other tables as they are after it.
    stored = lake.snapshot(BARS, names)
    ends = {epoch: stored.offsets[journal_application(venue, epoch)] for epoch in epochs} if stored else {}
    report.through = max(((epoch, end) for epoch, end in ends.items() if end is not None), default=None)
    snapshots = {table.name: lake.snapshot(table, names) for table in COMMITTED[:-1]}
    # Rows are let go file by file: only beyond the newest of them is every record's row to be there.
    gone = [
        (epoch, let_go)
        for snapshot in snapshots.values()
        for epoch in ends
        if snapshot and (let_go := snapshot.offsets[retention_application(venue, epoch)]) is not None
    ]
    parts: _Parts = defaultdict(list)
    for table in COMMITTED[:-1]:
        for epochs_of, sequences in _columns(lake, table, _mine(snapshots[table.name], venue), report):
            _add(parts, epochs_of, sequences)
    try:
        gaps = lake.read(GAPS, Query(venues=(venue,)), snapshots[GAPS.name])
    except DataQualityError as error:
        _unreadable(error, report)
        gaps = GAPS.empty()
    _dense(parts, gone, ends, _holes(gaps), report)
    return [instrument] if instrument else _instruments(lake, venue)


def _rows(store: Store, home: Path, report: Report, instrument: str | None) -> list[str]:
    """Sequences by the rows that the store gives; returns the instruments to look at."""
    venue = report.venue
    mine = Query(venues=(venue,))
    parts: _Parts = defaultdict(list)
    newest = join.newest_epoch(home, venue) or _newest_epoch(store, mine)
    ends = {e: store.offset(BARS, journal_application(venue, e)) for e in range(1, newest + 1)}
    report.through = max(((epoch, end) for epoch, end in ends.items() if end is not None), default=None)
    for table in COMMITTED[:-1]:
        for day in sorted(join.days(store, table, mine)):
            span = mine.with_(
                start=day * DAY, end=(day + 1) * DAY, through=report.through, columns=("epoch", "sequence")
            )
            try:
                rows = store.read(table, span)
            except DataQualityError as error:
                _unreadable(error, report)
                continue
            report.rows += len(rows)
            live = rows.filter(pa.compute.greater(rows["epoch"], 0))
            _add(parts, live["epoch"].to_numpy(), live["sequence"].to_numpy())
    try:
        gaps = store.read(GAPS, mine.with_(through=report.through))
    except DataQualityError as error:
        _unreadable(error, report)
        gaps = GAPS.empty()
    holes = _holes(gaps)
    # Asked last: what retention took while we read is not missing.
    gone = [
        (epoch, let_go)
        for table in COMMITTED[:-1]
        for epoch in ends
        if (let_go := store.offset(table, retention_application(venue, epoch))) is not None
    ]
    _dense(parts, gone, ends, holes, report)
    if instrument:
        return [instrument]
    return [one.instrument for one in store.held(TRADES) if one.instrument.rpartition(".")[2] == venue]


def _newest_epoch(store: Store, mine: Query) -> int:
    """Of the newest rows, where no journal says it."""
    newest = mine.with_(limit=1, columns=("epoch",))
    found = [store.read(table, newest)["epoch"].to_pylist() for table in COMMITTED[:-1]]
    return max((epoch for epochs in found for epoch in epochs), default=0)


def _mine(snapshot: Snapshot | None, venue: str) -> list[DataFile]:
    return [file for file in (snapshot.files if snapshot else ()) if file.partition["venue"] == venue]


def _add(parts: _Parts, epochs: npt.NDArray[np.int64], sequences: npt.NDArray[np.int64]) -> None:
    for epoch in np.unique(epochs).tolist():
        parts[epoch].append(sequences[epochs == epoch])


def _dense(
    parts: _Parts,
    gone: Sequence[Position],
    ends: Mapping[int, int | None],
    holes: Mapping[int, Sequence[tuple[int, int]]],
    report: Report,
) -> None:
    """Every record up to where each epoch is stored is in exactly one row or hole; `gone` are the last ones
    that retention may have taken."""
    report.dense_from = (max(gone)[0], max(gone)[1] + 1) if gone else None
    before: int | None = None
    for epoch in sorted(parts):
        if report.through and epoch > report.through[0]:
            break  # a commit is under way
        first = min(int(part.min()) for part in parts[epoch])
        end = ends.get(epoch)
        last = max(int(part.max()) for part in parts[epoch]) if end is None else end
        # A writer goes on where the one before it ended, or, after a power cut, earlier.
        first = first if before is None else min(first, before + 1)
        before = last
        if report.dense_from is None:
            report.dense_from = (epoch, first)
        if epoch >= report.dense_from[0]:
            low = max(first, report.dense_from[1]) if epoch == report.dense_from[0] else first
            _count(epoch, parts[epoch], holes.get(epoch, ()), low, last, report)


def _count(
    epoch: int,
    parts: Sequence[npt.NDArray[np.int64]],
    holes: Sequence[tuple[int, int]],
    low: int,
    last: int,
    report: Report,
) -> None:
    # One byte a sequence: a hundred million records fit in a hundred megabytes.
    counts = np.zeros(max(last - low + 1, 0), np.uint8)
    for part in parts:
        np.add.at(counts, part[(part >= low) & (part <= last)] - low, 1)
    doubled = np.flatnonzero(counts > 1) + low
    for first, end in holes:
        # A row of the gaps table stands for the hole; it has the number of the first lost record.
        counts[max(first - low, 0) : max(end - low, 0)] = 1
    missing = np.flatnonzero(counts == 0) + low
    report.doubled += len(doubled)
    report.missing += len(missing)
    for found, shown in ((doubled, report.doubled_first), (missing, report.missing_first)):
        shown += [f"{epoch}:{sequence}" for sequence in found[: _SHOWN - len(shown)]]


def _holes(rows: pa.Table) -> dict[int, list[tuple[int, int]]]:
    """Records that the journal lost, [first, end) by epoch, of rows of the gaps table."""
    holes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for line in rows.to_pylist():
        if line["edge"] == "journal":
            holes[line["epoch"]].append((line["opened"], line["opened"] + line["missing"]))
    return holes


def _unreadable(error: DataQualityError, report: Report) -> None:
    if error.message not in report.unreadable:
        report.unreadable.append(error.message)


def _columns(
    lake: Lake, table: Table, files: list[DataFile], report: Report
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Epochs and sequences of each file."""
    for file in files:
        report.files += 1
        path = lake.path / table.name / file.path
        try:
            with open_file(path) as found:
                # All columns are read, so that every page is checked.
                rows = found.read().select(["epoch", "sequence"])
        except (OSError, pa.ArrowException) as error:
            _unreadable(unreadable(path, error), report)
            continue
        report.rows += len(rows)
        if len(rows) != file.rows:
            report.unreadable.append(f"{path} holds {len(rows)} rows, its log says {file.rows}")
        if len(rows):
            yield rows["epoch"].to_numpy(), rows["sequence"].to_numpy()


def _instruments(lake: Lake, venue: str) -> list[str]:
    names: set[str] = set()
    for file in _mine(lake.snapshot(TRADES), venue):
        try:
            with open_file(lake.path / TRADES.name / file.path) as opened:
                found = opened.read(columns=["instrument"])
        except (OSError, pa.ArrowException):
            continue  # it is among the unreadable ones already
        names |= set(found["instrument"].unique().to_pylist())
    return sorted(names)


def _bars(store: Store, instrument: str, report: Report) -> None:
    """Every stored live bar whose trades are all still there equals the bar of those trades."""
    venue = instrument.rpartition(".")[2]
    whole_from = restore.whole_from(store, venue)
    for day in sorted(join.days(store, TRADES, Query(venues=(venue,), instruments=(instrument,)))):
        span = Query(instruments=(instrument,), start=day * DAY, end=(day + 1) * DAY)
        try:
            rows = store.read(TRADES, span.with_(through=report.through))
            stored = restore.live(store.read(BARS, span))
        except DataQualityError as error:
            _unreadable(error, report)
            continue
        records = records_of(TRADES, rows, lambda _: 0)
        sequences = np.ascontiguousarray(rows["sequence"].to_numpy().astype(np.uint64))
        for interval in STORED:
            expected = np.frombuffer(_native.bars_of_trades(records, sequences, interval), BAR)
            found = bars_of(stored.filter(ds.field("interval") == interval))
            _compare(instrument, interval, expected, found, whole_from, report)


def _compare(
    instrument: str, interval: str, expected: Bars, found: Bars, whole_from: int, report: Report
) -> None:
    expected, found = expected[expected["start"] >= whole_from], found[found["start"] >= whole_from]
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
