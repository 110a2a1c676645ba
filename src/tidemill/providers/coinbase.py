"""Coinbase Exchange: bars, 300 a request, and every trade back to the first.

Its trades are paged by id and cannot be asked by time, so the id at a moment is searched for first. `side` is
the resting order's: the aggressor is the other one.

https://docs.cdp.coinbase.com/exchange/reference/exchangerestapi_getproductcandles
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tidemill.errors import NotFoundError, UsageError
from tidemill.model.instrument import pair
from tidemill.model.interval import HOUR, SECOND
from tidemill.providers import exact, page
from tidemill.providers.api import Ask, BarColumns, Chunk, Found, Limits, Provider, TradeColumns
from tidemill.providers.http import said
from tidemill.providers.rest import Rest, pages, whole_bars

_BARS_MAX = 300
_TRADES_MAX = 1000
_TRADES_AN_HOUR = 20_000
"""Of a busy product, for estimates."""
_SEARCH = 8
"""Requests that finding a moment takes, about."""
_PROBES_MAX = 100


class Coinbase(Rest):
    summary = "Coinbase Exchange: bars and every trade since the first, no key"
    site = "https://docs.cdp.coinbase.com/exchange/reference/exchangerestapi_getproductcandles"
    base = "https://api.exchange.coinbase.com"
    intervals: ClassVar[tuple[str, ...]] = ("1m", "5m", "15m", "1h", "6h", "1d")
    # 10 a second of an address, 15 at once, of which a fifth is left to others.
    limits = Limits(per_s=7.0, burst=5, workers=10)

    def instrument(self, symbol: str) -> str:
        return f"{pair(symbol, self.venue)}.{self.venue}"

    def chunks(self, ask: Ask) -> list[Chunk]:
        if ask.kind == "trades":
            return self.cut(ask, HOUR, _trades_expected)
        length = self.length_ns(ask)
        return self.cut(ask, _BARS_MAX * length, lambda a, b: (1, whole_bars(a, b, length)))

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        length = self.length_ns(ask)
        first = -(-chunk.start // length) * length
        end = min(chunk.end, self.running(ask))
        rows: list[list[Any]] = []
        # Newest first, so what a page lacks is older than what it has.
        while first < end:
            last = -(-end // length) * length - length
            path = f"/products/{pair(ask.symbol, self.venue)}/candles"
            begin = max(first, last - (_BARS_MAX - 1) * length)
            params = {"granularity": length // SECOND, "start": _iso(begin), "end": _iso(last)}
            more = await self._list(path, params, 6)
            times = exact.counts([row[0] for row in more], "a time of Coinbase") * SECOND
            if len(times) > 1 and (np.diff(times) > 0).any():
                raise page.disordered(self.venue, "bars")
            rows = [row for row, ts in zip(more, times.tolist(), strict=True) if begin <= ts <= last][
                ::-1
            ] + rows
            inside = times[(times >= begin) & (times <= last)]
            end = int(inside[-1]) if len(inside) else begin
        return page.bars(
            self.venue,
            exact.counts([row[0] for row in rows], "a time of Coinbase") * SECOND,
            [[row[i] for row in rows] for i in (3, 2, 1, 4)],
            [row[5] for row in rows],
            None,
        )

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        end = max(chunk.start, min(chunk.end, self.settled(ask)))
        product = pair(ask.symbol, self.venue)
        after = await self._first_at(product, end)
        rows: list[dict[str, Any]] = []
        while after > 1:
            more = await self._older(product, after)
            rows += more
            if not more or _moment(more[-1]) < chunk.start:
                break
            if int(more[-1]["trade_id"]) >= after:
                raise page.disordered(self.venue, "trades")
            after = int(more[-1]["trade_id"])
        rows.sort(key=lambda row: int(row["trade_id"]))
        return page.trades(
            self.venue,
            Chunk(chunk.start, end, 1, 0),
            ts=exact.moments([row["time"] for row in rows], "a time of Coinbase"),
            price=[row["price"] for row in rows],
            size=[row["size"] for row in rows],
            aggressor=[{"sell": 1, "buy": 2}.get(row["side"], 0) for row in rows],
            ids=[int(row["trade_id"]) for row in rows],
        )

    async def _first_at(self, product: str, moment: int) -> int:
        """The smallest id whose trade is not before `moment`; one more than the newest where none is."""
        newest = await self._older(product, None)
        if not newest:
            return 0
        high, high_ts = int(newest[0]["trade_id"]) + 1, _moment(newest[0])
        if high_ts < moment:
            return high
        # Every trade up to `low` is before the moment, every one from `high` on is not.
        low, low_ts = 0, None
        rows = newest
        for probes in range(_PROBES_MAX):
            for row in rows:
                number, ts = int(row["trade_id"]), _moment(row)
                if ts >= moment and number < high:
                    high, high_ts = number, ts
                elif ts < moment and number > low:
                    low, low_ts = number, ts
            if high - low <= 1:
                return high
            if low_ts is None or high_ts <= low_ts or probes % 3 == 2:
                probe = (low + high) // 2
            else:
                # By the pace between the two, half a page later so that the page holds the moment.
                share = (moment - low_ts) / (high_ts - low_ts)
                probe = low + int((high - low) * share) + _TRADES_MAX // 2
            probe = min(max(probe, low + 1), high - 1)
            rows = await self._older(product, probe + 1)
            if not rows or int(rows[0]["trade_id"]) <= low:
                low = probe  # nothing in between
        raise self.malformed(f"no trade of {product} could be found at a moment in {_PROBES_MAX} requests")

    async def _older(self, product: str, after: int | None) -> list[dict[str, Any]]:
        """Trades with ids under `after`, or the newest; newest first."""
        params: dict[str, Any] = {"limit": _TRADES_MAX}
        if after is not None:
            params["after"] = after
        rows = (await self._http.get(f"/products/{product}/trades", params, judge=_judge)).data
        for row in self.listed(rows, "a page of trades"):
            if not isinstance(row, dict) or not {"trade_id", "side", "size", "price", "time"} <= row.keys():
                raise self.malformed("a trade lacks a field")
        return rows  # type: ignore[no-any-return]

    async def _list(self, path: str, params: dict[str, Any], width: int) -> list[list[Any]]:
        rows = self.listed((await self._http.get(path, params, judge=_judge)).data, "a page of bars")
        if any(not isinstance(row, list) or len(row) < width for row in rows):
            raise self.malformed(f"a row has not {width} fields")
        return rows

    async def search(self, text: str, limit: int) -> list[Found]:
        products = self.listed((await self._http.get("/products", judge=_judge)).data, "the list of products")
        names = sorted(str(about.get("id")) for about in products)
        return [Found(name, name, "crypto") for name in names if text.casefold() in name.casefold()][:limit]


def _trades_expected(start: int, end: int) -> tuple[int, int]:
    rows = max(1, (end - start) * _TRADES_AN_HOUR // HOUR)
    return pages(rows, _TRADES_MAX) + _SEARCH, rows


def _moment(row: dict[str, Any]) -> int:
    return int(exact.moments([row["time"]], "a time of Coinbase")[0])


def _iso(ts: int) -> str:
    return f"{np.datetime64(ts // SECOND, 's')}Z"


def _judge(status: int, data: Any) -> None:
    why = said(data)
    if status == 404 or (status == 400 and "not a valid product" in why.casefold()):
        raise NotFoundError("symbol_unknown", f"Coinbase has no such product{why}", hint="write BTC-USD")
    if status == 400:
        raise UsageError("provider_refused", f"Coinbase refuses what was asked{why}")


plugin: type[Provider] = Coinbase
