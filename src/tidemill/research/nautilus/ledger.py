"""The account that a run through NautilusTrader is settled in: exact, by the rules of docs/engine.md.

NautilusTrader decides when an order is filled. What it cost, what is left of the cash and whether an order
may go out at all is kept here in integers, since an account of NautilusTrader reckons profits in floats.
Amounts have 18 decimal digits, fees 9, prices and sizes are mantissas at their instrument's scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from tidemill.errors import UsageError
from tidemill.model.order import Kind, TimeInForce
from tidemill.research.backtest import ANY
from tidemill.research.history import Terms
from tidemill.research.run import Costs

DIGITS: Final = 18
FEE_DIGITS: Final = 9
_RATE, _BPS, _SHARE = 12, 9, 9
_SHARE_ONE = 10**_SHARE


@dataclass(slots=True)
class Entry:
    """An order as it is kept; prices of 0 are none."""

    number: int
    instrument: int
    side: int
    """+1 buys, -1 sells."""
    size: int
    kind: Kind
    limit: int
    stop: int
    time_in_force: TimeInForce
    reduce_only: bool
    ts: int
    after: int = ANY
    """Rows that end until then (ns) do not meet it."""
    state: str = "open"
    reason: str = ""
    takes: bool = False
    """What it waits for was there already when it was sent, or it takes what is there or nothing; until the
    next open."""
    triggered: bool = False
    """Its stop was reached while there was no position for it to reduce."""

    @property
    def open(self) -> bool:
        return self.state == "open"

    def meets(self, price: int, *, strict: bool) -> bool:
        """Whether it would be filled where the market is at `price`; `strict` asks a limit to be passed. A
        stop that is reached stays so."""
        if self.stop and not self.triggered:
            self.triggered = price >= self.stop if self.side > 0 else price <= self.stop
            if not self.triggered or not self.limit:
                return self.triggered
            strict = False
        if not self.limit:
            return True
        better = (self.limit - price) * self.side
        return better > 0 or (better == 0 and not strict)


@dataclass(frozen=True, slots=True)
class Done:
    """A fill."""

    order: int
    instrument: int
    side: int
    price: int
    size: int
    fee: int
    maker: bool


class Ledger:
    """Orders, positions and cash of one run."""

    def __init__(self, cash: str, terms: Sequence[Terms], costs: Costs) -> None:
        self.terms = list(terms)
        self.cash = exact(cash, DIGITS, "cash")
        self._fees = [exact(rate, _RATE, "a fee") for rate in (costs.taker, costs.maker)]
        self._reach = exact(costs.spread_bps, _BPS, "spread_bps") + 2 * exact(
            costs.slippage_bps, _BPS, "slippage_bps"
        )
        self._ticks = costs.slippage_ticks
        self._leverage = exact(costs.leverage, _SHARE, "leverage")
        self._unit: list[int] = [10 ** (DIGITS - one.price_scale - one.size_scale) for one in terms]
        count = len(self.terms)
        self.positions = [0] * count
        self.closes = [0] * count
        self.orders: list[Entry] = []
        self.live: list[dict[int, Entry]] = [{} for _ in terms]
        """Open orders of each instrument by number, oldest first."""
        self.fills: list[tuple[int, Done]] = []
        """Each with the end of its row (ns), in the order in which they happened."""
        self._market, self._buys, self._sells = ([0] * count for _ in range(3))
        self._targets = [float("nan")] * count
        self._wishes: list[int] = []
        self._after = [ANY] * count

    # What it is worth.

    def equity(self) -> int:
        """Cash and positions at their last closes."""
        return self.cash + sum(
            close * position * unit
            for close, position, unit in zip(self.closes, self.positions, self._unit, strict=True)
            if position
        )

    def wish(self, instrument: int, share: float, after: int = ANY) -> None:
        """Wants this share of the equity in an instrument; `settle` sends what that takes. NaN and the share
        that was wanted before change nothing."""
        if share != share or share == self._targets[instrument]:
            return
        if abs(share) > self._leverage / _SHARE_ONE:
            raise UsageError(
                "strategy_invalid",
                f"wants {share} of the equity in {self.terms[instrument].name}, "
                f"but leverage is {self._leverage / _SHARE_ONE}",
                hint="see docs/engine.md",
            )
        self._targets[instrument], self._after[instrument] = share, after
        if instrument not in self._wishes:
            self._wishes.append(instrument)

    def settle(self, ts: int) -> None:
        """Sends the orders of the wishes, those that leave a position first."""
        wishes, self._wishes = self._wishes, [each for each in self._wishes if not self.closes[each]]
        later = []
        for each in wishes:
            if not self.closes[each]:
                continue  # it waits for a price to be sized by
            wanted = self._wanted(each)
            held = self.positions[each] + self._market[each]
            if wanted == held:
                continue
            line = (each, 1 if wanted > held else -1, abs(wanted - held))
            if abs(wanted) <= abs(held):
                self.send(*line, ts=ts, after=self._after[each])
            else:
                later.append(line)
        for line in later:
            self.send(*line, ts=ts, after=self._after[line[0]])

    def _wanted(self, instrument: int) -> int:
        equity, lot = self.equity(), self.terms[instrument].lot
        if equity <= 0:
            return 0
        share = round(self._targets[instrument] * _SHARE_ONE)
        price = self.closes[instrument] * lot * self._unit[instrument]
        size: int = equity * abs(share) // price // _SHARE_ONE * lot
        return size if share > 0 else -size

    # Orders.

    def send(
        self,
        instrument: int,
        side: int,
        size: int,
        kind: Kind = "market",
        limit: int = 0,
        stop: int = 0,
        time_in_force: TimeInForce = "gtc",
        reduce_only: bool = False,
        *,
        ts: int,
        after: int = ANY,
    ) -> int:
        """Keeps an order; its number. One that is refused has a number too, and says why."""
        entry = Entry(
            len(self.orders), instrument, side, size, kind, limit, stop, time_in_force, reduce_only, ts, after
        )
        self.orders.append(entry)
        entry.reason = self._objection(entry)
        if entry.reason:
            entry.state = "refused"
        else:
            self._count(entry, 1)
            close, level = self.closes[instrument], stop or limit
            reached = close <= level if (side > 0) != bool(stop) else close >= level
            entry.takes = reached or time_in_force == "ioc"
            self.live[instrument][entry.number] = entry
        return entry.number

    def _objection(self, entry: Entry) -> str:
        terms = self.terms[entry.instrument]
        if not self.closes[entry.instrument]:
            return "no_price"
        if entry.size % terms.lot:
            return "lot"
        if entry.limit % terms.tick or entry.stop % terms.tick:
            return "tick"
        return "" if self._allows(entry) else "leverage"

    def _allows(self, entry: Entry) -> bool:
        """Whether all that could be held once open orders are filled stays within leverage × equity, or the
        order makes that no more than it is."""
        at = entry.instrument
        before = self._most(at)
        self._count(entry, 1)
        after = self._most(at)
        gross = sum(self._most(each) * self.closes[each] * unit for each, unit in enumerate(self._unit))
        self._count(entry, -1)
        return entry.reduce_only or after <= before or gross <= self.equity() * self._leverage // _SHARE_ONE

    def _most(self, at: int) -> int:
        base = self.positions[at] + self._market[at]
        return max(abs(base + self._buys[at]), abs(base - self._sells[at]))

    def _count(self, entry: Entry, times: int) -> None:
        at, size = entry.instrument, times * entry.size
        if entry.reduce_only:
            return
        if entry.kind == "market":
            self._market[at] += size * entry.side
        elif entry.side > 0:
            self._buys[at] += size
        else:
            self._sells[at] += size

    def end(self, entry: Entry, state: str, reason: str = "") -> None:
        """The order is open no more."""
        entry.state, entry.reason = state, reason
        self.live[entry.instrument].pop(entry.number, None)
        self._count(entry, -1)

    # Fills.

    def maker(self, entry: Entry, *, rests: bool) -> bool:
        """Whether an order is filled as a maker; `rests` where NautilusTrader says so. A limit that was sent
        on its own side of the market rested before the open that it is filled at."""
        return not entry.takes if entry.kind == "limit" else rests or entry.triggered

    def price(self, entry: Entry, base: int, *, maker: bool, resting: bool) -> int:
        """What an order gets where the market is at `base`: half the spread and the slippage worse for who
        takes, never beyond a limit. `resting` is a maker whose price was passed inside a bar."""
        if maker:
            return entry.limit if resting else base
        tick = self.terms[entry.instrument].tick
        away: int = -(-base * self._reach // (2 * 10_000 * 10**_BPS)) + self._ticks * tick
        if entry.side > 0:
            worse: int = -(-(base + away) // tick) * tick
            return min(worse, entry.limit) if entry.limit else worse
        worse = max((base - away) // tick * tick, tick)
        return max(worse, entry.limit) if entry.limit else worse

    def fee(self, instrument: int, price: int, size: int, *, maker: bool) -> int:
        """Of a fill, rounded up."""
        notional = price * size * self._unit[instrument]
        return int(-(-notional * self._fees[maker] // 10 ** (_RATE + DIGITS - FEE_DIGITS)))

    def fill(self, entry: Entry, price: int, size: int, fee: int, *, maker: bool) -> Done:
        """Pays for a fill."""
        at = entry.instrument
        self.cash -= entry.side * price * size * self._unit[at] + fee * 10 ** (DIGITS - FEE_DIGITS)
        self.positions[at] += entry.side * size
        self.end(entry, "filled")
        return Done(entry.number, at, entry.side, price, size, fee, maker)

    def reducible(self, entry: Entry) -> bool:
        """Whether there is a position that the order makes smaller."""
        return self.positions[entry.instrument] * entry.side < 0

    # As `_native.Engine` gives it.

    def fill_columns(self) -> dict[str, Any]:
        fills = self.fills
        found: dict[str, Any] = {"ts": np.array([ts for ts, _ in fills], np.int64)}
        for name, kind in (
            ("instrument", np.uint32), ("order", np.uint32), ("side", np.int8),
            ("price", np.int64), ("size", np.int64), ("fee", np.int64), ("maker", np.bool_),
        ):  # fmt: skip
            found[name] = np.array([getattr(one, name) for _, one in fills], kind)
        return found

    def order_columns(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, kind in (
            ("ts", np.int64), ("instrument", np.uint32), ("side", np.int8),
            ("size", np.int64), ("limit", np.int64), ("stop", np.int64),
        ):  # fmt: skip
            found[name] = np.array([getattr(one, name) for one in self.orders], kind)
        for name in ("kind", "state", "reason"):
            found[name] = [getattr(one, name) for one in self.orders]
        return found


def exact(text: str, digits: int, what: str) -> int:
    """A decimal number as an integer at so many digits. Raises `UsageError` `costs_invalid` for more."""
    found = Decimal(text).scaleb(digits)
    if found != found.to_integral_value():
        raise UsageError("costs_invalid", f"{what} of {text} has more than {digits} decimal places")
    return int(found)
