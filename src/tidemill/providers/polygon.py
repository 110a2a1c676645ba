"""Polygon, which calls itself Massive since October 2025: US stocks, crypto and currencies.

Prices are as they were traded unless the option `adjusted` says otherwise. A trade's id is one of its
exchange and its day and so is kept as text. A link to a next page is followed to our own address alone.

https://massive.com/docs/rest
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np

from tidemill.errors import AuthError, NotFoundError, UsageError
from tidemill.model.interval import DAY, HOUR
from tidemill.providers import condition, exact, page
from tidemill.providers.api import Ask, BarColumns, Chunk, Credential, Found, Limits, Provider, TradeColumns
from tidemill.providers.http import Patience, said
from tidemill.providers.rest import Rest, day_delay_ns, pages, whole_bars

_MILLI = 1_000_000
_ROWS_MAX = 50_000
_SIZE_PLACES = 9
_TRADES_AN_HOUR = 60_000
"""Of a busy stock, for estimates."""
_SPANS = {
    "1s": (1, "second"), "1m": (1, "minute"), "5m": (5, "minute"), "15m": (15, "minute"),
    "30m": (30, "minute"), "1h": (1, "hour"), "1d": (1, "day"),
}  # fmt: skip
_STOCK = re.compile(r"[A-Z][A-Za-z0-9]{0,9}(\.[A-Z]{1,3})?")
_CRYPTO = re.compile(r"X:([A-Z0-9]{1,12}?)(USD|USDT|USDC|EUR|BTC|GBP|JPY)")
_CURRENCY = re.compile(r"C:([A-Z]{3})([A-Z]{3})")


class Polygon(Rest):
    summary = "Polygon (Massive): US stocks from one second on, their trades, crypto and currencies"
    site = "https://massive.com/docs/rest"
    base = "https://api.polygon.io"
    hosts = ("api.polygon.io", "api.massive.com")
    credentials: ClassVar[tuple[Credential, ...]] = (
        Credential("key", ("POLYGON_API_KEY", "MASSIVE_API_KEY")),
    )
    intervals: ClassVar[tuple[str, ...]] = tuple(_SPANS)
    # The free plan: 5 a minute. `TIDEMILL_LIMIT_POLYGON` says what a larger one allows.
    limits = Limits(per_s=4 / 60, burst=1, workers=50)
    # What all plans have but those that pay for the present.
    delay_s = 900.0
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "adjusted": ("false", "true"), "delay": ("15min", "none"),
    }  # fmt: skip
    # It says 429 without saying how long, and counts by the minute.
    patience = Patience(pause_s=61.0)

    def _secret(self, keys: Mapping[str, str]) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {keys['key']}"}

    def instrument(self, symbol: str) -> str:
        """`AAPL` is `AAPL.polygon`, `X:BTCUSD` is `BTC-USD.polygon`, `C:EURUSD` is `EUR-USD.polygon`."""
        plain = _ticker(symbol)
        found = _CRYPTO.fullmatch(plain) or _CURRENCY.fullmatch(plain)
        if found:
            return f"{found[1]}-{found[2]}.{self.venue}"
        if _STOCK.fullmatch(plain):
            return f"{plain}.{self.venue}"
        raise UsageError(
            "instrument_invalid",
            f"{symbol[:40]!r} is none of Polygon's stocks, crypto pairs or currencies",
            hint="write AAPL, X:BTCUSD or C:EURUSD",
        )

    def delay_ns(self, ask: Ask) -> int:
        late = 0 if ask.options.get("delay") == "none" else super().delay_ns(ask)
        return late + day_delay_ns(ask)

    def chunks(self, ask: Ask) -> list[Chunk]:
        if ask.kind == "trades":
            return self.cut(ask, 2 * HOUR, _trades_expected)
        if ask.interval == "1d":
            return self.cut(ask, 3650 * DAY, lambda a, b: (1, whole_bars(a, b, DAY)))
        self.check(ask)
        length = self.length_ns(ask)
        # A page scans so many seconds or minutes, whatever comes of them: one page each.
        span = 12 * HOUR if ask.interval == "1s" else 30 * DAY
        return self.cut(ask, span, lambda a, b: (1, whole_bars(a, b, length)))

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        end = min(chunk.end, self.running(ask))
        if end <= chunk.start:
            rows = []
        else:
            count, span = _SPANS[ask.interval]
            daily = ask.interval == "1d"
            first, last = (
                (_date(-(-chunk.start // DAY)), _date(-(-end // DAY) - 1))
                if daily
                else (str(chunk.start // _MILLI), str((end - 1) // _MILLI))
            )
            path = f"/v2/aggs/ticker/{_quoted(ask.symbol)}/range/{count}/{span}/{first}/{last}"
            adjusted = ask.options.get("adjusted", "false")
            rows = await self._rows(
                ask.symbol, path, {"adjusted": adjusted, "sort": "asc", "limit": _ROWS_MAX}, "tohlcv"
            )
        start = exact.counts([row["t"] for row in rows], "a time of Polygon") * _MILLI
        if ask.interval == "1d":
            # A day is dated by the midnight of its own zone, within half a day of that of UTC.
            start = (start + DAY // 2) // DAY * DAY
        made = page.bars(
            self.venue,
            start,
            [[row[name] for row in rows] for name in "ohlc"],
            [row["v"] for row in rows],
            [row.get("n", 0) for row in rows],
            places=_SIZE_PLACES,
        )
        return page.within(made, chunk.start, end)

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        end = max(chunk.start, min(chunk.end, self.settled(ask)))
        path = f"/v3/trades/{_quoted(ask.symbol)}"
        params: dict[str, str | int] = {
            "timestamp.gte": chunk.start, "timestamp.lt": end, "order": "asc", "sort": "timestamp",
            "limit": _ROWS_MAX,
        }  # fmt: skip
        rows = await self._rows(ask.symbol, path, params, ("price", "size")) if chunk.start < end else []
        stamps = [row.get("sip_timestamp", row.get("participant_timestamp")) for row in rows]
        codes = [row.get("conditions") or [] for row in rows]
        ids = [str(row.get("id", "")) for row in rows]
        places = [str(row.get("exchange", "")) for row in rows]
        return page.trades(
            self.venue,
            Chunk(chunk.start, end, 1, 0),
            ts=exact.counts(stamps, "a time of Polygon"),
            price=[row["price"] for row in rows],
            size=[row["size"] for row in rows],
            ids=ids,
            keys=[
                (stamp, row.get("sequence_number"), place, row.get("trf_id"), name)
                for stamp, row, place, name in zip(stamps, rows, places, ids, strict=True)
            ],
            irregular=[
                condition.irregular_numbers(code, int(row.get("correction") or 0))
                for code, row in zip(codes, rows, strict=True)
            ],
            conditions=[" ".join(map(str, code)) for code in codes],
            exchange=places,
            places=_SIZE_PLACES,
        )

    async def search(self, text: str, limit: int) -> list[Found]:
        params = {"search": text, "active": "true", "limit": min(max(limit, 1), 1000), "sort": "ticker"}
        answer = await self._http.get("/v3/reference/tickers", params, judge=_judge)
        kinds = {"stocks": "stock", "crypto": "crypto", "fx": "fx", "indices": "index"}
        return [
            Found(
                str(row.get("ticker")), str(row.get("name", "")), kinds.get(str(row.get("market")), "stock")
            )
            for row in self._results(answer.data)
        ][:limit]

    async def _rows(
        self, symbol: str, path: str, params: dict[str, Any], fields: Iterable[str]
    ) -> list[dict[str, Any]]:
        """The rows of all pages, each with these fields."""
        rows: list[dict[str, Any]] = []
        answer = await self._http.get(path, params, judge=_judge)
        seen: set[str] = set()
        while True:
            for row in (more := self._results(answer.data)):
                if not isinstance(row, dict) or any(name not in row for name in fields):
                    raise self.malformed("a row lacks a field")
            rows += more
            link = answer.data.get("next_url")
            if not link:
                break
            if not isinstance(link, str) or link in seen:
                raise self.malformed("the next page is one that was read")
            seen.add(link)
            answer = await self._http.next(link, judge=_judge)
        if not rows:
            await self._known(symbol)
        return rows

    async def _known(self, symbol: str) -> None:
        """An unknown ticker has no rows, like a quiet one. Raises `NotFoundError` where it is unknown."""
        ticker = _ticker(symbol)
        if ticker in self._symbols:
            return
        for active in ("true", "false"):
            params = {"ticker": ticker, "active": active, "limit": 1}
            answer = await self._http.get("/v3/reference/tickers", params, judge=_judge)
            if self._results(answer.data):
                self._symbols.add(ticker)
                return
        raise NotFoundError(
            "symbol_unknown", f"Polygon has no ticker {ticker}", hint="AAPL, X:BTCUSD, C:EURUSD"
        )

    def _results(self, data: Any) -> list[Any]:
        """Rows of a page; where there are none, the key is missing."""
        if not isinstance(data, dict):
            raise self.malformed("a page is no object")
        return self.listed(data.get("results") or [], "`results`")


def _trades_expected(start: int, end: int) -> tuple[int, int]:
    rows = max(1, (end - start) * _TRADES_AN_HOUR // HOUR)
    return pages(rows, _ROWS_MAX), rows


def _ticker(symbol: str) -> str:
    plain = symbol.strip()
    return plain.upper() if plain.islower() else plain


def _quoted(symbol: str) -> str:
    return quote(_ticker(symbol), safe=":")


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


def _judge(status: int, data: Any) -> None:
    why = said(data)
    if status == 401:
        raise AuthError(
            "provider_key", f"Polygon refuses the key{why}", hint="POLYGON_API_KEY; docs/providers.md"
        )
    if status == 403:
        raise AuthError(
            "provider_plan", f"the plan of this key does not have that{why}", hint="ask for a shorter past",
            http_status=403,
        )  # fmt: skip
    if status == 400:
        raise UsageError("provider_refused", f"Polygon refuses what was asked{why}")


plugin: type[Provider] = Polygon
