"""What the trials of a study say of its parameters: how much each matters, and the data of their pictures.

Importance is the first-order variance share Var(E[y | x]) / Var(y) (Saltelli et al., "Global Sensitivity
Analysis", 2008, 1.2.5; Pearson's correlation ratio), without the bias of small groups (Kelley 1935). What
parameters do only together is in none of them, so they need not add up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidemill.research.space import Axis, Space
from tidemill.research.trial import Trial, best

BINS: Final = 10
LINES_MAX: Final = 1_000
CELLS_MAX: Final = 40_000


def importance(trials: Sequence[Trial], space: Space) -> dict[str, float | None]:
    """By parameter, 0 to 1; None where the trials cannot say."""
    good = [one for one in trials if one.value is not None]
    values = np.array([one.value for one in good], np.float64)
    return {axis.name: _share(_groups(axis, good)[0], values) for axis in space.axes}


def _share(group: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> float | None:
    kinds, member = np.unique(group, return_inverse=True)
    count = len(values)
    if count <= len(kinds) or len(kinds) < 2 or float(np.ptp(values)) == 0:
        return None
    sizes = np.bincount(member)
    means = np.bincount(member, values) / sizes
    explained = float((sizes * (means - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum())
    return max(0.0, 1 - (1 - explained) * (count - 1) / (count - len(kinds)))


def _groups(axis: Axis, trials: Sequence[Trial]) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """The cell of each trial on an axis, and what each cell stands for."""
    places = np.array([axis.place(one.params[axis.name]) for one in trials])
    if not axis.continuous and axis.size <= 200:
        return np.rint(places * _last(axis)).astype(np.int64), [axis.value(at) for at in range(axis.size)]
    cells = np.minimum((places * BINS).astype(np.int64), BINS - 1)
    assert axis.low is not None  # noqa: S101 - it is no list
    assert axis.high is not None  # noqa: S101
    wide = (axis.high - axis.low) / BINS
    return cells, [float(f"{axis.low + (at + 0.5) * wide:.6g}") for at in range(BINS)]


def _last(axis: Axis) -> float:
    """Steps from the low end to the high one, which the last value need not reach."""
    if axis.choices or axis.step is None or axis.low is None or axis.high is None:
        return axis.size - 1
    return (axis.high - axis.low) / axis.step


def heatmaps(trials: Sequence[Trial], space: Space) -> list[dict[str, Any]]:
    """For each pair of parameters the mean value of the trials in each cell; None in an empty one."""
    good = [one for one in trials if one.value is not None]
    values = np.array([one.value for one in good], np.float64)
    found = []
    for x, y in combinations(space.axes, 2):
        (across, xs), (up, ys) = _groups(x, good), _groups(y, good)
        if len(xs) * len(ys) > CELLS_MAX or not good:
            continue
        cell = up * len(xs) + across
        many = np.bincount(cell, minlength=len(xs) * len(ys))
        total = np.bincount(cell, values, minlength=len(xs) * len(ys))
        z = [round(t / n, 8) if n else None for t, n in zip(total.tolist(), many.tolist(), strict=True)]
        rows = [z[row * len(xs) : (row + 1) * len(xs)] for row in range(len(ys))]
        found.append({"x": x.name, "y": y.name, "xs": xs, "ys": ys, "values": rows})
    return found


def parallel(trials: Sequence[Trial], space: Space) -> dict[str, Any]:
    """The lines of parallel coordinates: parameters, then the value. Of many trials some, the best among
    them."""
    good = [one for one in trials if one.value is not None]
    step = max(1, -(-len(good) // LINES_MAX))
    shown = good[::step]
    top = best(good)
    if top is not None and top not in shown:
        shown.append(top)
    names = [axis.name for axis in space.axes]
    return {
        "axes": [*names, "value"],
        "lines": [[*(one.params[name] for name in names), one.value] for one in shown],
    }
