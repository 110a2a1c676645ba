"""The compiled part: crates/py."""

from collections.abc import Sequence
from os import PathLike
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

    def __init__(self, home: str, venue: str, *, spin_us: int = 0) -> None:
        """`read` spins for up to `spin_us` before it sleeps, less while that does not pay: microseconds for a
        core. Leave it at 0 with fewer than four cores more than readers."""
    def oldest(self) -> tuple[int, int]: ...
    def newest(self) -> tuple[int, int]: ...
    def durable(self) -> int: ...
    def seek(self, position: tuple[int, int] | Literal["oldest", "newest"]) -> tuple[int, int] | None: ...
    def seek_snapshot(self, instrument: int) -> bool: ...
    def read(self, max_records: int, timeout_ms: int) -> Records | None: ...
    def take_lost(self) -> list[tuple[int, int, int, Literal["corrupt", "overrun"]]]: ...

class RelayReader:
    """A subscription to one venue of a relay, here or on another machine."""

    def __init__(
        self, address: str, venue: str, token: str | None = None, ca: str | PathLike[str] | None = None
    ) -> None: ...
    def subscribe(self, position: tuple[int, int] | None) -> None: ...
    def read(self, max_records: int, timeout_ms: int) -> Records | None: ...
    def newest(self) -> tuple[int, int]: ...
    def take_lost(self) -> list[tuple[int, int, int, Literal["overrun"]]]: ...

class RelayVenue(TypedDict):
    name: str
    oldest: tuple[int, int]
    newest: tuple[int, int]
    instruments: list[Instrument]

def relay_venues(
    address: str, token: str | None = None, ca: str | PathLike[str] | None = None
) -> list[RelayVenue]:
    """What a relay has."""

class Recent:
    """The newest trades and quotes of one instrument and its book, from the journal of its venue."""

    def __init__(self, home: str, venue: str, number: int) -> None: ...
    def read_on(self) -> tuple[int, int] | None: ...
    def trades(
        self, start: int | None, end: int | None, limit: int, before: int | None
    ) -> list[tuple[int, int, str, str, str, int | None, int, int]] | None: ...
    def quotes(
        self, start: int | None, end: int | None, limit: int, before: int | None
    ) -> list[tuple[int, int, str, str, str, int, int]] | None: ...
    def book(
        self, depth: int
    ) -> tuple[tuple[int, int], int, int, bool, list[tuple[str, str]], list[tuple[str, str]]] | None: ...

class JournalWriter:
    """The one writer of a venue's journal, for collectors in Python: same files, same lock, same promises as
    the native ones. Threads may share it.

        with tidemill.JournalWriter(home, "kraken", "kraken") as journal:
            journal.append(records)
    """

    def __init__(
        self,
        home: str | PathLike[str],
        venue: str,
        protocol: str,
        *,
        max_bytes: int = 0,
        keep_hours: int = 0,
        segment_bytes: int = 64 << 20,
    ) -> None:
        """Opens the journal of `venue` below `home`, made where there is none; the epoch grows by one.

        `max_bytes` bounds the journal (0: the smaller of 10 GiB and 10 % of the disk); records leave it after
        `keep_hours` (0: they stay while there is room), never before they are stored. Raises RuntimeError
        when another process writes it or `venue` is no name, OSError for what the disk refuses.
        """
    @property
    def epoch(self) -> int:
        """Grows by one each time the journal is opened for writing."""
    @property
    def next_sequence(self) -> int:
        """The sequence the next record will get."""
    @property
    def durable(self) -> int:
        """Sequence up to which (inclusive) records survive a power cut; 0 before the first."""
    @property
    def pressure(self) -> Literal["bound", "disk_full"] | None:
        """Why no new segments can be made, else None; what is not read in time is lost meanwhile."""
    @property
    def trouble(self) -> str | None:
        """The same in words."""
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
    ) -> int:
        """The number of the instrument `BASE-QUOTE.venue`, given to it now if it is new; `tick` and `lot` are
        decimal text, `symbol` the venue's own spelling. Raises ValueError for text that is no decimal."""
    def append(self, buffer: Bytes) -> int:
        """Appends the records of one venue message: an array of dtype `tidemill.wire.RECORD`, shape (n,), or
        any contiguous buffer of them. Returns the sequence of the first; readers see all of them by then.

        Raises ValueError, and appends none, for what a live journal never holds: FLAG_BACKFILLED, an
        instrument that is not this venue's, more than 18 decimal places. Giving a `ts_recv` (ns) that never
        runs back is the caller's part."""
    def control(self, json: str) -> None:
        """Adds a message for those who read the log: JSON text without a sequence of its own."""
    def sync(self) -> None:
        """Returns when a power cut can take nothing that was appended."""
    def close(self) -> None:
        """Syncs, and lets another process write the journal."""
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

