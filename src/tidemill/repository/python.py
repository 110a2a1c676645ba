"""Market data of a home through `LiveView`: what is stored and what has just arrived, joined in Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pyarrow as pa

from tidemill import wire
from tidemill.errors import UsageError, unknown
from tidemill.model.bar import volumes
from tidemill.repository.api import LIMIT_MAX, Bar, OrderBook, Quote, Trade
from tidemill.stores.live import LiveView

THREADS = 4
"""Questions at once; more wait for their turn."""
_Answer = TypeVar("_Answer")


class PythonRepository:
    """A `MarketDataRepository`. One event loop or several may share it."""

    def __init__(self, home: Path) -> None:
        self.view = LiveView(home)
        self._names: set[str] = set()
        self._pool = ThreadPoolExecutor(THREADS, "market-data")

    # ── asked ─────────────────────────────────────────────────────────────────────────────────────

    async def get_trades(
        self, symbol: str, start: int | None = None, end: int | None = None, limit: int = 1_000
    ) -> list[Trade]:
        return await self._aside(lambda: self.trades(symbol, start, end, checked(limit)))

    async def get_quotes(
        self, symbol: str, start: int | None = None, end: int | None = None, limit: int = 1_000
    ) -> list[Quote]:
        return await self._aside(lambda: self.quotes(symbol, start, end, checked(limit)))

    async def get_quote(self, symbol: str) -> tuple[Quote | None, Quote | None]:
        return newest_pair(await self.get_quotes(symbol, limit=2))

    async def get_orderbook(self, symbol: str, depth: int = 20) -> OrderBook:
        return await self._aside(lambda: self.book(symbol, checked(depth)))

    async def get_bars(
        self,
        symbol: str,
        interval: str = "1m",
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
    ) -> list[Bar]:
        return await self._aside(lambda: self.bars(symbol, interval, start, end, checked(limit)))

    async def get_instruments(self) -> list[dict[str, Any]]:
        lines = await self._aside(self.view.instruments)
        found = [{name: line[name] for name in line if name != "last"} for line in lines]
        return sorted(found, key=lambda line: str(line["instrument"]))

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self.view.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _aside(self, work: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # ── answered, on a thread ─────────────────────────────────────────────────────────────────────

    def trades(self, symbol: str, start: int | None, end: int | None, limit: int) -> list[Trade]:
        self.known(symbol)
        rows = self.view.trades(symbol, start, end, limit).rows
        columns = [rows[name].to_pylist() for name in ("aggressor", "id", "epoch", "sequence")]
        return [Trade(*line) for line in zip(*_times(rows), *_numbers(rows), *columns, strict=True)]

    def quotes(self, symbol: str, start: int | None, end: int | None, limit: int) -> list[Quote]:
        self.known(symbol)
        rows = self.view.quotes(symbol, start, end, limit).rows
        side, *place = (rows[name].to_pylist() for name in ("side", "epoch", "sequence"))
        return [Quote(*line) for line in zip(*_times(rows), side, *_numbers(rows), *place, strict=True)]

    def book(self, symbol: str, depth: int) -> OrderBook:
        self.known(symbol)
        found = self.view.book(symbol, depth=depth)
        return OrderBook(
            symbol,
            found.epoch,
            found.sequence,
            found.ts_event,
            found.ts_recv,
            found.valid,
            found.bids,
            found.asks,
        )

    def bars(self, symbol: str, interval: str, start: int | None, end: int | None, limit: int) -> list[Bar]:
        self.known(symbol)
        # One more, because the open bar counts there and is left out here.
        bars = self.view.bars(symbol, interval, start, end, limit + 1).bars
        bars = bars[:limit] if start is not None else bars[-limit:]
        prices = [wire.texts(bars[name], bars["price_scale"]) for name in ("open", "high", "low", "close")]
        volume = [wire.text(m, s) for m, s in zip(volumes(bars), bars["size_scale"].tolist(), strict=True)]
        ends = (bars[name].tolist() for name in ("start", "end"))
        counts = (bars[name].tolist() for name in ("trades", "revision"))
        return [Bar(*line) for line in zip(*ends, *prices, volume, *counts, strict=True)]

    def known(self, symbol: str) -> None:
        """Raises `NotFoundError` for an instrument that neither a registry nor the lake has."""
        if symbol not in self._names:
            self._names = self.view.names()
            if symbol not in self._names:
                raise unknown("instrument", symbol, self._names)


def checked(limit: int) -> int:
    """The same limit, where it is one."""
    if not 1 <= limit <= LIMIT_MAX:
        raise UsageError(
            "limit_invalid", f"limit {limit} is not in 1 to {LIMIT_MAX}", hint="ask for more in several spans"
        )
    return limit


def newest_pair(rows: list[Quote]) -> tuple[Quote | None, Quote | None]:
    """Bid and ask of the last two sides that came."""
    newest = {row.side: row for row in rows}
    return newest.get("bid"), newest.get("ask")


def _times(rows: pa.Table) -> list[list[int]]:
    return [rows[name].to_pylist() for name in ("ts_event", "ts_recv")]


def _numbers(rows: pa.Table) -> list[list[str]]:
    return [wire.texts(rows[name].to_numpy(), rows[f"{name}_scale"].to_numpy()) for name in ("price", "size")]
