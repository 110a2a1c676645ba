"""Binance spot: bars, 1,000 a request, and every trade back to the first.

Trades are taken one by one and not as aggregates, whose ids are others than those of the live stream; an
aggregate only says with which id a moment begins.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
"""

from __future__ import annotations

from typing import Any, ClassVar

from tidemill.errors import AuthError, NotFoundError, RateLimitError, UsageError
from tidemill.model.instrument import pair
from tidemill.model.interval import HOUR, SECOND
from tidemill.providers import exact, page
from tidemill.providers.api import Ask, BarColumns, Chunk, Found, Limits, Provider, TradeColumns
from tidemill.providers.http import said
from tidemill.providers.rest import Rest, pages, whole_bars

_MILLI = 1_000_000
_ROWS_MAX = 1000
_BARS_CHUNK = 4 * _ROWS_MAX
_TRADES_AN_HOUR = 60_000
"""Of a busy pair, for estimates."""
_QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")
"""What `BTCUSDT` may end in; other pairs are written with a dash."""


class Binance(Rest):
    summary = "Binance spot: bars from one second on and every trade since the first, no key"
    site = "https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints"
    base = "https://api.binance.com"
    intervals: ClassVar[tuple[str, ...]] = (
        "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w",
    )  # fmt: skip
    # Counted in weight: 6,000 a minute of an address, of which a fifth is left to others.
    limits = Limits(per_s=75.0, burst=300, workers=20)

    def instrument(self, symbol: str) -> str:
        """`BTC-USDT`, `BTC/USDT` and `BTCUSDT` are `BTC-USDT.binance`."""
        return f"{_pair(symbol, self.venue)}.{self.venue}"

    def chunks(self, ask: Ask) -> list[Chunk]:
        if ask.kind == "trades":
            return self.cut(ask, HOUR, _trades_expected)
        length = self.length_ns(ask)

        def expected(start: int, end: int) -> tuple[int, int]:
            rows = whole_bars(start, end, length)
            return pages(rows, _ROWS_MAX), rows

        return self.cut(ask, _BARS_CHUNK * length, expected)

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        length = self.length_ns(ask)
        end = min(chunk.end, self.running(ask))
        rows: list[list[Any]] = []
        cursor = chunk.start
        while cursor < end:
            params = {
                "symbol": self._name(ask.symbol), "interval": ask.interval, "limit": _ROWS_MAX,
                "startTime": -(-cursor // _MILLI), "endTime": (end - 1) // _MILLI,
            }  # fmt: skip
            more = self.listed(await self._get("/api/v3/klines", params, 2), "a page of bars")
            if any(not isinstance(row, list) or len(row) < 9 for row in more):
                raise self.malformed("a bar lacks a field")
            if not more:
                break
            rows += more
            # A page may end early without being the last: only an empty one, or the end, is.
            cursor = self.onward(
                cursor, int(exact.counts([more[-1][0]], "a time of Binance")[0]) * _MILLI + length
            )
        made = page.bars(
            self.venue,
            exact.counts([row[0] for row in rows], "a time of Binance") * _MILLI,
            [[row[i] for row in rows] for i in (1, 2, 3, 4)],
            [row[5] for row in rows],
            [row[8] for row in rows],
        )
        # A quiet interval comes as a flat bar of nothing; here it has none.
        return page.within(page.select_bars(made, made.trades > 0), chunk.start, end)

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        symbol = self._name(ask.symbol)
        end = max(chunk.start, min(chunk.end, self.settled(ask)))
        # A second before: an aggregate is dated by one of its trades.
        params = {"symbol": symbol, "startTime": max(0, chunk.start - SECOND) // _MILLI, "limit": 1}
        first = self.listed(await self._get("/api/v3/aggTrades", params, 4), "a page of aggregates")
        rows: list[dict[str, Any]] = []
        cursor = int(first[0]["f"]) if first else None
        while cursor is not None:
            params = {"symbol": symbol, "fromId": cursor, "limit": _ROWS_MAX}
            more = self.listed(await self._get("/api/v3/historicalTrades", params, 25), "a page of trades")
            if any(
                not isinstance(row, dict) or not {"id", "price", "qty", "time"} <= row.keys() for row in more
            ):
                raise self.malformed("a trade lacks a field")
            rows += more
            if not more or int(more[-1]["time"]) * _MILLI >= end:
                break
            cursor = self.onward(cursor, int(more[-1]["id"]) + 1)
        rows.sort(key=lambda row: int(row["id"]))
        return page.trades(
            self.venue,
            Chunk(chunk.start, end, 1, 0),
            ts=exact.counts([row["time"] for row in rows], "a time of Binance") * _MILLI,
            price=[row["price"] for row in rows],
            size=[row["qty"] for row in rows],
            aggressor=[2 if row.get("isBuyerMaker") else 1 for row in rows],
            ids=[int(row["id"]) for row in rows],
        )

    async def search(self, text: str, limit: int) -> list[Found]:
        data = await self._get("/api/v3/exchangeInfo", {}, 20)
        found = []
        for about in data.get("symbols", []):
            name = f"{about.get('baseAsset')}-{about.get('quoteAsset')}"
            if text.casefold() in f"{name} {about.get('symbol')}".casefold():
                found.append(Found(name, name, "crypto"))
        return sorted(found, key=lambda each: each.symbol)[:limit]

    def _name(self, symbol: str) -> str:
        return _pair(symbol, self.venue).replace("-", "")

    async def _get(self, path: str, params: dict[str, Any], weight: int) -> Any:
        return (await self._http.get(path, params, cost=weight, judge=_judge)).data


def _pair(symbol: str, venue: str) -> str:
    plain = symbol.strip().upper()
    if "-" not in plain and "/" not in plain:
        for quote in _QUOTES:
            if plain.endswith(quote) and plain != quote:
                return pair(f"{plain.removesuffix(quote)}-{quote}", venue)
    return pair(symbol, venue)


def _trades_expected(start: int, end: int) -> tuple[int, int]:
    rows = max(1, (end - start) * _TRADES_AN_HOUR // HOUR)
    return pages(rows, _ROWS_MAX) + 1, rows


def _judge(status: int, data: Any) -> None:
    code = data.get("code") if isinstance(data, dict) else None
    why = said(data)
    if code == -1121:
        raise NotFoundError("symbol_unknown", f"Binance has no such pair{why}", hint="write BTC-USDT")
    if code in (-2014, -2015):
        raise AuthError("provider_key", f"Binance refuses the key{why}")
    if code == -1003 or status == 403:
        raise RateLimitError("provider_limit", f"Binance limits this address{why}", retry_after_s=60.0)
    if status == 451:
        raise AuthError(
            "provider_place",
            "Binance does not answer from where this machine is (status 451)",
            hint="its site in the United States is `binanceus:BTC/USDT` of the provider ccxt",
            http_status=403,
        )
    if status == 400:
        raise UsageError("provider_refused", f"Binance refuses what was asked{why}")


plugin: type[Provider] = Binance
