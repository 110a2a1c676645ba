"""Equity at the end of each day: what all numbers of a study are made of.

A day ends at 00:00 UTC; days without a row of the market are none. Instruments that trade on Saturdays have
365 of them in a year, others 252.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.research import returns
from tidemill.research.history import History
from tidemill.research.returns import Floats

DAY_NS = 86_400_000_000_000
_SATURDAY = 2
"""1970-01-01 was a Thursday."""


@dataclass(frozen=True)
class Daily:
    """The last row of each day, of rows that end at `ts`."""

    ts: npt.NDArray[np.int64]
    """End of that row, ascending (ns), shape (days,)."""
    rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, ts: npt.NDArray[np.int64], first: int | None = None) -> Daily:
        """`first` leaves out the days before that time, but for the last one, from which it counts."""
        days = (ts - 1) // DAY_NS
        rows = np.flatnonzero(np.append(np.diff(days) != 0, True)) if len(ts) else np.empty(0, np.int64)
        if first is not None:
            start = int(np.searchsorted(ts, first, side="right")) - 1
            rows = np.append(max(start, 0), rows[rows > start]) if len(ts) else rows
        return cls(ts[rows], rows)

    def returns(self, equity: Floats, cash: float | None) -> Floats:
        """The return of each day, shape (days,), from `cash` on; without it, shape (days − 1,), from the
        first of the days on."""
        curve = equity[self.rows]
        if cash is not None:
            curve = np.concatenate([[cash], curve])
        return returns.of_equity(curve) if len(curve) else np.empty(0)


def per_year(history: History) -> int:
    """Days of a year on which these instruments trade."""
    for track in history.tracks.values():
        if ((track.start // DAY_NS) % 7 == _SATURDAY).any():
            return 365
    return 252
