"""What a strategy trades with in a run through NautilusTrader, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from tidemill.errors import UsageError
from tidemill.model.order import Fill, Order
from tidemill.research.backtest import Decided, Stage
from tidemill.research.nautilus.ledger import DIGITS, FEE_DIGITS, Done, Entry, Ledger
from tidemill.research.nautilus.row import Rows
from tidemill.strategies.api import Strategy
from tidemill.strategies.evaluation import values
from tidemill.strategies.signal import Bars, Floats


class Wishes:
    """A strategy that is a formula: what it wants is known beforehand."""

    def __init__(self, rows: Rows, ledger: Ledger, targets: Floats) -> None:
        self._rows, self._ledger, self._targets = rows, ledger, targets.tolist()
        self._at = 0

    def decide(self, at: int, done: list[Done]) -> None:
        """The step whose last row is `at` is over."""
        for row in range(self._at, at + 1):
            self._ledger.wish(self._rows.number[row], self._targets[row])
        self._at = at + 1
        if self._at < len(self._rows):
            self._ledger.settle(self._rows.end[at])


class Account:
    """The broker of a strategy that is told bar after bar."""

    def __init__(self, stage: Stage, rows: Rows, ledger: Ledger, strategy: Strategy) -> None:
        self._rows, self._ledger, self._strategy = rows, ledger, strategy
        self._names = list(stage.history.tracks)
        self._orders: dict[int, Order] = {}
        self._now = 0
        self.withdraw: Callable[[Entry, str], None]
        strategy._broker = None
        strategy._watches.clear()
        strategy.start({name: Bars(name) for name in self._names})
        self._watches = list(strategy._watches)
        signals = [watch.signal for watch in self._watches]
        told = stage.bars()
        self._served = [one[told.step].tolist() for one in values(signals, stage.series)]
        self._bars, self._after, self._told = list(told.bars), told.after.tolist(), 0
        self._decided = Decided(stage)
        strategy._broker = self

    def decide(self, at: int, done: list[Done]) -> None:
        """The step whose last row is `at` is over."""
        self._now = self._rows.end[at]
        self._decided.at(self._now, self._now)
        for fill in done:
            self._strategy.on_fill(self._fill(fill))
        while self._told < len(self._bars) and self._after[self._told] <= at:
            bar = self._bars[self._told]
            for watch, served in zip(self._watches, self._served, strict=True):
                watch.value = served[self._told]
            self._told += 1
            self._decided.at(self._now, bar.known)
            self._strategy.on_bar(bar)
        if at + 1 < len(self._rows):
            self._ledger.settle(self._now)

    def _fill(self, done: Done) -> Fill:
        terms = self._ledger.terms[done.instrument]
        return Fill(
            self._now,
            terms.name,
            done.order,
            "buy" if done.side > 0 else "sell",
            Decimal(done.price).scaleb(-terms.price_scale),
            Decimal(done.size).scaleb(-terms.size_scale),
            Decimal(done.fee).scaleb(-FEE_DIGITS),
            done.maker,
        )

    # As `Broker`.

    def submit(self, order: Order) -> int:
        number = self._of(order.instrument)
        terms = self._ledger.terms[number]
        if order.time_in_force == "ioc" and order.stop is not None:
            raise UsageError(
                "order_invalid", f"a {order.kind} order waits for its stop price, so it cannot be ioc"
            )
        found = self._ledger.send(
            number,
            1 if order.side == "buy" else -1,
            _mantissa(order.size, terms.size_scale, "size", order),
            order.kind,
            _mantissa(order.limit or Decimal(0), terms.price_scale, "limit", order),
            _mantissa(order.stop or Decimal(0), terms.price_scale, "stop", order),
            order.time_in_force,
            order.reduce_only,
            ts=self._now,
            after=self._decided.after(number),
        )
        self._orders[found] = order
        return found

    def target(self, instrument: str, share: float) -> None:
        number = self._of(instrument)
        self._ledger.wish(number, share, self._decided.after(number))

    def cancel(self, order: int) -> bool:
        entry = self._ledger.orders[order] if 0 <= order < len(self._ledger.orders) else None
        if entry is None or not entry.open:
            return False
        self.withdraw(entry, "asked")
        return True

    def orders(self) -> Mapping[int, Order]:
        self._orders = {
            number: one for number, one in self._orders.items() if self._ledger.orders[number].open
        }
        return dict(self._orders)

    def position(self, instrument: str) -> Decimal:
        number = self._of(instrument)
        return Decimal(self._ledger.positions[number]).scaleb(-self._ledger.terms[number].size_scale)

    def equity(self) -> Decimal:
        return Decimal(self._ledger.equity()).scaleb(-DIGITS)

    def cash(self) -> Decimal:
        return Decimal(self._ledger.cash).scaleb(-DIGITS)

    def price(self, instrument: str, value: float) -> Decimal:
        return self._ledger.terms[self._of(instrument)].price(value)

    def size(self, instrument: str, value: float) -> Decimal:
        return self._ledger.terms[self._of(instrument)].size(value)

    def _of(self, instrument: str) -> int:
        if instrument not in self._names:
            raise UsageError(
                "order_invalid",
                f"the strategy does not run on {instrument[:80]!r}",
                hint="it runs on " + ", ".join(self._names),
            )
        return self._names.index(instrument)


def _mantissa(value: Decimal, scale: int, what: str, order: Order) -> int:
    found = value.scaleb(scale)
    if found != found.to_integral_value() or abs(found) >= 2**63:
        raise UsageError(
            "order_invalid",
            f"{what} {value} of {order.instrument} has more than {scale} decimal places"[:300],
            hint="round it to the instrument's steps",
        )
    return int(found)
