"""A provider of made-up history: rows are a function of symbol and time alone, faults come when asked for.

Options: `chunk_s` (how long a chunk is), `log` (a file that gets a line per request), `slow_ms`, `fault`
(what goes wrong, and from when on).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

import numpy as np

from tidemill.errors import AuthError, NotFoundError, RateLimitError, UpstreamError, UsageError
from tidemill.model.interval import SECOND, Interval
from tidemill.providers.api import (
    Ask,
    BarColumns,
    Chunk,
    Credential,
    Found,
    Gate,
    Kind,
    Limits,
    Provider,
    TradeColumns,
)  # fmt: skip

TRADE_S = 70
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")


class Made:
    summary: ClassVar[str] = "Made up: bars and trades of any time"
    site: ClassVar[str] = "tests"
    credentials: ClassVar[tuple[Credential, ...]] = (Credential("key", ("MADE_API_KEY",), required=False),)
    intervals: ClassVar[tuple[str, ...]] = ("1s", "1m", "5m", "1h", "1d")
    kinds: ClassVar[tuple[Kind, ...]] = ("bars", "trades")
    limits: ClassVar[Limits] = Limits(per_s=100_000.0, burst=100)
    delay_s: ClassVar[float] = 60.0

    def __init__(self, venue: str, gate: Gate, url: str | None = None) -> None:
        self.venue, self._gate = venue, gate
        self._tries: dict[tuple[str, int], int] = {}

    def instrument(self, symbol: str) -> str:
        if not symbol.isalnum() or not symbol.isupper():
            raise UsageError("symbol_invalid", f"{symbol[:40]!r} is no symbol", hint="letters")
        return f"{symbol}.{self.venue}"

    def chunks(self, ask: Ask) -> list[Chunk]:
        length = int(ask.options.get("chunk_s", "21600")) * SECOND
        if (ask.end - ask.start) // length > 50_000:
            raise UsageError("span_invalid", "that is too much at once", hint="ask for less")
        found = []
        for at in range(ask.start // length, -(-ask.end // length)):
            low, high = max(ask.start, at * length), min(ask.end, (at + 1) * length)
            found.append(Chunk(low, high, 1, self._rows(ask, low, high)))
        return found

    def _rows(self, ask: Ask, low: int, high: int) -> int:
        return len(_trades(ask.symbol, low, high)[0] if ask.kind == "trades" else _starts(ask, low, high))

    async def _request(self, ask: Ask, chunk: Chunk) -> None:
        await self._gate.enter()
        if ask.options.get("log"):
            with Path(ask.options["log"]).open("a") as file:
                file.write(f"{ask.symbol} {chunk.start} {chunk.end}\n")
        await asyncio.sleep(float(ask.options.get("slow_ms", "0")) / 1000)
        if ask.symbol == "NONE":
            raise NotFoundError("symbol_unknown", "nobody knows NONE", hint="ask for AAA")
        fault, _, since = ask.options.get("fault", "").partition("@")
        key = ask.symbol, chunk.start
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if not fault or chunk.start < int(since or 0):
            return
        if fault == "key":
            raise AuthError("credential_refused", "the key has expired", hint="get another")
        if fault == "down" or (fault == "flaky" and tries == 1):
            raise UpstreamError("provider_answer", "500 it is down")
        if fault == "429" and tries < 3:
            raise RateLimitError("provider_paused", "429 slowly", retry_after_s=0.01)

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        await self._request(ask, chunk)
        starts = _starts(ask, chunk.start, chunk.end)
        base = 10_000 + (starts // SECOND * 7919 + sum(map(ord, ask.symbol))) % 977
        high, low = base + starts // SECOND % 13, base - starts // SECOND % 11
        if ask.options.get("fault") == "nonsense":
            high, low = low - 1, high
        return BarColumns(
            starts, base, high, low, (high + low) // 2, base * 3, np.ones_like(base),
            price_scale=2, size_scale=4,
        )  # fmt: skip

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        await self._request(ask, chunk)
        ts, ids = _trades(ask.symbol, chunk.start, chunk.end)
        return TradeColumns(
            ts, 10_000 + ids * 7919 % 977, 1 + ids % 50, (ids % 3).astype(np.int8), ids, ids % 11 == 0, 2, 4,
            conditions=tuple("T" if one % 11 == 0 else "" for one in ids.tolist()),
        )  # fmt: skip

    async def search(self, text: str, limit: int) -> list[Found]:
        if text == "down":
            raise UpstreamError("provider_answer", "500 it is down")
        return [Found(one, f"{one} Inc", "stock") for one in SYMBOLS if text.upper() in one][:limit]

    async def close(self) -> None:
        return


def _starts(ask: Ask, low: int, high: int) -> np.ndarray:
    """Every interval but each seventh, and none at night."""
    length = Interval.parse(ask.interval).length_ns
    starts = np.arange(-(-low // length), -(-high // length)) * length
    kept = starts // length % 7 != 0
    if length < 3600 * SECOND:
        kept &= starts // (3600 * SECOND) % 24 >= 6
    return starts[kept]


def _trades(symbol: str, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """One each 70 seconds, and each fifth with another of the same nanosecond; ids from their time."""
    step = TRADE_S * SECOND
    places = np.arange(-(-low // step), -(-high // step))
    ids = np.sort(np.concatenate([places * 2, places[places % 5 == 0] * 2 + 1]))
    return ids // 2 * step, ids


plugin: type[Provider] = Made
