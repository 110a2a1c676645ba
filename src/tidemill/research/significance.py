"""Whether entries are better than entries by chance: the same trades, begun at random moments.

Each path has as many trades of an instrument as there were, of the same lengths and sides, in any order, and
apart from each other as they were. Costs are the same on every path and are left out. (As Jesse's rule
significance test; the p-value counts the actual path as one of them, Davison and Hinkley 1997, 4.2.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidemill.research.history import History
from tidemill.research.returns import Floats

PATHS: Final = 1_000
_AT_ONCE: Final = 1 << 21


@dataclass(frozen=True)
class Significance:
    """How the actual trades stand among those by chance."""

    p: float
    """Share of the paths that did at least as well."""
    paths: int
    trades: int
    actual: float
    """Sum of the trades' log returns, before costs."""
    chance: tuple[float, float, float]
    """The same of the paths: 5, 50 and 95 %."""


def of(
    trades: Mapping[str, Sequence[Any]], history: History, *, paths: int = PATHS, seed: int = 0
) -> Significance | None:
    """`trades` has columns as `run.TRADES`. None without two closed trades that lasted a bar."""
    dice = np.random.default_rng([seed, 11])
    actual, drawn, count = 0.0, np.zeros(paths), 0
    names = np.array(list(trades["instrument"]), object)
    for name, track in history.tracks.items():
        mine = [at for at in np.flatnonzero(names == name).tolist() if trades["closed"][at] is not None]
        price = np.log(np.maximum(track.series.columns["open"], 1e-300))
        first = np.searchsorted(track.start, [trades["opened"][at] for at in mine], side="left")
        past = np.searchsorted(track.start, [trades["closed"][at] for at in mine], side="left")
        side = np.array([1.0 if trades["side"][at] == "long" else -1.0 for at in mine])
        good = (past > first) & (past < len(price))
        first, past, side = first[good], past[good], side[good]
        if not len(first):
            continue
        count += len(first)
        actual += float((side * (price[past] - price[first])).sum())
        drawn += _chance(price, past - first, side, paths, dice)
    if count < 2:
        return None
    as_good = int((drawn >= actual - 1e-12 * max(1.0, abs(actual))).sum())
    low, middle, high = (float(one) for one in np.quantile(drawn, (0.05, 0.5, 0.95)))
    return Significance((as_good + 1) / (paths + 1), paths, count, actual, (low, middle, high))


def _chance(
    price: Floats, lengths: npt.NDArray[np.int64], side: Floats, paths: int, dice: np.random.Generator
) -> Floats:
    """Sums of log returns, shape (paths,)."""
    free = len(price) - 1 - int(lengths.sum())
    found = np.empty(paths)
    at_once = max(1, _AT_ONCE // max(len(lengths), 1))
    for begin in range(0, paths, at_once):
        many = min(at_once, paths - begin)
        order = dice.permuted(np.broadcast_to(np.arange(len(lengths)), (many, len(lengths))), axis=1)
        length, way = lengths[order], side[order]
        # What is left between the trades is cut at random places; trades follow each other.
        gaps = np.sort(dice.integers(0, max(free, 0) + 1, (many, len(lengths))), axis=1)
        first = np.minimum(gaps + np.cumsum(length, axis=1) - length, len(price) - 1 - length)
        found[begin : begin + many] = (way * (price[first + length] - price[first])).sum(axis=1)
    return found
