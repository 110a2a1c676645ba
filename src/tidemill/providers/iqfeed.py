"""DTN IQFeed: ticks, bars and days by way of IQConnect on this machine (docs/iqfeed.md).

https://www.iqfeed.net/dev. Its servers tell Eastern time to the second in requests, to the microsecond in
answers; every request asks for a little more than a chunk, and what lies outside is left out here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import ClassVar

import numpy as np

from tidemill.errors import NotFoundError, RateLimitError, UpstreamError, UsageError
from tidemill.iqfeed import eastern, request
from tidemill.iqfeed.column import exact, rescaled, whole
from tidemill.iqfeed.connection import HistoryConnection, open_history_connection
from tidemill.iqfeed.level1 import REGULAR, aggressor, codes, tick_id
from tidemill.iqfeed.request import Request
from tidemill.model.interval import DAY, SECOND, Interval
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
)

SOCKETS = 15
ROWS_A_CHUNK = 50_000
DAYS_A_CHUNK = 3_650
TICKS_A_DAY = 1_000_000
"""No more than a guess: busy shares have as many, most have far fewer."""
TRIES = 6
PAUSE_S = 1.0
"""After "too many requests", doubled each time."""
WAIT_S = 5.0
"""A connection that is not there at once may be there in a moment: the watchdog is at work."""
_EPOCH = date(1970, 1, 1)
_SYMBOL = re.compile(r"[A-Z0-9@#][A-Z0-9@#.+_=-]{0,31}")
_KINDS = {"EQUITY": "stock", "PREFERRED": "stock", "INDEX": "index", "FUTURE": "future", "FOREX": "fx"}


class IQFeed:
    """History from IQConnect. The account is IQConnect's own: who keeps it alive logs it in."""

    summary: ClassVar[str] = "DTN IQFeed: US shares, futures, indices and currencies; ticks, seconds to days"
    site: ClassVar[str] = "https://www.iqfeed.net/dev"
    credentials: ClassVar[tuple[Credential, ...]] = (
        Credential("product", ("DTN_PRODUCT_ID",), required=False),
        Credential("login", ("DTN_LOGIN",), required=False),
        Credential("password", ("DTN_PASSWORD",), required=False),
    )
    intervals: ClassVar[tuple[str, ...]] = (
        "1s", "5s", "10s", "15s", "30s", "1m", "5m", "10m", "15m", "30m", "1h", "1d",
    )  # fmt: skip
    kinds: ClassVar[tuple[Kind, ...]] = ("bars", "trades")
    limits: ClassVar[Limits] = Limits(per_s=50.0, burst=SOCKETS, workers=SOCKETS)
    delay_s: ClassVar[float] = 0.0

    def __init__(self, venue: str, gate: Gate, url: str | None = None) -> None:
        """`url`: `iqfeed://HOST?admin=…&lookup=…`; the ports of `IQFEED_PORT_…` where it is left out."""
        self._venue = venue
        self._gate = gate
        self._url = url
        self._opening = asyncio.Lock()
        self._connection: HistoryConnection | None = None
        self._failed: tuple[float, UpstreamError] | None = None

    def instrument(self, symbol: str) -> str:
        return f"{_checked(symbol)}.{self._venue}"

    def chunks(self, ask: Ask) -> list[Chunk]:
        """Ticks and bars are cut where days begin in New York, days where they begin in UTC. The grid is
        the same for every ask, so that spans that overlap share chunks."""
        _checked(ask.symbol)
        if ask.start >= ask.end:
            raise UsageError("range_reversed", "the end is not after the start", hint="swap them")
        if ask.options:
            raise UsageError(
                "option_unfit",
                f"IQFeed does not take {', '.join(ask.options)[:80]}",
                hint="it takes no options",
            )
        if ask.kind == "trades":
            return _cut(ask, 1, lambda span: span * TICKS_A_DAY // DAY + 1)
        if ask.interval not in self.intervals:
            raise UsageError(
                "interval_unfit",
                f"IQFeed has no bars of {ask.interval!r}",
                hint=f"have: {', '.join(self.intervals)}",
            )
        length = Interval.parse(ask.interval).length_ns
        if ask.interval == "1d":
            return _cut(ask, DAYS_A_CHUNK, lambda span: span // DAY + 1, utc=True)
        days = max(1, min(DAYS_A_CHUNK, ROWS_A_CHUNK * length // DAY))
        return _cut(ask, days, lambda span: span // length + 1)

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        if ask.interval == "1d":
            first, last = (datetime.fromtimestamp(ns // SECOND, UTC) for ns in (chunk.start, chunk.end - 1))
            wanted = request.days_between(_checked(ask.symbol), f"{first:%Y%m%d}", f"{last:%Y%m%d}")
        else:
            length_s = Interval.parse(ask.interval).length_ns // SECOND
            wanted = request.bars_between(
                _checked(ask.symbol), length_s, *eastern.asked(chunk.start, chunk.end)
            )
        rows = await self._ask(ask.symbol, wanted)
        return await asyncio.to_thread(_bars, rows, ask.interval, chunk, time.time_ns())

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        wanted = request.ticks_between(_checked(ask.symbol), *eastern.asked(chunk.start, chunk.end))
        rows = await self._ask(ask.symbol, wanted)
        return await asyncio.to_thread(_trades, rows, chunk)

    async def search(self, text: str, limit: int) -> list[Found]:
        kinds = {}
        for row in await self._ask(text, request.security_types()):
            number, _, rest = row.partition(",")
            kinds[number] = rest.partition(",")[0].strip().upper()
        found: dict[str, Found] = {}
        for in_description in (False, True):
            if len(found) >= limit:
                break
            for row in await self._ask(text, request.symbols(text, in_description=in_description)):
                symbol, _, number, name = ([*row.split(",", 3), "", "", ""])[:4]
                kind = kinds.get(number, "")
                found.setdefault(
                    symbol, Found(symbol, name.rstrip(", "), _KINDS.get(kind, kind.lower() or "other"))
                )
        return list(found.values())[:limit]

    async def close(self) -> None:
        if self._connection:
            await self._connection.close()
            self._connection = None

    async def _ask(self, symbol: str, wanted: Request) -> list[str]:
        connection = await self._open()
        for tried in range(TRIES):
            await self._gate.enter()
            try:
                return await connection.ask(wanted)
            except RateLimitError:
                if tried + 1 == TRIES:
                    raise
                self._gate.pause(PAUSE_S * 2**tried)
            except NotFoundError as error:
                raise NotFoundError(
                    error.code, f"IQFeed has no symbol {symbol[:40]!r}", hint=error.hint
                ) from error
        raise AssertionError("unreachable")

    async def _open(self) -> HistoryConnection:
        async with self._opening:
            if self._connection is None:
                # Who waited here while another one tried in vain need not try as long again.
                if self._failed and time.monotonic() - self._failed[0] < WAIT_S:
                    raise self._failed[1]
                try:
                    self._connection = await open_history_connection(
                        self._url, sockets=SOCKETS, wait_s=WAIT_S
                    )
                except UpstreamError as error:
                    self._failed = (time.monotonic(), error)
                    raise
            return self._connection


def _checked(symbol: str) -> str:
    """As IQFeed spells it, in capitals. Raises `UsageError` for what is no symbol."""
    name = symbol.strip().upper()
    if not _SYMBOL.fullmatch(name):
        raise UsageError(
            "symbol_invalid",
            f"{symbol[:40]!r} is no symbol of IQFeed",
            hint="such as AAPL, @ES#, SPX.XO or EURUSD.FXCM",
        )
    return name


def _cut(ask: Ask, days: int, rows: Callable[[int], int], *, utc: bool = False) -> list[Chunk]:
    """The ask in parts of so many days, counted from 1 January 1970."""
    begins = eastern.day_ns if utc else eastern.midnight
    number = (ask.start // DAY - 1) // days * days
    edges = [ask.start]
    while edges[-1] < ask.end:
        number += days
        edge = begins(_EPOCH + timedelta(days=number))
        if edge > ask.start:
            edges.append(min(edge, ask.end))
    return [Chunk(start, end, 1, rows(end - start)) for start, end in pairwise(edges)]


def _bars(rows: list[str], interval: str, chunk: Chunk, now: int) -> BarColumns:
    """Rows of a bar's label, high, low, open, close and volumes as columns. A bar that is still being made
    is left out: it would never be corrected."""
    daily = interval == "1d"
    fields = _split(rows, 6 if daily else 8)
    if daily:
        start = np.array([eastern.utc_day(text) for text in fields[0]], np.int64)
        # A trading date has ended when its day has in New York; its session may end before.
        done = start < eastern.day_ns(eastern.wall(now).date())
        volume, trades = fields[5], [""] * len(rows)
    else:
        clock = eastern.Clock()
        start = np.array([clock.ns(text) for text in fields[0]], np.int64)
        done = start + Interval.parse(interval).length_ns <= now
        volume, trades = fields[6], fields[7]
    if np.any(np.diff(start) <= 0):
        raise UpstreamError("iqfeed_unreadable", f"IQFeed's bars of {interval} are not in order")
    prices, scale = exact([text for column in fields[1:5] for text in column])
    high, low, open_, close = prices.reshape(4, len(rows))
    sizes, size_scale = exact(volume)
    kept = (chunk.start <= start) & (start < chunk.end) & done
    return BarColumns(
        start=start[kept],
        open=open_[kept],
        high=high[kept],
        low=low[kept],
        close=close[kept],
        volume=sizes[kept],
        trades=whole(trades)[kept],
        price_scale=scale,
        size_scale=size_scale,
    )


def _trades(rows: list[str], chunk: Chunk) -> TradeColumns:
    """Rows of ticks as columns: time, price, size, day's volume, bid, ask, id, basis, center, conditions, and
    since protocol 6.1 aggressor and day."""
    clock = eastern.Clock()
    parts = [_part(rows[at : at + ROWS_A_CHUNK], clock, chunk) for at in range(0, len(rows), ROWS_A_CHUNK)]
    if not parts:
        parts = [_part([], clock, chunk)]
    price_scale = max(part.price_scale for part in parts)
    size_scale = max(part.size_scale for part in parts)
    return TradeColumns(
        ts_event=np.concatenate([part.ts_event for part in parts]),
        price=np.concatenate([rescaled(part.price, part.price_scale, price_scale) for part in parts]),
        size=np.concatenate([rescaled(part.size, part.size_scale, size_scale) for part in parts]),
        aggressor=np.concatenate([part.aggressor for part in parts]),
        id=np.concatenate([part.id for part in parts]),
        irregular=np.concatenate([part.irregular for part in parts]),
        price_scale=price_scale,
        size_scale=size_scale,
        conditions=tuple(text for part in parts for text in part.conditions),
        exchange=tuple(text for part in parts for text in part.exchange),
    )


def _part(rows: list[str], clock: eastern.Clock, chunk: Chunk) -> TradeColumns:
    fields = _split(rows, 10, 11)
    ts_event = np.array([clock.ns(text) for text in fields[0]], np.int64)
    price, price_scale = exact(fields[1])
    size, size_scale = exact(fields[2])
    kept = (chunk.start <= ts_event) & (ts_event < chunk.end)
    places = np.flatnonzero(kept).tolist()
    return TradeColumns(
        ts_event=ts_event[kept],
        price=price[kept],
        size=size[kept],
        aggressor=np.array([aggressor(text) for text in fields[10]], np.int8)[kept],
        id=np.array([tick_id(text) for text in fields[6]], np.int64)[kept],
        irregular=np.array([text not in REGULAR for text in fields[7]], np.bool_)[kept],
        price_scale=price_scale,
        size_scale=size_scale,
        conditions=tuple(codes(fields[9][place]) for place in places),
        exchange=tuple(fields[8][place] for place in places),
    )


def _split(rows: list[str], least: int, wanted: int = 0) -> list[list[str]]:
    """The columns of comma-separated rows; those beyond a row's own are empty text.

    Raises `UpstreamError` for a row with fewer than `least`.
    """
    width = max(least, wanted)
    padding = [""] * (width - least)
    columns: list[list[str]] = [[] for _ in range(width)]
    for row in rows:
        fields = row.split(",", width)
        if len(fields) < least:
            raise UpstreamError(
                "iqfeed_unreadable", f"IQFeed sent a row of {len(fields)} fields: {row[:80]!r}"
            )
        for column, text in zip(columns, fields + padding, strict=False):
            column.append(text)
    return columns


plugin: type[Provider] = IQFeed
