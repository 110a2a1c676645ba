"""Whichever way values are asked for, they are those of the whole: to the bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.make import NAMES, SECOND, START, trades
from tests.stores.test_live import World
from tidemill import calculated, indicator, talib_spec
from tidemill.calculated import Wanted, calculate
from tidemill.errors import ResourceError, UsageError
from tidemill.model.interval import Interval
from tidemill.stores.live import LiveView

BTC = NAMES[0]
OURS = list(indicator.registry())
THEIRS = ["talib:RSI", "talib:BBANDS", "talib:OBV", "talib:CDLDOJI"] if talib_spec.installed() else []


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveView]:
    """Half an hour stored and half an hour in the journal, with a pause between."""
    world = World(tmp_path_factory.mktemp("calculated"))
    world.write(trades(18_000))
    world.record()
    world.write(trades(18_000, start=START + 2_100 * SECOND, first_id=50_000, seed=4))
    found = world.view(follow=False)
    yield found
    found.close()
    world.journal.close()


WHOLE: dict[str, calculated.Calculated] = {}


def whole(view: LiveView, name: str) -> calculated.Calculated:
    if name not in WHOLE:
        WHOLE[name] = calculate(view, BTC, "1s", [Wanted.of(name)], limit=100_000)
    return WHOLE[name]


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(OURS + THEIRS),
    low=st.none() | st.integers(0, 4_000),
    length=st.integers(0, 1_500),
    limit=st.integers(1, 900),
)
def test_a_range_equals_the_whole(
    view: LiveView, name: str, low: int | None, length: int, limit: int
) -> None:
    every = whole(view, name)
    start = None if low is None else START + low * SECOND
    end = START + ((low or 2_500) + length) * SECOND
    part = calculate(view, BTC, "1s", [Wanted.of(name)], start, end, limit)
    at = np.searchsorted(every.bars.bars["start"], part.bars.bars["start"])
    for output, values in part.values[0].columns.items():
        expected = every.values[0].columns[output][at]
        np.testing.assert_array_equal(values[: part.closed], expected)


def test_several_at_once_equal_each_alone(view: LiveView) -> None:
    wanted = [Wanted.of(name) for name in OURS + THEIRS]
    start = START + 2_700 * SECOND
    for one in calculate(view, BTC, "1s", wanted, start, None, 400).values:
        (alone,) = calculate(view, BTC, "1s", [one.wanted], start, None, 400).values
        assert alone.began == one.began or one.wanted.spec.warm_up is not None
        for output, values in alone.columns.items():
            np.testing.assert_array_equal(one.columns[output], values)


def test_values_agree_with_one_that_saw_everything(view: LiveView) -> None:
    """Blocks change the last digits, and nothing else."""
    bars = view.bars(BTC, "1s", limit=100_000)
    for name in OURS:
        plain = indicator.compute(name, bars.floats(current=True))
        for output, values in whole(view, name).values[0].columns.items():
            np.testing.assert_allclose(values, plain[output], rtol=1e-7, atol=1e-7, err_msg=name)


def test_the_open_bar_has_a_value_of_its_own(view: LiveView) -> None:
    found = calculate(view, BTC, "1s", [Wanted.of("sma", {"period": 1})], limit=3)
    assert len(found.bars.current) == 1
    values = found.values[0].columns["sma"]
    assert len(values) == 4
    assert values[-1] == found.bars.floats(current=True)["close"][-1]


def test_what_remembers_everything_says_where_it_began(view: LiveView) -> None:
    bars = view.bars(BTC, "1s", limit=100_000).bars
    found = calculate(view, BTC, "1s", [Wanted.of("obv")], limit=10)
    assert found.values[0].began == bars["start"][0]
    since = int(bars["start"][1_000])
    later = calculate(view, BTC, "1s", [Wanted.of("obv")], limit=len(bars) - 990, since=since)
    values = later.values[0].columns["obv"]
    assert later.values[0].began == since
    assert np.isnan(values[:10]).all()
    assert not np.isnan(values[10:]).any()
    short = calculate(view, BTC, "1s", [Wanted.of("obv")], limit=5, since=since).values[0].columns["obv"]
    np.testing.assert_array_equal(short, values[-6:])
    never = calculate(view, BTC, "1s", [Wanted.of("obv")], limit=5, since=START + 10**15)
    assert np.isnan(never.values[0].columns["obv"]).all()


def test_a_history_that_is_too_long_is_refused_or_begins_in_one_place(
    view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calculated, "BARS_MAX", 1_000)
    wanted = [Wanted.of("obv")]
    newest = calculate(view, BTC, "1s", wanted, limit=300)
    fewer = calculate(view, BTC, "1s", wanted, limit=200)
    assert newest.values[0].began is not None
    assert newest.values[0].began > START
    if newest.values[0].began == fewer.values[0].began:
        np.testing.assert_array_equal(newest.values[0].columns["obv"][-201:], fewer.values[0].columns["obv"])
    for name, params, since in (("obv", {}, START), ("ema", {"period": 2_000}, None)):
        with pytest.raises(ResourceError) as refused:
            calculate(view, BTC, "1s", [Wanted.of(name, params)], limit=10, since=since)
        assert refused.value.code == "history_too_long"


def test_longer_and_odd_intervals(view: LiveView) -> None:
    for interval in ("7s", "1m", "1h", "1d", "1w", "1mo"):
        found = calculate(view, BTC, interval, [Wanted.of("ema", {"period": 3}), Wanted.of("vwap")])
        bars = found.bars.floats(current=True)
        plain = indicator.compute("ema", bars, period=3)["ema"]
        np.testing.assert_allclose(found.values[0].columns["ema"], plain, rtol=1e-12)


def test_nothing_to_show_is_empty(view: LiveView) -> None:
    found = calculate(view, BTC, "1s", [Wanted.of("macd")], START - 100 * SECOND, START - 50 * SECOND)
    assert [len(values) for values in found.values[0].columns.values()] == [0, 0, 0]
    assert found.values[0].began is None


@pytest.mark.parametrize("name", ["self", "name", "x"])
@pytest.mark.parametrize("of", ["rsi", *THEIRS[:1]])
def test_a_parameter_nobody_knows_is_named(name: str, of: str) -> None:
    with pytest.raises(UsageError) as refused:
        Wanted.of(of, {name: 3})
    assert refused.value.code == "parameter_invalid"
    assert repr(name) in refused.value.message


def test_all_parameters_are_said_and_blocks_are_worth_their_warm_up() -> None:
    wanted = Wanted.of("macd", {"fast": 10.0})
    assert wanted.text == "macd(fast=10, slow=26, signal=9)"
    for name in OURS:
        one = Wanted.of(name)
        length = one.block(Interval.parse("1m"))
        assert (length is None) == (one.spec.warm_up is None)
        assert length is None or 4 * length >= (one.spec.warm_up or 0) * 60 * SECOND


@pytest.mark.skipif(not THEIRS, reason="TA-Lib is not installed")
def test_every_function_of_talib_is_described_as_it_answers(view: LiveView) -> None:
    bars = view.bars(BTC, "1m", limit=1_000)
    for name, spec in talib_spec.registry().items():
        found = indicator.compute(name, bars.floats(), **{p.name: p.default for p in spec.params})
        assert list(found) == [output.name for output in spec.outputs]
        assert spec.memory == "whole"
