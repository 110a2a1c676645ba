"""How much of a Sharpe ratio is luck: of one series, of the best of many trials, of a way of choosing.

Bailey and López de Prado: "The Sharpe Ratio Efficient Frontier" (2012), "The Deflated Sharpe Ratio" (2014),
"The Probability of Backtest Overfitting" (2015, with Borwein and Zhu). Sharpe ratios here are of one period,
not of a year: `annual / sqrt(per_year)`.
"""

from __future__ import annotations

from itertools import combinations
from math import e, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError
from tidemill.research.returns import Array, Floats, checked
from tidemill.research.stat import sharpe

_NORMAL = NormalDist()
_EULER = 0.5772156649015329


def probability(returns: Array, hurdle: float = 0.0) -> float | None:
    """PSR: the probability that the true Sharpe ratio is above `hurdle`, given the length, skew and tails of
    the returns. None where they have no Sharpe ratio."""
    series = checked(returns)
    found = sharpe(series, 1)
    if found is None:
        return None
    return _NORMAL.cdf((found - hurdle) * sqrt(len(series) - 1) / sqrt(_spread(series, found)))


def expected_best(variance: float, trials: int) -> float:
    """The Sharpe ratio that the best of so many worthless trials has on average, where those of the trials
    have this variance. 0 of one trial."""
    if trials <= 1:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / trials)
    second = _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def deflated(returns: Array, trials: Array) -> float | None:
    """DSR: `probability` above what the best of all trials would have had by luck. `trials` holds the Sharpe
    ratios of one period of **every** trial that was made, the chosen one too."""
    ratios = np.asarray(trials, np.float64)
    ratios = ratios[np.isfinite(ratios)]
    variance = float(ratios.var(ddof=1)) if len(ratios) > 1 else 0.0
    return probability(returns, expected_best(variance, len(ratios)))


def periods_needed(returns: Array, hurdle: float = 0.0, confidence: float = 0.95) -> float | None:
    """MinTRL: how many periods it takes until `probability` reaches `confidence`. None where the Sharpe
    ratio is not above the hurdle: no length is enough."""
    series = checked(returns)
    found = sharpe(series, 1)
    if found is None or found <= hurdle:
        return None
    return 1 + _spread(series, found) * (_NORMAL.inv_cdf(confidence) / (found - hurdle)) ** 2


def _spread(series: Floats, found: float) -> float:
    """What skew and tails make of the variance of an estimated Sharpe ratio."""
    off = series - series.mean()
    variance = (off**2).mean()
    skew = float((off**3).mean() / variance**1.5)
    tails = float((off**4).mean() / variance**2)
    return 1 - skew * found + (tails - 1) / 4 * found**2


def overfitting(trials: npt.ArrayLike, blocks: int = 8) -> float:
    """PBO by combinatorially symmetric cross-validation: in which share of the splits the trial that is best
    in one half of the blocks is in the worse half of all trials in the other.

    `trials` has the returns, shape (periods, trials), all of the same periods; what does not divide by
    `blocks` is left out at the beginning. Equal trials share their rank. Raises `UsageError` for fewer than
    two trials, an odd number of blocks, and blocks of fewer than two periods.
    """
    matrix = np.asarray(trials, np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 2 or blocks < 2 or blocks % 2 or len(matrix) < 2 * blocks:
        raise UsageError(
            "trials_invalid",
            f"{matrix.shape} returns in {blocks} blocks: two or more trials, and an even number of blocks of"
            " two or more periods each, are needed",
            hint="pass a matrix of periods × trials",
        )
    size = len(matrix) // blocks
    matrix = matrix[len(matrix) - size * blocks :]
    cut = matrix.reshape(blocks, size, -1)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    inside = np.zeros((len(list(combinations(range(blocks), blocks // 2))), blocks))
    for row, chosen in enumerate(combinations(range(blocks), blocks // 2)):
        inside[row, list(chosen)] = 1.0
    count = size * blocks // 2
    half = _ratios(inside @ sums, inside @ squares, count)
    other = _ratios((1 - inside) @ sums, (1 - inside) @ squares, count)
    best = np.argmax(half, axis=1)
    reached = other[np.arange(len(best)), best][:, None]
    rank = (other < reached).sum(axis=1) + ((other == reached).sum(axis=1) + 1) / 2
    share = rank / (matrix.shape[1] + 1)
    return float((share <= 0.5).mean())


def _ratios(sums: Floats, squares: Floats, count: int) -> Floats:
    """Sharpe ratios of series that are known by their sums and the sums of their squares; what never moves
    is 0."""
    mean = sums / count
    variance = (squares - count * mean**2) / (count - 1)
    flat = variance <= 1e-18
    return np.where(flat, 0.0, mean / np.sqrt(np.where(flat, 1.0, variance)))
