"""Golden numbers by hand, the laws that hold for all of the registry, and what is refused."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill import _native, indicator
from tidemill.errors import ConfigError, UsageError

MINUTE_NS = 60_000_000_000
NAMES = list(indicator.registry())


def walk(seed: int, n: int) -> dict[str, np.ndarray]:
    """Bars of a market that wanders; columns as `indicator.compute` takes them."""
    dice = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(dice.normal(0, 0.01, n)))
    opened = np.concatenate([[100.0], close[:-1]])[:n]
    high = np.maximum(opened, close) * (1 + dice.uniform(0, 0.01, n))
    low = np.minimum(opened, close) * (1 - dice.uniform(0, 0.01, n))
    start = 1_700_000_000_000_000_000 + np.arange(n) * 10 * MINUTE_NS
    volume = dice.uniform(1, 1000, n)
    return {"start": start, "open": opened, "high": high, "low": low, "close": close, "volume": volume}


def closes(*values: float) -> dict[str, np.ndarray]:
    return {"close": np.array(values)}


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────


def test_an_ema_begins_with_the_mean() -> None:
    found = indicator.compute("ema", closes(1, 2, 3, 4, 8), period=3)["ema"]
    # (1 + 2 + 3) / 3 = 2, then halfway each time.
    np.testing.assert_array_equal(found, [np.nan, np.nan, 2, 3, 5.5])


def test_wilders_rsi() -> None:
    """The example of StockCharts' ChartSchool (QQQ, from December 2009 on), whose numbers have two digits."""
    quoted = [44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826]
    quoted += [45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439]
    found = indicator.compute("rsi", closes(*quoted), period=14)["rsi"]
    assert np.isnan(found[:14]).all()
    np.testing.assert_allclose(found[14:], [70.53, 66.32, 66.55, 69.41, 66.36, 57.97], atol=0.006)


def test_bands_are_of_the_population() -> None:
    found = indicator.compute("bollinger", closes(2, 4, 4, 4, 5, 5, 7, 9), period=8, deviations=1.5)
    # Mean 5, deviation 2: the textbook's own numbers.
    assert {name: values[-1] for name, values in found.items()} == {"upper": 8, "middle": 5, "lower": 2}


def test_a_stop_that_is_met_changes_sides() -> None:
    bars = {"high": np.array([10.0, 11, 12, 10]), "low": np.array([9.0, 10, 11, 8])}
    found = indicator.compute("psar", bars, step=0.1, most=0.2)["psar"]
    # Begins at the first low; 9 + 0.1 (11 - 9) = 9.2, not above 10. A new high of 12: 9.2 + 0.2 (12 - 9.2)
    # = 9.76. The last low of 8 meets it: it becomes the highest price of the rise.
    np.testing.assert_allclose(found, [np.nan, 9, 9.2, 12])


def test_a_vwap_begins_again_at_midnight() -> None:
    day = 86_400_000_000_000
    bars = {name: np.array([10.0, 20, 30]) for name in ("high", "low", "close")}
    bars |= {"start": np.array([day - 2, day - 1, day]), "volume": np.array([1.0, 3, 5])}
    np.testing.assert_array_equal(indicator.compute("vwap", bars)["vwap"], [10, 17.5, 30])


def test_rounding_is_not_taken_for_a_move() -> None:
    flat = np.full(100, 0.1)
    bars = {"high": flat, "low": flat, "close": flat}
    assert indicator.compute("cci", bars)["cci"][-1] == 0
    assert indicator.compute("bollinger", bars)["upper"][-1] == 0.1
    far = 1e8 + np.where(np.arange(100) % 2, 0.5, -0.5)
    assert indicator.compute("standard_deviation", {"close": far})["standard_deviation"][-1] == 0.5


# ── laws, over the whole registry ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_streaming_is_batch_and_nothing_looks_ahead(name: str) -> None:
    bars = walk(7, 300)
    whole = indicator.compute(name, bars)
    stream = indicator.Stream(name)
    begun = stream.extend({column: values[:200] for column, values in bars.items()})
    rest = [
        stream.update(*(one.item() for one in row))
        for row in zip(*(bars[c][200:] for c in bars), strict=True)
    ]
    for output in stream.spec.outputs:
        np.testing.assert_array_equal(begun[output.name], whole[output.name][:200])
        np.testing.assert_array_equal([one[output.name] for one in rest], whole[output.name][200:])
        values = np.flatnonzero(~np.isnan(whole[output.name]))
        assert values[0] == output.first
        assert len(values) == 300 - output.first


