"""What `tidemill bench indicators` measures: series beside TA-Lib, and bar by bar beside talipp."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill import _native
from tidemill.cli.bench_research import compared

Columns = dict[str, npt.NDArray[Any]]
STREAMED = ("sma", "ema", "rsi", "macd", "atr", "bollinger")
PARAMS: dict[str, dict[str, float]] = {"stochastic_rsi": {"k": 1}, "kama": {"period": 10}}
"""Where TA-Lib has no function for our defaults."""


def bars(rows: int) -> Columns:
    """Bars of a market that wanders."""
    dice = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(dice.normal(0, 0.01, rows)))
    opened = np.concatenate([[100.0], close[:-1]])
    return {
        "start": np.arange(rows) * 60_000_000_000, "open": opened, "close": close,
        "high": np.maximum(opened, close) * (1 + dice.uniform(0, 0.01, rows)),
        "low": np.minimum(opened, close) * (1 - dice.uniform(0, 0.01, rows)),
        "volume": dice.uniform(1, 1000, rows),
    }  # fmt: skip


def measured(rows: int, rounds: int) -> dict[str, Any]:
    """Processor time of a bar, ns: the least of many rounds, which other work on the machine disturbs
    least."""
    columns = bars(rows)
    told: dict[str, Any] = {}
    absent: dict[str, str] = {}
    try:
        theirs = _talib(columns)
    except ImportError as error:
        theirs, absent["ta-lib"] = {}, str(error)
    for name, their in theirs.items():
        params = PARAMS.get(name, {})
        told[name] = _least(
            {
                "tidemill": lambda name=name, params=params: _native.indicator(name, columns, params),  # type: ignore[misc]
                "ta-lib": their,
            },
            rows,
            rounds,
        )
    if theirs:
        ratios = [one["ratio"]["ta-lib"] for one in told.values()]
        told["geometric_mean"] = {"ta-lib": round(float(np.exp(np.mean(np.log(ratios)))), 3)}
    few = min(rows, 10_000)
    parties: dict[str, Callable[[], object]] = {"tidemill": lambda: _streamed(columns, few)}
    try:
        parties["talipp"] = _talipp(columns, few)
    except ImportError as error:
        absent["talipp"] = str(error)
    told["six_streamed_from_python"] = _least(parties, few, 3)
    told["absent"] = absent
    return told


def _least(parties: dict[str, Callable[[], object]], rows: int, rounds: int) -> dict[str, Any]:
    spent = {name: [float("inf")] for name in parties}
    for _ in range(rounds):
        for name, work in parties.items():
            began = time.thread_time()
            work()
            spent[name][0] = min(spent[name][0], (time.thread_time() - began) / rows * 1e9)
    return compared(spent)


def _talib(columns: Columns) -> dict[str, Callable[[], object]]:
    """Those of TA-Lib that compute what one of ours does, by our name."""
    ta: Any = import_module("talib")
    h, lo, c, v = (columns[name] for name in ("high", "low", "close", "volume"))
    return {
        "sma": lambda: ta.SMA(c, 20), "ema": lambda: ta.EMA(c, 20), "wma": lambda: ta.WMA(c, 20),
        "dema": lambda: ta.DEMA(c, 20), "tema": lambda: ta.TEMA(c, 20), "kama": lambda: ta.KAMA(c, 10),
        "rsi": lambda: ta.RSI(c, 14), "macd": lambda: ta.MACD(c),
        "bollinger": lambda: ta.BBANDS(c, 20, 2.0, 2.0),
        "atr": lambda: ta.ATR(h, lo, c, 14), "natr": lambda: ta.NATR(h, lo, c, 14),
        "true_range": lambda: ta.TRANGE(h, lo, c),
        "adx": lambda: (ta.ADX(h, lo, c), ta.PLUS_DI(h, lo, c), ta.MINUS_DI(h, lo, c)),
        "stochastic": lambda: ta.STOCH(h, lo, c, 14, 3, 0, 3, 0),
        "stochastic_rsi": lambda: ta.STOCHRSI(c, 14, 14, 3), "williams_r": lambda: ta.WILLR(h, lo, c, 14),
        "cci": lambda: ta.CCI(h, lo, c, 20), "mfi": lambda: ta.MFI(h, lo, c, v, 14),
        "obv": lambda: ta.OBV(c, v),
        "ad": lambda: ta.AD(h, lo, c, v), "roc": lambda: ta.ROC(c, 10), "momentum": lambda: ta.MOM(c, 10),
        "standard_deviation": lambda: ta.STDDEV(c, 20), "psar": lambda: ta.SAR(h, lo),
        "aroon": lambda: ta.AROON(h, lo, 14), "trix": lambda: ta.TRIX(c, 15),
        "ultimate": lambda: ta.ULTOSC(h, lo, c), "slope": lambda: ta.LINEARREG_SLOPE(c, 14),
        "donchian": lambda: (ta.MAX(h, 20), ta.MIN(lo, 20)),
    }  # fmt: skip


def _streamed(columns: Columns, rows: int) -> None:
    indicators = [_native.Indicator(name) for name in STREAMED]
    names = ("start", "open", "high", "low", "close", "volume")
    for bar in zip(*(columns[name][:rows].tolist() for name in names), strict=True):
        for one in indicators:
            one.update(*bar)


def _talipp(columns: Columns, rows: int) -> Callable[[], object]:
    """The same six, as their documentation feeds them."""
    t: Any = import_module("talipp.indicators")
    ohlcv: Any = import_module("talipp.ohlcv").OHLCV
    names = ("open", "high", "low", "close", "volume")
    rows_ = list(zip(*(columns[name][:rows].tolist() for name in names), strict=True))

    def work() -> None:
        closes = [t.SMA(20), t.EMA(20), t.RSI(14), t.MACD(12, 26, 9), t.BB(20, 2)]
        ranges = t.ATR(14)
        for bar in rows_:
            for one in closes:
                one.add(bar[3])
            ranges.add(ohlcv(*bar))

    return work
