"""Strategies over history: whole series at once as bar after bar, and nothing known too early."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.research.made import MINUTE, START, apart, track, walk
from tidemill.errors import UsageError
from tidemill.research import backtest
from tidemill.research.history import History, Terms
from tidemill.research.run import Costs, Settings, fingerprint
from tidemill.strategies.sma_cross import SmaCross
from tidemill.strategy import Bar, Bars, Fill, Market, Param, Signal, Strategy, when

COSTS = Settings(costs=Costs(taker="0.001", spread_bps="2", slippage_ticks=1, leverage="3"))


class BarByBar(Strategy):
    """The crossing of averages, written event after event."""

    fast = Param(20, low=2, high=500)
    slow = Param(50, low=3, high=2000)

    def start(self, market: Market) -> None:
        self.wanted = {
            name: self.watch(when(bars.sma(self.fast) > bars.sma(self.slow), 1.0, 0.0))
            for name, bars in market.items()
        }
        self.told: list[Bar] = []
        self.filled: list[Fill] = []

    def on_bar(self, bar: Bar) -> None:
        self.told.append(bar)
        self.target(bar.instrument, self.wanted[bar.instrument].value)

    def on_fill(self, fill: Fill) -> None:
        self.filled.append(fill)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    names=st.sampled_from((("A",), ("A", "B"), ("A", "B", "C"))),
    late=st.sampled_from((0, 3_000_000, 90 * 10**9, 15 * MINUTE)),
    fast=st.integers(2, 8),
)
def test_at_once_is_bar_after_bar_to_the_bit(seed: int, names: tuple[str, ...], late: int, fast: int) -> None:
    history = walk(seed, names, 120, late)
    params: dict[str, Any] = {"fast": fast, "slow": 12}
    at_once = backtest.run(SmaCross(**params), history, COSTS)
    strategy = BarByBar(**params)
    after = backtest.run(strategy, history, COSTS)
    assert at_once.digest == after.digest
    assert len(strategy.filled) == after.fills.num_rows
    assert len(strategy.told) == history.rows
    assert sum(after.trades["net"].to_pylist()) == pytest.approx(
        after.equity["equity"][-1].as_py() - 100_000, abs=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(20, 110), late=st.sampled_from((0, 4 * MINUTE)))
def test_what_comes_later_changes_nothing_before(seed: int, cut: int, late: int) -> None:
    history = walk(seed, ("A", "B"), 120, late)
    known = int(history.tracks["A"].known[cut])
    whole = backtest.run(SmaCross(fast=3, slow=7), history, COSTS).fills.to_pylist()
    part = backtest.run(SmaCross(fast=3, slow=7), history.until(known), COSTS).fills.to_pylist()
    assert part == whole[: len(part)]


def rising(count: int = 30, late: int = 0) -> History:
    """Opens at 100, 101, … and closes half a point above."""
    bars = [(10_000 + 100 * n, 10_060 + 100 * n, 9_990 + 100 * n, 10_050 + 100 * n) for n in range(count)]
    return History("1m", {"A": track(Terms("A", 2, 3), bars, late=late)})


class Third(Strategy):
    """Buys with all it has when the third bar is known."""

    def signal(self, bars: Bars) -> Signal:
        return when(bars.close > 102.3, 1.0)


def test_a_decision_at_a_close_is_done_at_the_next_open() -> None:
    done = backtest.run(Third(), rising())
    (fill,) = done.fills.to_pylist()
    assert fill["ts"] == START + 3 * MINUTE
    assert fill["price"] == Decimal("103")
    assert fill["size"] == (Decimal(100_000) / Decimal("102.5")).quantize(Decimal("0.001"), "ROUND_DOWN")
    assert done.equity["equity"][-1].as_py() == pytest.approx(
        float(done.cash + fill["size"] * Decimal("129.5"))
    )
    assert done.positions == {"A": fill["size"]}


@pytest.mark.parametrize(("late", "bar"), [(900_000_000, 3), (2 * MINUTE, 5), (90 * 10**9, 5)])
def test_what_is_known_late_is_done_at_the_first_open_after(late: int, bar: int) -> None:
    (fill,) = backtest.run(Third(), rising(late=late)).fills.to_pylist()
    assert fill["ts"] == START + bar * MINUTE
    assert fill["price"] == Decimal(100 + bar)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    by=st.integers(0, 2 * MINUTE),
    late=st.sampled_from((0, 500_000_000, 45 * 10**9, 5 * MINUTE)),
    gap=st.integers(0, 40),
)
def test_nobody_trades_at_an_open_before_the_bar_that_was_decided_by(
    seed: int, by: int, late: int, gap: int
) -> None:
    """Whichever instrument the order is for, and whether bars begin together, come late or are missing."""

    class Other(Strategy):
        def start(self, market: Market) -> None:
            self.names, self.decided = list(market), dict[int, tuple[int, str]]()

        def on_bar(self, bar: Bar) -> None:
            other = self.names[(self.names.index(bar.instrument) + 1 + bar.start // MINUTE % 2) % 3]
            send = self.sell if self.position(other) > 0 else self.buy
            limit = None if bar.start // MINUTE % 3 else self.price(other, bar.close * 1.01)
            self.decided[send(other, "1", limit=limit)] = bar.known, other

    history = apart(walk(seed, ("A", "B", "C"), 60, late), by)
    first = history.tracks["A"]
    kept = np.r_[0:5, 5 + gap : 60]
    columns = {name: getattr(first, name)[kept] for name in ("start", "end", "known", "open", "high", "low")}
    columns |= {name: getattr(first, name)[kept] for name in ("close", "volume")}
    history = History("1m", {**history.tracks, "A": replace(first, **columns)})
    strategy = Other()
    done = backtest.run(strategy, history, COSTS)
    for fill in done.fills.to_pylist():
        known, name = strategy.decided[fill["order"]]
        track_ = history.tracks[name]
        kind = done.orders["kind"][fill["order"]].as_py()
        # A market order is told at the open that fills it, a limit at the end of its bar.
        opened = fill["ts"] if kind == "market" else track_.start[np.searchsorted(track_.end, fill["ts"])]
        assert opened >= known - backtest.SLACK_NS
    assert len(done.fills) > 10


def test_orders_of_its_own() -> None:
    class Waits(Strategy):
        """A limit order below, then a stop below that."""

        def on_bar(self, bar: Bar) -> None:
            if bar.start == START:
                self.sent = self.buy(bar.instrument, "2", limit="100.95")
            if self.position(bar.instrument) == 2 and not self.broker.orders():
                self.sell(bar.instrument, 2, stop="90")

        def stop(self) -> None:
            self.left = dict(self.broker.orders())

    strategy = Waits()
    done = backtest.run(strategy, rising())
    assert [(row["kind"], row["state"]) for row in done.orders.to_pylist()] == [
        ("limit", "filled"),
        ("stop", "open"),
    ]
    (fill,) = done.fills.to_pylist()
    assert (fill["price"], fill["ts"], fill["maker"]) == (Decimal("100.95"), START + 2 * MINUTE, True)
    (left,) = strategy.left.values()
    assert (left.side, left.stop) == ("sell", Decimal(90))


def test_a_curve_is_the_equity_of_a_run() -> None:
    history = walk(3, ("A", "B"))
    stage = backtest.Stage(history, COSTS)
    curve, done = stage.curve(SmaCross(fast=5, slow=9)), stage.run(SmaCross(fast=5, slow=9))
    assert np.array_equal(curve.equity, done.equity["equity"].to_numpy())
    assert np.array_equal(curve.ts, done.equity["ts"].to_numpy())
    assert curve.fills == done.fills.num_rows
    assert done.digest == backtest.run(SmaCross(fast=5, slow=9), history, COSTS).digest


def test_what_determines_a_run_is_in_its_fingerprint() -> None:
    history = walk(1)
    shorter = history.until(int(history.tracks["A"].known[-2]))
    seen = {
        fingerprint("code", {"fast": 5}, COSTS, history.digest, "1"),
        fingerprint("code ", {"fast": 5}, COSTS, history.digest, "1"),
        fingerprint("code", {"fast": 6}, COSTS, history.digest, "1"),
        fingerprint("code", {"fast": 5}, Settings(), history.digest, "1"),
        fingerprint("code", {"fast": 5}, COSTS, walk(2).digest, "1"),
        fingerprint("code", {"fast": 5}, COSTS, shorter.digest, "1"),
        fingerprint("code", {"fast": 5}, COSTS, history.digest, "2"),
    }
    assert len(seen) == 7
    assert fingerprint("code", {"fast": 5}, COSTS, walk(1).digest, "1") in seen


class Greedy(Strategy):
    def signal(self, bars: Bars) -> Signal:
        return bars.close * 0 + 5.0


class Stray(Strategy):
    def on_bar(self, bar: Bar) -> None:
        self.buy("B", 1)


class Fine(Strategy):
    def on_bar(self, bar: Bar) -> None:
        self.buy("A", "0.00001")


class Idle(Strategy):
    pass


@pytest.mark.parametrize(
    ("strategy", "code", "words"),
    [
        (Greedy, "strategy_invalid", "leverage"),
        (Stray, "order_invalid", "does not run on 'B'"),
        (Fine, "order_invalid", "3 decimal places"),
        (Idle, "strategy_invalid", "neither"),
    ],
)
def test_what_makes_no_sense_is_said(strategy: type[Strategy], code: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        backtest.run(strategy(), rising())
    assert caught.value.code == code