@given(st.integers(0, 2**32), st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_after_its_warm_up_a_fresh_one_agrees(seed: int, period: int) -> None:
    for name in ("sma", "ema", "hma", "rsi", "adx", "bollinger", "trix", "cci", "mfi", "slope"):
        warm_up = indicator.spec(name, period=period).warm_up
        assert warm_up is not None
        bars = walk(seed, warm_up + 150)
        fresh = indicator.compute(name, {c: v[100:] for c, v in bars.items()}, period=period)
        for output, values in indicator.compute(name, bars, period=period).items():
            size = np.nanmax(np.abs(values))
            np.testing.assert_allclose(
                fresh[output][warm_up - 1 :], values[100 + warm_up - 1 :], rtol=0, atol=1e-9 * size
            )


def test_a_bar_with_a_hole_is_as_if_it_were_not_there() -> None:
    bars = walk(3, 100)
    plain = indicator.compute("macd", bars)
    holed = {column: np.insert(values.astype(float), 60, np.nan) for column, values in bars.items()}
    for name, values in indicator.compute("macd", holed).items():
        assert math.isnan(values[60])
        np.testing.assert_array_equal(np.delete(values, 60), plain[name])


def test_the_registry_says_all_that_is_asked() -> None:
    assert len(NAMES) >= 30
    for one in indicator.registry().values():
        assert one.source
        assert set(one.inputs) <= {"start", *indicator.PRICES}
        assert (one.warm_up is None) == one.cumulative
        assert all(param.low <= param.default <= param.high for param in one.params)
    assert indicator.registry()["sma"].warm_up == 20
    # 13/14 to the power of 373 is the first below 1e-12, after the 15 bars of the first value.
    assert indicator.registry()["rsi"].warm_up == 15 + 373
    assert indicator.spec("rsi", period=2).warm_up == 3 + 40
    cloud = {output.name: output.shift for output in indicator.spec("ichimoku", shift=30).outputs}
    assert cloud == {"conversion": 0, "base": 0, "span_a": 30, "span_b": 30, "lagging": -30}


def test_the_registry_is_one_with_the_compiled_part() -> None:
    found = _native.indicator("sma", {"close": np.arange(30.0)}, {"period": 3})
    np.testing.assert_array_equal(found["sma"][2:], np.arange(1.0, 29))
    again = indicator.spec("sma")
    assert replace(again) == indicator.registry()["sma"]


# ── bars as they come ─────────────────────────────────────────────────────────────────────────────


def test_bars_of_the_client_and_bars_of_a_frame() -> None:
    bars = walk(1, 50)
    frame = pl.DataFrame(
        {"ts": pl.Series(bars["start"]).cast(pl.Datetime("ns", "UTC"))}
        | {name: bars[name] for name in indicator.PRICES}
    )
    for given_bars in (frame, frame.to_pandas(), {**bars, "start": bars["start"].view("datetime64[ns]")}):
        for name in ("vwap", "supertrend"):
            found = indicator.compute(name, given_bars)
            for output, values in indicator.compute(name, bars).items():
                np.testing.assert_array_equal(found[output], values)


def test_no_bars_have_no_values() -> None:
    assert {
        len(v) for v in indicator.compute("ichimoku", {c: v[:0] for c, v in walk(1, 3).items()}).values()
    } == {0}


def refused(name: str, bars: Any = None, **params: Any) -> UsageError:
    with pytest.raises(UsageError) as raised:
        indicator.compute(name, walk(1, 5) if bars is None else bars, **params)
    return raised.value


def test_what_is_refused_is_named() -> None:
    error = refused("stochastik")
    assert (error.code, error.hint.split(",")[0]) == ("indicator_unknown", "nearest: stochastic")
    error = refused("sma", period=0)
    assert error.code == "parameter_invalid"
    assert error.message == "period of sma is a whole number from 1 to 100000, not 0"
    assert refused("sma", period=2.5).code == "parameter_invalid"
    assert refused("sma", period="many").message == "period of sma is a number, not 'many'"
    error = refused("sma", length=3)
    assert (error.message, error.hint) == (
        "sma has no parameter 'length'; it has: period",
        "sma: period=20 (1 to 100000)",
    )
    error = refused("atr", {"close": np.ones(3)})
    assert (error.code, error.message) == ("bars_invalid", "the bars have no column high")
    error = refused("atr", {"high": np.ones(3), "low": np.ones(2), "close": np.ones(3)})
    assert error.message == "column low has 2 values, those before it 3"
    assert refused("sma", {"close": ["a"]}).code == "bars_invalid"
    assert refused("sma", {"close": np.ones((2, 2))}).code == "bars_invalid"


# ── TA-Lib's own ──────────────────────────────────────────────────────────────────────────────────


def test_any_function_of_talib() -> None:
    bars = walk(2, 100)
    found = indicator.compute("talib:SMA", bars, timeperiod=5)
    np.testing.assert_allclose(found["real"], indicator.compute("sma", bars, period=5)["sma"], rtol=1e-12)
    assert set(indicator.compute("talib:BBANDS", bars)) == {"upperband", "middleband", "lowerband"}
    assert set(np.unique(indicator.compute("talib:CDLDOJI", bars)["integer"])) <= {-100, 0, 100}
    assert refused("talib:SMAA").hint.startswith("nearest: talib:SMA")
    assert refused("talib:SMA", period=5).hint == "it has: timeperiod"
    assert refused("talib:SMA", timeperiod=0).code == "parameter_invalid"
    assert refused("talib:SMA", {"open": np.ones(3)}).code == "bars_invalid"


def test_without_talib_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "talib", None)
    with pytest.raises(ConfigError, match="ta-lib") as raised:
        indicator.compute("talib:SMA", walk(1, 5))
    assert (raised.value.code, raised.value.hint) == ("extra_missing", "pip install 'tidemill[talib]'")


def test_the_page_lists_the_registry() -> None:
    page = (Path(__file__).parents[1] / "docs" / "indicators.md").read_text()
    for one in indicator.registry().values():
        params = ", ".join(f"`{param.name}` {param.default:g}" for param in one.params) or "–"
        outputs = ", ".join(f"`{output.name}`" for output in one.outputs)
        assert f"| `{one.name}` | {one.title} | {params} | {outputs} | {one.warm_up or '–'} |" in page
