"""Both engines do the same: same orders, same fills, same cash, and NautilusTrader's own books agree."""

from __future__ import annotations

import builtins
import random
import sys
from decimal import Decimal
from typing import Any

import pytest

from tests.research.made import DAY, MINUTE, START, apart, real, track, walk
from tidemill.errors import ConfigError, UsageError
from tidemill.research import backtest
from tidemill.research.history import History, Terms
from tidemill.research.run import Costs, Outcome, Settings
from tidemill.strategies.evaluation import Live, Row
from tidemill.strategies.sma_cross import SmaCross
from tidemill.strategy import Bar, Bars, Fill, Market, Param, Signal, Strategy, when

pytest.importorskip("nautilus_trader")
from tidemill.research.nautilus import run

COSTS = Costs(
    taker="0.001", maker="-0.0002", spread_bps="2", slippage_bps="1", slippage_ticks=1, leverage="3"
)


class LongShort(Strategy):
    """All in, on one side or the other."""

    period = Param(10, low=2, high=200)

    def signal(self, bars: Bars) -> Signal:
        return when(bars.close > bars.sma(self.period), 1.0, -0.5)


class Ladder(Strategy):
    """Bids below the market and offers what it holds above: limit orders alone."""

    def start(self, market: Market) -> None:
        self.mean = {name: self.watch(bars.sma(5)) for name, bars in market.items()}

    def on_bar(self, bar: Bar) -> None:
        for number, order in self.broker.orders().items():
            if order.instrument == bar.instrument:
                self.cancel(number)
        step = Decimal("0.05")
        mean = Decimal(repr(self.mean[bar.instrument].value))
        if mean.is_nan():
            return
        bid = (mean * Decimal("0.999") / step).to_integral_value() * step
        if self.position(bar.instrument) < 30:
            self.buy(bar.instrument, 10, limit=bid)
        if self.position(bar.instrument) > 0:
            self.sell(bar.instrument, self.position(bar.instrument), limit=bid + 10 * step, reduce_only=True)


class Channel(Strategy):
    """Follows the price out of its channel with stop orders, long and short, and turns around."""

    def start(self, market: Market) -> None:
        lines = {name: bars.donchian(10) for name, bars in market.items()}
        self.upper = {name: self.watch(line["upper"]) for name, line in lines.items()}
        self.lower = {name: self.watch(line["lower"]) for name, line in lines.items()}

    def on_bar(self, bar: Bar) -> None:
        upper, lower = self.upper[bar.instrument].value, self.lower[bar.instrument].value
        if upper != upper:
            return
        for number, order in self.broker.orders().items():
            if order.instrument == bar.instrument:
                self.cancel(number)
        held = self.position(bar.instrument)
        if held <= 0:
            self.buy(bar.instrument, 20 - held, stop=cents(upper) + Decimal("0.01"))
        if held >= 0:
            limit = cents(lower) - Decimal("0.30")
            self.sell(bar.instrument, 20 + held, stop=cents(lower) - Decimal("0.01"), limit=limit)


class Wild(Strategy):
    """Sends orders of all kinds at random, and keeps a log of all that it is told."""

    seed = Param(0)

    def start(self, market: Market) -> None:
        self.dice, self.names, self.log = random.Random(self.seed), list(market), list[Any]()
        self.mine: list[int] = []
        self.mean = {name: self.watch(bars.sma(5)) for name, bars in market.items()}

    def on_fill(self, fill: Fill) -> None:
        self.log.append((fill, self.position(fill.instrument), self.broker.cash()))
        if self.dice.random() < 0.3:
            send, away = (self.sell, -40) if fill.side == "buy" else (self.buy, 40)
            price = five(fill.price * 100 + away)
            send(fill.instrument, "0.01", stop=price, reduce_only=self.dice.random() < 0.7)

    def on_bar(self, bar: Bar) -> None:
        dice = self.dice
        mean = repr(self.mean[bar.instrument].value)
        self.log.append((bar.known, bar.instrument, self.equity, mean, sorted(self.broker.orders())))
        if dice.random() < 0.25 and self.mine:
            self.log.append(self.cancel(self.mine.pop(dice.randrange(len(self.mine)))))
        for _ in range(dice.choice((0, 0, 1, 1, 2))):
            send = dice.choice((self.buy, self.sell))
            size = Decimal(dice.randrange(1, 60)) / 100
            given: dict[str, Any] = {"reduce_only": dice.random() < 0.25}
            kind = dice.randrange(8)
            prices = [five(Decimal(round(bar.close * 100)) + 5 * dice.randrange(-12, 13)) for _ in range(2)]
            name = bar.instrument if dice.random() < 0.8 else dice.choice(self.names)
            if kind == 7:
                self.target(name, dice.randrange(-30, 31) / 10)
                continue
            if name == bar.instrument:
                if kind in (1, 2, 3, 6):
                    given["limit"] = prices[0]
                if kind in (4, 5, 6):
                    given["stop"] = prices[1]
                if kind == 3:
                    given["time_in_force"] = "ioc"
            self.mine.append(send(name, size, **given))