def merge_bars_by(rows: Bytes, starts: Bytes, ends: Bytes) -> bytes:
    """Bars of spans (ascending int64 `starts` and `ends`) from rows of one series that ascend by start and
    reach over no edge of a span; what begins in no span is in none."""

class Column:
    """Int64 values; `np.frombuffer(column, np.int64)` views them and keeps them alive."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def resample_columns(columns: dict[str, Any], interval: str) -> dict[str, Column]:
    """Bars of an interval from int64 columns start, open, high, low, close, volume, and perhaps volume_high
    and trades, ascending by start; the same again (`volume_high` only where a volume does not fit)."""

def resample_every(columns: dict[str, Any], intervals: Sequence[str]) -> list[dict[str, Column]]:
    """Bars of several intervals at once, in their order."""

def resample_by(columns: dict[str, Any], starts: Bytes, ends: Bytes) -> dict[str, Column]:
    """Bars of spans, such as sessions; what lies in no span is in no bar."""

def day_sums(
    ts: Bytes, price: Bytes, size: Bytes, starts: Bytes | None = None, ends: Bytes | None = None
) -> dict[str, Column]:
    """What was traded in each span, by default each UTC day: start, rows, and size and value (the sum of
    price × size) as `_low` and `_high` halves of 128 bits."""

def indicators() -> list[dict[str, Any]]:
    """All indicators (`tidemill.indicator.Spec`), those drawn over prices first."""

def indicator(
    name: str, columns: dict[str, npt.NDArray[Any]], params: dict[str, float] | None = None
) -> dict[str, npt.NDArray[np.float64]]:
    """A whole series: an array for each output. `columns` has those the indicator uses (`start` int64, the
    rest float64), which nobody may write meanwhile: the interpreter's lock is released. Raises KeyError for
    an unknown name, ValueError for parameters and columns that do not fit."""

class Indicator:
    """One indicator with its parameters and all it has seen. Raises as `indicator` does."""

    def __init__(self, name: str, params: dict[str, float] | None = None) -> None: ...
    def describe(self) -> dict[str, Any]:
        """What `indicators` says of one, for these parameters."""
    def update(
        self,
        start: int,
        open: float,  # noqa: A002
        high: float,
        low: float,
        close: float,
        volume: float,
    ) -> tuple[float, ...]:
        """Takes one bar; the value of each output, NaN until there is one."""
    def extend(self, columns: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float64]]:
        """Takes a series, as if `update` were called for each bar of it."""

class Fill:
    """One fill of a backtest: prices and sizes as integers at the instrument's scales."""

    ts: int
    """End of the row that filled it, ns."""
    instrument: int
    order: int
    side: Literal[1, -1]
    price: int
    size: int
    fee: int
    """At 9 decimal digits of the quote currency; below 0 for a rebate."""
    maker: bool

