"""Kraken spot: its newest 720 bars of an interval as it made them, older ones out of its trades, which reach
back to the first.

https://docs.kraken.com/api/docs/rest-api/get-ohlc-data
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tidemill.errors import AuthError, NotFoundError, RateLimitError, UpstreamError
from tidemill.model.instrument import pair
from tidemill.model.interval import HOUR, MINUTE, SECOND
from tidemill.providers import exact, page
from tidemill.providers.api import Ask, BarColumns, Chunk, Found, Limits, Provider, TradeColumns
from tidemill.providers.rest import Rest, whole_bars

_BARS_MAX = 720
_TRADES_MAX = 1000
_TRADES_AN_HOUR = 20_000
"""Of a busy pair, for estimates."""
_OLD = {"BTC": "XBT", "DOGE": "XDG"}
"""Kraken's older name of an asset, which REST still uses."""
_NEW = {old: new for new, old in _OLD.items()}


class Kraken(Rest):
    summary = "Kraken spot: bars and every trade since the first, no key"
    site = "https://docs.kraken.com/api/docs/rest-api/get-ohlc-data"
    base = "https://api.kraken.com"
    intervals: ClassVar[tuple[str, ...]] = ("1m", "5m", "15m", "30m", "1h", "4h", "1d")
    # About one a second is what an address may do for long, of which a fifth is left to others.
    limits = Limits(per_s=0.75, burst=2, workers=4)

    def instrument(self, symbol: str) -> str:
        """`BTC/USD`, `BTC-USD` and `XBT/USD` are `BTC-USD.kraken`."""
        base, _, quote = pair(symbol, self.venue).partition("-")
        return f"{_NEW.get(base, base)}-{_NEW.get(quote, quote)}.{self.venue}"

    def chunks(self, ask: Ask) -> list[Chunk]:
        if ask.kind == "trades":
            return self.cut(ask, 6 * HOUR, _trades_expected)
        length = self.length_ns(ask)
        return self.cut(ask, _BARS_MAX * length, lambda a, b: (1, whole_bars(a, b, length)))

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        length = self.length_ns(ask)
        # Bars come after `since`, in whole seconds; the newest is the running one.
        since = max(0, chunk.start // SECOND - length // SECOND)
        params = {"pair": self._name(ask.symbol), "interval": length // MINUTE, "since": since}
        rows, _ = await self._rows("/0/public/OHLC", params, 8)
        made = page.bars(
            self.venue,
            exact.counts([row[0] for row in rows], "a time of Kraken") * SECOND,
            [[row[i] for row in rows] for i in (1, 2, 3, 4)],
            [row[6] for row in rows],
            [row[7] for row in rows],
        )
        # A quiet interval comes as a flat bar of nothing; here it has none.
        made = page.select_bars(made, made.trades > 0)
        end = min(chunk.end, self.running(ask))
        reach = int(rows[0][0]) * SECOND if rows else end
        parts = [page.within(made, chunk.start, end)]
        if reach > chunk.start:
            first = -(-chunk.start // length) * length
            older = Chunk(first, min(reach, end), 1, 0)
            if older.start < older.end:
                parts.insert(0, page.built(await self.trades(ask, older), length))
        return page.joined(self.venue, parts)

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        end = min(chunk.end, self.settled(ask))
        rows: list[list[Any]] = []
        since = chunk.start - 1
        while True:
            params = {"pair": self._name(ask.symbol), "since": since, "count": _TRADES_MAX}
            more, last = await self._rows("/0/public/Trades", params, 7)
            rows += more
            try:
                reached = int(last)
            except (TypeError, ValueError):
                raise self.malformed(f"`last` is {str(last)[:40]}") from None
            if not more or reached >= end:
                break
            # Trades of one moment may lie on both sides of a page's end: from just before it again, unless
            # that is where this page began.
            since = reached - 1 if reached - 1 > since else reached
        ts = exact.seconds([row[2] for row in rows], "a time of Kraken")
        ids = exact.counts([row[6] for row in rows], "a trade's id of Kraken").tolist()
        order = np.argsort(np.array(ids, np.int64), kind="stable").tolist()
        return page.trades(
            self.venue,
            Chunk(chunk.start, max(chunk.start, end), 1, 0),
            ts=ts[order],
            price=[rows[i][0] for i in order],
            size=[rows[i][1] for i in order],
            aggressor=[_side(rows[i][3]) for i in order],
            ids=[ids[i] for i in order],
        )

    async def search(self, text: str, limit: int) -> list[Found]:
        answer = await self._http.get("/0/public/AssetPairs", judge=_judge)
        found = []
        for about in answer.data["result"].values():
            base, _, quote = str(about.get("wsname", "")).partition("/")
            name = f"{_NEW.get(base, base)}/{_NEW.get(quote, quote)}"
            if quote and text.casefold() in f"{name} {about.get('altname')}".casefold():
                found.append(Found(name, name, "crypto"))
        return found[:limit]

    def _name(self, symbol: str) -> str:
        """As REST has it: `XBTUSD`."""
        base, _, quote = pair(symbol, self.venue).partition("-")
        return f"{_OLD.get(base, base)}{_OLD.get(quote, quote)}"

    async def _rows(self, path: str, params: dict[str, Any], width: int) -> tuple[list[list[Any]], Any]:
        """The one list in an answer, whatever its key, and `last`."""
        answer = await self._http.get(path, params, judge=_judge)
        result = answer.data["result"]
        rows = self.listed(
            next((v for k, v in result.items() if k != "last"), []), "what Kraken calls by a pair"
        )
        if any(not isinstance(row, list) or len(row) < width for row in rows):
            raise self.malformed(f"a row has not {width} fields")
        return rows, result.get("last")


def _trades_expected(start: int, end: int) -> tuple[int, int]:
    rows = max(1, (end - start) * _TRADES_AN_HOUR // HOUR)
    return -(-rows // _TRADES_MAX), rows


def _side(text: Any) -> int:
    return 1 if text == "b" else 2 if text == "s" else 0


def _judge(status: int, data: Any) -> None:
    """Errors come with status 200, in a list."""
    if status != 200:
        return
    if not isinstance(data, dict) or not isinstance(data.get("error"), list):
        raise UpstreamError("provider_answer", "Kraken answers in another shape than documented")
    why = ", ".join(str(error) for error in data["error"] if str(error).startswith("E"))[:200]
    if not why:
        if not isinstance(data.get("result"), dict):
            raise UpstreamError("provider_answer", "Kraken answers without a result")
        return
    if "Unknown asset pair" in why or "Invalid asset pair" in why:
        raise NotFoundError("symbol_unknown", f"Kraken has no such pair: {why}", hint="write BTC/USD")
    if "Temporary lockout" in why:
        raise RateLimitError("provider_limit", f"Kraken says {why}", retry_after_s=901.0)
    if "Too many requests" in why or "Rate limit" in why:
        raise RateLimitError("provider_limit", f"Kraken says {why}", retry_after_s=15.0)
    if "Invalid key" in why or "Permission denied" in why or "Invalid signature" in why:
        raise AuthError("provider_key", f"Kraken says {why}")
    raise UpstreamError("provider_answer", f"Kraken says {why}", retryable="EService" in why)


plugin: type[Provider] = Kraken
