"""Live trades of a source that has no stream: its history is asked again and again, for what is new.

A round that fails loses nothing: the next one asks from where the last good one ended. Each round also asks
a little of the past again, because providers file trades late; a trade that came before is not given twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from tidemill.errors import RateLimitError, UpstreamError
from tidemill.model.interval import SECOND
from tidemill.providers.api import Ask, Chunk, Provider, TradeColumns

_FIELDS = ("ts_event", "price", "size", "aggressor", "id", "irregular")
_TEXTS = ("text_id", "conditions", "exchange")


class Poller:
    """The new trades of one symbol, round by round."""

    def __init__(
        self,
        provider: Provider,
        symbol: str,
        *,
        every_s: float = 15.0,
        again_s: float = 60.0,
        options: Mapping[str, str] | None = None,
        now: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`every_s` lies between two rounds; trades filed up to `again_s` late are still found."""
        self._provider, self._symbol = provider, symbol
        self._every_s, self._again_ns = every_s, int(again_s * SECOND)
        self._options, self._now, self._sleep = dict(options or {}), now, sleep
        self._seen: dict[tuple[object, ...], int] = {}
        """Trades of the part that is asked again, with their moments."""
        self.failed: Exception | None = None
        """Why the newest round brought nothing; None where it went well."""

    async def trades(self, start: int) -> AsyncIterator[TradeColumns]:
        """New trades from `start` on (ns UTC), without an end; rounds without any are silent. What asking
        again cannot mend, such as a wrong key, is raised."""
        reached = start
        while True:
            end = self._now()
            asked_from = max(start, reached - self._again_ns)
            try:
                found = await self._round(asked_from, end)
            except (RateLimitError, UpstreamError) as error:
                if not error.retryable:
                    raise
                self.failed = error
            else:
                self.failed, reached = None, max(reached, end)
                if len(new := self._unseen(found, reached - self._again_ns)):
                    yield new
            await self._sleep(self._every_s)

    async def _round(self, start: int, end: int) -> TradeColumns:
        ask = Ask(self._symbol, "trades", start, end, options=self._options)
        return await self._provider.trades(ask, Chunk(start, end, 1, 0))

    def _unseen(self, found: TradeColumns, forget_before: int) -> TradeColumns:
        """The trades that did not come before. Equal ones of a moment are told apart by counting."""
        counted: dict[tuple[object, ...], int] = {}
        keep = np.zeros(len(found), np.bool_)
        for at in range(len(found)):
            name = found.text_id[at] if found.text_id else int(found.id[at])
            place = found.exchange[at] if found.exchange else ""
            # As numbers: each round has scales of its own.
            price = Decimal(int(found.price[at])).scaleb(-found.price_scale)
            size = Decimal(int(found.size[at])).scaleb(-found.size_scale)
            row = (int(found.ts_event[at]), name, place, price, size)
            counted[row] = counted.get(row, 0) + 1
            key = (*row, counted[row])
            keep[at] = key not in self._seen
            self._seen[key] = row[0]
        self._seen = {key: ts for key, ts in self._seen.items() if ts >= forget_before}
        kept: dict[str, Any] = {name: getattr(found, name)[keep] for name in _FIELDS}
        for name in _TEXTS:
            column = getattr(found, name)
            kept[name] = tuple(text for text, new in zip(column, keep, strict=True) if new) if column else ()
        return replace(found, **kept)
