"""What a strategy is: one class that runs over whole series, event after event, on paper and live.

    from tidemill.strategy import Strategy, Param, when

    class SmaCross(Strategy):
        \"\"\"Long while the fast average is above the slow one.\"\"\"

        fast = Param(20, low=2, high=200)
        slow = Param(50, low=5, high=500)

        def signal(self, bars):
            return when(bars.sma(self.fast) > bars.sma(self.slow), 1.0, 0.0)

A signal is the share of equity that the strategy wants in an instrument, as a formula (`signal.py`): 1 is all
of it, -0.5 half of it short, NaN leaves things as they are, and so does a value that is the same as before.
What needs orders of its own, or state, writes `start`, `on_bar`, `on_fill` and `stop` instead, with signals
in `watch`:

    class Breakout(Strategy):
        period = Param(20, low=2, high=500)

        def start(self, market):
            self.channel = {name: self.watch(bars.donchian(self.period).upper.shift(1))
                            for name, bars in market.items()}

        def on_bar(self, bar):
            if bar.close > self.channel[bar.instrument].value and not self.position(bar.instrument):
                self.buy(bar.instrument, self.size(bar.instrument, float(self.equity) / bar.close))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Protocol

from tidemill.errors import UsageError
from tidemill.model.order import Fill, Kind, Order, Side, TimeInForce
from tidemill.strategies import param
from tidemill.strategies.operation import NAN
from tidemill.strategies.signal import Bars, Signal

Market = Mapping[str, Bars]
"""The instruments that a strategy runs on, by name, in the order in which they were asked for."""


class Bar(NamedTuple):
    """A closed bar, as a strategy sees it."""

    instrument: str
    interval: str
    start: int
    """First nanosecond of its interval, UTC."""
    known: int
    """When it could first be used, UTC ns: the time of everything that is done in `on_bar`."""
    open: float
    high: float
    low: float
    close: float
    volume: float


class Broker(Protocol):
    """What carries a strategy's orders out: an engine, NautilusTrader, a paper or a live account."""

    def submit(self, order: Order) -> int:
        """Sends an order and returns its number. An order that is refused has a number too, and no fill."""

    def target(self, instrument: str, share: float) -> None:
        """Brings an instrument to this share of equity: the market order for the difference goes out once all
        closes of this time are known. The share wanted before, and NaN, do nothing."""

    def cancel(self, order: int) -> bool:
        """Whether the order was still open."""

    def orders(self) -> Mapping[int, Order]:
        """Open orders by number."""

    def position(self, instrument: str) -> Decimal:
        """Size held, below zero when short."""

    def equity(self) -> Decimal:
        """Cash and positions at their last close, in the quote currency."""

    def cash(self) -> Decimal:
        """Cash, in the quote currency."""

    def price(self, instrument: str, value: float) -> Decimal:
        """The nearest price that an order in this instrument may have."""

    def size(self, instrument: str, value: float) -> Decimal:
        """The largest size, `value` at most, that an order in this instrument may have; else 0."""


class Watch:
    """A signal's value as of the last step; NaN while it is not known."""

    __slots__ = ("signal", "value")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.value = NAN


