"""Instruments: `BASE-QUOTE.venue`, such as `BTC-USD.kraken`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidemill.errors import ConflictError, UsageError, unknown

_STOCK = re.compile(r"[A-Z][A-Z0-9]{0,9}(\.[A-Z]{1,3})?")
_SYMBOL = re.compile(r"[A-Z0-9@#][A-Z0-9@#.+_=/-]{0,31}")
_PAIR = re.compile(r"[A-Z0-9][A-Z0-9._]{0,31}-[A-Z0-9][A-Z0-9._]{0,31}")


@dataclass(frozen=True)
class Instrument:
    """One line of a home's registry: the newest version of an instrument."""

    number: int
    """venue << 20 | n; belongs to one home and never leaves it."""
    name: str
    """`BTC-USD.kraken`."""
    symbol: str
    """The venue's own spelling."""
    base: str
    quote: str
    tick: str
    """Smallest price step, decimal text."""
    lot: str
    """Smallest size step, decimal text."""
    price_scale: int
    size_scale: int
    status: str
    """The venue's word, such as "online"."""

    @property
    def venue(self) -> str:
        return venue_of(self.name)

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Instrument:
        """From a line of the registry; fields that it lacks read as empty."""
        return cls(
            number=int(line["number"]),
            name=str(line["name"]),
            symbol=str(line.get("symbol", "")),
            base=str(line.get("base", "")),
            quote=str(line.get("quote", "")),
            tick=str(line.get("tick", "")),
            lot=str(line.get("lot", "")),
            price_scale=int(line.get("price_scale", 0)),
            size_scale=int(line.get("size_scale", 0)),
            status=str(line.get("status", "")),
        )


def venue_of(name: str) -> str:
    """The venue in an instrument's name: what follows the last dot. Raises `UsageError` without one."""
    symbol, dot, venue = name.rpartition(".")
    if not dot or not symbol or not venue:
        raise UsageError(
            "instrument_invalid",
            f"{name[:80]!r} names no venue",
            hint="write BASE-QUOTE.venue, such as BTC-USD.kraken",
        )
    return venue


def pair(text: str, venue: str) -> str:
    """`btc/usd`, `BTC-USD` or `BTC-USD.kraken`, as people name what a venue should collect, as `BTC-USD`.

    Raises `UsageError` for what is not written like that.
    """
    name = text.strip().upper().replace("/", "-").removesuffix("." + venue.upper())
    if not _PAIR.fullmatch(name):
        raise UsageError(
            "instrument_invalid",
            f"{text[:64]!r} is not an instrument's name",
            hint="write BASE-QUOTE, for example BTC-USD",
        )
    return name


def collected(text: str, venue: str, *, stocks: bool) -> str:
    """The same of a venue that may have `stocks`, names alone: `brk.b` or `BRK.B.alpaca` as `BRK.B`."""
    name = text.strip().upper().removesuffix("." + venue.upper())
    if stocks and _STOCK.fullmatch(name):
        return name
    try:
        return pair(text, venue)
    except UsageError as error:
        if stocks:
            error.hint = "write a stock as AAPL or BRK.B, a pair as BTC-USD"
        raise


def symbol(text: str, venue: str) -> str:
    """`aapl` or `AAPL.iqfeed`, as people name what a provider should stream, as `AAPL`: in capitals.

    Raises `UsageError` for what is no symbol.
    """
    name = text.strip().upper().removesuffix("." + venue.upper())
    if not _SYMBOL.fullmatch(name):
        raise UsageError(
            "instrument_invalid",
            f"{text[:64]!r} is not a symbol",
            hint="write it as the provider spells it, for example AAPL or @ES#",
        )
    return name


def resolve(asked: str, known: Iterable[str]) -> str:
    """The instrument that `asked` means: its full name, or a bare `BTC-USD` or `BTC/USD` that exactly one
    venue has. Raises `ConflictError` with the choices, `NotFoundError` with the nearest names."""
    names = set(known)
    wanted = asked.strip().replace("/", "-")
    if wanted in names:
        return wanted
    folded = wanted.casefold()
    choices = sorted(n for n in names if folded in (n.casefold(), n.rpartition(".")[0].casefold()))
    if len(choices) == 1:
        return choices[0]
    if choices:
        raise ConflictError(
            "instrument_ambiguous",
            f"{asked!r} is traded at several venues",
            hint=f"name one of: {', '.join(choices)}",
        )
    raise unknown("instrument", asked, names)
