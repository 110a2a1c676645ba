"""Our indicators against TA-Lib's, where the definitions are the same (`docs/indicators.md`)."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from tests.test_indicator import walk
from tidemill import indicator

B = walk(11, 3000)
H, L, C, V = (B[name] for name in ("high", "low", "close", "volume"))

# Our name and parameters, TA-Lib's outputs in the order of ours.
SAME = {
    "sma": ({"period": 30}, lambda: [talib.SMA(C, 30)]),
    "ema": ({"period": 30}, lambda: [talib.EMA(C, 30)]),
    "wma": ({"period": 30}, lambda: [talib.WMA(C, 30)]),
    "dema": ({"period": 30}, lambda: [talib.DEMA(C, 30)]),
    "tema": ({"period": 30}, lambda: [talib.TEMA(C, 30)]),
    "kama": ({"period": 30}, lambda: [talib.KAMA(C, 30)]),
    "rsi": ({"period": 14}, lambda: [talib.RSI(C, 14)]),
    "macd": ({}, lambda: talib.MACD(C)),
    "bollinger": ({"period": 20}, lambda: talib.BBANDS(C, 20, 2.0, 2.0)),
    "atr": ({}, lambda: [talib.ATR(H, L, C, 14)]),
    "natr": ({}, lambda: [talib.NATR(H, L, C, 14)]),
    "true_range": ({}, lambda: [talib.TRANGE(H, L, C)]),
    "adx": ({}, lambda: [talib.ADX(H, L, C), talib.PLUS_DI(H, L, C), talib.MINUS_DI(H, L, C)]),
    "stochastic": ({"period": 5}, lambda: talib.STOCH(H, L, C)),
    "stochastic_rsi": ({"k": 1}, lambda: talib.STOCHRSI(C, 14, 14, 3)),
    "williams_r": ({}, lambda: [talib.WILLR(H, L, C, 14)]),
    "cci": ({"period": 14}, lambda: [talib.CCI(H, L, C, 14)]),
    "mfi": ({}, lambda: [talib.MFI(H, L, C, V, 14)]),
    "obv": ({}, lambda: [talib.OBV(C, V)]),
    "ad": ({}, lambda: [talib.AD(H, L, C, V)]),
    "roc": ({}, lambda: [talib.ROC(C, 10)]),
    "momentum": ({}, lambda: [talib.MOM(C, 10)]),
    "standard_deviation": ({"period": 5}, lambda: [talib.STDDEV(C, 5)]),
    "psar": ({}, lambda: [talib.SAR(H, L)]),
    "aroon": ({}, lambda: talib.AROON(H, L, 14)[::-1]),
    "trix": ({"period": 30}, lambda: [talib.TRIX(C, 30)]),
    "ultimate": ({}, lambda: [talib.ULTOSC(H, L, C)]),
    "slope": ({}, lambda: [talib.LINEARREG_SLOPE(C, 14)]),
}  # fmt: skip
EARLIER = {"macd": {"macd"}, "stochastic": {"k"}, "stochastic_rsi": {"k"}}
"""Outputs that TA-Lib holds back until all have a value."""


@pytest.mark.parametrize("name", SAME)
def test_same_definition_same_numbers(name: str) -> None:
    params, theirs = SAME[name]
    ours = indicator.compute(name, B, **params)
    expected = list(theirs())
    assert len(ours) == len(expected)
    for (output, values), other in zip(ours.items(), expected, strict=True):
        known = ~np.isnan(other)
        size = np.abs(other[known]).max()
        np.testing.assert_allclose(values[known], other[known], rtol=1e-9, atol=1e-9 * size, err_msg=output)
        if output in EARLIER.get(name, ()):
            assert np.argmax(known) > np.argmax(~np.isnan(values))
        else:
            np.testing.assert_array_equal(np.isnan(values), ~known, err_msg=output)
