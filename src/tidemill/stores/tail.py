"""One venue as of its newest record: open bars, recent bars, books, gaps, last trades, kept by reading on."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tidemill import _native, wire
from tidemill.model.bar import BAR, Bars
from tidemill.model.interval import STORED, Interval
from tidemill.stores import join, restore, series
from tidemill.stores.api import Position, Query, Store, UnavailableError
from tidemill.stores.gap import Gaps, hole_record
from tidemill.stores.source import Batch, Hole, Journal, Names, in_order
from tidemill.stores.table import GAPS, TRADES

CACHED_BARS = 8_192
CACHE_S = 60.0
"""After this long, stored bars are read again: imports and rebuilt bars appear."""
AWAY_S = 2.0
"""So soon it is tried again while the store is away."""
RECENT_BARS_MAX = 40_000
"""Closed bars kept per series while no recorder stores them."""

Key = tuple[int, int]
"""Instrument's number, index of a stored interval."""


@dataclass
class _Recent:
    """Closed bars of a series that were not stored when its tail began or was trimmed last."""

    parts: list[tuple[int, Bars]] = field(default_factory=list)
    """Epoch and bars, in the order they closed."""
    count: int = 0
    dropped: tuple[int, int] | None = None
    """First start and last end of bars that were too many to be kept, ns."""
    dropped_by: Position = (0, 0)
    """The newest record that closed one of them."""

    def add(self, epoch: int, bars: Bars) -> None:
        self.parts.append((epoch, bars))
        self.count += len(bars)
        if len(self.parts) > 512:
            self._join()
        while self.count > RECENT_BARS_MAX and len(self.parts) > 1:
            self._drop(*self.parts.pop(0))

    def _drop(self, epoch: int, bars: Bars) -> None:
        self.count -= len(bars)
        low, high = self.dropped or (2**63 - 1, -(2**63))
        self.dropped = min(low, int(bars["start"].min())), max(high, int(bars["end"].max()))
        self.dropped_by = max(self.dropped_by, (epoch, int(bars["sequence"].max())))

    def _join(self) -> None:
        joined: list[tuple[int, Bars]] = []
        for epoch in sorted({epoch for epoch, _ in self.parts}):
            whole = np.concatenate([bars for one, bars in self.parts if one == epoch])
            # Pieces, so that the oldest can go without the rest.
            joined += [(epoch, whole[at : at + 4_096]) for at in range(0, len(whole), 4_096)]
        self.parts = joined

    def trim(self, through: Position) -> None:
        """Lets go of what was closed by a record up to `through`: it is stored."""
        kept = []
        for epoch, bars in self.parts:
            if epoch > through[0]:
                kept.append((epoch, bars))
            elif epoch == through[0] and (left := bars[bars["sequence"] > through[1]]).size:
                kept.append((epoch, left))
        self.parts = kept
        self.count = sum(len(bars) for _, bars in kept)
        if self.dropped_by <= through:
            self.dropped = None

    def bars(self) -> Bars:
        """Newest revision each, ascending."""
        if not self.parts:
            return np.zeros(0, BAR)
        return series.newest(np.concatenate([bars for _, bars in self.parts]))


@dataclass
class _Cached:
    """The newest stored bars of a series."""

    read_at: float
    stored: series.Stored
    reaches: int
    """From this start on every stored bar is here, ns."""
    merged: Bars | None = None
    """With the recent ones; None when that is to be done."""


@dataclass
class _Late:
    """A bar that a trade came for after the builder had forgotten it."""

    end: int
    by: Position
    """The newest such trade."""
    made: Bars | None = None
    """From all trades; None when that is to be done."""


