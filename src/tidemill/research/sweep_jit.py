"""Sweeps of a rule that its user compiled with Numba. Only imported where the extra `jit` is installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numba import njit
from numba.extending import is_jitted

from tidemill.errors import UsageError

UNFIT: Final = -2.0
"""A total return that cannot be: the signal has another length than the bars."""


@njit(nogil=True)
def evaluate(positions: Any, opened: Any, close: Any, at_open: bool, cost: float, row: Any) -> None:
    """What came of positions, into `row`: total, drawdown, trades, mean, deviation, exposure; the rules are
    those of `sweep.cross`."""
    count = len(close) - 1
    before, grown, peak, fall = 0.0, 1.0, 1.0, 1.0
    trades, held, mean, spread = 0, 0, 0.0, 0.0
    for at in range(count):
        wanted = positions[at]
        if np.isnan(wanted):
            wanted = before
        if wanted == before:
            growth = 1.0 + before * (close[at + 1] / close[at] - 1.0)
        else:
            price = opened[at + 1] if at_open else close[at]
            growth = 1.0 + before * (price / close[at] - 1.0)
            growth *= max(1.0 - cost * abs(wanted - before), 0.0)
            growth *= max(1.0 + wanted * (close[at + 1] / price - 1.0), 0.0)
            if wanted != 0.0 and before * wanted <= 0.0:
                trades += 1
        growth = max(growth, 0.0)
        if wanted != 0.0:
            held += 1
        before = wanted
        # Who is ruined stays ruined, and earns nothing any more.
        back = growth - 1.0 if grown > 0.0 else 0.0
        grown *= growth
        peak = max(peak, grown)
        fall = min(fall, grown / peak)
        off = back - mean
        mean += off / (at + 1)
        spread += off * (back - mean)
    row[0], row[1], row[2] = grown - 1.0, fall - 1.0, trades
    row[3] = mean if count > 0 else np.nan
    row[4] = np.sqrt(spread / (count - 1)) if count > 1 else np.nan
    row[5] = held / count if count > 0 else np.nan


@cache
def runner(signal: Callable[..., Any]) -> Callable[..., Any]:
    """What takes columns, combinations (k, p), whether fills are at the open, and the cost, and gives (k, 6).

    Raises `UsageError` `sweep_invalid` for a function that Numba has not compiled."""
    if not is_jitted(signal):
        raise UsageError(
            "sweep_invalid",
            f"{signal!r} is not compiled",
            hint="put @numba.njit before it: def signal(open, …)",
        )

    @njit(nogil=True)
    def run(
        opened: Any, high: Any, low: Any, close: Any, volume: Any, grid: Any, at_open: bool, cost: float
    ) -> Any:
        rows = np.empty((len(grid), 6))
        for at in range(len(grid)):
            positions = signal(opened, high, low, close, volume, grid[at])
            if len(positions) != len(close):
                rows[at] = UNFIT
            else:
                evaluate(positions, opened, close, at_open, cost, rows[at])
        return rows

    made: Callable[..., Any] = run
    return made
