"""Alpaca: US stocks of all exchanges, 15 minutes late without a paid plan, and crypto.

Prices are as they were traded unless the option `adjustment` says otherwise. A trade's id is one of its
exchange and its day and so is kept as text, but for crypto.

https://docs.alpaca.markets/reference/stockbars
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np

from tidemill.errors import AuthError, ConfigError, NotFoundError, UsageError
from tidemill.model.instrument import pair
from tidemill.model.interval import DAY, HOUR, SECOND
from tidemill.providers import condition, exact, page
from tidemill.providers.api import Ask, BarColumns, Chunk, Credential, Found, Limits, Provider, TradeColumns
from tidemill.providers.http import LOOPBACK, Http, Patience, said
from tidemill.providers.rest import Rest, day_delay_ns, pages, whole_bars

_ROWS_MAX = 10_000
_SIZE_PLACES = 9
_TRADES_AN_HOUR = 60_000
"""Of a busy stock, for estimates."""
_FRAMES = {"1m": "1Min", "5m": "5Min", "15m": "15Min", "30m": "30Min", "1h": "1Hour", "1d": "1Day"}
_STOCK = re.compile(r"[A-Z][A-Z0-9]{0,9}(\.[A-Z]{1,3})?")
_PAPER = "https://paper-api.alpaca.markets"


class Alpaca(Rest):
    summary = "Alpaca: US stocks and their trades, free after 15 minutes, and crypto"
    site = "https://docs.alpaca.markets/reference/stockbars"
    base = "https://data.alpaca.markets"
    credentials: ClassVar[tuple[Credential, ...]] = (
        Credential("key", ("ALPACA_API_KEY",)),
        Credential("secret", ("ALPACA_API_SECRET",)),
        Credential("base_url", ("ALPACA_BASE_URL",), required=False),
    )
    intervals: ClassVar[tuple[str, ...]] = tuple(_FRAMES)
    # 200 a minute of a key, of which a fifth is left to others.
    limits = Limits(per_s=2.3, burst=20, workers=20)
    delay_s = 900.0
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "feed": ("sip", "iex", "otc", "boats"),
        "adjustment": ("raw", "split", "dividend", "all"),
        "delay": ("15min", "none"),
    }
    patience = Patience(pause_s=15.0)

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._trading: Http | None = None

    def _secret(self, keys: Mapping[str, str]) -> Mapping[str, str]:
        return {"APCA-API-KEY-ID": keys["key"], "APCA-API-SECRET-KEY": keys["secret"]}

    def instrument(self, symbol: str) -> str:
        """`AAPL` is `AAPL.alpaca`, `BTC/USD` is `BTC-USD.alpaca`."""
        plain = symbol.strip().upper()
        if _is_crypto(plain):
            return f"{pair(plain, self.venue)}.{self.venue}"
        if _STOCK.fullmatch(plain):
            return f"{plain}.{self.venue}"
        raise UsageError(
            "instrument_invalid",
            f"{symbol[:40]!r} is none of Alpaca's stocks or crypto pairs",
            hint="write AAPL, BRK.B or BTC/USD",
        )

    def delay_ns(self, ask: Ask) -> int:
        """Only trades of all exchanges come late, and not to whoever pays."""
        late = ask.options.get("feed", "sip") == "sip" and not _is_crypto(ask.symbol)
        late = late and ask.options.get("delay") != "none"
        return (super().delay_ns(ask) if late else 0) + day_delay_ns(ask)

    def chunks(self, ask: Ask) -> list[Chunk]:
        if ask.kind == "trades":
            return self.cut(ask, 2 * HOUR, _trades_expected)
        self.check(ask)
        length = self.length_ns(ask)

        def expected(start: int, end: int) -> tuple[int, int]:
            rows = whole_bars(start, end, length)
            return pages(rows, _ROWS_MAX), rows

        return self.cut(ask, 3650 * DAY if ask.interval == "1d" else 7 * 1440 * length, expected)

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        end = min(chunk.end, self.running(ask))
        daily = ask.interval == "1d"
        params = {"timeframe": _FRAMES[ask.interval]}
        if not _is_crypto(ask.symbol):
            params["adjustment"] = ask.options.get("adjustment", "raw")
        # A day is dated by the midnight of its own zone, within half a day of that of UTC.
        wider = DAY // 2 if daily else 0
        rows = (
            await self._rows(ask, "bars", chunk.start - wider, end + wider, params)
            if chunk.start < end
            else []
        )
        start = exact.moments([row["t"] for row in rows], "a time of Alpaca")
        if daily:
            start = (start + DAY // 2) // DAY * DAY
        made = page.bars(
            self.venue,
            start,
            [[row[name] for row in rows] for name in "ohlc"],
            [row["v"] for row in rows],
            [row.get("n", 0) for row in rows],
            places=_SIZE_PLACES,
        )
        made = page.within(made, chunk.start, end)
        # Crypto has bars of quotes alone where nothing was traded; here there are none.
        return page.select_bars(made, made.volume > 0) if _is_crypto(ask.symbol) else made

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        end = max(chunk.start, min(chunk.end, self.settled(ask)))
        rows = await self._rows(ask, "trades", chunk.start, end, {}) if chunk.start < end else []
        crypto = _is_crypto(ask.symbol)
        codes = [[code for code in row.get("c") or [] if str(code).strip()] for row in rows]
        return page.trades(
            self.venue,
            Chunk(chunk.start, end, 1, 0),
            ts=exact.moments([row["t"] for row in rows], "a time of Alpaca"),
            price=[row["p"] for row in rows],
            size=[row["s"] for row in rows],
            aggressor=[{"B": 1, "S": 2}.get(row.get("tks", ""), 0) for row in rows],
            ids=[int(row["i"]) if crypto else str(row.get("i", "")) for row in rows],
            keys=[(row["t"], row.get("x"), row.get("z"), row.get("i")) for row in rows],
            irregular=[
                condition.irregular(code, str(row.get("z", "C"))) or row.get("u") in ("canceled", "incorrect")
                for code, row in zip(codes, rows, strict=True)
            ],
            conditions=() if crypto else [" ".join(code) for code in codes],
            exchange=() if crypto else [str(row.get("x", "")) for row in rows],
            places=_SIZE_PLACES,
        )

    async def search(self, text: str, limit: int) -> list[Found]:
        answer = await self._about().get("/v2/assets", {"status": "active"}, judge=_judge)
        folded = text.casefold()
        return [
            Found(
                str(row["symbol"]),
                str(row.get("name", "")),
                "crypto" if row.get("class") == "crypto" else "stock",
            )
            for row in self.listed(answer.data, "the list of assets")
            if folded in f"{row.get('symbol')} {row.get('name')}".casefold()
        ][:limit]

    async def close(self) -> None:
        await super().close()
        if self._trading is not None:
            await self._trading.close()

    async def _rows(
        self, ask: Ask, what: str, start: int, end: int, params: dict[str, str]
    ) -> list[dict[str, Any]]:
        """The rows of all pages from `start` to before `end`."""
        crypto = _is_crypto(ask.symbol)
        symbol = _name(ask.symbol)
        path = f"/v1beta3/crypto/us/{what}" if crypto else f"/v2/stocks/{what}"
        asked: dict[str, str | int] = {
            "symbols": symbol, "start": _iso(start), "end": _iso(end - 1), "limit": _ROWS_MAX, "sort": "asc",
            **params,
        }  # fmt: skip
        if not crypto:
            asked["feed"] = ask.options.get("feed", "sip")
        fields = "tohlcv" if what == "bars" else "tps"
        rows: list[dict[str, Any]] = []
        seen: set[str] = set()
        while True:
            data = (await self._http.get(path, asked, judge=_judge)).data
            if not isinstance(data, dict):
                raise self.malformed("a page is no object")
            more = self.listed((data.get(what) or {}).get(symbol) or [], f"`{what}`")
            if any(not isinstance(row, dict) or any(name not in row for name in fields) for row in more):
                raise self.malformed("a row lacks a field")
            rows += more
            token = data.get("next_page_token")
            if not token:
                break
            if not isinstance(token, str) or token in seen:
                raise self.malformed("the next page is one that was read")
            seen.add(token)
            asked["page_token"] = token
        if not rows:
            await self._known(symbol)
        return rows

    async def _known(self, symbol: str) -> None:
        """An unknown symbol has no rows, like a quiet one. Raises `NotFoundError` where it is unknown."""
        if symbol not in self._symbols:
            await self._about().get(f"/v2/assets/{symbol.replace('/', '%2F')}", judge=_judge)
            self._symbols.add(symbol)

    def _about(self) -> Http:
        """Alpaca's other site, which knows what there is to trade."""
        if self._trading is None:
            where = self._url or self.keys().get("base_url") or _PAPER
            parts = urlsplit(where)
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise ConfigError(
                    "address_invalid", "ALPACA_BASE_URL must begin with https://", hint=f"such as {_PAPER}"
                )
            where = where.rstrip("/").removesuffix("/v2")
            secret = lambda: self._secret(self.keys())  # noqa: E731
            self._trading = Http(self.venue, where, self._gate, headers=secret, patience=self._patience)
        return self._trading


