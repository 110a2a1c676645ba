"""A run: one backtest with everything that determines it, and everything that came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Literal

import orjson
import pyarrow as pa

from tidemill.errors import UsageError
from tidemill.strategies.param import Value

Engine = Literal["fast", "nautilus"]

_MONEY = pa.decimal128(38, 18)
FILLS: Final = pa.schema(
    [
        pa.field("ts", pa.int64(), False),  # the open of a bar, or the end of one within which it was done
        pa.field("instrument", pa.string(), False),
        pa.field("order", pa.int64(), False),
        pa.field("side", pa.string(), False),  # buy, sell
        pa.field("price", _MONEY, False),
        pa.field("size", _MONEY, False),
        pa.field("fee", _MONEY, False),  # in the quote currency, below zero for a rebate
        pa.field("maker", pa.bool_(), False),
    ]
)
ORDERS: Final = pa.schema(
    [
        pa.field("order", pa.int64(), False),
        pa.field("ts", pa.int64(), False),  # when it was sent
        pa.field("instrument", pa.string(), False),
        pa.field("side", pa.string(), False),
        pa.field("kind", pa.string(), False),
        pa.field("size", _MONEY, False),
        pa.field("limit", _MONEY),
        pa.field("stop", _MONEY),
        pa.field("state", pa.string(), False),  # open, filled, cancelled, expired, refused
        pa.field("reason", pa.string()),  # why it was refused or cancelled
    ]
)
EQUITY: Final = pa.schema(
    [
        pa.field("ts", pa.int64(), False),  # end of the step
        pa.field("equity", pa.float64(), False),  # cash and positions at their last close
        pa.field("gross", pa.float64(), False),  # sum of all positions' worth, without signs
        pa.field("net", pa.float64(), False),  # with signs
    ]
)
TRADES: Final = pa.schema(
    [
        pa.field("instrument", pa.string(), False),
        pa.field("side", pa.string(), False),  # long, short
        pa.field("opened", pa.int64(), False),
        pa.field("closed", pa.int64()),  # null while it is open
        pa.field("size", _MONEY, False),  # the largest it had
        pa.field("entry", pa.float64(), False),  # mean price
        pa.field("exit", pa.float64()),
        pa.field("fees", pa.float64(), False),
        pa.field("net", pa.float64(), False),  # what it brought after fees; of an open one what it would
        pa.field("return", pa.float64(), False),  # net by what was put in
        pa.field("worst", pa.float64(), False),  # deepest unrealised loss, by what was put in (MAE), <= 0
        pa.field("best", pa.float64(), False),  # highest unrealised gain (MFE), >= 0
        pa.field("bars", pa.int64(), False),  # bars of its instrument that it was held
    ]
)


@dataclass(frozen=True)
class Costs:
    """What trading costs. Shares are decimal text: "0.001" is a thousandth of what was traded."""

    taker: str = "0"
    """Fee of an order that is done at once."""
    maker: str = "0"
    """Fee of an order that rested in the book; below zero for a rebate."""
    spread_bps: str = "0"
    """The whole spread in hundredths of a percent; market and stop orders pay half of it."""
    slippage_bps: str = "0"
    slippage_ticks: int = 0
    """How much worse market and stop orders are done."""
    leverage: str = "1"
    """Most that positions may be worth, by equity."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("taker", "-0.1", "0.1"), ("maker", "-0.1", "0.1"), ("spread_bps", "0", "10000"),
            ("slippage_bps", "0", "10000"), ("leverage", "0.01", "1000"),
        ):  # fmt: skip
            _within(name, getattr(self, name), Decimal(low), Decimal(high))
        if not 0 <= self.slippage_ticks <= 1_000_000:
            raise UsageError("costs_invalid", f"slippage_ticks is {self.slippage_ticks}, not 0 to 1,000,000")

    @property
    def free(self) -> bool:
        """Nothing is paid at all: results that no market gives."""
        return (
            all(Decimal(value) == 0 for value in (self.taker, self.maker, self.spread_bps, self.slippage_bps))
            and not self.slippage_ticks
        )

    def times(self, factor: str) -> Costs:
        """All costs so many times: for stress."""
        many = Decimal(factor)
        names = ("taker", "maker", "spread_bps", "slippage_bps")
        stressed = {name: f"{Decimal(getattr(self, name)) * many:f}" for name in names}
        return replace(self, slippage_ticks=int(self.slippage_ticks * many), **stressed)


def _within(name: str, text: str, low: Decimal, high: Decimal) -> None:
    try:
        fits = isinstance(text, str) and low <= Decimal(text) <= high
    except ArithmeticError:
        fits = False
    if not fits:
        raise UsageError("costs_invalid", f"{name} is decimal text from {low} to {high}, not {text!r}"[:300])


@dataclass(frozen=True)
class Settings:
    """How a strategy is run."""

    cash: str = "100000"
    costs: Costs = field(default_factory=Costs)
    limit_fill: Literal["touch", "through"] = "touch"
    """Whether a resting limit order is done when its price is touched, or only when it is passed."""
    engine: Engine = "fast"
    as_recorded: bool = False
    """Bars are used from when this platform had them, not from when they could have been known."""

    def __post_init__(self) -> None:
        _within("cash", self.cash, Decimal("0.01"), Decimal("1e15"))


def fingerprint(source: str, params: Mapping[str, Value], settings: Settings, data: str, version: str) -> str:
    """SHA-256 of what determines a run: the strategy's source, its parameters, the settings, the rows'
    digest and this program's version. Two runs with one fingerprint have the same result."""
    parts: dict[str, Any] = {
        "source": hashlib.sha256(source.encode()).hexdigest(),
        "params": dict(sorted(params.items())),
        "settings": asdict(settings),
        "data": data,
        "version": version,
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    orders: pa.Table
    """As in `ORDERS`, in the order in which they were sent."""
    fills: pa.Table
    """As in `FILLS`, in the order in which they happened."""
    equity: pa.Table
    """As in `EQUITY`, one row for each step, ascending."""
    trades: pa.Table
    """As in `TRADES`: from flat to flat, in the order in which they were opened."""
    cash: Decimal
    """At the end, exact."""
    positions: Mapping[str, Decimal]
    """Held at the end; without those that are flat."""

    @property
    def digest(self) -> str:
        """SHA-256 of orders, fills and equity: equal runs have equal digests, to the bit."""
        found = hashlib.sha256()
        for table in (self.orders, self.fills, self.equity):
            with pa.ipc.new_stream(sink := pa.BufferOutputStream(), table.schema) as writer:
                writer.write_table(table.combine_chunks())
            found.update(sink.getvalue())
        found.update(f"{self.cash:f}".encode())
        return found.hexdigest()
