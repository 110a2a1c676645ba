"""The compiled part: crates/py."""

from typing import Any, Literal, Self, TypedDict

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

Bytes = Buffer | npt.NDArray[np.generic]
"""Anything with a contiguous buffer; numpy arrays say so only from Python 3.12 on."""

__version__: str

class Venue(TypedDict):
    number: int
    name: str
    protocol: str

class Instrument(TypedDict):
    number: int
    name: str
    symbol: str
    base: str
    quote: str
    tick: str
    lot: str
    price_scale: int
    size_scale: int
    status: str

def run(argv: list[str]) -> int:
    """Runs `collector`, `relay`, `bridge` or `sim` until it ends; returns its exit code."""

def socket_path(home: str, name: str) -> str:
    """Where a socket of this home is; makes the short folder that a long home needs."""

def venues(home: str) -> list[Venue]:
    """All venues of a home."""

def instruments(home: str, venue: str) -> list[Instrument]:
    """All instruments of a venue, newest version each."""

def sim_instruments(protocol: str) -> list[str]:
    """Names of the instruments that the simulator has at the venue of this protocol."""

def sim_history(seed: int, instrument: str, minutes: int, end_ns: int) -> dict[str, Any]:
    """One-minute bars before `end_ns`: bytes of int64 per column, and price_scale and size_scale."""

class Records:
    """A batch of records of one epoch; `np.frombuffer(records, dtype=tidemill.wire.RECORD)` views it."""

    epoch: int
    sequence: int
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class JournalReader:
    """A read-only cursor over a venue's journal, in place."""

    def __init__(self, home: str, venue: str) -> None: ...
    def oldest(self) -> tuple[int, int]: ...
    def newest(self) -> tuple[int, int]: ...
    def durable(self) -> int: ...
    def seek(self, position: tuple[int, int] | Literal["oldest", "newest"]) -> tuple[int, int] | None: ...
    def seek_snapshot(self, instrument: int) -> bool: ...
    def read(self, max_records: int, timeout_ms: int) -> Records | None: ...
    def take_lost(self) -> list[tuple[int, int, int, Literal["corrupt", "overrun"]]]: ...

class RelayReader:
    """A subscription to one venue of a relay, here or on another machine."""

    def __init__(self, address: str, venue: str, token: str | None = None) -> None: ...
    def subscribe(self, position: tuple[int, int] | None) -> None: ...
    def read(self, max_records: int, timeout_ms: int) -> Records | None: ...
    def newest(self) -> tuple[int, int]: ...
    def take_lost(self) -> list[tuple[int, int, int, Literal["overrun"]]]: ...

class RelayVenue(TypedDict):
    name: str
    oldest: tuple[int, int]
    newest: tuple[int, int]
    instruments: list[Instrument]

def relay_venues(address: str, token: str | None = None) -> list[RelayVenue]:
    """What a relay has."""

class JournalWriter:
    """The one writer of a venue's journal."""

    def __init__(self, home: str, venue: str, protocol: str) -> None: ...
    @property
    def epoch(self) -> int: ...
    @property
    def next_sequence(self) -> int: ...
    @property
    def durable(self) -> int: ...
    def instrument(
        self,
        name: str,
        *,
        symbol: str,
        base: str,
        quote: str,
        tick: str,
        lot: str,
        price_scale: int,
        size_scale: int,
        status: str = "online",
    ) -> int: ...
    def append(self, buffer: Bytes) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: Any) -> None: ...

class BarBuilder:
    """Bars of every instrument of a venue in several intervals, from its records in order."""

    def __init__(self, intervals: list[str]) -> None: ...
    def push(self, records: Bytes, sequence: int) -> bytes:
        """Takes in records of dense sequences; the bars they closed, as rows of dtype BAR."""
    def count(self, records: Bytes, sequences: Bytes) -> None:
        """Takes in stored trades without closing anything; one u64 sequence a record."""
    def settle(self, rows: Bytes) -> None:
        """Tells that these rows are stored; what differs will come again with the next revision."""
    def begin(self, floors_ns: list[int]) -> None: ...
    def forget(self, before_ns: int) -> None: ...
    def open(self) -> bytes: ...
    def series(self, instrument: int, interval: int) -> bytes: ...
    @property
    def watermark(self) -> int | None: ...
    @property
    def intervals(self) -> list[str]: ...
    def take_refused(self) -> list[tuple[int, str]]: ...
    def take_forgotten(self) -> list[int]: ...

class Book:
    """Order book of one instrument."""

    def __init__(self) -> None: ...
    def apply(self, records: Bytes, instrument: int) -> None: ...
    def top(self, depth: int) -> tuple[list[tuple[int, int, int, int]], list[tuple[int, int, int, int]]]: ...
    @property
    def valid(self) -> bool: ...
    @property
    def times(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...

def bars_of_trades(records: Bytes, sequences: Bytes, interval: str) -> bytes:
    """The bars of one instrument's trades in any order, rows of dtype BAR ascending by start."""

def merge_bars(rows: Bytes, interval: str) -> bytes:
    """Bars of a longer interval from rows of one series that ascend by start."""

def resample(
    ts_event: Bytes, price: Bytes, size: Bytes, price_scale: int, size_scale: int, interval: str
) -> bytes:
    """Bars from ascending int64 arrays of one scale."""

def interval_bounds(interval: str, ts: int) -> tuple[int, int]:
    """Start and end (exclusive) of the interval that holds `ts`, ns."""
