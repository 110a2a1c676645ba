"""An order book as of one moment, from a book that is kept or from stored rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tidemill import _native, wire
from tidemill.model.instrument import venue_of
from tidemill.stores.api import Position, Query
from tidemill.stores.table import GAPS, LEVELS, STATUS, Table, records_of

Read = Callable[[Table, str, Query], tuple[pa.Table, Position | None]]
"""Rows of one venue that answer a query, and the last record that was looked at."""


@dataclass(frozen=True)
class BookView:
    """An order book at one moment. Levels are (price, size) as decimal text, best first."""

    instrument: str
    epoch: int
    sequence: int
    ts_event: int
    ts_recv: int
    valid: bool
    """False while it is not known to be whole: never show it as the venue's then."""
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


def book_at(read: Read, instrument: str, number: int, at: int | Position | None, depth: int) -> BookView:
    """The book after the record at a position, or at an arrival time (ns), from what `read` gives."""
    limits = Query(through=at) if isinstance(at, tuple) else Query(as_of=at)
    venue = venue_of(instrument)
    mine = limits.with_(instruments=(instrument,))
    clear, _ = read(LEVELS, venue, mine.with_(kind=wire.KIND_CLEAR, limit=1))
    if not len(clear):
        return BookView(instrument, 0, 0, 0, 0, False, [], [])
    epoch, sequence = clear["epoch"][0].as_py(), clear["sequence"][0].as_py()
    rows, _ = read(LEVELS, venue, mine.with_(after=(epoch, sequence - 1)))
    found = [rows]
    made = [records_of(LEVELS, rows, lambda _: number)]
    for table in (GAPS, STATUS):
        # What spoils a book: gaps and statuses of the instrument or of the whole venue.
        theirs = limits.with_(instruments=(instrument, ""), after=(epoch, sequence - 1))
        rows, _ = read(table, venue, theirs)
        found.append(rows)
        made.append(_spoilers(table, rows, number))
    epochs = np.concatenate([rows["epoch"].to_numpy() for rows in found])
    sequences = np.concatenate([rows["sequence"].to_numpy() for rows in found])
    rank = np.lexsort((sequences, epochs))
    book = _native.Book()
    book.apply(np.concatenate(made)[rank], number)
    return shown(instrument, book, (int(epochs[rank[-1]]), int(sequences[rank[-1]])), depth)


def shown(instrument: str, book: _native.Book, at: Position, depth: int) -> BookView:
    """The best levels of a kept book, as of a position."""
    bids, asks = book.top(depth)
    ts_event, ts_recv = book.times

    def texts(levels: list[tuple[int, int, int, int]]) -> list[tuple[str, str]]:
        return [(wire.text(p, ps), wire.text(s, ss)) for p, ps, s, ss in levels]

    return BookView(instrument, *at, ts_event, ts_recv, book.valid, texts(bids), texts(asks))


def _spoilers(table: Table, rows: pa.Table, number: int) -> wire.Records:
    """Gap and status rows as the records they were."""
    records = np.zeros(len(rows), wire.RECORD)
    records["kind"] = wire.KIND_GAP if table is GAPS else wire.KIND_STATUS
    records["flags"] = rows["flags"].to_numpy()
    records["instrument"] = np.where(np.array(rows["instrument"].to_pylist()) == "", 0, number)
    records["price_scale"] = [_code(wire.CHANNELS, text) for text in rows["channel"].to_pylist()]
    records["ts_event"], records["ts_recv"] = rows["ts_event"].to_numpy(), rows["ts_recv"].to_numpy()
    if table is STATUS:
        records["id"] = [_code(wire.STATUSES, text) for text in rows["code"].to_pylist()]
    else:
        # A hole of the journal spoils a book as an opening gap does.
        journal = np.array(rows["edge"].to_pylist()) == "journal"
        records["flags"][journal] = wire.FLAG_BUY
    return records


def _code(table: tuple[str, ...], text: str) -> int:
    return table.index(text) if text in table else 0
