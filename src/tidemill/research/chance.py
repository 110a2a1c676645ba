"""Other paths that the same returns or trades could have taken: a thousand of them, by a seed.

Politis and Romano, "The Stationary Bootstrap" (1994), for returns; trades are shuffled, or some left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError
from tidemill.research.returns import Array, Floats, checked

PATHS = 1_000
QUANTILES = (0.05, 0.5, 0.95)
_AT_ONCE = 2**22
"""Numbers in memory at a time; longer series are drawn in several parts."""


@dataclass(frozen=True)
class Chances:
    """Of all paths, by the quantiles 5, 50 and 95 %."""

    paths: int
    total_return: tuple[float, ...]
    cagr: tuple[float, ...] | None
    """None of trades, which have no length in time."""
    max_drawdown: tuple[float, ...]
    """The 5 % quantile is the deep end."""
    loss: float
    """Share of the paths that end below where they began."""
    fall: float
    """Share of the paths that fall deeper than `deeper`."""
    deeper: float


def bootstrap(
    returns: Array, per_year: float, *, paths: int = PATHS, deeper: float = 0.2, seed: int = 0
) -> Chances:
    """Returns drawn in blocks of random lengths, √n on average, which keeps what lies in their order."""
    series = _long_enough(checked(returns))

    def draw(dice: np.random.Generator, count: int) -> Floats:
        return _blocks(series, dice, count)

    return _summed(series, draw, paths, deeper, seed, len(series) / per_year)


def fan(
    returns: Array, *, points: int = 120, paths: int = PATHS, seed: int = 0
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Where such paths are on their way: the numbers of returns after which it is looked, from 0, shape (m,),
    and the growth of 1 there by quantile, shape (3, m)."""
    series = _long_enough(checked(returns))
    at = np.unique(np.linspace(0, len(series), min(points, len(series) + 1)).astype(np.int64))
    dice = np.random.default_rng(seed)
    seen = []
    for count in _parts(paths, len(series)):
        grown = np.cumprod(1 + _blocks(series, dice, count), axis=1)
        seen.append(np.column_stack([np.ones(count), grown])[:, at])
    return at, np.quantile(np.concatenate(seen), QUANTILES, axis=0)


def shuffle(returns: Array, *, paths: int = PATHS, deeper: float = 0.2, seed: int = 0) -> Chances:
    """The returns of trades in another order: the same end, other drawdowns."""
    series = _long_enough(checked(returns))

    def draw(dice: np.random.Generator, count: int) -> Floats:
        return dice.permuted(np.broadcast_to(series, (count, len(series))), axis=1)

    return _summed(series, draw, paths, deeper, seed, None)


def skip(
    returns: Array, share: float = 0.1, *, paths: int = PATHS, deeper: float = 0.2, seed: int = 0
) -> Chances:
    """The returns of trades with each left out by the probability `share`: as if it had been missed."""
    series = _long_enough(checked(returns))
    if not 0 <= share < 1:
        raise UsageError(
            "share_invalid", f"a share of {share} cannot be left out", hint="write 0 or more and less than 1"
        )

    def draw(dice: np.random.Generator, count: int) -> Floats:
        return np.where(dice.random((count, len(series))) < share, 0.0, series)

    return _summed(series, draw, paths, deeper, seed, None)


def _blocks(series: Floats, dice: np.random.Generator, count: int) -> Floats:
    """So many series of blocks of this one, shape (count, n)."""
    size = (count, len(series))
    starts = dice.integers(0, len(series), size)
    anew = dice.random(size) < 1 / max(1.0, sqrt(len(series)))
    anew[:, 0] = True
    # Each place goes on from the newest start: so many places after it, around the end.
    at = np.arange(len(series))
    since = np.maximum.accumulate(np.where(anew, at, 0), axis=1)
    return np.asarray(series[(np.take_along_axis(starts, since, axis=1) + at - since) % len(series)])


def _long_enough(series: Floats) -> Floats:
    if len(series) < 2:
        raise UsageError(
            "returns_invalid",
            f"{len(series)} returns have no other order",
            hint="two or more are needed",
        )
    return series


def _summed(
    series: Floats,
    draw: Callable[[np.random.Generator, int], Floats],
    paths: int,
    deeper: float,
    seed: int,
    years: float | None,
) -> Chances:
    dice = np.random.default_rng(seed)
    ends, depths = [], []
    for count in _parts(paths, len(series)):
        grown = np.cumprod(1 + draw(dice, count), axis=1)
        peaks = np.maximum(np.maximum.accumulate(grown, axis=1), 1.0)
        ends.append(grown[:, -1])
        depths.append(np.minimum((grown / peaks - 1).min(axis=1), 0.0))
    end, depth = np.concatenate(ends), np.concatenate(depths)
    return Chances(
        paths=paths,
        total_return=_quantiles(end - 1),
        cagr=None if years is None else _quantiles(end ** (1 / years) - 1),
        max_drawdown=_quantiles(depth),
        loss=float((end < 1).mean()),
        fall=float((depth < -deeper).mean()),
        deeper=deeper,
    )


def _parts(paths: int, length: int) -> Iterator[int]:
    most = max(1, _AT_ONCE // length)
    while paths > 0:
        yield min(most, paths)
        paths -= most


def _quantiles(values: Floats) -> tuple[float, ...]:
    return tuple(float(one) for one in np.quantile(values, QUANTILES))
