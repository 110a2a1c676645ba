"""What a reader of market data is, and what it answers with. Times are UTC nanoseconds, prices and sizes
decimal text, digit for digit what the venue printed."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

LIMIT_MAX = 100_000
"""Rows of one answer."""


class Trade(NamedTuple):
    """An execution."""

    ts_event: int
    ts_recv: int
    price: str
    size: str
    aggressor: str
    """buy, sell or none."""
    id: int | None
    """The venue's; None where it has none."""
    epoch: int
    sequence: int


class Quote(NamedTuple):
    """One side of a best bid and offer."""

    ts_event: int
    ts_recv: int
    side: str
    """bid, ask or none."""
    price: str
    size: str
    """"0" where the side is empty."""
    epoch: int
    sequence: int


class OrderBook(NamedTuple):
    """An order book as of a record of its venue."""

    instrument: str
    epoch: int
    sequence: int
    """The last record that was looked at."""
    ts_event: int
    """Of the last record that concerns the book."""
    ts_recv: int
    valid: bool
    """False while it is not known to be whole: never show it as the venue's then."""
    bids: list[tuple[str, str]]
    """(price, size), best first."""
    asks: list[tuple[str, str]]


class Bar(NamedTuple):
    """A bar. The newest one is left out while its interval is under way."""

    start: int
    end: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int
    revision: int


class MarketDataRepository(Protocol):
    """Calls never hold up the event loop. An instrument that nobody has raises `NotFoundError` naming the
    nearest; a limit below 1 or above 100,000 `UsageError`. An interval without trades has no bar."""

    async def get_trades(
        self, symbol: str, start: int | None = None, end: int | None = None, limit: int = 1_000
    ) -> list[Trade]:
        """Trades with `start` <= ts_event < `end`, ascending by (ts_event, epoch, sequence): the oldest
        `limit` where `start` is given, else the newest."""

    async def get_quotes(
        self, symbol: str, start: int | None = None, end: int | None = None, limit: int = 1_000
    ) -> list[Quote]:
        """As `get_trades`, one row per side."""

    async def get_quote(self, symbol: str) -> tuple[Quote | None, Quote | None]:
        """The newest bid and ask, as the venue's last quote has them; None where it has not."""

    async def get_orderbook(self, symbol: str, depth: int = 20) -> OrderBook:
        """The book now. One that was never seen is empty and not valid."""

    async def get_bars(
        self,
        symbol: str,
        interval: str = "1m",
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
    ) -> list[Bar]:
        """Closed bars with `start` <= their start < `end`, ascending, each in its newest revision: the oldest
        `limit` where `start` is given, else the newest. Raises `UsageError` for what is no interval."""

    async def get_instruments(self) -> list[dict[str, Any]]:
        """Every instrument by its name: instrument, venue, symbol, base, quote, tick, lot, price_scale,
        size_scale, status."""

    async def close(self) -> None:
        """Lets go of threads and files."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
