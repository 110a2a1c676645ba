"""Where lake and journal meet: the lake up to its offset, the journal from there, nothing twice.

The offset is taken before the files. A batch reaches the bars table last, so whatever version of another
table is looked at after the bars' offset was read holds at least the rows up to it; that table's own
offset, read with its files from one handle, may say more. The larger of the two is exact.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill import _native, wire
from tidemill.model.interval import HOUR
from tidemill.stores import select
from tidemill.stores.api import Position, Query, journal_application
from tidemill.stores.gap import hole_row
from tidemill.stores.lake import Lake, Snapshot
from tidemill.stores.source import Batch, Hole, Journal, Names, in_order
from tidemill.stores.table import BARS, COMMITTED, GAPS, Table, plain, rows_of

READ_RECORDS = 1 << 17
_EPOCHS_LOOKED_BACK = 100_000


def has_journal(home: Path, venue: str) -> bool:
    return (home / "journal" / venue).is_dir()


def newest_epoch(home: Path, venue: str) -> int:
    """The epoch of a venue's journal; 0 where there is none to read."""
    if not has_journal(home, venue):
        return 0
    try:
        return _native.JournalReader(str(home), venue).newest()[0]
    except RuntimeError:
        return 0  # the folder is there, the journal not yet


def stored_position(lake: Lake, venue: str, epoch: int) -> Position | None:
    """The last record that every table covers: the offset of the bars table, which is committed last."""
    return _offset(lake, BARS, venue, epoch)[1]


def table_position(lake: Lake, table: Table, venue: str, epoch: int) -> Position | None:
    """The last record that brought rows to this table."""
    return _offset(lake, table, venue, epoch)[1]


def _offset(lake: Lake, table: Table, venue: str, epoch: int) -> tuple[Snapshot | None, Position | None]:
    epochs = range(epoch, max(0, epoch - _EPOCHS_LOOKED_BACK), -1)
    snapshot = lake.snapshot(table, [journal_application(venue, one) for one in epochs])
    if snapshot is not None:
        for one, offset in zip(epochs, snapshot.offsets.values(), strict=True):
            if offset is not None:
                return snapshot, (one, offset)
    return snapshot, None


def pinned(lake: Lake, table: Table, home: Path, venue: str) -> tuple[Snapshot | None, Position | None]:
    """A version of `table`, and the position up to which it holds every record of the venue."""
    epoch = newest_epoch(home, venue)
    if table not in COMMITTED:
        return lake.snapshot(table), None
    whole = stored_position(lake, venue, epoch)
    snapshot, own = _offset(lake, table, venue, epoch)
    return snapshot, max(whole, own) if whole and own else whole or own


def batches(
    home: Path, venue: str, after: Position | None, note: Callable[[Hole], None] = lambda _: None
) -> Iterator[Batch]:
    """What a venue's journal holds beyond `after`, up to the newest record; `note` hears of holes, each when
    what lies before it was given."""
    if not has_journal(home, venue):
        return
    try:
        source = Journal(home, venue)
    except RuntimeError:
        return
    gone = source.seek(after)
    if gone:
        note(gone)
    while True:
        batch = source.read(READ_RECORDS, 0)
        for one in in_order(batch, source.holes()):
            if isinstance(one, Hole):
                note(one)
            elif found := one if after is None else one.beyond(after):
                yield found
        if batch is None:
            return


def _chooser(table: Table, query: Query, names: Names) -> Callable[[wire.Records], npt.NDArray[np.intp]]:
    """Tells where the records of a batch are that a query may want: rows are made of no others."""
    numbers = None
    if query.instruments is not None:
        numbers = [names.number(name) if name else 0 for name in query.instruments]

    def chosen(records: wire.Records) -> npt.NDArray[np.intp]:
        mask = np.ones(len(records), bool)
        if table.kinds:
            mask = np.isin(records["kind"], table.kinds)
        if numbers is not None:
            mask &= np.isin(records["instrument"], numbers)
        if query.start is not None:
            mask &= records["ts_event"] >= query.start
        if query.end is not None:
            mask &= records["ts_event"] < query.end
        return np.flatnonzero(mask)

    return chosen


def journal_hours(
    home: Path, table: Table, venue: str, query: Query, after: Position | None
) -> tuple[dict[int, int], Position | None]:
    """How many rows of each hour (`ts_event` // HOUR) `journal_rows` would give, and the last record looked
    at: for whoever cannot hold all of them at once."""
    hours: Counter[int] = Counter()
    through = after
    if has_journal(home, venue):
        chosen = _chooser(table, query, Names(home, venue))
        for batch in batches(home, venue, after):
            through = (batch.epoch, batch.last)
            found, counts = np.unique(
                batch.records["ts_event"][chosen(batch.records)] // HOUR, return_counts=True
            )
            hours.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
    return hours, through


def journal_rows(
    home: Path, table: Table, venue: str, query: Query, after: Position | None
) -> tuple[pa.Table, Position | None]:
    """Rows of the journal beyond `after` that answer the query, unsorted, and the last record looked at.
    With a limit only as many are held as the answer may need."""
    through = after
    if not has_journal(home, venue):
        return table.empty(), through
    names = Names(home, venue)
    wanted = select.condition(table, query)
    chosen = _chooser(table, query, names)
    held: list[pa.Table] = []
    count = arrived = 0

    def note(hole: Hole) -> None:
        if table is GAPS:
            row = plain(table, hole_row(venue, hole, arrived or time.time_ns()))
            held.append(row if wanted is None else row.filter(wanted))

    for batch in batches(home, venue, after, note):
        if query.through is not None and (batch.epoch, batch.sequence) > query.through:
            break
        through = (batch.epoch, batch.last)
        arrived = batch.arrived or arrived
        at = chosen(batch.records)
        if not len(at):
            continue
        made = rows_of(table, batch.records[at], batch.sequence + at, batch.epoch, venue, names.name)
        rows = plain(table, made)
        if wanted is not None:
            rows = rows.filter(wanted)
        held.append(rows)
        count += len(rows)
        if query.limit is not None and count > 2 * query.limit + READ_RECORDS:
            held = [select.finish(table, pa.concat_tables(held), query.with_(columns=None))]
            count = len(held[0])
    return (pa.concat_tables(held) if held else table.empty()), through


def read(lake: Lake, home: Path, table: Table, venue: str, query: Query) -> tuple[pa.Table, Position | None]:
    """Rows of one venue that answer the query, stored or just arrived, and the last record looked at."""
    snapshot, after = pinned(lake, table, home, venue)
    query = query.with_(venues=(venue,))
    stored = lake.read(table, query.with_(columns=None), snapshot) if snapshot else table.empty()
    fresh, through = journal_rows(home, table, venue, query, after)
    rows = pa.concat_tables([stored, fresh]) if len(fresh) else stored
    return select.finish(table, rows, query), through
