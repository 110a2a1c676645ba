"""Where store and journal meet: the store up to a position, the journal from there, nothing twice.

A batch reaches the bars table last, so once its position was read, every other table holds at least the
rows up to it; a table's own position may say more, and the larger of the two is taken. Rows up to there
stay as they are whatever comes in meanwhile, so reading `through` it meets the journal exactly.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill import _native, wire
from tidemill.model.interval import DAY, HOUR, SECOND
from tidemill.stores import select
from tidemill.stores.api import Dated, Position, Query, Store
from tidemill.stores.gap import hole_row
from tidemill.stores.source import Batch, Hole, Journal, Names, in_order
from tidemill.stores.table import BARS, COMMITTED, GAPS, Table, plain, rows_of

READ_RECORDS = 1 << 17
_BEFORE_JOURNALS: Position = (0, 2**63 - 1)
_CLOCKS_APART_NS = 10 * SECOND


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


def stored_position(store: Store, venue: str, epoch: int) -> Position | None:
    """The last record that every table covers: the position of the bars table, which is committed last."""
    return store.position(BARS, venue, epoch)


@dataclass(frozen=True)
class Meeting:
    """Where what is stored of a venue's table ends and its journal goes on."""

    through: Position | None
    """Stored rows are read up to here; None where no journal goes on."""
    after: Position | None
    """The journal is read beyond this; None from its beginning."""
    journal: bool
    """There is one to read."""


def meeting(store: Store, table: Table, home: Path, venue: str) -> Meeting:
    """Where store and journal meet right now. Raises `UnavailableError`."""
    epoch = newest_epoch(home, venue)
    if table not in COMMITTED or not epoch:
        return Meeting(None, None, False)
    whole = stored_position(store, venue, epoch)
    own = whole if table is BARS else store.position(table, venue, epoch)
    position = max(whole, own) if whole and own else whole or own
    # What came no live way has epoch 0, so it lies before every journal.
    return Meeting(position or _BEFORE_JOURNALS, position, True)


def days(store: Store, table: Table, query: Query) -> dict[int, int]:
    """Days (`ts_event` // DAY) in which stored rows of one venue may answer the query, and about how many."""
    if isinstance(store, Dated):
        return store.dated(table, query)
    found: dict[int, int] = {}
    for held in store.held(table):
        if query.instruments is not None and held.instrument not in query.instruments:
            continue
        if query.venues is not None and held.instrument.rpartition(".")[2] not in query.venues:
            continue
        first, last = held.start // DAY, held.end // DAY
        for day in range(first, last + 1):
            found[day] = found.get(day, 0) + held.rows // (last - first + 1) + 1
    low = -(2**63) if query.start is None else query.start // DAY
    high = 2**63 if query.end is None else query.end // DAY
    return {day: rows for day, rows in found.items() if low <= day <= high}


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


def read(
    store: Store, home: Path, table: Table, venue: str, query: Query
) -> tuple[pa.Table, Position | None]:
    """Rows of one venue that answer the query, stored or just arrived, and the last record looked at."""
    met = meeting(store, table, home, venue)
    query = query.with_(venues=(venue,))
    stored = store.read(table, query.with_(columns=None, through=least(query.through, met.through)))
    if not met.journal:
        return select.finish(table, stored, query), None
    fresh, through = journal_rows(home, table, venue, query, met.after)
    rows = pa.concat_tables([stored, fresh]) if len(fresh) else stored
    return select.finish(table, rows, query), through


def least(one: Position | None, other: Position | None) -> Position | None:
    """The earlier of two bounds; None is no bound."""
    return min(one, other) if one is not None and other is not None else one or other


def alone(home: Path, table: Table, venue: str, query: Query) -> tuple[pa.Table, Position | None] | None:
    """What the journal says while the store is away; None where older rows may belong to the answer.

    A row that happened after the oldest record arrived has arrived after it, give or take how far the
    venue's clock is off ours.
    """
    if table not in COMMITTED:
        return None
    first = next(batches(home, venue, None), None)
    if first is None or first.arrived is None:
        return None
    reaches = int(first.records["ts_recv"][first.records["kind"] != wire.KIND_DETAIL][0]) + _CLOCKS_APART_NS
    query = query.with_(venues=(venue,))
    fresh, through = journal_rows(home, table, venue, query, None)
    rows = select.finish(table, fresh, query)
    edge = query.start
    if query.limit is not None and not query.oldest and select.count(table, rows, query) >= query.limit:
        if (first.epoch, first.sequence) == (1, 1):
            return rows, through  # a young journal: it has every record that ever came
        edge = rows["ts_event"][0].as_py()
    if query.after is not None and query.after >= (first.epoch, first.sequence - 1):
        return rows, through
    return (rows, through) if edge is not None and edge >= reaches else None
