"""Stored bars of whole days, kept in memory by the version of the data: other intervals, other spans and
other limits of the same days are made of them without touching a file again."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from tidemill.model.interval import DAY, STORED
from tidemill.stores import series
from tidemill.stores.api import Query, Store
from tidemill.stores.series import Stored
from tidemill.stores.table import BARS

BYTES_MAX = 64 << 20
DAYS_MAX = {"1s": 2, "1m": 62, "1h": 3_660, "1d": 36_600}
"""The longest span that is kept, by stored interval: about 20 MB of bars, if none is empty."""
_Key = tuple[str, int, int, int, str]


class Raw:
    """Thread-safe. What a span holds is asked of the store again when a file that reaches into it changes."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[_Key, Stored] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def stored(self, store: Store, instrument: str, index: int, query: Query) -> Stored:
        """As `series.stored`. A span without two ends, or too long, is not kept."""
        if query.start is None or query.end is None or query.as_of is not None:
            return series.stored(store, instrument, index, query)
        low, high = query.start // DAY * DAY, -(-query.end // DAY) * DAY
        if not low < high <= low + DAYS_MAX[STORED[index]] * DAY:
            return series.stored(store, instrument, index, query)
        # The version first: rows that come in between are newer than it, and never found by it again.
        key = (instrument, index, low, high, store.version(BARS, low, high))
        found = self._get(key)
        if found is None:
            found = series.stored(store, instrument, index, Query(start=low, end=high))
            self._put(key, found)
        return _cut(found, query)

    def _get(self, key: _Key) -> Stored | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
            else:
                self._kept.move_to_end(key)
                self.hits += 1
            return found

    def _put(self, key: _Key, found: Stored) -> None:
        found.bars.flags.writeable = False
        with self._lock:
            if key in self._kept or found.bars.nbytes > self._bytes_max:
                return
            self._kept[key] = found
            self._bytes += found.bars.nbytes
            while self._bytes > self._bytes_max:
                self._bytes -= self._kept.popitem(last=False)[1].bars.nbytes


def _cut(found: Stored, query: Query) -> Stored:
    """Those of the days that the query asks for."""
    starts = found.bars["start"]
    first, last = (int(np.searchsorted(starts, edge)) for edge in (query.start or 0, query.end or 0))
    bars = found.bars[first:last]
    if query.limit is not None and len(bars) > query.limit:
        bars = bars[: query.limit] if query.oldest else bars[-query.limit :]
    if not len(bars):
        return Stored(bars, series.NONE, series.NONE)
    low, high = int(bars["start"][0]), int(bars["start"][-1])
    mixed, imported = (
        some[np.searchsorted(some, low) : np.searchsorted(some, high, "right")]
        for some in (found.mixed, found.imported)
    )
    return Stored(bars, mixed, imported)