class Engine:
    """An account in a backtest, its orders, and all that happened to it (docs/engine.md). Rows are bars, or
    trades with one price, ascending in time; instruments are numbered from 0 as they are given.

        engine = Engine("100000", [{"name": "BTC-USD.kraken", "price_scale": 1, "size_scale": 8, "tick": 1,
                                    "lot": 1, "shorts": True}], {"taker": "0.0026"})
        engine.run(end, instrument, open, high, low, close, target)

    Raises ValueError for what is refused, of which nothing is taken, and OverflowError where an amount leaves
    128 bits, after which the engine is not to be used."""

    def __init__(
        self, cash: str, instruments: Sequence[dict[str, Any]], costs: dict[str, Any] | None = None
    ) -> None:
        """`costs`: taker, maker (fractions), spread_bps, slippage_bps, leverage as decimal text;
        slippage_ticks; limit_fill 'touch' or 'through'; gap_fill 'open' or 'level'. What is missing is 0,
        leverage 1, and the first of the two."""
    def run(
        self,
        end: npt.NDArray[np.int64],
        instrument: npt.NDArray[np.uint32],
        open: npt.NDArray[np.int64],  # noqa: A002
        high: npt.NDArray[np.int64],
        low: npt.NDArray[np.int64],
        close: npt.NDArray[np.int64],
        target: npt.NDArray[np.float64],
        funding: tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float64]] | None = None,
    ) -> None:
        """Takes rows in contiguous arrays, shape (n,), and what `target` would be told after each: NaN for
        nothing. `funding` has times, instruments and rates. Nobody may write to them meanwhile: the
        interpreter's lock is released."""
    def step(
        self,
        end: int,
        instrument: int,
        open: int,  # noqa: A002
        high: int,
        low: int,
        close: int,
    ) -> tuple[Fill, ...]:
        """Takes one row; the fills of it."""
    def submit(
        self,
        instrument: int,
        side: Literal[1, -1, "buy", "sell"],
        size: int,
        kind: Literal["market", "limit", "stop", "stop_limit"] = "market",
        limit: int | None = None,
        stop: int | None = None,
        time_in_force: Literal["gtc", "ioc", "day"] = "gtc",
        reduce_only: bool = False,
        after: int = ...,
    ) -> int:
        """Sends an order, to be filled from the next row of its instrument on that ends after `after` (ns);
        its number, also where the order is refused (`order` says why)."""
    def target(self, instrument: int, share: float, after: int = ...) -> None:
        """Wants this share of the equity in an instrument. The market order for the difference goes out when
        the time moves on, so that all closes of one time are known, and is not filled by a row that ends at
        or before `after` (ns); NaN and the share wanted before do nothing."""
    def fund(self, ts: int, instrument: int, rate: float) -> None:
        """A payment of rate × worth, long to short, for what is held at `ts` (ns), ascending."""
    def cancel(self, order: int) -> bool:
        """Takes an order back; False where it is open no more."""
    def position(self, instrument: int) -> int:
        """The size held, below 0 for short."""
    def equity(self) -> str:
        """Cash and what the positions are worth at the last closes, exact."""
    def equity_float(self) -> float:
        """The same as a float."""
    def cash(self) -> str: ...
    def open_orders(self) -> list[int]: ...
    def order(self, order: int) -> dict[str, Any]:
        """One row of `orders`."""
    def fills(self) -> dict[str, npt.NDArray[Any]]:
        """Columns ts, instrument, order, side, price, size, fee, maker."""
    def orders(self) -> dict[str, Any]:
        """Columns ts, instrument, side, kind, size, limit, stop (0 for none), time_in_force, reduce_only,
        state (open, filled, cancelled, expired, refused), reason, done (ns, 0 while open), filled (size).
        The row is the number of the order."""
    def positions(self) -> dict[str, npt.NDArray[Any]]:
        """Positions from flat to flat: instrument, side, opened, closed (ns, 0 while open), size (its
        largest), entry and exit (mean prices, NaN before an exit), fees and funding (at 9
        digits), net (what it brought after both; no profit yet while it is open), fills (how many)."""
    def payments(self) -> dict[str, npt.NDArray[Any]]:
        """Funding that was paid: ts, instrument, amount (at 9 digits; below 0 where it was received)."""
    def equity_curve(self) -> npt.NDArray[np.float64]:
        """Equity after each row, shape (n,)."""

def sweep_cross(
    close: npt.NDArray[np.float64],
    fast: Sequence[int],
    slow: Sequence[int],
    *,
    open: npt.NDArray[np.float64] | None = None,  # noqa: A002
    average: str = "simple",
    shorts: bool = False,
    cost: float = 0.0,
    threads: int = 1,
) -> dict[str, bytes]:
    """What crossing averages would have brought (`tidemill.research.sweep.cross`), for each pair in order:
    total, drawdown, mean, deviation and exposure as float64, trades as uint64. Changes are done at the next
    of `open`, or at the close itself without. Nobody may write to the arrays meanwhile: the interpreter's
    lock is released. Raises ValueError for what is no price, and for windows or a cost out of range."""

def resample(
    ts_event: Bytes, price: Bytes, size: Bytes, price_scale: int, size_scale: int, interval: str
) -> bytes:
    """Bars from ascending int64 arrays of one scale."""

def interval_bounds(interval: str, ts: int) -> tuple[int, int]:
    """Start and end (exclusive) of the interval that holds `ts`, ns."""
