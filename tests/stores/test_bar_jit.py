"""The kernel in Numba says what the native one says, digit for digit."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill import _native
from tidemill.errors import ConfigError
from tidemill.model.bar import BAR, Bars, set_volumes
from tidemill.model.interval import SECOND, Interval
from tidemill.stores import series

jit = pytest.importorskip("tidemill.stores.bar_jit")

PRICE = st.integers(-(10**6), 10**6) | st.integers(-(2**63), 2**63 - 1)
VOLUME = st.integers(0, 10**9) | st.integers(0, 2**127 - 1)


@st.composite
def tables(draw: st.DrawFn) -> Bars:
    rows = draw(
        st.lists(
            st.tuples(st.integers(1, 400_000), PRICE, PRICE, VOLUME, st.integers(0, 3), st.integers(0, 3)),
            max_size=25,
        )
    )
    bars = np.zeros(len(rows), BAR)
    at = draw(st.integers(-(10**9), 10**9))
    for index, (step, one, other, _, price_scale, size_scale) in enumerate(rows):
        at += step
        bar = bars[index]
        bar["start"], bar["end"] = at * SECOND, (at + 1) * SECOND
        bar["low"], bar["high"] = min(one, other), max(one, other)
        bar["open"], bar["close"] = one, other
        bar["price_scale"], bar["size_scale"] = price_scale, size_scale
        bar["trades"], bar["revision"], bar["sequence"] = index, index % 3, index * 7 % 5
        bar["ts_known"] = bar["end"] + index % 2 * 10**15
        bar["ts_recv"] = bar["ts_known"] + index % 4
        bar["instrument"] = 5
    set_volumes(bars, [row[3] for row in rows])
    return bars


def outcome(merge, *asked) -> bytes | str:  # type: ignore[no-untyped-def]
    with contextlib.suppress(ValueError):
        return bytes(merge(*asked).tobytes())
    # Where several things do not fit, each kernel names what it comes to first.
    return "does not fit"


def native(bars: Bars, interval: Interval) -> Bars:
    return np.frombuffer(_native.merge_bars(bars, interval.text), BAR)


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(["1s", "7s", "1m", "1h", "1d", "1w", "2w", "1mo", "3mo"]))
def test_both_kernels_say_the_same(bars: Bars, unit: str) -> None:
    interval = Interval.parse(unit)
    assert outcome(jit.merge, bars, interval) == outcome(native, bars, interval)


@settings(max_examples=60, deadline=None)
@given(tables(), st.lists(st.tuples(st.integers(0, 50_000), st.integers(1, 500_000)), max_size=12))
def test_both_kernels_cut_at_spans_alike(bars: Bars, spans: list[tuple[int, int]]) -> None:
    at = int(bars["start"][0]) if len(bars) else 0
    edges = []
    for pause, length in spans:
        edges.append((at + pause * SECOND, at + (pause + length) * SECOND))
        at = edges[-1][1]
    starts, ends = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))

    def by_native(bars: Bars) -> Bars:
        return np.frombuffer(_native.merge_bars_by(bars, starts, ends), BAR)

    assert outcome(jit.merge_by, bars, starts, ends) == outcome(by_native, bars)


def test_the_kernel_is_chosen_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = np.zeros(3, BAR)
    bars["start"] = [0, SECOND, 61 * SECOND]
    before = series.merge(bars, Interval.parse("1m"))
    monkeypatch.setenv("TIDEMILL_BAR_KERNEL", "numba")
    assert (series.merge(bars, Interval.parse("1m")) == before).all()
    monkeypatch.setenv("TIDEMILL_BAR_KERNEL", "fortran")
    with pytest.raises(ConfigError, match="native or numba"):
        series.merge(bars, Interval.parse("1m"))
