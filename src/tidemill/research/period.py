"""Days at whose end equity is taken: 00:00 UTC of what trades around the clock, else an exchange's close.

Pairs trade around the clock and have 365 days in a year. What has no quote currency in its name trades in the
sessions of New York, of which a year has 252. Where one run has both, all of it has days of 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError
from tidemill.model import calendar
from tidemill.research.history import Ints, Track
from tidemill.research.returns import Floats

DAY_NS = 86_400_000_000_000
SESSIONS = "XNYS"
AROUND = "24/7"
YEAR = {AROUND: 365, SESSIONS: 252}
_MARGIN_NS = 15 * DAY_NS
"""No exchange was closed for longer since the second world war."""


@dataclass(frozen=True)
class Periods:
    """Days in a row, ascending, shape (n,)."""

    calendar: str
    """`24/7` or the exchange."""
    ends: Ints
    """When each ended: midnight, or the close (ns UTC)."""
    until: Ints
    """What ended by then belongs to it: midnight, or the next opening."""

    @property
    def per_year(self) -> int:
        return YEAR[self.calendar]

    def __len__(self) -> int:
        return len(self.ends)

    def rows(self, ts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The last row of `ts` (ascending) in each period or before it; -1 where there is none yet."""
        return np.searchsorted(ts, self.until, side="right") - 1


def calendar_of(instruments: Iterable[str]) -> str:
    """By whose days the returns of these instruments are taken."""
    pairs = ["-" in name.rpartition(".")[0] for name in instruments]
    return SESSIONS if pairs and not any(pairs) else AROUND


def of(ts: npt.NDArray[np.int64], place: str = AROUND) -> Periods:
    """The periods from that of the first time to that of the last; none of no times. Days on which nothing
    happened are periods too, but an exchange's holidays are not."""
    if place not in YEAR:
        raise UsageError("calendar_unknown", f"no days are known of {place!r}"[:200], hint=" or ".join(YEAR))
    if not len(ts):
        return Periods(place, np.empty(0, np.int64), np.empty(0, np.int64))
    first, last = int(ts[0]), int(ts[-1])
    if place == AROUND:
        ends = np.arange((first - 1) // DAY_NS + 1, (last - 1) // DAY_NS + 2, dtype=np.int64) * DAY_NS
        return Periods(place, ends, ends)
    found = calendar.of_exchange(place).boundaries(first - _MARGIN_NS, last + _MARGIN_NS, "1d")
    closes, until = found.ends[:-1], found.starts[1:]
    low = int(np.searchsorted(until, first, side="left"))
    past = int(np.searchsorted(until, last, side="left")) + 1
    return Periods(place, closes[low:past], until[low:past])


def sampled(values: Floats, ts: npt.NDArray[np.int64], periods: Periods, start: float) -> Floats:
    """`values` at the end of each period with `start` before them, shape (n+1,)."""
    at = periods.rows(ts)
    found = np.where(at < 0, start, values[np.maximum(at, 0)]) if len(values) else np.full(len(at), start)
    return np.concatenate([[start], found])


def held(track: Track, periods: Periods) -> Floats:
    """What an instrument was worth that was bought at its first open and kept, without costs: growth of 1,
    shape (n+1,)."""
    if not len(track):
        return np.ones(len(periods) + 1)
    columns = track.series.columns
    first = float(columns["open"][0])
    return (
        sampled(columns["close"] / first, track.end, periods, 1.0) if first > 0 else np.ones(len(periods) + 1)
    )
