"""Any exchange that the library ccxt knows: bars, by the names that ccxt gives them.

A symbol names its exchange, `okx:BTC/USDT`, and so does the instrument, `OKX.BTC-USDT.ccxt`: prices of two
exchanges never meet in one. An exchange that keeps its newest bars alone has no older ones here either.

https://docs.ccxt.com/#/?id=ohlcv-candlestick-charts
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from tidemill.errors import (
    AuthError,
    ConfigError,
    NotFoundError,
    RateLimitError,
    UpstreamError,
    UsageError,
    unknown,
)
from tidemill.model.collector import SIM_PREFIX
from tidemill.providers import exact, page
from tidemill.providers.api import Ask, BarColumns, Chunk, Found, Kind, Limits, Provider, TradeColumns
from tidemill.providers.rest import Rest, whole_bars

_MILLI = 1_000_000
_ROWS = 300
"""Bars a request, which every exchange gives at once."""
_TRIES = 4
_SYMBOL = re.compile(r"([a-z0-9]{2,24}):([A-Z0-9]{1,20})[/-]([A-Z0-9]{1,20})(:[A-Z0-9-]{1,40})?")


class Ccxt(Rest):
    summary = "ccxt: bars of a hundred other exchanges, as okx:BTC/USDT"
    site = "https://docs.ccxt.com"
    base = ""
    intervals: ClassVar[tuple[str, ...]] = ("1m", "5m", "15m", "30m", "1h", "4h", "1d")
    kinds: ClassVar[tuple[Kind, ...]] = ("bars",)
    # What every exchange bears.
    limits = Limits(per_s=2.0, burst=4, workers=4)

    def instrument(self, symbol: str) -> str:
        """`okx:BTC/USDT` is `OKX.BTC-USDT.ccxt`; what follows a second colon is kept:
        `OKX.BTC-USDT_USDT.ccxt`."""
        match = _SYMBOL.fullmatch(symbol.strip())
        if not match:
            raise UsageError(
                "instrument_invalid",
                f"{symbol[:60]!r} is not an exchange and a pair of it",
                hint="write okx:BTC/USDT, or okx:BTC/USDT:USDT for a perpetual",
            )
        rest = (match[4] or "").replace(":", "_").replace("-", ".")
        return f"{match[1].upper()}.{match[2]}-{match[3]}{rest}.{self.venue}"

    def chunks(self, ask: Ask) -> list[Chunk]:
        self.check(ask)
        length = self.length_ns(ask)
        return self.cut(ask, _ROWS * length, lambda a, b: (1, whole_bars(a, b, length)))

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        length = self.length_ns(ask)
        end = min(chunk.end, self.running(ask))
        cursor = -(-chunk.start // length) * length
        name, _, symbol = ask.symbol.strip().partition(":")
        symbol = symbol.replace("-", "/", 1) if "/" not in symbol else symbol
        rows: list[list[Any]] = []
        while cursor < end:
            more = await self._call(
                name, "fetch_ohlcv", symbol, ask.interval, since=cursor // _MILLI, limit=_ROWS
            )
            times = exact.counts([row[0] for row in more], "a time of ccxt") * _MILLI
            inside = (times >= cursor) & (times < end)
            rows += [row for row, here in zip(more, inside, strict=True) if here]
            # A page may end early without being the last, and one without rows may lie before others.
            cursor = int(times[inside].max()) + length if inside.any() else cursor + _ROWS * length
        made = page.bars(
            self.venue,
            exact.counts([row[0] for row in rows], "a time of ccxt") * _MILLI,
            [[row[i] for row in rows] for i in (1, 2, 3, 4)],
            [row[5] for row in rows],
            None,
        )
        return page.select_bars(made, made.volume > 0)

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        raise UsageError("kind_unfit", f"{self.venue} has no trades", hint="it has bars")

    async def search(self, text: str, limit: int) -> list[Found]:
        """Of one exchange, `okx:btc`; without one, the exchanges themselves."""
        import_, _, wanted = text.partition(":")
        library = _library()
        if not wanted:
            names = [name for name in library.exchanges if text.casefold() in name]
            return [Found(f"{name}:", name, "crypto") for name in names][:limit]
        markets = await self._call(import_, "load_markets")
        found = [symbol for symbol in sorted(markets) if wanted.casefold() in symbol.casefold()]
        return [Found(f"{import_}:{symbol}", symbol, "crypto") for symbol in found][:limit]

    async def close(self) -> None:
        await super().close()
        for exchange in self._made.values():
            await exchange.close()
        self._made.clear()

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._made: dict[str, Any] = {}

    def _exchange(self, name: str) -> Any:
        """ccxt's client of an exchange, with numbers as the text that was sent."""
        if name not in self._made:
            library = _library()
            if name not in library.exchanges:
                raise unknown("exchange", name, library.exchanges)
            made = getattr(library, name)(
                {"enableRateLimit": False, "timeout": 30_000, "aiohttp_trust_env": True}
            )
            made.number = str
            if self._url:
                made.urls["api"] = _replaced(made.urls["api"], self._url)
            elif self.venue.startswith(SIM_PREFIX):
                raise ConfigError("address_missing", f"{self.venue} needs an address", hint="give `url`")
            self._made[name] = made
        return self._made[name]

    async def _call(self, name: str, method: str, *args: Any, **rest: Any) -> Any:
        """One request of ccxt's, behind the gate; in the errors of providers/api.py."""
        exchange, library = self._exchange(name), _library()
        failures = 0
        while True:
            await self._gate.enter()
            try:
                if method != "load_markets" and not exchange.markets:
                    await exchange.load_markets()
                    await self._gate.enter()
                return await getattr(exchange, method)(*args, **rest)
            except (library.RateLimitExceeded, library.DDoSProtection) as error:
                self._gate.pause(15.0 * 2**failures)
                raised: Exception = RateLimitError(
                    "provider_limit", _words(name, error), retry_after_s=15.0 * 2**failures
                )
            except (library.BadSymbol, library.BadRequest) as error:
                raise NotFoundError(
                    "symbol_unknown", _words(name, error), hint="write okx:BTC/USDT"
                ) from None
            except library.AuthenticationError as error:
                raise AuthError("provider_key", _words(name, error)) from None
            except library.NotSupported as error:
                raise UsageError("interval_unfit", _words(name, error)) from None
            except library.BaseError as error:
                raised = UpstreamError("provider_answer", _words(name, error))
            failures += 1
            if failures >= _TRIES:
                raise raised


def _library() -> Any:
    try:
        import ccxt.async_support as library
    except ImportError as error:
        raise ConfigError(
            "extra_missing",
            "this provider needs ccxt, which is not installed",
            hint="pip install 'tidemill[ccxt]'",
        ) from error
    return library


def _words(name: str, error: Exception) -> str:
    return f"{name}: {type(error).__name__}: {str(error)[:200]}"


def _replaced(urls: Any, base: str) -> Any:
    """ccxt's addresses of an exchange with another host."""
    if isinstance(urls, dict):
        return {key: _replaced(value, base) for key, value in urls.items()}
    return re.sub(r"^https?://[^/]+", base.rstrip("/"), urls)


plugin: type[Provider] = Ccxt
