"""What a strategy is: its name and parameters, the orders that it sends, and mistakes in its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import pytest

from tidemill.errors import UsageError
from tidemill.model.order import Order
from tidemill.strategy import Bar, Bars, Fill, Market, Param, Signal, Strategy, when


class Account:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[Order] = []

    def submit(self, order: Order) -> int:
        self.sent.append(order)
        return len(self.sent)

    def target(self, instrument: str, share: float) -> int | None:
        return None if share == 0 else self.submit(Order(instrument, "buy", Decimal(1)))

    def cancel(self, order: int) -> bool:
        return order <= len(self.sent)

    def orders(self) -> Mapping[int, Order]:
        return dict(enumerate(self.sent, 1))

    def position(self, instrument: str) -> Decimal:
        return Decimal("-0.5")

    def equity(self) -> Decimal:
        return Decimal(1000)

    def cash(self) -> Decimal:
        return Decimal(900)

    def price(self, instrument: str, value: float) -> Decimal:
        return Decimal(str(round(value, 1)))

    def size(self, instrument: str, value: float) -> Decimal:
        return Decimal(str(round(value, 2)))


class RSIFade(Strategy):
    """By signal."""

    period = Param(14, low=2, high=100)

    def signal(self, bars: Bars) -> Signal:
        return when(bars.rsi(self.period) < 30, 1.0, 0.0)


class Pair(Strategy):
    def signals(self, market: Market) -> Mapping[str, Signal]:
        return {name: when(bars.close > 1, 0.5) for name, bars in market.items()}


class Event(Strategy):
    def start(self, market: Market) -> None:
        self.average = {name: self.watch(bars.sma(5)) for name, bars in market.items()}

    def on_bar(self, bar: Bar) -> None:
        self.buy(bar.instrument, 1)


def bound(strategy: Strategy) -> Account:
    account = Account()
    strategy._broker = account
    return account


def test_names_kinds_and_parameters() -> None:
    assert [one.name() for one in (RSIFade, Pair, Event)] == ["rsi_fade", "pair", "event"]
    assert [one.by_signal() for one in (RSIFade, Pair, Event, Strategy)] == [True, True, False, False]
    assert RSIFade(period=5).params == {"period": 5}
    assert list(RSIFade.declared()) == ["period"]
    with pytest.raises(UsageError, match="from 2 to 100"):
        RSIFade(period=1)
    with pytest.raises(UsageError, match="perod"):
        RSIFade(perod=3)
    assert list(RSIFade().signals({"A.x": Bars("A.x"), "B.x": Bars("B.x")})) == ["A.x", "B.x"]


def test_orders_are_what_their_prices_make_them() -> None:
    event = Event()
    account = bound(event)
    assert event.buy("A.x", "0.5") == 1
    event.sell("A.x", 2, limit="10.5", time_in_force="ioc")
    event.sell("A.x", Decimal(2), stop="9", reduce_only=True)
    event.buy("A.x", 2, stop=11, limit="11.5")
    assert account.sent == [
        Order("A.x", "buy", Decimal("0.5")),
        Order("A.x", "sell", Decimal(2), "limit", Decimal("10.5"), None, "ioc"),
        Order("A.x", "sell", Decimal(2), "stop", None, Decimal(9), "gtc", True),
        Order("A.x", "buy", Decimal(2), "stop_limit", Decimal("11.5"), Decimal(11)),
    ]
    assert (event.target("A.x", 0.0), event.target("A.x", 0.5)) == (None, 5)
    assert (event.cancel(1), event.cancel(99)) == (True, False)
    assert (event.price("A.x", 10.26), event.size("A.x", 0.123)) == (Decimal("10.3"), Decimal("0.12"))
    assert (event.position("A.x"), event.equity) == (Decimal("-0.5"), Decimal(1000))


@pytest.mark.parametrize("size", [0.5, True, "x", "NaN", "inf", 0, -1, "-0.5", Decimal("sNaN")])
def test_a_size_that_is_not_exact_or_not_above_zero_is_refused(size: object) -> None:
    event = Event()
    account = bound(event)
    for send in (event.buy, event.sell):
        with pytest.raises(UsageError) as refused:
            send("A.x", size)  # type: ignore[arg-type]
        assert refused.value.code == "order_invalid"
        with pytest.raises(UsageError):
            send("A.x", 1, limit=size)  # type: ignore[arg-type]
    assert account.sent == []


def test_an_account_is_there_from_the_first_bar_on() -> None:
    event = Event()
    for ask in (
        lambda: event.buy("A.x", 1),
        lambda: event.equity,
        lambda: event.position("A.x"),
        lambda: event.cancel(1),
        lambda: event.target("A.x", 1.0),
    ):
        with pytest.raises(UsageError) as refused:
            ask()
        assert refused.value.code == "strategy_invalid"


def test_watches_are_made_at_the_start() -> None:
    event = Event()
    event.start({"A.x": Bars("A.x")})
    assert [watch.signal for watch in event._watches] == [event.average["A.x"].signal]
    assert event.average["A.x"].value != event.average["A.x"].value  # NaN
    bound(event)
    with pytest.raises(UsageError, match="start"):
        event.watch(Bars("A.x").close)


def _taken() -> type[Strategy]:
    class Taken(Strategy):
        stop = Param(2.0)  # type: ignore[assignment]

        def signal(self, bars: Bars) -> Signal:
            return bars.close

    return Taken


def _hidden() -> type[Strategy]:
    class Hidden(Strategy):
        _fast = Param(2)

    return Hidden


def _both() -> type[Strategy]:
    class Both(RSIFade):
        def on_fill(self, fill: Fill) -> None:
            pass

    return Both


@pytest.mark.parametrize(("make", "says"), [(_taken, "stop"), (_hidden, "_fast"), (_both, "who would trade")])
def test_a_class_that_cannot_work_is_refused_where_it_is_written(
    make: Callable[[], type[Strategy]], says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        make()
    assert refused.value.code == "strategy_invalid"
    assert says in refused.value.message