def _trades_expected(start: int, end: int) -> tuple[int, int]:
    rows = max(1, (end - start) * _TRADES_AN_HOUR // HOUR)
    return pages(rows, _ROWS_MAX), rows


def _is_crypto(symbol: str) -> bool:
    return "/" in symbol or "-" in symbol


def _name(symbol: str) -> str:
    return symbol.strip().upper().replace("-", "/")


def _iso(ts: int) -> str:
    whole, rest = divmod(ts, SECOND)
    return f"{np.datetime64(whole, 's')}.{rest:09d}Z"


def _judge(status: int, data: Any) -> None:
    why = said(data)
    if status == 401 or (status == 403 and "subscription" not in why):
        raise AuthError(
            "provider_key", f"Alpaca refuses the key{why}", hint="ALPACA_API_KEY and ALPACA_API_SECRET",
            http_status=status,
        )  # fmt: skip
    if status == 403:
        raise AuthError(
            "provider_plan", f"the plan of this key does not have that{why}",
            hint="leave out delay=none, or take feed=iex", http_status=403,
        )  # fmt: skip
    if status == 404 or (status in (400, 422) and "invalid symbol" in why.casefold()):
        raise NotFoundError("symbol_unknown", f"Alpaca has no such symbol{why}", hint="AAPL, BRK.B, BTC/USD")
    if status in (400, 422):
        raise UsageError("provider_refused", f"Alpaca refuses what was asked{why}")


plugin: type[Provider] = Alpaca
