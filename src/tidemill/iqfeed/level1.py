"""Level 1: trades and best bid and ask as they happen, for the symbols that are watched.

A message tells of the whole instrument each time; its "Message Contents" say what of it is new. Only that is
given on: a trade where C, E or O stand there, a quote where a or b do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tidemill.errors import UsageError
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.eastern import Clock
from tidemill.iqfeed.link import Link

FIELDS = (
    "Most Recent Trade",
    "Most Recent Trade Size",
    "Most Recent Trade Date",
    "Most Recent Trade Time",
    "Most Recent Trade Market Center",
    "TickID",
    "Total Volume",
    "Bid",
    "Bid Size",
    "Ask",
    "Ask Size",
    "Message Contents",
    "Most Recent Trade Conditions",
    "Most Recent Trade Aggressor",
)
"""Asked for, because the usual set has neither the date of a trade nor its id. `Symbol` is always first."""
TRADED, QUOTED = frozenset("CEO"), frozenset("ab")
REGULAR = frozenset("CE")
"""Bases of trades that count in bars: qualified ones and those of extended hours. O and S do not."""
_AGGRESSORS = {"1": 1, "2": 2}


@dataclass(frozen=True)
class Trade:
    """One trade. Prices and sizes are the text that was sent."""

    symbol: str
    ts_event: int
    """ns UTC."""
    price: str
    size: str
    id: int
    basis: str
    """C qualified, E extended hours, O other: the last does not count in bars."""
    center: str
    conditions: str
    """Codes of two hexadecimal digits, joined by spaces."""
    aggressor: int
    """0 none, 1 buy, 2 sell."""


@dataclass(frozen=True)
class Quote:
    """Best bid and ask, text; empty where there is none. Its time is when it came: none is sent with it."""

    symbol: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str


@dataclass(frozen=True)
class Correction:
    """A trade put in or taken out afterwards."""

    symbol: str
    inserted: bool
    ts_event: int
    price: str
    size: str
    id: int
    conditions: str
    center: str


@dataclass(frozen=True)
class Moment:
    """The servers' clock, each second: the stream lives."""

    ts: int


@dataclass(frozen=True)
class Missing:
    """A watched symbol that IQFeed does not have."""

    symbol: str


@dataclass(frozen=True)
class System:
    """What IQConnect says of itself: `SERVER CONNECTED`, `SERVER DISCONNECTED`, `SYMBOL LIMIT REACHED`."""

    text: str
    details: tuple[str, ...]


Event = Trade | Quote | Correction | Moment | Missing | System


class Parser:
    """Lines in, events out. No I/O. Raises `UpstreamError` for a time or id that cannot be read."""

    def __init__(self) -> None:
        self._at = {name: place for place, name in enumerate(FIELDS, 2)}
        self._clock = Clock()

    def take(self, line: str) -> list[Event]:
        """What the line tells: nothing for kinds that are not followed, two events where a trade moved the
        quote."""
        kind, _, _ = line.partition(",")
        fields = line.split(",")
        match kind:
            case "Q" | "P":
                return self._update(fields, is_summary=kind == "P")
            case "T":
                return [Moment(self._clock.ns(_dashed(fields[1])))]
            case "C" if len(fields) >= 10:
                return [_correction(fields)]
            case "n":
                return [Missing(fields[1])]
            case "S":
                return self._system(fields)
        return []

    def _system(self, fields: list[str]) -> list[Event]:
        if fields[1] == "CURRENT UPDATE FIELDNAMES":
            self._at = {name: place for place, name in enumerate(fields[2:], 1)}
        return [System(fields[1], tuple(field for field in fields[2:] if field))]

    def _update(self, fields: list[str], *, is_summary: bool) -> list[Event]:
        def said(name: str) -> str:
            place = self._at.get(name, len(fields))
            return fields[place] if place < len(fields) else ""

        contents = set(said("Message Contents"))
        found: list[Event] = []
        basis = "".join(sorted(contents & TRADED))[:1]
        # A summary repeats the newest trade from before the watch: that one is history's.
        if basis and not is_summary:
            month, day, year = [*said("Most Recent Trade Date").split("/"), "", ""][:3]
            found.append(
                Trade(
                    symbol=fields[1],
                    ts_event=self._clock.ns(f"{year}-{month}-{day} {said('Most Recent Trade Time')}"),
                    price=said("Most Recent Trade"),
                    size=said("Most Recent Trade Size"),
                    id=tick_id(said("TickID")),
                    basis=basis,
                    center=said("Most Recent Trade Market Center"),
                    conditions=codes(said("Most Recent Trade Conditions")),
                    aggressor=aggressor(said("Most Recent Trade Aggressor")),
                )
            )
        if is_summary or contents & QUOTED:
            found.append(Quote(fields[1], said("Bid"), said("Bid Size"), said("Ask"), said("Ask Size")))
        return found


def _correction(fields: list[str]) -> Correction:
    _, symbol, kind, date, time, price, size, id_, conditions, center = fields[:10]
    month, day, year = [*date.split("/"), "", ""][:3]
    return Correction(
        symbol=symbol,
        inserted=kind == "I",
        ts_event=Clock().ns(f"{year}-{month}-{day} {time}"),
        price=price,
        size=size,
        id=tick_id(id_),
        conditions=codes(conditions),
        center=center,
    )


def _dashed(text: str) -> str:
    """`20180709 14:18:31` as the other times are printed."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def codes(text: str) -> str:
    """`143A` as `14 3A`: conditions are pairs of hexadecimal digits."""
    return " ".join(text[at : at + 2] for at in range(0, len(text), 2))


def aggressor(text: str) -> int:
    """0 none, 1 buy, 2 sell; IQFeed's 3 is neither, its 0 unknown."""
    return _AGGRESSORS.get(text.strip(), 0)


def tick_id(text: str) -> int:
    """−1 where there is none."""
    return int(text) if text.strip().isdecimal() else -1


class Level1:
    """A socket to the Level 1 port. It does not connect again by itself: who reads knows what was missed."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._parser = Parser()

    @classmethod
    async def open(cls, url: str | None = None, name: str = "tidemill-level1") -> Level1:
        """Connects and chooses the fields. Raises `UpstreamError`."""
        address = Address.of(url)
        link = await Link.open(address.host, address.level1, name, what="IQFeed's Level 1 port")
        await link.send("S,SELECT UPDATE FIELDS,Symbol," + ",".join(FIELDS))
        return cls(link)

    async def watch(self, symbol: str, *, quotes: bool = True) -> None:
        """Trades of a symbol from now on, and its quotes."""
        await self._link.send(("w" if quotes else "t") + checked(symbol))

    async def unwatch(self, symbol: str) -> None:
        """Nothing of a symbol any more."""
        await self._link.send("r" + checked(symbol))

    async def connect(self) -> None:
        """Asks IQConnect to connect to DTN, where it is not."""
        await self._link.send("S,CONNECT")

    async def events(self) -> AsyncIterator[Event]:
        """Everything that comes, for ever. Raises `UpstreamError` at the end of the connection."""
        while True:
            for line in await self._link.read():
                for event in self._parser.take(line):
                    yield event

    async def close(self) -> None:
        await self._link.close()


def checked(symbol: str) -> str:
    """The symbol. Raises `UsageError` for one that would break out of its line."""
    if not symbol or not symbol.isprintable() or "," in symbol:
        raise UsageError(
            "symbol_invalid", f"{symbol[:40]!r} is no symbol of IQFeed", hint="such as AAPL or @ES#"
        )
    return symbol
