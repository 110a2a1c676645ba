"""Bars whose time is over, made once and kept: by the version of the data they were made of.

Such an answer is the same for everyone, so its key names no user: what was asked, and of which version. A
file that is stored, imported or compacted within the span, or a record of a venue followed here, makes
another version, so nothing that is out of date is ever found.
"""

from __future__ import annotations

import hashlib
import time
import types
from typing import TYPE_CHECKING

from fastapi import Response

from tidemill.cache import Flight, Shared
from tidemill.model.interval import DAY, Interval
from tidemill.service import answer
from tidemill.service.shape import Asked

if TYPE_CHECKING:
    from tidemill.service.platform import Platform

TTL_S = 3600.0
_SHAPES = ("columns", "rows")


class Kept:
    """Answers of one service process and, through its cache, of the others."""

    def __init__(self, cache: Shared) -> None:
        self._cache = cache
        self._flight = Flight()

    async def bars(self, service: Platform, asked: Asked, interval: str) -> Response:
        """As `series.bars`. Many who ask for the same at once get one making of it."""
        if asked.format not in _SHAPES or asked.end is None or asked.end > time.time_ns():
            return await service.run(lambda: _series().bars(service, asked, interval))
        key, exact = await service.run(self._key, service, asked, interval)
        if key is None:
            return await service.run(lambda: _series().bars(service, asked, interval))
        body = await self._flight.once(
            key, lambda: service.run(self._made, service, asked, interval, key, exact)
        )
        return Response(body, media_type=answer.JSON)

    def _key(self, service: Platform, asked: Asked, interval: str) -> tuple[str | None, bool]:
        instrument = service.view.resolve(asked.symbol)
        if Interval.parse(interval).about_ns > _series().INTERVAL_NS_MAX:
            return None, False  # it is refused, which costs nothing
        # Where a calendar cuts is not looked up here: a bar reaches no further than this.
        start, end = asked.start, asked.end
        if asked.by:
            reach = Interval.parse(interval).about_ns + 7 * DAY
            start = None if start is None else start - reach
            end = None if end is None else end + reach
        version, exact = service.view.call(lambda live: live.version(instrument, interval, start, end))
        what = repr((instrument, interval, asked.start, asked.end, asked.limit, asked.cursor, asked.format,
                     asked.time, asked.by))  # fmt: skip
        return f"bars:{version}:{hashlib.sha256(what.encode()).hexdigest()[:32]}", exact

    def _made(self, service: Platform, asked: Asked, interval: str, key: str, exact: bool) -> bytes:
        kept = self._cache.get(key) if exact else None
        if kept is not None:
            return kept
        body = bytes(_series().bars(service, asked, interval).body)
        # Something may have come while it was made: then it is nobody's version.
        if exact and self._key(service, asked, interval) == (key, True):
            self._cache.put(key, body, TTL_S)
        return body


def _series() -> types.ModuleType:
    """Imported in a worker thread by the first who asks: numpy and pyarrow take their time."""
    from tidemill.service import series

    return series
