"""Signals over whole series and step after step: the same bits, nothing from later, and a warm-up that is
enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.strategies.make import (
    ENDLESS,
    INDICATORS,
    MINUTE,
    NAMES,
    START,
    bits,
    fed,
    formulas,
    markets,
    rows,
    series,
)
from tidemill.strategies.evaluation import Live, Series, steps, values
from tidemill.strategies.operation import NAN
from tidemill.strategies.signal import Bars, Signal, switch, warm_up, when

BTC, ETH, AAPL = NAMES
thorough = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(data=st.data(), market=markets())
def test_a_step_at_a_time_is_a_series_at_once(data: st.DataObject, market: dict[str, Series]) -> None:
    wanted = data.draw(st.lists(formulas(list(market)), min_size=1, max_size=3))
    whole, stepped = values(wanted, market), fed(wanted, market)
    for one, other in zip(whole, stepped, strict=True):
        assert len(one) == len(steps(market))
        assert bits(one) == bits(other)


@thorough
@given(data=st.data(), market=markets(), share=st.floats(0, 1))
def test_what_was_known_does_not_depend_on_what_comes(
    data: st.DataObject, market: dict[str, Series], share: float
) -> None:
    """G08: f(x[:t]) = f(x)[:t], for rows that are cut off and for rows that are others."""
    formula = data.draw(formulas(list(market)))
    axis = steps(market)
    count = int(share * len(axis))
    cut = int(axis[count - 1]) if count else -1
    past = {
        name: one.part(int(np.searchsorted(one.known, cut, side="right"))) for name, one in market.items()
    }
    changed = {
        name: Series(
            one.start, one.known, {key: np.where(one.known <= cut, v, 7.0) for key, v in one.columns.items()}
        )
        for name, one in market.items()
    }
    (whole,) = values([formula], market)
    assert bits(values([formula], past)[0]) == bits(whole[:count])
    assert bits(values([formula], changed)[0][:count]) == bits(whole[:count])


@thorough
@given(
    data=st.data(), seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=3), first=st.integers(0, 40)
)
def test_a_warm_up_is_enough(data: st.DataObject, seeds: list[int], first: int) -> None:
    """Who begins later has the same values once each instrument has had so many bars."""
    market = {
        name: series(seed, 300, interval=MINUTE * (1 + at), holes=0.2)
        for at, (name, seed) in enumerate(zip(NAMES, seeds, strict=False))
    }
    formula = data.draw(formulas(list(market), endless=False, jumps=False))
    needed = warm_up([formula])
    assert needed is not None
    later = {name: _from(one, first) for name, one in market.items()}
    ready = max((int(one.known[min(needed, len(one)) - 1]) for one in later.values()), default=0)
    if needed > min(map(len, later.values())):
        return
    (whole,), (late,) = values([formula], market), values([formula], later)
    whole, late = whole[steps(market) >= ready], late[steps(later) >= ready]
    assert len(whole) == len(late)
    scale = max(1.0, float(np.nanmax(np.abs(whole), initial=0.0)), 100.0)
    np.testing.assert_allclose(late, whole, rtol=1e-9, atol=1e-9 * scale)


def _from(one: Series, first: int) -> Series:
    return Series(one.start[first:], one.known[first:], {name: v[first:] for name, v in one.columns.items()})


@pytest.mark.parametrize("at", range(len(INDICATORS)))
def test_a_restart_leaves_no_trace_after_the_warm_up(at: int) -> None:
    """A fresh one that is fed the last bars alone goes on as the one that saw everything."""
    market = {BTC: series(5, 900)}
    formula = INDICATORS[at](Bars(BTC))
    needed = warm_up([formula, Bars(BTC).close])
    assert (needed is None) == (at in ENDLESS)
    if needed is None:
        return
    old, fed_rows = Live([formula]), rows(market)
    for step in fed_rows[:500]:
        old.step(step)
    fresh = Live([formula])
    for step in fed_rows[500 - needed : 500]:
        fresh.step(step)
    for step in fed_rows[500:]:
        assert fresh.step(step) == pytest.approx(old.step(step), rel=1e-9, abs=1e-8, nan_ok=True)


def test_a_warm_up_by_hand() -> None:
    bars, other = Bars(BTC), Bars(ETH)
    assert warm_up([bars.sma(20)]) == 20
    assert warm_up([bars.sma(20).shift(3)]) == 23
    assert warm_up([(bars.close / other.close).sma(10)]) == 11
    assert warm_up([bars.sma(20), other.sma(30)]) == 30
    assert warm_up([]) == 0
    for endless in (bars.obv(), bars.close.hold(), switch(bars.close > 1, bars.close < 1)):
        assert warm_up([endless]) is None
        assert warm_up([endless.sma(3), bars.sma(5)]) is None
    # The last three values of it may be from any time.
    assert warm_up([when(bars.close > 100, bars.close).sma(3)]) is None
    assert warm_up([when(bars.close > 100, bars.close)]) == 1
    assert warm_up([when(bars.close > 100, bars.close).known().sma(3)]) == 4


def test_steps_are_when_something_became_known() -> None:
    market = {BTC: series(1, 4), ETH: series(2, 2, interval=2 * MINUTE)}
    assert steps(market).tolist() == [START + (at + 1) * MINUTE for at in range(4)]
    btc, eth = values([Bars(BTC).close, Bars(ETH).close], market)
    assert btc.tolist() == market[BTC].columns["close"].tolist()
    first, second = market[ETH].columns["close"].tolist()
    np.testing.assert_array_equal(eth, [NAN, first, first, second])
    assert values([Bars(BTC).close], {BTC: series(1, 0)})[0].tolist() == []
    assert steps({}).tolist() == []


def test_bars_that_became_known_together_are_one_step_and_all_count() -> None:
    one = series(3, 6)
    together = Series(one.start, np.full(6, one.known[-1]), one.columns)
    (value,) = values([Bars(BTC).sma(5)], {BTC: together})
    assert value.tolist() == [pytest.approx(one.columns["close"][1:].mean())]
    assert fed([Bars(BTC).sma(5)], {BTC: together})[0].tolist() == value.tolist()


def test_what_is_not_known_stays_so() -> None:
    market = {BTC: series(1, 8)}
    sma, close = Bars(BTC).sma(4), Bars(BTC).close
    for formula in (
        sma > 0,
        (sma > 0) & (close > 0),
        ~(sma > 0),
        (close > 0) | (sma > 0),
        when(sma > 0, 1, 2),
    ):
        (value,) = values([formula], market)
        assert np.isnan(value[:3]).all()
        assert not np.isnan(value[3:]).any()
    assert values([sma.known()], market)[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    on = switch(sma > 0, close < 0)
    assert values([on], market)[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_a_switch_holds_until_it_is_off() -> None:
    def numbers(*found: float) -> dict[str, Series]:
        one = series(1, len(found))
        return {BTC: Series(one.start, one.known, {**one.columns, "close": np.array(found)})}

    close = Bars(BTC).close
    on = switch(close > 10, close < 5)
    assert values([on], numbers(7, 11, 7, NAN, 7, 4, 7, 12))[0].tolist() == [0, 1, 1, 1, 1, 0, 0, 1]
    held = when(close > 10, close).hold()
    np.testing.assert_array_equal(values([held], numbers(7, 11, 7, 12, 1))[0], [NAN, 11, 11, 12, 12])
    crossed = close.crosses_above(10)
    np.testing.assert_array_equal(values([crossed], numbers(11, 9, 11, 12))[0], [NAN, 0, 1, 0])


class Odd(Signal):
    pass


def test_a_signal_of_no_known_kind_is_a_fault() -> None:
    with pytest.raises(TypeError, match="Odd"):
        values([Odd()], {BTC: series(1, 2)})
    with pytest.raises(TypeError, match="Odd"):
        fed([Odd()], {BTC: series(1, 2)})
