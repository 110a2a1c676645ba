"""Bars of one instrument as its store and its venue's tail have them together, and which are still open."""

from __future__ import annotations

import numpy as np

from tidemill.model.bar import Bars
from tidemill.model.interval import STORED, Interval
from tidemill.stores import restore, series
from tidemill.stores.api import Query, Store
from tidemill.stores.raw import Raw
from tidemill.stores.tail import Tail


class Joined:
    """Bars of one instrument from cache, store and tail. The tail is drained and its lock held."""

    def __init__(self, store: Store, tail: Tail, instrument: str, raw: Raw) -> None:
        self._store = store
        self._raw = raw
        self._tail = tail
        self._instrument = instrument

    def bars(self, interval: Interval, start: int | None, end: int | None, limit: int) -> Bars:
        """Closed bars and then those still open; one more than `limit` where there are more."""
        index = STORED.index(interval.base)
        low, high = aligned(interval, start, end)
        count = enough(interval, limit)
        found, reaches = self._tail.closed_bars(
            self._instrument, index, count if low is None and high is None else 0
        )
        if low is not None and low < reaches:
            # Further back than what is cached: the store knows, and the tail what it does not know yet.
            query = Query(start=low, end=high, limit=count, oldest=True)
            found = self._stored(index, query)
            if len(found.bars) >= count:
                whole = self._whole(index, found, open_too=False)
                return in_interval(within(whole, low, high), interval)
        rows = self._whole(index, found)
        rows = within(rows, low, high)
        if low is None and high is not None and reaches > -(2**63) and len(rows) < count:
            # The page before what is cached.
            older = self._stored(index, Query(end=min(high, reaches), limit=count))
            rows = series.cover(self._whole(index, older, open_too=False), rows)
        merged = in_interval(rows, interval)
        if low is None and len(merged) > limit + 2:
            merged = merged[-(limit + 2) :]
        return merged

    def _stored(self, index: int, query: Query) -> series.Stored:
        """From the store, with what the tail has closed since over it."""
        found = self._raw.stored(self._store, self._instrument, index, query)
        recent = within(self._tail.recent_bars(self._instrument, index), query.start, query.end)
        return series.Stored(series.overlay(found.bars, recent), found.mixed, found.imported)

    def _whole(self, index: int, found: series.Stored, *, open_too: bool = True) -> Bars:
        """Closed bars with the open ones over them. A longer bar that an import and the live record cover
        in part each is made from the next shorter interval."""
        rows = found.bars
        above = self._tail.late_bars(self._instrument, index)
        if open_too:
            above = series.cover(above, self._tail.open_bars(self._instrument, index))
        rows = series.cover(rows, above)
        if index >= STORED.index("1h"):
            live = np.concatenate([above["start"], self._tail.recent_bars(self._instrument, index)["start"]])
            mixed = np.union1d(found.mixed, live[series.among(live, found.imported)])
            interval = Interval.parse(STORED[index])
            for start in mixed.tolist():
                span = Query(start=start, end=interval.end(start))
                parts = self._whole(index - 1, self._stored(index - 1, span))
                made = series.merge(within(parts, span.start, span.end), interval)
                rows = series.cover(rows, made)
        return rows


def aligned(interval: Interval, start: int | None, end: int | None) -> tuple[int | None, int | None]:
    """The span of whole intervals that begin in [start, end)."""
    low = high = None
    if start is not None:
        low = interval.start(start)
        low = interval.end(low) if low < start else low
    if end is not None:
        high = interval.end(interval.start(end - 1))
    return low, high


def enough(interval: Interval, limit: int) -> int:
    """Stored bars that make `limit` bars and a bit, if no interval is empty."""
    step = Interval.parse(interval.base).length_ns
    return (limit + 2) * max(1, interval.about_ns // step)


def within(bars: Bars, low: int | None, high: int | None) -> Bars:
    if low is not None:
        bars = bars[bars["start"] >= low]
    if high is not None:
        bars = bars[bars["start"] < high]
    return bars


def in_interval(bars: Bars, interval: Interval) -> Bars:
    """Bars of the interval from those of the stored one that fits it."""
    same = not interval.months and interval.length_ns == Interval.parse(interval.base).length_ns
    return bars if same else series.merge(bars, interval)


def count_open(tail: Tail, instrument: str, base: str, bars: Bars) -> int:
    """How many of the last bars, made of those of the stored interval `base`, are not closed: the one in
    progress, and those that are over but within their grace."""
    rows = tail.open_bars(instrument, STORED.index(base))["start"]
    count = 0
    while count < len(bars):
        start, end = (int(bars[name][-1 - count]) for name in ("start", "end"))
        if end + restore.GRACE_NS <= tail.newest_recv:
            break
        # What lies ahead was imported, unless a trade says that the venue's clock is ahead of ours.
        if start > tail.newest_recv and not ((rows >= start) & (rows < end)).any():
            break
        count += 1
    return count
