"""The numbers that the field's libraries agree on, then laws, then edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.research.golden import series
from tidemill.errors import UsageError
from tidemill.research import drawdown, returns, stat

R, B = series("returns"), series("bench")

# The second column is who gives the same: e(mpyrical), q(uantstats), f(fn), and o(wn), where they differ.
GOLDEN = {
    "total_return": (0.2527969197655821, "eqf"),
    "cagr": (0.07802018398212862, "eq"),
    "volatility": (0.158648088050253, "eq"),
    "sharpe": (0.5527642182545395, "eqf"),
    "sortino": (0.8130156449856804, "eqf"),
    "max_drawdown": (-0.1655663512673823, "eqf"),
    "calmar": (0.4712321276932019, "eq"),
    "ulcer": (0.07683102423136644, "o"),
    "omega": (1.0913799316055808, "eq"),
    "var95": (-0.016259110174162296, "e"),
    "cvar95": (-0.0192762376288801, "eq"),
    "tail_ratio": (1.0766601479706064, "eq"),
    "skew": (0.08873244536335201, "q"),
    "kurtosis": (-0.24056588156110884, "q"),
    "beta": (0.5935403274479759, "eq"),
    "alpha": (0.10827199156885481, "e"),
    "information_ratio": (0.04971054934692336 * math.sqrt(252), "eqf"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_series_has_the_golden_number(name: str) -> None:
    found = getattr(stat.of(R, 252, benchmark=B), name)
    assert found == pytest.approx(GOLDEN[name][0], rel=1e-12)


def test_the_risk_free_rate_and_the_year_change_the_sharpe_ratio() -> None:
    assert stat.sharpe(R, 252, 0.03) == pytest.approx(0.36643650230426855, rel=1e-12)
    assert stat.sharpe(R, 365) == pytest.approx(0.6652518396466858, rel=1e-12)


numbers = st.lists(st.floats(-0.5, 0.5, allow_subnormal=False), min_size=60, max_size=200).map(np.array)


@given(numbers, st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_a_sharpe_ratio_does_not_depend_on_the_size_of_the_bets(found: np.ndarray, size: float) -> None:
    size = min(size, 0.9 / max(0.01, float(np.abs(found).max())))
    one, other = stat.sharpe(found, 252), stat.sharpe(found * size, 252)
    if one is not None and other is not None:
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)


@given(numbers)
@settings(max_examples=60, deadline=None)
def test_laws_that_hold_of_any_series(found: np.ndarray) -> None:
    told = stat.of(found, 365, benchmark=found)
    assert -1 <= told.max_drawdown <= 0
    assert told.cvar95 is not None
    assert told.var95 is not None
    assert told.cvar95 <= told.var95 + 1e-15
    assert (1 + told.total_return) == pytest.approx(drawdown.equity(found)[-1])
    if told.beta is not None:
        assert told.beta == pytest.approx(1)
        assert told.alpha == pytest.approx(0, abs=1e-9)
    assert told.tracking_error == 0
    assert told.information_ratio is None
    assert np.allclose(returns.of_equity(drawdown.equity(found)), found, atol=1e-9)


def test_what_is_not_defined_is_none() -> None:
    rising = stat.of(np.full(300, 0.001), 252)
    assert rising.sharpe is None
    assert rising.sortino is None
    assert rising.omega is None
    assert rising.calmar is None
    assert rising.max_drawdown == 0
    assert rising.max_drawdown_periods == 0
    assert rising.skew is None
    assert rising.kurtosis is None
    assert any("no losing periods" in note for note in rising.notes)
    nothing = stat.of([], 252)
    assert (nothing.periods, nothing.total_return, nothing.cagr, nothing.var95) == (0, 0.0, None, None)
    short = stat.of([0.1, -0.1, 0.2], 252)
    assert short.cagr is None
    assert short.calmar is None
    assert short.sharpe is not None
    assert any("too short" in note for note in short.notes)
    still = stat.of(R, 252, benchmark=np.zeros(len(R)))
    assert still.beta is None
    assert still.alpha is None
    assert still.up_capture is None


def test_ruin_stays_ruin() -> None:
    found = returns.of_equity([100, 50, -10, 80, 90])
    assert found.tolist() == [-0.5, -1, 0, 0]
    told = stat.of(np.concatenate([found, np.zeros(60)]), 252)
    assert told.cagr == -1
    assert told.max_drawdown == -1
    assert "everything was lost" in told.notes


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ([0.1, float("nan")], r"returns\[1\] is nan"),
        ([float("inf")], r"returns\[0\] is inf"),
        ([0.1, -1.5], r"returns\[1\] is -1.5"),
        ([[0.1]], "2 dimensions"),
    ],
)
def test_what_is_no_return_is_refused(given_: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        stat.of(given_, 252)  # type: ignore[arg-type]


def test_a_benchmark_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match="756 returns lie beside 755"):
        stat.of(R, 252, benchmark=B[1:])
    with pytest.raises(UsageError, match="above 0"):
        returns.of_equity([0, 1])


def test_capture_counts_the_periods_in_which_the_benchmark_moved_that_way() -> None:
    ours, theirs = [0.02, -0.01, 0.0, 0.02], [0.01, -0.02, 0.0, 0.01]
    up = ((1.02**2) ** 126 - 1) / ((1.01**2) ** 126 - 1)
    assert stat.capture(ours, theirs, 252, up=True) == pytest.approx(up)
    down = (0.99**252 - 1) / (0.98**252 - 1)
    assert stat.capture(ours, theirs, 252, up=False) == pytest.approx(down)


def test_a_rolling_number_begins_with_the_first_whole_window() -> None:
    found = stat.rolling(R, 63, lambda window: stat.sharpe(window, 252))
    assert np.isnan(found[:62]).all()
    assert not np.isnan(found[62:]).any()
    assert found[-1] == pytest.approx(stat.sharpe(R[-63:], 252))


def test_drawdowns_name_their_peak_trough_and_recovery() -> None:
    falls = drawdown.worst([0.1, -0.2, 0.1, 0.3, -0.5, 0.1])
    assert [(one.peak, one.trough, one.recovery, one.periods) for one in falls] == [
        (4, 5, None, 2),
        (1, 2, 4, 3),
    ]
    assert falls[0].depth == pytest.approx(-0.5)
    # A fall from the very start counts: its peak is the start.
    first = drawdown.worst([-0.1, 0.2])
    assert (first[0].peak, first[0].trough, first[0].recovery) == (0, 1, 2)
