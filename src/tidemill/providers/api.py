"""What a provider is: whoever has history and gives it on request, one file each.

A provider knows its own protocol and nothing of stores, jobs or files. It is asked for a span of time of one
symbol, cuts the span into chunks that abut exactly, and answers each chunk with columns: bars or trades
whose prices and sizes are mantissas, digit for digit what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

Kind = Literal["bars", "trades"]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Credential:
    """One secret a provider needs: taken from the first of `variables` that is set, or from the keyring."""

    name: str
    """What the provider calls it: "key", "secret", "login"."""
    variables: tuple[str, ...]
    """Environment variables, the first that is set counts."""
    required: bool = True


@dataclass(frozen=True)
class Limits:
    """What a provider allows to one key, or to one address where it has no keys."""

    per_s: float
    """Requests a second, in the long run."""
    burst: int
    """Requests that may come at once."""
    workers: int = 50
    """Chunks that may be fetched at the same time."""


@dataclass(frozen=True)
class Ask:
    """A span of one symbol's history."""

    symbol: str
    """As the provider spells it: "AAPL", "X:BTCUSD", "BTC/USD"."""
    kind: Kind
    start: int
    """ns UTC, the first moment wanted."""
    end: int
    """ns UTC, the first moment not wanted any more."""
    interval: str = ""
    """Of bars: one of the provider's own `intervals`; empty for trades."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What else this provider takes, by its own names: `{"adjusted": "true"}`."""


@dataclass(frozen=True)
class Chunk:
    """A part of an ask, fetched whole or not at all. Chunks of one ask abut: nothing twice, no hole."""

    start: int
    end: int
    requests: int
    """How many requests it is expected to take, at least 1."""
    rows: int
    """How many rows it is expected to give, at most."""


@dataclass(frozen=True)
class BarColumns:
    """Bars, ascending by `start`, shape (n,) each; every one starts within the chunk.

    A day's bar starts at midnight UTC of its trading date, whatever the zone of its venue.
    """

    start: Ints
    """ns UTC, the start of an interval."""
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    """Mantissas at `price_scale`."""
    volume: Ints
    """Mantissa at `size_scale`."""
    trades: Ints
    """Number of trades; 0 where the provider does not say."""
    price_scale: int
    size_scale: int

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class TradeColumns:
    """Trades in the provider's own order, shape (n,) each; every `ts_event` lies within the chunk."""

    ts_event: Ints
    """ns UTC."""
    price: Ints
    size: Ints
    """Mantissas."""
    aggressor: npt.NDArray[np.int8]
    """0 none, 1 buy, 2 sell."""
    id: Ints
    """The trade's id where it is a number; −1 where there is none or it is text."""
    irregular: npt.NDArray[np.bool_]
    """True where the trade's conditions say that it does not count in bars."""
    price_scale: int
    size_scale: int
    text_id: tuple[str, ...] = ()
    """Ids that are no numbers, one per trade, or nothing at all."""
    conditions: tuple[str, ...] = ()
    """The provider's condition codes, joined by spaces, one per trade, or nothing at all."""
    exchange: tuple[str, ...] = ()
    """Where it was made, the provider's code, one per trade, or nothing at all."""

    def __len__(self) -> int:
        return len(self.ts_event)


@dataclass(frozen=True)
class Found:
    """A symbol that a provider has."""

    symbol: str
    name: str
    kind: str
    """What it is: "stock", "crypto", "future", "index", "fx"."""


class Gate(Protocol):
    """Before each request: waits until the key's limits allow it."""

    async def enter(self, cost: int = 1) -> None:
        """Returns when the request may be sent."""

    def pause(self, seconds: float) -> None:
        """The provider said to wait so long (429, Retry-After): nobody who shares the key goes on before."""


class Provider(Protocol):
    """One file in this folder, ending in `plugin: type[Provider] = …`. Importing it must cost nothing.

    Errors: `AuthError` for a key that is missing, wrong or expired (never tried again), `NotFoundError` for
    a symbol that it does not have, `RateLimitError` when it still says no after the pauses it asked for,
    `UpstreamError` for anything else it answers wrongly. No message holds a key.
    """

    summary: ClassVar[str]
    """A line for people: who it is, what it has."""
    site: ClassVar[str]
    """Where its protocol is documented."""
    credentials: ClassVar[tuple[Credential, ...]]
    intervals: ClassVar[tuple[str, ...]]
    """Of the bars it has, shortest first."""
    kinds: ClassVar[tuple[Kind, ...]]
    limits: ClassVar[Limits]
    delay_s: ClassVar[float]
    """How long after the event its rows can be had at the earliest: `ts_known` is that much later."""

    def __init__(self, venue: str, gate: Gate, url: str | None = None) -> None:
        """`venue` is the name its instruments end in: its own, or `sim-…`. `url` replaces its address."""

    def instrument(self, symbol: str) -> str:
        """`BTC-USD.kraken`, `AAPL.polygon`. Raises `UsageError` for what cannot be one of its symbols."""

    def chunks(self, ask: Ask) -> list[Chunk]:
        """The ask in parts, ascending. No I/O, and the same for the same ask: a job that goes on after a
        crash counts on it. Raises `UsageError` for what it cannot give."""

    async def bars(self, ask: Ask, chunk: Chunk) -> BarColumns:
        """One chunk of bars, however many pages it takes; empty where there are none."""

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        """One chunk of trades, however many pages it takes; empty where there are none."""

    async def search(self, text: str, limit: int) -> list[Found]:
        """Symbols whose name or spelling holds `text`."""

    async def close(self) -> None:
        """Lets go of connections."""
