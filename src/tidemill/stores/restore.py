"""The state of the bar builder at a stored position, rebuilt from the stored trades and bars.

Bars are a pure function of a journal's records. At position P the bars table holds every bar that records
up to P closed; the trades table holds at least the trades up to P. From both follows the state at P:
trades of every interval that may still be open are counted again, and bars that are stored are settled,
so that they are not emitted twice, and are emitted again where a late trade changed them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tidemill import _native, wire
from tidemill.model.bar import BAR, Bars
from tidemill.model.interval import HOUR, MINUTE, SECOND, STORED, Interval
from tidemill.stores.api import Position, Query, Store, retention_application
from tidemill.stores.table import BARS, TRADES, bars_of, records_of

GRACE_NS = 2 * SECOND
"""A bar closes when arrival time has passed its end by this much (`kernels::bar::GRACE_NS`)."""

KEPT_NS = 10 * MINUTE
"""How long a closed bar stays in the builder, for late trades. Later ones are rebuilt from the store."""

_CHUNK_NS = 10 * MINUTE
_CHUNK_MAX_NS = 4 * HOUR
_CHUNK_ROWS = 100_000
"""Trades are read in spans of time: while one holds fewer rows than this, the next is twice as long."""


@dataclass
class Builder:
    """The native builder of one venue, and the times before which it has forgotten."""

    native: _native.BarBuilder
    floors: list[int]
    """Per stored interval: bars that end at or before this time are not in it, ns."""

    def push(self, records: wire.Records, sequence: int) -> Bars:
        """Bars that these records closed."""
        return np.frombuffer(self.native.push(np.ascontiguousarray(records), sequence), BAR)

    def forget(self) -> None:
        """Lets go of bars that closed long ago."""
        watermark = self.native.watermark
        if watermark is not None:
            self.native.forget(watermark - KEPT_NS)
            self.floors = [max(floor, watermark - KEPT_NS) for floor in self.floors]

    def missed(self, ts_event: int) -> list[tuple[int, int, int]]:
        """Stored intervals whose bar at this time was forgotten: (index, start, end)."""
        found = []
        for index, text in enumerate(STORED):
            interval = Interval.parse(text)
            start = interval.start(ts_event)
            end = interval.end(start)
            if end <= self.floors[index]:
                found.append((index, start, end))
        return found


def fresh() -> Builder:
    """A builder that has seen nothing."""
    return Builder(_native.BarBuilder(list(STORED)), [-(2**63)] * len(STORED))


def _newest(store: Store, venue: str, at: Position | None) -> int | None:
    """Our clock, not the venue's, at the newest trade: one with a time from the next century must not hide
    today's bars."""
    rows = store.read(TRADES, Query(venues=(venue,), through=at, limit=1_000, columns=("ts_recv",)))
    return max(rows["ts_recv"].to_pylist(), default=None)


def _floors(newest: int) -> list[int]:
    """Per stored interval, the start of the oldest bar that may be open or come again after that time."""
    return [Interval.parse(text).start(newest - KEPT_NS - GRACE_NS) for text in STORED]


def needed_from(store: Store, venue: str) -> int:
    """The time from which on `restore` needs every trade of a venue, ns."""
    newest = _newest(store, venue, None)
    return -(2**63) if newest is None else min(_floors(newest))


def whole_from(store: Store, venue: str) -> int:
    """The time from which on no trade of a venue has been let go, ns."""
    gone = store.offset(TRADES, retention_application(venue))
    return -(2**63) if gone is None else gone + 1


def restore(store: Store, venue: str, at: Position | None, numbers: Callable[[str], int]) -> Builder:
    """The builder of a venue as it was after the record at position `at`."""
    builder = fresh()
    if at is None:
        return builder
    newest = _newest(store, venue, at)
    if newest is None:
        return builder
    builder.floors = _floors(newest)
    builder.native.begin(builder.floors)
    end: int | None = min(builder.floors)
    width = _CHUNK_NS
    while end is not None:
        start, end = end, end + width if end + width < newest else None
        rows = store.read(TRADES, Query(venues=(venue,), start=start, end=end, through=at))
        width = min(width * 2, _CHUNK_MAX_NS) if len(rows) < _CHUNK_ROWS else _CHUNK_NS
        if len(rows):
            records = records_of(TRADES, rows, numbers)
            sequences = rows["sequence"].to_numpy().astype(np.uint64)
            builder.native.count(records, np.ascontiguousarray(sequences))
    for index, text in enumerate(STORED):
        rows = store.read(
            BARS,
            Query(venues=(venue,), interval=text, start=builder.floors[index], through=at),
        )
        stored = bars_of(live(rows), numbers)
        if len(stored):
            builder.native.settle(np.ascontiguousarray(stored))
    return builder


def rebuilt(store: Store, instrument: str, index: int, start: int, end: int, at: Position) -> Bars:
    """A bar made anew from all stored trades up to `at`, with the next revision; shape (0,) when what is
    stored says the same already, or when retention has taken some of its trades."""
    if start < whole_from(store, instrument.rpartition(".")[2]):
        return np.zeros(0, BAR)
    rows = store.read(TRADES, Query(instruments=(instrument,), start=start, end=end, through=at))
    if not len(rows):
        return np.zeros(0, BAR)
    made = bars_from(rows, index)
    stored = live(
        store.read(BARS, Query(instruments=(instrument,), interval=STORED[index], start=start, end=end))
    )
    if len(stored):
        before = bars_of(stored)
        same = (
            "open",
            "high",
            "low",
            "close",
            "volume_low",
            "volume_high",
            "trades",
            "price_scale",
            "size_scale",
        )
        if all(before[name][-1] == made[name][0] for name in same):
            return np.zeros(0, BAR)
        made["revision"] = before["revision"][-1] + 1
    return made


def bars_from(rows: pa.Table, index: int) -> Bars:
    """Bars of a stored interval from rows of the trades table, of one instrument, in any order."""
    records = records_of(TRADES, rows, lambda _: 0)
    sequences = np.ascontiguousarray(rows["sequence"].to_numpy().astype(np.uint64))
    made = np.frombuffer(_native.bars_of_trades(records, sequences, STORED[index]), BAR).copy()
    made["interval"] = index
    return made


def live(rows: pa.Table) -> pa.Table:
    """Those rows that came from a journal."""
    return rows.filter(pa.compute.greater(rows["epoch"], 0))
