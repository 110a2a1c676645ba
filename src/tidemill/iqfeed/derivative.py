"""Streaming bars: IQFeed makes them of the live trades, after a backfill from its history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from tidemill.errors import NotFoundError, ResourceError, UpstreamError
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.eastern import Clock, wall
from tidemill.iqfeed.level1 import checked
from tidemill.iqfeed.link import Link

Stage = Literal["history", "complete", "running"]
_STAGES: dict[str, Stage] = {"BH": "history", "BC": "complete", "BU": "running"}


@dataclass(frozen=True)
class Bar:
    """One bar; prices and volumes are the text that was sent."""

    id: str
    """Of the watch."""
    stage: Stage
    """From history, made of live trades and complete, or still running."""
    symbol: str
    label: int
    """ns UTC, the time that IQFeed writes on it."""
    open: str
    high: str
    low: str
    close: str
    volume: str
    """Of the bar."""
    day_volume: str
    trades: int


class Parser:
    """Lines in, bars out. No I/O. Raises `NotFoundError` for a symbol that IQFeed does not have,
    `ResourceError` where the account may watch no more, `UpstreamError` for what cannot be read."""

    def __init__(self) -> None:
        self._clocks: dict[str, Clock] = {}

    def take(self, line: str) -> Bar | None:
        """The bar in a line; None for a line of another kind."""
        fields = line.split(",")
        if fields[0] == "n":
            raise NotFoundError(
                "symbol_unknown", f"IQFeed has no symbol {fields[1][:40]!r}", hint="search for its spelling"
            )
        if line.startswith("S,SYMBOL LIMIT REACHED"):
            raise ResourceError(
                "iqfeed_symbol_limit",
                f"IQFeed watches no more symbols: {line[:120]!r}",
                hint="unwatch others, or ask DTN for a higher limit",
            )
        if fields[0] in _STAGES:  # without an id, as a watch without one is answered
            fields.insert(0, "")
        if len(fields) < 11 or fields[1] not in _STAGES:
            return None
        id_, kind, symbol, label, open_, high, low, close, day_volume, volume, trades = fields[:11]
        clock = self._clocks.setdefault(id_ or symbol, Clock())
        if not trades.isdecimal():
            raise UpstreamError("iqfeed_unreadable", f"IQFeed sent {trades[:40]!r} as a number of trades")
        return Bar(
            id_, _STAGES[kind], symbol, clock.ns(label), open_, high, low, close, volume, day_volume,
            int(trades),
        )  # fmt: skip


class Derivative:
    """A socket to the derivative port."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._parser = Parser()

    @classmethod
    async def open(cls, url: str | None = None, name: str = "tidemill-bars") -> Derivative:
        """Connects. Raises `UpstreamError`."""
        address = Address.of(url)
        link = await Link.open(address.host, address.derivative, name, what="IQFeed's derivative port")
        return cls(link)

    async def watch(
        self, symbol: str, interval_s: int, id_: str, *, begin: int | None = None, update_s: int | None = None
    ) -> None:
        """Bars of `interval_s` seconds: from `begin` (ns UTC) out of history, then as they are made. The
        running bar is told every `update_s` seconds (0: at each trade), where that is given."""
        since = "" if begin is None else wall(begin).strftime("%Y%m%d %H%M%S")
        pace = "" if update_s is None else str(update_s)
        await self._link.send(f"BW,{checked(symbol)},{interval_s},{since},,,,,{checked(id_)},s,,{pace}")

    async def unwatch(self, symbol: str, id_: str) -> None:
        """No more bars of that watch."""
        await self._link.send(f"BR,{checked(symbol)},{checked(id_)}")

    async def bars(self) -> AsyncIterator[Bar]:
        """Every bar that comes, for ever. Raises what `Parser` does, `UpstreamError` at the end."""
        while True:
            for line in await self._link.read():
                if bar := self._parser.take(line):
                    yield bar

    async def close(self) -> None:
        await self._link.close()
