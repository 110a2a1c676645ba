"""Market data made up for a test: records in memory, answered with the plainest code there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from tidemill import wire
from tidemill.errors import unknown
from tidemill.model.interval import SECOND, Interval
from tidemill.repository.api import Bar, OrderBook, Quote, Trade
from tidemill.repository.python import checked, newest_pair

_GRACE_NS = 2 * SECOND
"""A bar closes when arrival has passed its end by this much."""


class MemoryRepository:
    """A `MarketDataRepository` of one venue. `instruments` has a line for each, as `get_instruments`."""

    def __init__(self, instruments: Mapping[int, dict[str, Any]]) -> None:
        """By the number that its records have."""
        self._instruments = instruments
        self._records: list[tuple[int, int, Any]] = []

    def add(self, records: wire.Records, sequence: int, epoch: int = 1) -> None:
        """Takes in what a journal would hold next: records numbered from `sequence` on."""
        self._records += [(epoch, sequence + i, record) for i, record in enumerate(records)]

    async def get_trades(
        self, symbol: str, start: int | None = None, end: int | None = None, limit: int = 1_000
    ) -> list[Trade]:
        rows = [
            Trade(
                *_times(one),
                *_texts(one),
                wire.name(wire.AGGRESSORS, int(one["flags"]) & 3),
                int(one["id"]) if one["flags"] & wire.FLAG_HAS_ID else None,
                epoch,
                sequence,
            )
            for epoch, sequence, one in self._of(symbol, wire.KIND_TRADE)
        ]
        return _cut(rows, start, end, checked(limit))

    async def get_quotes(
        self, symbol: str, start: int | None = None, end: int | None = None, limit: int = 1_000
    ) -> list[Quote]:
        rows = [
            Quote(
                *_times(one),
                wire.name(wire.SIDES, int(one["flags"]) & 3),
                *_texts(one),
                epoch,
                sequence,
            )
            for epoch, sequence, one in self._of(symbol, wire.KIND_QUOTE)
        ]
        return _cut(rows, start, end, checked(limit))

    async def get_quote(self, symbol: str) -> tuple[Quote | None, Quote | None]:
        return newest_pair(await self.get_quotes(symbol, limit=2))

    async def get_orderbook(self, symbol: str, depth: int = 20) -> OrderBook:
        checked(depth)
        sides: dict[int, dict[Decimal, tuple[str, str]]] = {1: {}, 2: {}}
        sound = settled = begun = False
        times = (0, 0)
        for _, _, one in self._of(symbol, wire.KIND_LEVEL, wire.KIND_CLEAR, wire.KIND_GAP, wire.KIND_STATUS):
            kind, side = int(one["kind"]), int(one["flags"]) & 3
            begun = begun or kind == wire.KIND_CLEAR
            if not begun:
                continue
            times = _times(one)
            concerns_book = int(one["price_scale"]) in (0, wire.CHANNELS.index("book"))
            if kind == wire.KIND_CLEAR:
                sides = {1: {}, 2: {}}
                sound, settled = True, bool(one["flags"] & wire.FLAG_LAST)
            elif kind == wire.KIND_LEVEL:
                settled = bool(one["flags"] & wire.FLAG_LAST)
                price, size = _texts(one)
                if int(one["size"]):
                    sides[side][Decimal(price)] = price, size
                else:
                    sides[side].pop(Decimal(price), None)
            elif (concerns_book and kind == wire.KIND_GAP and side == 1) or (
                concerns_book
                and kind == wire.KIND_STATUS
                and wire.name(wire.STATUSES, int(one["id"])) in ("stale", "reconnecting", "closed", "invalid")
            ):
                sound = False
        bids = [sides[1][price] for price in sorted(sides[1], reverse=True)]
        asks = [sides[2][price] for price in sorted(sides[2])]
        crossed = bool(bids and asks and Decimal(bids[0][0]) >= Decimal(asks[0][0]))
        at = self._records[-1][:2] if begun else (0, 0)
        return OrderBook(symbol, *at, *times, sound and settled and not crossed, bids[:depth], asks[:depth])

    async def get_bars(
        self,
        symbol: str,
        interval: str = "1m",
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
    ) -> list[Bar]:
        parsed = Interval.parse(interval)
        arrived = int(self._records[-1][2]["ts_recv"]) if self._records else 0
        inside: dict[int, list[Any]] = defaultdict(list)
        for epoch, sequence, one in self._of(symbol, wire.KIND_TRADE):
            inside[parsed.start(int(one["ts_event"]))].append((int(one["ts_event"]), epoch, sequence, one))
        rows = [
            _bar(first, parsed.end(first), [line[-1] for line in sorted(lines, key=lambda line: line[:3])])
            for first, lines in sorted(inside.items())
        ]
        found = _cut(rows, start, end, checked(limit) + 2)
        if found and found[-1].end + _GRACE_NS > arrived:
            found.pop()
        return found[:limit] if start is not None else found[-limit:]

    async def get_instruments(self) -> list[dict[str, Any]]:
        return sorted(self._instruments.values(), key=lambda line: str(line["instrument"]))

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def _of(self, symbol: str, *kinds: int) -> Iterable[tuple[int, int, Any]]:
        numbers = {line["instrument"]: number for number, line in self._instruments.items()}
        if symbol not in numbers:
            raise unknown("instrument", symbol, numbers)
        wanted = (0, numbers[symbol])
        return (one for one in self._records if one[2]["kind"] in kinds and one[2]["instrument"] in wanted)


def _times(one: Any) -> tuple[int, int]:
    return int(one["ts_event"]), int(one["ts_recv"])


def _texts(one: Any) -> tuple[str, str]:
    price, size = (wire.text(int(one[name]), int(one[f"{name}_scale"])) for name in ("price", "size"))
    return price, size


def _cut(rows: list[Any], start: int | None, end: int | None, limit: int) -> list[Any]:
    """The oldest `limit` of the rows in the span where it has a start, else the newest; ascending."""
    found = [row for row in rows if (start is None or row[0] >= start) and (end is None or row[0] < end)]
    if found and not isinstance(found[0], Bar):
        found.sort(key=lambda row: (row.ts_event, row.epoch, row.sequence))
    return found[:limit] if start is not None else found[-limit:]


def _bar(start: int, end: int, trades: list[Any]) -> Bar:
    """Trades of one interval as a bar, all with the same number of decimal places."""
    prices = [(int(one["price"]), int(one["price_scale"])) for one in trades]
    volume = sum(int(one["size"]) for one in trades)
    shown = wire.text(volume, int(trades[0]["size_scale"]))
    opened, high, low, close = (wire.text(*one) for one in (prices[0], max(prices), min(prices), prices[-1]))
    return Bar(start, end, opened, high, low, close, shown, len(trades), 0)
