"""How much of what there was a dataset has: of the time its market was open between its first row and its
last, the share that lies in no gap and on no day without rows.

Nothing is read for it but what is known of files and gaps already. Pairs trade around the clock; what has no
quote currency in its name trades in the regular sessions of New York, so its nights, weekends and holidays
are nothing that could be missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidemill.model import calendar
from tidemill.model.calendar import Instants
from tidemill.model.gap import Gap
from tidemill.model.interval import DAY

SESSIONS = "XNYS"
Runs = Sequence[tuple[int, int]]
"""First and last day (`ts_event` // DAY) of days in a row, ascending."""


def runs(days: set[int]) -> tuple[tuple[int, int], ...]:
    """Days as runs of them."""
    ordered = np.array(sorted(days), np.int64)
    edges = np.flatnonzero(np.diff(ordered) > 1) + 1
    return tuple((int(part[0]), int(part[-1])) for part in np.split(ordered, edges) if len(part))


def lost(instrument: str, start: int, end: int, days: Runs | None, gaps: Sequence[Gap]) -> tuple[int, int]:
    """Of the time (ns) that the market was open from `start` to `end`, how much is missing; and how long that
    time is. `days` are those with rows; None where a day without rows is a quiet one, as in what was
    collected live, whose holes are all gaps."""
    lost_by_day, open_by_day = by_day(instrument, start, end, days, gaps)
    return int(lost_by_day.sum()), int(open_by_day.sum())


def by_day(
    instrument: str, start: int, end: int, days: Runs | None, gaps: Sequence[Gap]
) -> tuple[Instants, Instants]:
    """As `lost` of each UTC day, shape (n,) from the day of `start` to that of `end`; ns."""
    opened, shut = _open(instrument, start, end)
    left = shut - opened
    for low, high in _merged(gaps):
        left -= np.clip(np.minimum(shut, high) - np.maximum(opened, low), 0, None)
    if days is not None:
        firsts, lasts = (np.array([run[side] for run in days], np.int64) for side in (0, 1))
        at = np.searchsorted(firsts, opened // DAY, "right") - 1
        held = (at >= 0) & (opened // DAY <= lasts[np.maximum(at, 0)]) if len(firsts) else at >= 0
        left = np.where(held, left, 0)
    first = start // DAY
    lost_by_day, open_by_day = np.zeros((2, (end - 1) // DAY + 1 - first), np.int64)
    at = np.clip(opened // DAY - first, 0, len(open_by_day) - 1)
    np.add.at(open_by_day, at, shut - opened)
    np.add.at(lost_by_day, at, shut - opened - left)
    return lost_by_day, open_by_day


def _open(instrument: str, start: int, end: int) -> tuple[Instants, Instants]:
    """When the market opened and shut: no span reaches over midnight UTC."""
    first, last = start // DAY, (end - 1) // DAY
    if "-" not in instrument.rpartition(".")[0]:
        # Whole sessions: a bar of a day begins long before its session does.
        cut = calendar.of_exchange(SESSIONS).boundaries(first * DAY, (last + 1) * DAY, "1d")
        return cut.open, cut.shut
    midnights = np.arange(first, last + 1) * DAY
    return np.maximum(midnights, start), np.minimum(midnights + DAY, end)


def _merged(gaps: Sequence[Gap]) -> list[tuple[int, int]]:
    """The spans of gaps, none over another."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(gap.span for gap in gaps):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found
