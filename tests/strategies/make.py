"""Random bars of several instruments, random formulas over them, and signals fed a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from tidemill.strategies.evaluation import Live, Row, Series, steps
from tidemill.strategies.operation import NAN
from tidemill.strategies.signal import COLUMNS, Bars, Signal, least, most, switch, when

MINUTE = 60_000_000_000
START = 1_700_000_000_000_000_000 // MINUTE * MINUTE
NAMES = ("BTC-USD.kraken", "ETH-USD.kraken", "AAPL.polygon")

# Each over its last bars, fading, or over all of them; several outputs and one.
INDICATORS: list[Callable[[Bars], Signal]] = [
    lambda bars: bars.sma(5), lambda bars: bars.ema(4), lambda bars: bars.rsi(3),
    lambda bars: bars.macd(fast=2, slow=5, signal=3).histogram, lambda bars: bars.bollinger(6, 1.5).upper,
    lambda bars: bars.atr(4), lambda bars: bars.donchian(7)["lower"], lambda bars: bars.obv(),
    lambda bars: bars.supertrend(4, 2.0).direction, lambda bars: bars.vwap(),
]  # fmt: skip
ENDLESS = (7, 8, 9)
"""Those whose values depend on where they began."""


def series(
    seed: int, count: int, *, interval: int = MINUTE, holes: float = 0.0, batched: float = 0.0
) -> Series:
    """A walk of `count` intervals, of which `holes` of the bars are missing; volumes are NaN here and there,
    and `batched` of the bars became known together with the one after."""
    random = np.random.default_rng(seed)
    kept = np.sort(random.choice(count, count - int(count * holes), replace=False))
    start = START + kept.astype(np.int64) * interval
    close = np.round(100 * np.exp(random.normal(0, 0.01, len(kept)).cumsum()), 2)
    open_ = np.round(close * (1 + random.normal(0, 0.003, len(kept))), 2)
    spread = np.round(np.abs(random.normal(0, 0.3, (2, len(kept)))), 2)
    volume = np.round(random.exponential(10, len(kept)), 3)
    volume[random.random(len(kept)) < 0.05] = NAN
    known = start + interval
    late = np.flatnonzero(random.random(len(kept)) < batched)
    known[late] = known[np.minimum(late + 1, len(kept) - 1)] if len(kept) else known[late]
    columns = {
        "open": open_, "high": np.maximum(open_, close) + spread[0],
        "low": np.minimum(open_, close) - spread[1], "close": close, "volume": volume,
    }  # fmt: skip
    return Series(start, np.maximum.accumulate(known) if len(known) else known, columns)


@st.composite
def markets(draw: st.DrawFn, most_bars: int = 60) -> dict[str, Series]:
    """One to three instruments of their own lengths, intervals and holes."""
    return {
        name: series(
            draw(st.integers(0, 10_000)),
            draw(st.integers(0, most_bars)),
            interval=draw(st.sampled_from([MINUTE, 2 * MINUTE, 7 * MINUTE // 3])),
            holes=draw(st.sampled_from([0.0, 0.3])),
            batched=draw(st.sampled_from([0.0, 0.2])),
        )
        for name in NAMES[: draw(st.integers(1, 3))]
    }


def formulas(names: list[str], *, endless: bool = True, jumps: bool = True) -> st.SearchStrategy[Signal]:
    """Any formula over these instruments. Without `endless` its values forget their beginning, without
    `jumps` they change little where its inputs do."""
    markets = {name: Bars(name) for name in names}
    chosen = [one for at, one in enumerate(INDICATORS) if endless or at not in ENDLESS]
    instruments = st.sampled_from(names).map(markets.__getitem__)
    leaves = st.one_of(
        st.builds(lambda bars, name: getattr(bars, name), instruments, st.sampled_from(COLUMNS[:4])),
        st.builds(lambda bars, make: make(bars), instruments, st.sampled_from(chosen)),
    )

    def grow(inner: st.SearchStrategy[Signal]) -> st.SearchStrategy[Signal]:
        number = st.sampled_from([-1.5, 0.0, 1.0, 100.0])
        grown = [
            st.builds(
                lambda a, b, make: make(a, b), inner, st.one_of(inner, number), st.sampled_from(SMOOTH)
            ),
            st.builds(lambda a, steps: a.shift(steps), inner, st.integers(1, 9)),
            st.builds(lambda a, make: make(a), inner, st.sampled_from(OF)),
        ]
        if jumps:
            grown += [
                st.builds(
                    lambda a, b, make: make(a, b), inner, st.one_of(inner, number), st.sampled_from(TESTS)
                ),
                st.builds(lambda a, make: make(a), inner, st.sampled_from(ONES)),
                st.builds(when, inner, inner, st.one_of(inner, number)),
                st.builds(lambda a, b: when(a > b, a), inner, inner),
            ]
        if endless:
            grown += [
                inner.map(lambda a: a.hold()),
                st.builds(lambda a, b, c: switch(a > c, b < c), inner, inner, inner),
            ]
        return st.one_of(*grown)

    return st.recursive(leaves, grow, max_leaves=8)


SMOOTH: list[Callable[[Signal, Signal | float], Signal]] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: 2 * a, least, most,
    lambda a, b: a.clip(-1e3, 1e3), lambda a, b: -a,
]  # fmt: skip
OF: list[Callable[[Signal], Signal]] = [
    lambda a: a.sma(3), lambda a: a.ema(3), lambda a: a.standard_deviation(4),
    lambda a: a.indicator("rsi", period=3).one,
]  # fmt: skip
TESTS: list[Callable[[Signal, Signal | float], Signal]] = [
    lambda a, b: a > b, lambda a, b: a >= b, lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a == b,
    lambda a, b: a != b, lambda a, b: (a > b) & (a < 200.0), lambda a, b: (a < b) | ~(a > 100.0),
    lambda a, b: a / b, lambda a, b: a * b, lambda a, b: a.crosses_above(b), lambda a, b: a.crosses_below(b),
    lambda a, b: 1 / a + 3 - a,
]  # fmt: skip
ONES: list[Callable[[Signal], Signal]] = [
    lambda a: a.log(), lambda a: (a / 100).exp(), lambda a: a.sqrt(), lambda a: a.abs(), lambda a: a.sign(),
    lambda a: a.known(), lambda a: a.change(2),
]  # fmt: skip


def rows(series: Mapping[str, Series]) -> list[dict[str, list[Row]]]:
    """The bars of each step, as they become known."""
    found: list[dict[str, list[Row]]] = []
    for known in steps(series):
        step: dict[str, list[Row]] = {}
        for name, one in series.items():
            for at in np.flatnonzero(one.known == known):
                values = [float(one.columns[column][at]) for column in COLUMNS]
                step.setdefault(name, []).append(Row(int(one.start[at]), *values))
        found.append(step)
    return found


def fed(signals: list[Signal], series: Mapping[str, Series]) -> list[npt.NDArray[np.float64]]:
    """Each signal's values, fed a step at a time."""
    live = Live(signals)
    found = [live.step(step) for step in rows(series)]
    return [np.array([step[at] for step in found], np.float64) for at in range(len(signals))]


def bits(values: npt.NDArray[np.float64]) -> bytes:
    """The same for the same numbers alone; a NaN is a NaN, and -0 is not 0."""
    return np.where(np.isnan(values), NAN, values).astype(np.float64).tobytes()
