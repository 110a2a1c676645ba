"""Live trades of a source that has no stream: its history is asked again and again, for what is new.

A round that fails loses nothing: the next one asks from where the last good one ended. Each round also asks
a little of the past again, because providers file trades late; a trade that came before is not given twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from tidemill.model.interval import MINUTE, SECOND
from tidemill.providers.api import Ask, Chunk, Provider, TradeColumns

_FIELDS = ("ts_event", "price", "size", "aggressor", "id", "irregular")
_TEXTS = ("text_id", "conditions", "exchange")

Row = tuple[int, object, str, Decimal, Decimal]
"""What makes a trade the same one: moment, id, exchange, price and size as numbers, since each round has
scales of its own."""


@dataclass(frozen=True)
class Hole:
    """A span, ns UTC, in which trades may have been that are not asked for any more."""

    start: int
    end: int


@dataclass(frozen=True)
class Round:
    """What one good round brought."""

    trades: TradeColumns
    """Those that did not come before, in the provider's order."""
    hole: Hole | None
    """What was too long ago to be asked for."""


_APART = {ord("|"): "_", 0: "_"}


class Poller:
    """The new trades of one symbol, round by round."""

    def __init__(
        self,
        provider: Provider,
        symbol: str,
        *,
        again_s: float = 60.0,
        catch_up_s: float = 3600.0,
        options: Mapping[str, str] | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """Trades filed up to `again_s` late are still found. What is further behind than `catch_up_s` is not
        asked for: it is history, and `hole` tells of it. The first round begins `again_s` ago."""
        self.symbol = symbol
        self._provider, self._options, self._now = provider, dict(options or {}), now
        self._again_ns, self._catch_up_ns = int(again_s * SECOND), int(catch_up_s * SECOND)
        ask = Ask(symbol, "trades", 0, 1, options=self._options)
        own = getattr(provider, "delay_ns", None)  # some providers say it of each ask
        self.delay_ns = int(own(ask)) if own is not None else int(provider.delay_s * SECOND)
        """How long after the event trades can be had."""
        self.reached: int | None = None
        """ns UTC: what was filed of the time before it has been given; None before the first good round."""
        self._newest = 0
        self._asked_once = False
        self._seen: dict[tuple[object, ...], int] = {}
        """Trades of the part that is asked again, with their moments."""

    def resume(self, reached: int, rows: Iterable[Row]) -> None:
        """Goes on where an earlier poller was: it had reached that moment, and has given these trades since
        `again_s` before it."""
        self.reached = reached
        self._mark(rows)

    @property
    def keeps(self) -> int:
        """ns UTC: trades from here on are asked for again, and so must be known."""
        return min(self.reached or 0, self._newest or self.reached or 0) - self._again_ns

    @property
    def asks_from(self) -> int:
        """ns UTC: where the next round would begin."""
        return self._asked(self._end()).start

    def hole(self) -> Hole | None:
        """What the next round would not ask for any more; None where it asks for everything."""
        return self._hole(self.asks_from)

    async def round(self) -> Round | None:
        """What has come since the last round; None where it is too early to ask. Raises what the provider
        raises, and then nothing has been reached."""
        end = self._end()
        if self.reached is not None and end < self.reached:
            # Somebody set the clock back: what it ran ahead has not happened yet.
            self.reached = max(self._newest, end - self._again_ns)
        asked = self._asked(end)
        if (end == self.reached and self._asked_once) or end <= asked.start:
            return None
        found = await self._provider.trades(
            Ask(self.symbol, "trades", asked.start, end, options=self._options), asked
        )
        hole, keep = self._hole(asked.start), self._mark(rows(found))
        self.reached, self._asked_once = end, True
        before = self.keeps
        self._seen = {key: ts for key, ts in self._seen.items() if ts >= before}
        kept: dict[str, Any] = {name: getattr(found, name)[keep] for name in _FIELDS}
        for name in _TEXTS:
            column = getattr(found, name)
            kept[name] = tuple(text for text, new in zip(column, keep, strict=True) if new) if column else ()
        return Round(replace(found, **kept), hole)

    def _asked(self, end: int) -> Chunk:
        start = end if self.reached is None else max(self.reached, end - self._catch_up_ns)
        return Chunk(start - self._again_ns, end, 1, 0)

    def _hole(self, start: int) -> Hole | None:
        # What was filed late of the time before it was last asked may be missing too.
        if self.reached is None or start <= self.reached - self._again_ns:
            return None
        return Hole(self.reached - self._again_ns, start)

    def _end(self) -> int:
        end = self._now() - self.delay_ns
        # Of a source that is minutes late, whole minutes: their bars then come whole.
        return end // MINUTE * MINUTE if self.delay_ns >= MINUTE else end

    def _mark(self, rows: Iterable[Row]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Remembers these trades; true where one did not come before. Equal ones of a moment are told apart
        by counting."""
        counted: dict[Row, int] = {}
        new = []
        for row in rows:
            counted[row] = counted.get(row, 0) + 1
            key = (*row, counted[row])
            new.append(key not in self._seen)
            self._seen[key] = row[0]
            self._newest = max(self._newest, row[0])
        return np.array(new, np.bool_)


def code(text: str) -> str:
    """A provider's id or code as it stands in the text of a detail, whose fields have `|` between and which
    ends with zeros."""
    return text.translate(_APART)


def rows(found: TradeColumns) -> Iterable[Row]:
    """What makes each of these trades the same one."""
    for at in range(len(found)):
        yield (
            int(found.ts_event[at]),
            (code(found.text_id[at]) or -1) if found.text_id else int(found.id[at]),
            code(found.exchange[at]) if found.exchange else "",
            Decimal(int(found.price[at])).scaleb(-found.price_scale),
            Decimal(int(found.size[at])).scaleb(-found.size_scale),
        )