def cents(price: float) -> Decimal:
    return Decimal(repr(price)).quantize(Decimal("0.01"))


def five(hundredths: Decimal) -> Decimal:
    """To a multiple of 0.05."""
    return hundredths.quantize(Decimal(1)) // 5 * 5 / 100


def both(make: type[Strategy], history: History, **given: Any) -> tuple[Outcome, Outcome]:
    """The outcomes of both engines, which are the same."""
    params = given.pop("params", {})
    first, second = make(**params), make(**params)
    fast = backtest.run(first, history, Settings(**given))
    nautilus = backtest.run(second, history, Settings(engine="nautilus", **given))
    for table in ("orders", "fills", "equity", "trades"):
        assert getattr(fast, table).to_pylist() == getattr(nautilus, table).to_pylist(), table
    assert (fast.cash, fast.positions, fast.digest) == (nautilus.cash, nautilus.positions, nautilus.digest)
    if isinstance(first, Wild) and isinstance(second, Wild):
        assert first.log == second.log
    return fast, nautilus


@pytest.mark.parametrize("make", [SmaCross, LongShort, Ladder, Channel])
@pytest.mark.parametrize("which", ["aapl", "spy", "btcusd_trade", "aapl spy", "walk"])
def test_both_engines_do_the_same(make: type[Strategy], which: str) -> None:
    history = walk(5, ("A", "B", "C"), 200) if which == "walk" else real(*which.split(), count=250)
    params = {"fast": 3, "slow": 8} if make is SmaCross else {}
    fast, _ = both(make, history, costs=COSTS, cash="1000000", params=params)
    assert len(fast.fills) >= 10


@pytest.mark.parametrize("limit_fill", ["touch", "through"])
@pytest.mark.parametrize("seed", range(4))
def test_both_engines_do_the_same_with_orders_of_all_kinds(seed: int, limit_fill: str) -> None:
    history = walk(seed, ("A", "B"), 150)
    fast, _ = both(Wild, history, costs=COSTS, limit_fill=limit_fill, params={"seed": seed})
    assert len(fast.fills) > 50


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 160))
def test_both_engines_do_the_same_at_length(seed: int) -> None:
    for names in (("A",), ("A", "B", "C")):
        for limit_fill in ("touch", "through"):
            both(Wild, walk(seed, names), costs=COSTS, limit_fill=limit_fill, params={"seed": seed})


