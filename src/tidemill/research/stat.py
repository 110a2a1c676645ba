"""What is said of a series of periodic returns. Definitions and why other tools differ: `docs/stats.md`.

`per_year` is the number of periods in a year: 252 for days of a stock exchange, 365 for days of a market that
never closes. Sample moments have n − 1 in the denominator. Annual numbers need 30 days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from tidemill.research import drawdown
from tidemill.research.returns import Array, Floats, aligned, checked, per_period

DAYS_MIN = 30
"""What is shorter is not made a year of."""
TAIL_MIN = 100
"""With fewer periods the worst twentieth is a handful of them."""


@dataclass(frozen=True)
class Stats:
    """Of one series. None is what its length or its values do not define."""

    periods: int
    years: float
    total_return: float
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float
    max_drawdown_periods: int
    """Of the deepest fall, from its peak until that is reached again, or to the end."""
    calmar: float | None
    ulcer: float | None
    omega: float | None
    var95: float | None
    cvar95: float | None
    tail_ratio: float | None
    skew: float | None
    kurtosis: float | None
    best: float | None
    worst: float | None
    beta: float | None = None
    alpha: float | None = None
    tracking_error: float | None = None
    information_ratio: float | None = None
    up_capture: float | None = None
    down_capture: float | None = None
    notes: tuple[str, ...] = ()
    """Why something is None, or less sure than it looks."""


def of(returns: Array, per_year: float, *, risk_free: float = 0.0, benchmark: Array | None = None) -> Stats:
    """All of them. `risk_free` is a rate of a year; `benchmark` has the returns of the same periods.

    Raises `UsageError` (`returns_invalid`) for NaN, returns below −1 and series of two lengths."""
    series = checked(returns)
    compared = {}
    if benchmark is not None:
        ours, theirs = aligned(series, benchmark)
        compared = {
            "beta": beta(ours, theirs),
            "alpha": alpha(ours, theirs, per_year, risk_free),
            "tracking_error": _deviation(ours - theirs, per_year),
            "information_ratio": _ratio(ours - theirs, per_year),
            "up_capture": capture(ours, theirs, per_year, up=True),
            "down_capture": capture(ours, theirs, per_year, up=False),
        }
    falls = drawdown.worst(series, 1)
    return Stats(
        periods=len(series),
        years=len(series) / per_year,
        total_return=total(series),
        cagr=cagr(series, per_year),
        volatility=volatility(series, per_year),
        sharpe=sharpe(series, per_year, risk_free),
        sortino=sortino(series, per_year, risk_free),
        max_drawdown=drawdown.deepest(series),
        max_drawdown_periods=falls[0].periods if falls else 0,
        calmar=calmar(series, per_year),
        ulcer=drawdown.ulcer(series),
        omega=omega(series),
        var95=value_at_risk(series),
        cvar95=expected_shortfall(series),
        tail_ratio=tail_ratio(series),
        skew=skew(series),
        kurtosis=kurtosis(series),
        best=float(series.max()) if len(series) else None,
        worst=float(series.min()) if len(series) else None,
        **compared,
        notes=_notes(series, per_year, falls),
    )


def _notes(series: Floats, per_year: float, falls: list[drawdown.Drawdown]) -> tuple[str, ...]:
    told = []
    if not _is_long(series, per_year):
        told.append(f"shorter than {DAYS_MIN} days: too short to annualise a return")
    if len(series) > 1 and not (series < 0).any():
        told.append("no losing periods: no Sortino ratio and no omega")
    if len(series) > 1 and _is_flat(series):
        told.append("every period returned the same: no Sharpe ratio")
    if 0 < len(series) < TAIL_MIN:
        told.append(f"fewer than {TAIL_MIN} periods: value at risk rests on {max(1, len(series) // 20)}")
    if (series <= -1).any():
        told.append("everything was lost")
    if falls and falls[0].recovery is None:
        told.append("the deepest drawdown is not recovered")
    return tuple(told)


# ── growth ────────────────────────────────────────────────────────────────────────────────────────


def total(returns: Array) -> float:
    """Growth over all periods: 0.1 is 10 %."""
    return float(np.prod(1 + checked(returns)) - 1)


def cagr(returns: Array, per_year: float) -> float | None:
    """Growth of a year, compounded, by the number of periods; None under 30 days. −1 at ruin."""
    series = checked(returns)
    if not _is_long(series, per_year):
        return None
    return _annual(series, per_year)


def _annual(series: Floats, per_year: float) -> float:
    return float(np.prod(1 + series) ** (per_year / len(series)) - 1)


def _is_long(series: Floats, per_year: float) -> bool:
    return len(series) * 365 / per_year >= DAYS_MIN


# ── risk ──────────────────────────────────────────────────────────────────────────────────────────


def volatility(returns: Array, per_year: float) -> float | None:
    """Standard deviation of a year; None of fewer than two periods."""
    return _deviation(checked(returns), per_year)


def sharpe(returns: Array, per_year: float, risk_free: float = 0.0) -> float | None:
    """Mean by standard deviation of the returns above the risk-free rate, of a year. None where all
    returns are equal, and of fewer than two."""
    series = checked(returns)
    return _ratio(series - per_period(risk_free, per_year), per_year)


def sortino(returns: Array, per_year: float, risk_free: float = 0.0) -> float | None:
    """As `sharpe`, by the root mean square of what was lost, over all periods. None where nothing was."""
    above = checked(returns) - per_period(risk_free, per_year)
    lost = sqrt((np.minimum(above, 0) ** 2).mean()) if len(above) > 1 else 0.0
    return float(above.mean() / lost * sqrt(per_year)) if lost else None


def calmar(returns: Array, per_year: float) -> float | None:
    """`cagr` by the depth of the deepest drawdown; None without one."""
    grown, deepest = cagr(returns, per_year), drawdown.deepest(returns)
    return None if grown is None or deepest == 0 else grown / -deepest


def omega(returns: Array) -> float | None:
    """Sum of gains by sum of losses; None where nothing was lost."""
    series = checked(returns)
    lost = float(np.maximum(-series, 0).sum())
    return float(np.maximum(series, 0).sum()) / lost if lost else None


def value_at_risk(returns: Array) -> float | None:
    """The 5 % quantile of the returns themselves, between two of them by a line."""
    series = checked(returns)
    return float(np.quantile(series, 0.05)) if len(series) else None


def expected_shortfall(returns: Array) -> float | None:
    """Mean of the returns that are no better than `value_at_risk`."""
    series = checked(returns)
    return float(series[series <= np.quantile(series, 0.05)].mean()) if len(series) else None


def tail_ratio(returns: Array) -> float | None:
    """The 95 % quantile by the 5 % one, without their signs; None where that is 0."""
    series = checked(returns)
    if not len(series):
        return None
    low, high = np.abs(np.quantile(series, [0.05, 0.95]))
    return float(high / low) if low else None


def skew(returns: Array) -> float | None:
    """Third moment of the sample, without bias; None of fewer than three or of equal returns."""
    series = checked(returns)
    count = len(series)
    if count < 3 or _is_flat(series):
        return None
    off = series - series.mean()
    biased = (off**3).mean() / (off**2).mean() ** 1.5
    return float(biased * sqrt(count * (count - 1)) / (count - 2))


def kurtosis(returns: Array) -> float | None:
    """Fourth moment of the sample above that of a normal one, without bias; None of fewer than four or of
    equal returns."""
    series = checked(returns)
    count = len(series)
    if count < 4 or _is_flat(series):
        return None
    off = series - series.mean()
    excess = (off**4).mean() / (off**2).mean() ** 2 - 3
    return float((count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * excess + 6))


# ── beside a benchmark ────────────────────────────────────────────────────────────────────────────


def beta(returns: Array, benchmark: Array) -> float | None:
    """Slope of the returns over those of the benchmark; None where that never moves."""
    ours, theirs = aligned(returns, benchmark)
    if len(ours) < 2 or _is_flat(theirs):
        return None
    return float(np.cov(ours, theirs, ddof=1)[0, 1] / theirs.var(ddof=1))


def alpha(returns: Array, benchmark: Array, per_year: float, risk_free: float = 0.0) -> float | None:
    """What `beta` leaves of the mean return, of a year, compounded."""
    ours, theirs = aligned(returns, benchmark)
    slope, free = beta(ours, theirs), per_period(risk_free, per_year)
    if slope is None:
        return None
    left = float(((ours - free) - slope * (theirs - free)).mean())
    return float((1 + left) ** per_year - 1)


def capture(returns: Array, benchmark: Array, per_year: float, *, up: bool) -> float | None:
    """Annual growth over that of the benchmark, in the periods in which the benchmark rose (`up`) or fell.
    None without such periods."""
    ours, theirs = aligned(returns, benchmark)
    chosen = theirs > 0 if up else theirs < 0
    moved = _annual(theirs[chosen], per_year) if chosen.any() else 0.0
    return _annual(ours[chosen], per_year) / moved if moved else None


def rolling(returns: Array, window: int, measure: Callable[[Floats], float | None]) -> Floats:
    """`measure` over each window of so many periods, shape (n,): NaN until the first is whole, and where it
    is None."""
    series = checked(returns)
    found = np.full(len(series), np.nan)
    for end in range(window, len(series) + 1):
        value = measure(series[end - window : end])
        if value is not None:
            found[end - 1] = value
    return found


def _deviation(series: Floats, per_year: float) -> float | None:
    return float(series.std(ddof=1) * sqrt(per_year)) if len(series) > 1 else None


def _ratio(above: Floats, per_year: float) -> float | None:
    if len(above) < 2 or _is_flat(above):
        return None
    return float(above.mean() / above.std(ddof=1) * sqrt(per_year))


def _is_flat(series: Floats) -> bool:
    """Equal but for the last bits: their deviation is rounding, and a ratio to it no number."""
    return float(np.ptp(series)) <= 1e-12 * max(1.0, float(np.abs(series).max())) if len(series) else True
