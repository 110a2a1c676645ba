"""Answers made once and kept: by the version of the data they were made of.

Such an answer is the same for everyone, so its key names no user: what was asked, and of which version. A
file that is stored, imported or compacted within the span, or a record of a venue followed here, makes
another version, so nothing that is out of date is ever found. They are kept packed, as they leave.
"""

from __future__ import annotations

import hashlib
import time
import types
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import Response

from tidemill.cache import Flight, Shared
from tidemill.metadata import fact
from tidemill.model.interval import DAY, Interval
from tidemill.service import packed
from tidemill.service.shape import Asked

if TYPE_CHECKING:
    from tidemill.service.platform import Platform
    from tidemill.stores.live import LiveView

TTL_S = 3600.0
_SHAPES = ("columns", "rows")


class Kept:
    """Answers of one service process and, through its cache, of the others."""

    def __init__(self, cache: Shared) -> None:
        self._cache = cache
        self._flight = Flight()

    async def bars(self, service: Platform, asked: Asked, interval: str) -> Response:
        """As `series.bars`. Many who ask for the same at once get one making of it."""
        if asked.adjusting:
            # Facts have no version: what is kept of these is found by what they are (`series`).
            instrument = await service.run(service.view.resolve, asked.symbol)
            told = await service.read(lambda connection: fact.every(connection, instrument))
            return await service.run(lambda: _series().bars(service, asked, interval, told))
        # Whether a session is over is a matter of the clock, which is in no version.
        if asked.format not in _SHAPES or (asked.by and _is_open(asked.end)):
            return await service.run(lambda: _series().bars(service, asked, interval))
        instrument = await service.run(service.view.resolve, asked.symbol)
        service.accessed.note(instrument, "bars")
        await service.run(_series_checked, interval)
        # Where a calendar cuts is not looked up here: a bar reaches no further than this.
        reach = Interval.parse(interval).about_ns + 7 * DAY if asked.by else 0
        span = (
            None if asked.start is None else asked.start - reach,
            None if asked.end is None else asked.end + reach,
        )
        what = (asked.start, asked.end, asked.limit, asked.cursor, asked.format, asked.time, asked.by)
        body = await self.body(
            service, instrument, interval, span, what,
            lambda: bytes(_series().bars(service, asked, interval).body),
        )  # fmt: skip
        return packed.response(body)

    async def body(
        self,
        service: Platform,
        instrument: str,
        interval: str,
        span: tuple[int | None, int | None],
        what: object,
        make: Callable[[], bytes],
    ) -> bytes:
        """What `make` gives of bars of a span: kept by what was asked and the version of the data, where it
        is sure which that is (`LiveView.version`)."""
        asked = hashlib.sha256(repr((instrument, interval, span, what)).encode()).hexdigest()[:32]

        def key() -> tuple[str, bool]:
            version, exact = service.view.call(lambda live: _version(live, instrument, interval, span))
            return f"bars:{version}:{asked}", exact

        name, exact = await service.run(key)

        def made() -> bytes:
            kept = self._cache.get(name) if exact else None
            if kept is not None:
                return kept
            body = make()
            # Something may have come while it was made: then it is nobody's version.
            if exact and key() == (name, True):
                self._cache.put(name, body, TTL_S)
            return body

        return await self._flight.once(name, lambda: service.run(made))


def _version(
    live: LiveView, instrument: str, interval: str, span: tuple[int | None, int | None]
) -> tuple[str, bool]:
    from tidemill.stores.api import UnavailableError

    try:
        return live.version(instrument, interval, *span)
    except UnavailableError:  # what the journal has answers without the store, and is of no version
        return "", False


def _is_open(end: int | None) -> bool:
    return end is None or end > time.time_ns()


def _series_checked(interval: str) -> None:
    _series().checked(interval)


def _series() -> types.ModuleType:
    """Imported in a worker thread by the first who asks: numpy and pyarrow take their time."""
    from tidemill.service import series

    return series
