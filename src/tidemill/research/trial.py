"""A trial: one set of parameters, tried on one stretch of history, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidemill.research import drawdown, stat
from tidemill.research.returns import Floats
from tidemill.research.space import Params

OBJECTIVES: Final = ("sharpe", "total_return", "calmar", "sortino")
"""All of them are better when they are higher."""
Returns = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """One of a study. `number` counts from 0 in its part of the study."""

    number: int
    params: Params
    values: tuple[float | None, ...] = ()
    """Of the objectives; None where they are not defined, as without any trade."""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    returns: Returns = field(default_factory=lambda: np.empty(0, np.float32))
    """Of each day."""
    error: str | None = None
    """What the strategy's code raised."""

    @property
    def state(self) -> str:
        return "done" if self.error is None else "failed"

    @property
    def value(self) -> float | None:
        """Of the first objective."""
        return self.values[0] if self.values else None

    def json(self) -> dict[str, Any]:
        return {
            "number": self.number, "state": self.state, "params": self.params, "values": list(self.values),
            "metrics": dict(self.metrics), "error": self.error,
        }  # fmt: skip


def measured(series: Floats, per_year: float) -> dict[str, float | None]:
    """What is kept of every trial. `period_sharpe` is that of one day: what the ledger counts."""
    found: dict[str, float | None] = {
        "sharpe": stat.sharpe(series, per_year),
        "sortino": stat.sortino(series, per_year),
        "total_return": stat.total(series),
        "cagr": stat.cagr(series, per_year),
        "max_drawdown": drawdown.deepest(series),
        "calmar": stat.calmar(series, per_year),
        "period_sharpe": stat.sharpe(series, 1),
    }
    return {name: value if value is None or np.isfinite(value) else None for name, value in found.items()}


def told(series: Returns, per_year: float, fills: int, objectives: Sequence[str]) -> dict[str, Any]:
    """`values` and `metrics` of a trial by its returns of each day, as they are kept."""
    metrics = measured(np.maximum(series.astype(np.float64), -1.0), per_year) | {"fills": float(fills)}
    return {"values": [metrics[name] if fills else None for name in objectives], "metrics": metrics}


def best(trials: Sequence[Trial]) -> Trial | None:
    """The one with the highest first objective; of equal ones the earlier."""
    good = [one for one in trials if one.value is not None]
    return max(good, key=lambda one: (one.value, -one.number), default=None)


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other one beats in all objectives at once (the Pareto front), by number."""
    good = [one for one in trials if one.values and None not in one.values]
    if not good:
        return []
    values = np.array([one.values for one in good], np.float64)
    kept = []
    for at, one in enumerate(values):
        beaten = (values >= one).all(axis=1) & (values > one).any(axis=1)
        if not beaten.any():
            kept.append(good[at])
    return kept