class Tail:
    """Call `drain` first, and hold `lock` while looking at more than one thing."""

    def __init__(self, home: Path, store: Store, venue: str) -> None:
        """Raises RuntimeError while the venue has no journal, `UnavailableError` while the store is away."""
        self.venue = venue
        self.lock = threading.RLock()
        self.names = Names(home, venue)
        self.position: Position | None = None
        """The last record taken in."""
        self.newest_recv = 0
        """Its `ts_recv`, ns."""
        self.last: dict[int, np.void] = {}
        """The last trade of each instrument's number, since this tail began."""
        self.gaps = Gaps(venue)
        self._home = home
        self._store = store
        self._books: dict[int, _native.Book] = {}
        self._cached: dict[Key, _Cached] = {}
        self._recent: dict[Key, _Recent] = defaultdict(_Recent)
        self._late: dict[Key, dict[int, _Late]] = defaultdict(dict)
        self._open: Bars | None = None
        self._source = Journal(home, venue)
        self.position = join.stored_position(store, venue, self._source.newest()[0])
        # Without an offset there is nothing of this journal in the store.
        if self.position:
            self.gaps.rows(store.read(GAPS, Query(venues=(venue,), through=self.position)))
        self._builder = restore.restore(store, venue, self.position, self.names.number)
        # Until the next record comes: what is over and beyond its grace is closed already.
        self.newest_recv = self._builder.native.watermark or 0
        self._note(self._source.seek(self.position))

    # ── reading on ────────────────────────────────────────────────────────────────────────────────

    def drain(self) -> None:
        """Takes in everything that has been written."""
        with self.lock:
            while True:
                batch = self._source.read(join.READ_RECORDS, 0)
                for one in in_order(batch, self._source.holes()):
                    if isinstance(one, Hole):
                        self._note(one)
                    else:
                        self._take(one)
                if batch is None:
                    return

    def trim(self) -> None:
        """Lets go of closed bars that are stored by now and that nobody asked for."""
        epoch = self.position[0] if self.position else 0
        through = join.stored_position(self._store, self.venue, epoch)
        if through:
            with self.lock:
                for key in [key for key in self._recent if key not in self._cached]:
                    self._recent[key].trim(through)
                for key, late in self._late.items():
                    stored = [start for start, one in late.items() if one.by <= through]
                    for start in stored:  # the recorder has rebuilt it, which a fresh read shows
                        del late[start]
                        self._cached.pop(key, None)

    def _note(self, hole: Hole | None) -> None:
        if hole:
            now = self.newest_recv or time.time_ns()
            self.gaps.hole(hole, now)
            for number, book in self._books.items():
                book.apply(hole_record(now), number)

    def _take(self, batch: Batch) -> None:
        records = batch.records
        closed = self._builder.push(records, batch.sequence)
        self._builder.native.take_refused()  # the recorder speaks of trades that fit no bar
        for sequence in self._builder.native.take_forgotten():
            record = records[sequence - batch.sequence]
            for index, start, end in self._builder.missed(int(record["ts_event"])):
                key = (int(record["instrument"]), index)
                self._late[key][start] = _Late(end, (batch.epoch, sequence))
        self._open = None
        if len(closed):
            self._closed(batch.epoch, closed)
            self._builder.forget()
        self.gaps.records(records, batch.epoch, batch.sequence, self.names.name)
        trades = np.flatnonzero(records["kind"] == wire.KIND_TRADE)[::-1]
        # The last of each instrument: unique keeps the first it meets, so they come from the back.
        numbers, first = np.unique(records["instrument"][trades], return_index=True)
        for number, at in zip(numbers.tolist(), trades[first].tolist(), strict=True):
            self.last[number] = records[at].copy()
        for number, book in self._books.items():
            mine = records[(records["instrument"] == number) | (records["instrument"] == 0)]
            book.apply(np.ascontiguousarray(mine), number)
        self.position = (batch.epoch, batch.last)
        self.newest_recv = batch.arrived or self.newest_recv

    def _closed(self, epoch: int, closed: Bars) -> None:
        rank = np.lexsort((closed["interval"], closed["instrument"]))
        ordered = closed[rank]
        edges = np.flatnonzero(
            (ordered["instrument"][1:] != ordered["instrument"][:-1])
            | (ordered["interval"][1:] != ordered["interval"][:-1])
        )
        for part in np.split(ordered, edges + 1):
            key = (int(part["instrument"][0]), int(part["interval"][0]))
            self._recent[key].add(epoch, part)
            if key in self._cached:
                self._cached[key].merged = None

    # ── bars ──────────────────────────────────────────────────────────────────────────────────────

    def recent_bars(self, instrument: str, index: int) -> Bars:
        """Closed bars that may not be stored yet, ascending."""
        recent = self._recent.get((self.names.number(instrument), index))
        return recent.bars() if recent else np.zeros(0, BAR)

    def dropped(self, instrument: str, index: int, start: int, end: int) -> bool:
        """Closed bars in [start, end) that are neither stored nor here: too many came while no recorder ran.
        They are there again once one has stored them."""
        recent = self._recent.get((self.names.number(instrument), index))
        return bool(recent and recent.dropped and recent.dropped[0] < end and start < recent.dropped[1])

    def late_bars(self, instrument: str, index: int) -> Bars:
        """Bars that were forgotten when another trade came for them, made anew from all trades."""
        late = self._late.get((self.names.number(instrument), index), {})
        made = []
        for start, one in sorted(late.items()):
            if one.made is None:
                try:
                    one.made = self._remade(instrument, index, start, one.end)
                except UnavailableError:
                    continue  # what was stored stands until the store is back
            made.append(one.made)
        return np.concatenate(made) if made else np.zeros(0, BAR)

    def _remade(self, instrument: str, index: int, start: int, end: int) -> Bars:
        if start < restore.whole_from(self._store, self.venue):
            return np.zeros(0, BAR)  # of trades that are gone: what is stored stands
        query = Query(instruments=(instrument,), start=start, end=end)
        rows, _ = join.read(self._store, self._home, TRADES, self.venue, query)
        return restore.bars_from(rows, index)

    def open_bars(self, instrument: str, index: int) -> Bars:
        """Bars that are not closed yet, or will come again, ascending."""
        if self._open is None:
            self._open = np.frombuffer(self._builder.native.open(), BAR)
        number = self.names.number(instrument)
        rows: Bars = self._open[(self._open["instrument"] == number) & (self._open["interval"] == index)]
        return rows

    def closed_bars(self, instrument: str, index: int, count: int) -> tuple[series.Stored, int]:
        """The newest closed bars, at least `count` where there are as many; and the start from which on
        all of them are here."""
        key = (self.names.number(instrument), index)
        cached = self._cached.get(key)
        if cached is not None and not self._short(cached, count) and self._old(cached):
            try:
                cached = self._read(key, instrument, index, len(cached.stored.bars))
            except UnavailableError:
                cached.read_at = time.monotonic() - CACHE_S + AWAY_S  # what was read stays right
        elif cached is None or self._short(cached, count):
            cached = self._read(key, instrument, index, max(count, len(cached.stored.bars) if cached else 0))
        if cached.merged is None:
            cached.merged = series.overlay(cached.stored.bars, self.recent_bars(instrument, index))
        return series.Stored(cached.merged, cached.stored.mixed, cached.stored.imported), cached.reaches

    def _read(self, key: Key, instrument: str, index: int, count: int) -> _Cached:
        """The newest stored bars of a series, `count` or more; what is stored leaves the recent ones."""
        wanted = max(count, CACHED_BARS)
        epoch = self.position[0] if self.position else 0
        through = join.stored_position(self._store, self.venue, epoch)
        found = series.stored(self._store, instrument, index, Query(limit=wanted))
        reaches = int(found.bars["start"][0]) if len(found.bars) >= wanted else -(2**63)
        found = self._repaired(instrument, index, found)
        if through and key in self._recent:
            self._recent[key].trim(through)
        cached = self._cached[key] = _Cached(time.monotonic(), found, reaches)
        return cached

    def _repaired(self, instrument: str, index: int, found: series.Stored) -> series.Stored:
        """Longer bars that several sources cover in part, made from the next shorter interval."""
        bars = found.bars
        if index >= STORED.index("1h"):
            interval = Interval.parse(STORED[index])
            for start in found.mixed.tolist():
                span = Query(start=start, end=interval.end(start))
                parts = series.stored(self._store, instrument, index - 1, span)
                parts = self._repaired(instrument, index - 1, parts)
                bars = series.cover(bars, series.merge(parts.bars, interval))
        return series.Stored(bars, series.NONE, np.union1d(found.imported, found.mixed))

    def _short(self, cached: _Cached, count: int) -> bool:
        return cached.reaches > -(2**63) and len(cached.stored.bars) < count

    def _old(self, cached: _Cached) -> bool:
        return time.monotonic() - cached.read_at > CACHE_S

    # ── books ─────────────────────────────────────────────────────────────────────────────────────

    def book(self, instrument: str) -> _native.Book | None:
        """The book as of the newest record, kept up from now on; None when the journal holds no start of
        it. Holds the lock."""
        number = self.names.number(instrument)
        book = self._books.get(number)
        if book is not None:
            return book
        source = Journal(self._home, self.venue)
        if self.position is None or not source.seek_snapshot(number):
            return None
        book = _native.Book()
        while True:
            batch = source.read(join.READ_RECORDS, 0)
            within = batch.through(self.position) if batch else None
            for one in in_order(within, source.holes()):
                records = hole_record(self.newest_recv) if isinstance(one, Hole) else one.records
                mine = (records["instrument"] == number) | (records["instrument"] == 0)
                book.apply(np.ascontiguousarray(records[mine]), number)
            if within is None:
                break
        self._books[number] = book
        return book