class Strategy:
    """The base of all strategies. Override `signal` (or `signals`, where instruments depend on each other),
    or `start`, `on_bar` and `on_fill`.

    Raises `UsageError` `parameter_unknown` or `parameter_invalid` for parameters that it does not have."""

    title: ClassVar[str] = ""
    """In words; the class's name, spaced, where there is none."""
    author: ClassVar[str] = ""

    def __init_subclass__(cls, **rest: object) -> None:
        super().__init_subclass__(**rest)
        for name, value in vars(cls).items():
            if isinstance(value, param.Param) and (name.startswith("_") or hasattr(Strategy, name)):
                raise UsageError(
                    "strategy_invalid",
                    f"{cls.__name__}.{name} cannot be a parameter: every strategy has {name!r} already",
                    hint=f"call it {name.strip('_')}_value or the like",
                )
        if cls.by_signal() and any(
            getattr(cls, name) is not getattr(Strategy, name) for name in ("on_bar", "on_fill")
        ):
            raise UsageError(
                "strategy_invalid",
                f"{cls.__name__} has both a signal and on_bar or on_fill: who would trade?",
                hint="write the one or the other; `watch` keeps signals up to date for on_bar",
            )

    def __init__(self, **params: object) -> None:
        self._params = param.values(type(self), params)
        self._watches: list[Watch] = []
        self._broker: Broker | None = None

    # What it is.

    @classmethod
    def name(cls) -> str:
        """Its class's name in snake_case: `SmaCross` is `sma_cross`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()

    @classmethod
    def declared(cls) -> dict[str, param.Param[Any]]:
        """Its parameters by name."""
        return param.declared(cls)

    @property
    def params(self) -> dict[str, param.Value]:
        """All parameters with their values."""
        return dict(self._params)

    @classmethod
    def by_signal(cls) -> bool:
        """It is a formula alone, which runs over whole series at once."""
        return cls.signal is not Strategy.signal or cls.signals is not Strategy.signals

    # What it does: override these.

    def signal(self, bars: Bars) -> Signal:
        """The wanted share of equity in this instrument. Called once, for each instrument."""
        raise UsageError(
            "strategy_invalid",
            f"{type(self).__name__} has no signal()",
            hint="write signal(self, bars), or on_bar(self, bar)",
        )

    def signals(self, market: Market) -> Mapping[str, Signal]:
        """The wanted share of equity in each instrument; one that is left out is never traded."""
        return {name: self.signal(bars) for name, bars in market.items()}

    def start(self, market: Market) -> None:
        """Before the first bar: the place for `watch`."""

    def on_bar(self, bar: Bar) -> None:
        """A bar is closed, all watches are up to it. Orders sent here fill at the next bar's open at best."""

    def on_fill(self, fill: Fill) -> None:
        """An order, or a part of one, was filled."""

    def stop(self) -> None:
        """After the last bar."""

    # What it may use.

    def watch(self, signal: Signal) -> Watch:
        """Keeps a signal's value up to date. Only in `start`."""
        if self._broker is not None:
            raise UsageError(
                "strategy_invalid", "watch() was called after start()", hint="make all watches in start()"
            )
        watch = Watch(signal)
        self._watches.append(watch)
        return watch

    @property
    def watches(self) -> list[Watch]:
        """Those that `start` made."""
        return list(self._watches)

    @property
    def broker(self) -> Broker:
        """The account: open orders, cash, positions. Not before the first bar."""
        if self._broker is None:
            raise UsageError(
                "strategy_invalid",
                "a strategy has no account before its first bar",
                hint="trade in on_bar and on_fill",
            )
        return self._broker

    def buy(
        self,
        instrument: str,
        size: Decimal | str | int,
        *,
        limit: Decimal | str | None = None,
        stop: Decimal | str | None = None,
        time_in_force: TimeInForce = "gtc",
        reduce_only: bool = False,
    ) -> int:
        """Sends an order; its number. Sizes and prices are decimals or their text, never floats."""
        return self._send("buy", instrument, size, limit, stop, time_in_force, reduce_only)

    def sell(
        self,
        instrument: str,
        size: Decimal | str | int,
        *,
        limit: Decimal | str | None = None,
        stop: Decimal | str | None = None,
        time_in_force: TimeInForce = "gtc",
        reduce_only: bool = False,
    ) -> int:
        """Sends an order to sell, as `buy` does; its number."""
        return self._send("sell", instrument, size, limit, stop, time_in_force, reduce_only)

    def _send(
        self,
        side: Side,
        instrument: str,
        size: Decimal | str | int,
        limit: Decimal | str | None,
        stop: Decimal | str | None,
        time_in_force: TimeInForce,
        reduce_only: bool,
    ) -> int:
        kind: Kind = (
            "market" if limit is None and stop is None
            else "limit" if stop is None
            else "stop" if limit is None
            else "stop_limit"
        )  # fmt: skip
        exact = [None if value is None else _exact(value) for value in (size, limit, stop)]
        assert exact[0] is not None  # noqa: S101 - a size is never None
        return self.broker.submit(
            Order(instrument, side, exact[0], kind, exact[1], exact[2], time_in_force, reduce_only)
        )

    def target(self, instrument: str, share: float) -> None:
        """Brings an instrument to this share of equity, by a market order at the next open. The share that
        was wanted before, and NaN, do nothing."""
        self.broker.target(instrument, share)

    def cancel(self, order: int) -> bool:
        """Whether the order was still open."""
        return self.broker.cancel(order)

    def position(self, instrument: str) -> Decimal:
        """Size held, below zero when short."""
        return self.broker.position(instrument)

    @property
    def equity(self) -> Decimal:
        """Cash and positions at their last close, in the quote currency."""
        return self.broker.equity()

    def price(self, instrument: str, value: float) -> Decimal:
        """The price nearest to `value` that an order may have: at least one tick. For `limit` and `stop`."""
        return self.broker.price(instrument, value)

    def size(self, instrument: str, value: float) -> Decimal:
        """The largest size of whole lots that is not above `value`; 0 where there is none."""
        return self.broker.size(instrument, value)


def _exact(value: Decimal | str | int) -> Decimal:
    if isinstance(value, (float, bool)):
        raise UsageError(
            "order_invalid",
            f"{value!r} is not exact",
            hint="give sizes and prices as Decimal or text, or use target() with a share of equity",
        )
    try:
        found = Decimal(value)
    except ArithmeticError:
        raise UsageError("order_invalid", f"{value!r} is no decimal number") from None
    if not found.is_finite() or found <= 0:
        raise UsageError("order_invalid", f"{value} is not above zero")
    return found
