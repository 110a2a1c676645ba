"""Walk-forward: parameters are chosen on one stretch and judged on the next, which they have not seen.

                 |------- inside (4) -------|gap|out (1)|
    rolling           |------- inside (4) -------|gap|out (1)|
    anchored     |--------- inside ---------------|gap|out (1)|

The gap is the purge (what an indicator looks back and a trade is held at most) and the embargo, 1 % of a
fold. It is taken from the end of what is inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError
from tidemill.research import stat
from tidemill.research.history import History
from tidemill.research.space import Space
from tidemill.research.trial import Trial

RATIO: Final = 4
EMBARGO: Final = 0.01
FOLDS_MAX: Final = 50
STEPS_MIN: Final = 20
"""Steps that a stretch outside must have at least."""


@dataclass(frozen=True)
class Fold:
    """One stretch inside and the one outside that follows it, as places on the axis of steps."""

    number: int
    """From 1."""
    first: int
    past: int
    """Inside: `first` to `past`, the latter excluded."""
    out: int
    end: int
    """Outside: `out` to `end`, the latter excluded."""


def folds(steps: int, count: int, *, anchored: bool = False, purge: int = 0) -> list[Fold]:
    """So many folds over so many steps: their stretches outside lie end to end, up to the last step.

    Raises `UsageError` `walk_invalid` where there are too few steps."""
    if not 1 <= count <= FOLDS_MAX:
        raise UsageError("walk_invalid", f"{count} folds; 1 to {FOLDS_MAX} can be made")
    outside = steps // (count + RATIO)
    gap = purge + ceil(EMBARGO * outside * (RATIO + 1))
    if outside < STEPS_MIN or outside * RATIO - gap < STEPS_MIN:
        raise UsageError(
            "walk_invalid",
            f"{steps:,} steps in {count} folds leave {max(outside * RATIO - gap, 0):,} inside and"
            f" {outside:,} outside, after a gap of {gap:,}; {STEPS_MIN} of each are needed",
            hint="take fewer folds, or more history",
        )
    found = []
    begin = steps - outside * (count + RATIO)
    for number in range(count):
        out = begin + outside * (RATIO + number)
        first = begin if anchored else out - outside * RATIO
        found.append(Fold(number + 1, first, out - gap, out, out + outside))
    return found


def cut(history: History, axis: npt.NDArray[np.int64], first: int, past: int) -> History:
    """The rows that end within steps `first` to `past`, the latter excluded. `axis` has the steps' ends."""
    low, high = int(axis[first]), int(axis[past - 1])
    tracks = {}
    for name, track in history.tracks.items():
        rows = np.searchsorted(track.end, [low, high + 1], side="left")
        if rows[1] > rows[0]:
            tracks[name] = track.part(int(rows[0]), int(rows[1]))
    return History(history.interval, tracks)


def summed(
    made: Sequence[Fold],
    chosen: Mapping[int, Trial],
    outside: Mapping[int, Trial],
    axis: npt.NDArray[np.int64],
    space: Space,
    per_year: float,
) -> dict[str, Any]:
    """What the folds say together: WFE is the annual return outside by that inside, drift how far the chosen
    parameters move from fold to fold, as a share of their range."""
    lines, series, before, rates = [], [], [], []
    for fold in made:
        best, out = chosen.get(fold.number), outside.get(fold.number)
        line: dict[str, Any] = {
            "fold": fold.number,
            "inside": [str(axis[fold.first]), str(axis[fold.past - 1])],
            "outside": [str(axis[fold.out]), str(axis[fold.end - 1])],
            "params": None if best is None else best.params,
            "inside_metrics": None if best is None else dict(best.metrics),
            "outside_metrics": None if out is None else dict(out.metrics),
        }
        lines.append(line)
        if best is None or out is None or out.error is not None:
            continue
        series.append(out.returns.astype(np.float64))
        before.append(best.returns.astype(np.float64))
        rates.append(stat.total(np.maximum(series[-1], -1.0)))
    stitched = np.concatenate(series) if series else np.empty(0)
    stitched = np.maximum(stitched, -1.0)
    # All stretches end to end: a rate of few days, compounded over a year, would drown the others.
    inside = _annual(np.concatenate(before), per_year) if before else None
    past_rate = _annual(stitched, per_year) if series else None
    return {
        "folds": lines,
        "equity": [round(float(one), 8) for one in np.cumprod(1 + stitched)],
        "total_return": stat.total(stitched) if len(stitched) else None,
        "sharpe": stat.sharpe(stitched, per_year),
        "inside_annual": inside,
        "outside_annual": past_rate,
        "wfe": past_rate / inside if inside and past_rate is not None and inside > 0 else None,
        "positive_share": float(np.mean([rate > 0 for rate in rates])) if rates else None,
        "drift": _drift([chosen[fold.number] for fold in made if fold.number in chosen], space),
    }


def _annual(series: Any, per_year: float) -> float:
    grown = float(np.prod(1 + np.maximum(series, -1.0)))
    return float(grown ** (per_year / len(series)) - 1) if len(series) else 0.0


def _drift(chosen: Sequence[Trial], space: Space) -> dict[str, float]:
    """Mean distance from one fold's value to the next, by the parameter's range: 0 never moves."""
    found = {}
    for axis in space.axes:
        places = [axis.place(one.params[axis.name]) for one in chosen]
        found[axis.name] = float(np.abs(np.diff(places)).mean()) if len(places) > 1 else 0.0
    return found
