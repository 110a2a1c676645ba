"""Returns of each day, of many runs on one history: days are those of `period`, found once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.research import period, returns
from tidemill.research.returns import Floats


@dataclass(frozen=True)
class Daily:
    """The last row of each day."""

    rows: npt.NDArray[np.int64]
    """Shape (days,); −1 before the first."""
    base: int | None
    """The row from which returns count; None where they count from the cash at the start."""
    per_year: int

    @classmethod
    def of(cls, ts: npt.NDArray[np.int64], instruments: Sequence[str], first: int | None = None) -> Daily:
        """Of rows that end at `ts`, ascending (ns). With `first` returns begin after that time."""
        place = period.calendar_of(instruments)
        counted = ts if first is None else ts[np.searchsorted(ts, first, side="right") :]
        found = period.of(counted, place)
        base = None if first is None else max(0, len(ts) - len(counted) - 1)
        return cls(found.rows(ts), base, found.per_year)

    def returns(self, equity: Floats, cash: float) -> Floats:
        """The return of each day, shape (days,)."""
        start = cash if self.base is None else float(equity[self.base])
        if not len(self.rows):
            return np.empty(0)
        if start <= 0:
            return np.zeros(len(self.rows))
        ends = np.where(self.rows < 0, start, equity[np.maximum(self.rows, 0)])
        return returns.of_equity(np.concatenate([[start], ends]))