@pytest.mark.parametrize("late", [MINUTE // 2, MINUTE, 5 * MINUTE // 2])
def test_what_is_known_late_is_used_late(late: int) -> None:
    history = walk(3, ("A", "B"), 120, late=late)
    both(Wild, history, costs=COSTS, params={"seed": 3})
    fast, _ = both(LongShort, history, costs=COSTS)
    # Decided by a bar that came half a minute after its end: not at the open right after it, but at the next.
    assert int(fast.fills["ts"][0].as_py()) - int(history.tracks["A"].end[9]) >= late


@pytest.mark.parametrize("by", [MINUTE // 2, MINUTE // 3, 5 * MINUTE // 2])
def test_bars_that_do_not_begin_together_are_refused(by: int) -> None:
    history = apart(walk(6, ("A", "B", "C"), 100), by)
    with pytest.raises(UsageError, match="begin and end together") as refused:
        run(Wild(seed=6), history, Settings(costs=COSTS))
    assert refused.value.code == "history_invalid"
    run(Wild(seed=6), apart(walk(6, ("A",), 100), by), Settings(costs=COSTS))
    assert len(backtest.run(Wild(seed=6), history, Settings(costs=COSTS)).fills) > 50


def test_a_run_on_what_was_known_by_then_is_the_beginning_of_the_whole() -> None:
    history = walk(8, ("A", "B"), 120)
    middle = int(history.tracks["A"].end[60])
    whole = run(Wild(seed=8), history, Settings(costs=COSTS)).fills.to_pylist()
    part = run(Wild(seed=8), history.until(middle), Settings(costs=COSTS)).fills.to_pylist()
    assert part == [fill for fill in whole if fill["ts"] <= middle][: len(part)]
    assert len(part) > 30


# Fills by hand: NautilusTrader itself, held against what the rules say. Prices in cents.


class Script(Strategy):
    """Sends its orders when its first bar is closed."""

    orders: tuple[dict[str, Any], ...] = ()

    def on_bar(self, bar: Bar) -> None:
        if bar.start == START:
            for order in self.orders:
                send = self.buy if order["side"] == "buy" else self.sell
                send(bar.instrument, **{name: value for name, value in order.items() if name != "side"})


ABOVE = {"stop": "100.50", "limit": "101"}
BUY, SELL = {"side": "buy", "size": 1}, {"side": "sell", "size": 1}


@pytest.mark.parametrize(
    ("orders", "second", "expect"),
    [
        # At the open of the next bar: half of 20 basis points and a tick worse, up to the next tick.
        ([BUY], (10001, 10100, 9900, 10000), [("100.13", "100.13", False, 0)]),
        ([SELL], (10001, 10100, 9900, 10000), [("99.89", "99.89", False, 0)]),
        # A limit that the open lies beyond takes what is there, but never more than its limit.
        ([BUY | {"limit": "100.05"}], (10000, 10100, 9900, 10000), [("100.05", "100.05", False, 1)]),
        # One that rests is done at its price and pays as a maker.
        ([BUY | {"limit": "99.50"}], (10000, 10100, 9900, 10000), [("99.50", "19.90", True, 1)]),
        # A stop is done where it was passed, at the open behind a gap.
        ([BUY | {"stop": "100.50"}], (10000, 10100, 9900, 10000), [("100.62", "100.62", False, 1)]),
        ([BUY | {"stop": "100.50"}], (10200, 10300, 10150, 10200), [("102.12", "102.12", False, 1)]),
        ([SELL | {"stop": "99.50"}], (9800, 9900, 9700, 9800), [("97.89", "97.89", False, 1)]),
        # A stop-limit between both prices is done there; beyond its limit it rests and is a maker later.
        ([BUY | ABOVE], (10000, 10100, 9900, 10000), [("100.62", "100.62", False, 1)]),
        ([BUY | ABOVE], (10200, 10300, 10050, 10200), [("101.00", "20.20", True, 1)]),
        # The low is nearer to the open, so it comes first; then the high.
        (
            [BUY | {"limit": "99.50"}, SELL | {"limit": "101"}], (10000, 10200, 9900, 10000),
            [("99.50", "19.90", True, 1), ("101.00", "20.20", True, 1)],
        ),
        (
            [BUY | {"limit": "99.50"}, SELL | {"limit": "100.50"}], (10000, 10100, 9800, 10000),
            [("100.50", "20.10", True, 1), ("99.50", "19.90", True, 1)],
        ),
        # What only reduces waits for the position, and is done in the same bar behind it.
        (
            [BUY | {"limit": "99.50"}, SELL | {"stop": "99", "reduce_only": True}],
            (10000, 10200, 9850, 10000),
            [("99.50", "19.90", True, 1), ("98.89", "98.89", False, 1)],
        ),
        ([SELL | {"stop": "99", "reduce_only": True}], (10000, 10200, 9850, 10000), []),
        # An IOC order is done at the next open or never.
        ([BUY | {"limit": "99.50", "time_in_force": "ioc"}], (10000, 10100, 9900, 10000), []),
        # More than could be held is refused.
        ([BUY | {"size": 1000}], (10000, 10100, 9900, 10000), []),
    ],
)  # fmt: skip
def test_fills_are_those_of_the_rules(
    monkeypatch: pytest.MonkeyPatch,
    orders: list[dict[str, Any]],
    second: tuple[int, int, int, int],
    expect: list[tuple[str, str, bool, int]],
) -> None:
    """Expected: price, fee in thousandths, maker, and whether it has the bar's end for its time."""
    flat = (10000, 10000, 10000, 10000)
    history = History("1m", {"A": track(Terms("A", 2, 0), [flat, second])})
    costs = Costs(taker="0.001", maker="0.0002", spread_bps="20", slippage_ticks=1)
    monkeypatch.setattr(Script, "orders", tuple(orders))
    found = run(Script(), history, Settings(cash="1000", costs=costs))
    fills = [
        (line["price"], line["fee"] * 1000, line["maker"], (line["ts"] - START - MINUTE) // MINUTE)
        for line in found.fills.to_pylist()
    ]
    assert fills == [(Decimal(price), Decimal(fee), maker, end) for price, fee, maker, end in expect]
    both(Script, history, cash="1000", costs=costs)


def test_an_order_for_another_instrument_waits_for_its_next_open() -> None:
    """B's bar began before A's was over: an order for B cannot have its open."""

    class Across(Strategy):
        def on_bar(self, bar: Bar) -> None:
            if bar.instrument == "A" and bar.start == START:
                self.buy("B", 1)

    bars = [(10000 + at, 10010 + at, 9990 + at, 10000 + at) for at in range(4)]
    first = track(Terms("A", 2, 0), bars)
    other = track(Terms("B", 2, 0), bars, start=START - MINUTE // 2)
    history = History("1m", {"A": first, "B": other})
    (fill,) = backtest.run(Across(), history, Settings()).fills.to_pylist()
    assert (fill["ts"], fill["price"]) == (START + 3 * MINUTE // 2, Decimal("100.02"))


def test_orders_of_one_time_see_all_closes_of_it() -> None:
    """A and B end together: what is sent on A's bar for B has B's next open, in both engines."""

    class Across(Strategy):
        def on_bar(self, bar: Bar) -> None:
            if bar.instrument == "A" and bar.start == START:
                self.buy("B", 1)

    fast, _ = both(Across, walk(1, ("A", "B"), 5))
    assert fast.fills["ts"].to_pylist() == [START + MINUTE]


# What NautilusTrader keeps itself.


def test_the_books_of_nautilus_trader_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.research.nautilus import venue

    kept: dict[str, Any] = {}
    opened = venue.opened

    class Kept:
        def __init__(self, engine: Any) -> None:
            self.engine = engine

        def __getattr__(self, name: str) -> Any:
            return getattr(self.engine, name)

        def dispose(self) -> None:
            account = self.engine.cache.account_for_venue(venue.VENUE)
            kept["cash"] = account.balance_total(venue.QUOTE).as_decimal()
            kept["fees"] = account.commission(venue.QUOTE).as_decimal()
            kept["held"] = [
                self.engine.portfolio.net_position(one.id) for one in self.engine.cache.instruments()
            ]
            kept["orders"] = self.engine.cache.orders_total_count()
            self.engine.dispose()

    monkeypatch.setattr(venue, "opened", lambda *given: Kept(opened(*given)))

    class Closes(Channel):
        def on_bar(self, bar: Bar) -> None:
            if bar.start < START + 140 * MINUTE:
                super().on_bar(bar)
            else:
                for number in self.broker.orders():
                    self.cancel(number)
                self.target(bar.instrument, 0.0)

    found = run(Closes(), walk(2, ("A", "B"), 150), Settings(costs=COSTS))
    fills = found.fills.to_pylist()
    assert not found.positions
    assert len(fills) > 10
    # It reckons profits in floats and rounds them to nine digits, once for each fill.
    assert abs(kept["cash"] - found.cash) <= Decimal("1e-6") * len(fills)
    assert abs(kept["fees"] - sum(fill["fee"] for fill in fills)) <= Decimal("1e-8") * len(fills)
    assert kept["held"] == [0, 0]


def test_what_a_watch_shows_is_what_a_stream_of_bars_shows() -> None:
    class Watches(Strategy):
        def start(self, market: Market) -> None:
            self.signals = [
                signal
                for bars in market.values()
                for signal in (bars.rsi(7), bars.close / bars.ema(9).shift(2), bars.atr(5).hold())
            ]
            self.seen: dict[int, list[str]] = {}
            self.mine = [self.watch(signal) for signal in self.signals]

        def on_bar(self, bar: Bar) -> None:
            self.seen[bar.known] = [repr(watch.value) for watch in self.mine]

    history, strategy = walk(4, ("A", "B"), 60), Watches()
    run(strategy, history, Settings())
    live, series = Live(strategy.signals), history.series
    for at, known in enumerate(series["A"].known.tolist()):
        rows = {
            name: Row(int(one.start[at]), *(float(column[at]) for column in one.columns.values()))
            for name, one in series.items()
        }
        assert [repr(value) for value in live.step(rows)] == strategy.seen[known]


# What is refused.


def test_the_same_run_twice_is_the_same_and_leaves_chance_alone() -> None:
    history = walk(6, ("A", "B"), 100)
    random.seed(1)
    state = random.getstate()
    first = run(Wild(seed=6), history, Settings(costs=COSTS))
    assert random.getstate() == state
    assert run(Wild(seed=6), history, Settings(costs=COSTS)).digest == first.digest


def test_what_a_strategy_raises_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    class Fails(Strategy):
        def on_bar(self, bar: Bar) -> None:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(Fails(), walk(1, count=5), Settings())
    out, err = capfd.readouterr()
    assert out == err == ""


@pytest.mark.parametrize(
    ("terms", "bars", "start"),
    [
        (Terms("A", 2, 0), [(100, 110, 90, 100)] * 3, 0),  # NautilusTrader would end the process
        (Terms("A", 2, 0), [(100, 99, 90, 100)] * 3, START),
        (Terms("A", 2, 0), [(100, 110, 0, 100)] * 3, START),
        (Terms("A", 17, 0), [(100, 110, 90, 100)] * 3, START),
        (Terms("A", 0, 0), [(100, 10**14, 90, 100)] * 3, START),
    ],
)
def test_bars_that_cannot_be_played_are_refused(
    terms: Terms, bars: list[tuple[int, int, int, int]], start: int
) -> None:
    history = History("1d", {"A": track(terms, bars, start=start, length=DAY)})
    with pytest.raises(UsageError) as caught:
        run(SmaCross(), history, Settings())
    assert caught.value.code == "history_invalid"


def test_more_than_the_leverage_is_refused() -> None:
    class Bold(Strategy):
        def signal(self, bars: Bars) -> Signal:
            return when(bars.close > 0, 2.0, 0.0)

    with pytest.raises(UsageError) as caught:
        run(Bold(), walk(1, count=5), Settings())
    assert caught.value.code == "strategy_invalid"


def test_without_nautilus_trader_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def without(name: str, *given: Any, **named: Any) -> Any:
        if name.startswith("nautilus_trader"):
            raise ModuleNotFoundError("No module named 'nautilus_trader'", name="nautilus_trader")
        return there(name, *given, **named)

    for name in [name for name in sys.modules if name.startswith("tidemill.research.nautilus.")]:
        if name.rsplit(".", 1)[1] in ("venue", "pilot"):
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.delattr(f"tidemill.research.nautilus.{name.rsplit('.', 1)[1]}", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError) as caught:
        run(SmaCross(), walk(1, count=5), Settings())
    assert caught.value.code == "extra_missing"
    assert "tidemill[nautilus]" in str(caught.value.hint)
