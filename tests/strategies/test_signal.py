"""Formulas: what can be written, and what is refused with what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.strategies.make import NAMES, series
from tidemill.errors import UsageError
from tidemill.strategies.evaluation import values
from tidemill.strategies.signal import Bars, Signal, least, most, ordered, when

BTC = NAMES[0]
bars = Bars(BTC)


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda: bool(bars.close > 1), "signal_invalid", "when(a > b"),
        (lambda: 1 if bars.close > bars.open else 0, "signal_invalid", "& | ~"),
        (lambda: bars.close > 1 and bars.close < 2, "signal_invalid", "& | ~"),
        (lambda: not bars.close, "signal_invalid", "formula"),
        (lambda: bars.close.shift(-1), "signal_invalid", "past"),
        (lambda: bars.close.shift(0), "signal_invalid", "1 to 100,000"),
        (lambda: bars.close.shift(100_001), "signal_invalid", "1 to 100,000"),
        (lambda: bars.close.shift(True), "signal_invalid", "True"),
        (lambda: bars.close.shift(1.5), "signal_invalid", "1.5"),
        (lambda: bars.close.change(-2), "signal_invalid", "past"),
        (lambda: bars.rsii(14), "indicator_unknown", "rsi"),
        (lambda: bars.clse, "indicator_unknown", "close"),
        (lambda: bars.close.indicator("sm"), "indicator_unknown", "sma"),
        (lambda: bars.sma(0), "parameter_invalid", "1"),
        (lambda: bars.sma(period=-3), "parameter_invalid", "period"),
        (lambda: bars.sma(perod=3), "parameter_invalid", "perod"),
        (lambda: bars.sma(3, 4), "parameter_invalid", "period"),
        (lambda: bars.close.indicator("atr"), "signal_invalid", "high"),
        (lambda: bars.macd().one, "signal_invalid", "histogram"),
        (lambda: bars.macd().singal, "signal_invalid", "signal"),
        (lambda: bars.macd()["line"], "signal_invalid", "macd"),
        (lambda: bars.close + bars.macd(), "signal_invalid", "Lines"),
        (lambda: when("up", 1), "signal_invalid", "str"),
        (lambda: least(None, 1), "signal_invalid", "NoneType"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_says_what_does(make: Callable[[], object], code: str, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        make()
    assert refused.value.code == code
    assert says in str(refused.value)


def test_a_lookup_that_python_makes_is_an_attribute_that_is_not_there() -> None:
    for one in (bars, bars.macd()):
        with pytest.raises(AttributeError):
            one.__wrapped__  # noqa: B018
        assert not hasattr(one, "_repr_html_")


def test_indicators_by_name_by_place_and_by_output() -> None:
    market = {BTC: series(1, 80)}
    pairs = [
        (bars.macd(12, 26, 9).signal, bars.macd(slow=26, fast=12)["signal"]),
        (bars.macd(12, signal=9).signal, bars.macd().signal),
        (bars.sma(20), bars.close.sma(20)),
        (bars.ema(20), bars.close.indicator("ema", period=20).one),
        (bars.indicator("rsi", 14).one, bars.rsi(period=14)),
        (most(bars.open, bars.close), -least(-bars.open, -bars.close)),
        (bars.close.clip(99, 101), most(least(bars.close, 101), 99)),
        (bars.close.change(3), bars.close - bars.close.shift(3)),
        (1 - bars.close / 2, -(bars.close * 0.5 - 1)),
    ]
    for one, other in pairs:
        first, second = values([one, other], market)
        assert first[40:].tolist() == second[40:].tolist()
        assert len(set(first[40:].tolist())) > 1
    assert [line.output for line in bars.bollinger()] == ["upper", "middle", "lower"]


def test_a_formula_of_many_parts_is_put_in_order_once() -> None:
    shared = bars.sma(5)
    top: Signal = shared
    for _ in range(5_000):  # deeper than Python's stack
        top = top + shared
    order = ordered([top, shared])
    assert len(order) == len({id(one) for one in order}) == 5_001
    place = {id(one): at for at, one in enumerate(order)}
    assert all(place[id(each)] < place[id(one)] for one in order for each in one.inputs)
