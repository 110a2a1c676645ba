"""Bars by a calendar (`model.calendar`) from stored bars in UTC: merged from the longest stored interval that
its days and sessions are whole multiples of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tidemill.errors import UsageError
from tidemill.model.bar import BAR, Bars
from tidemill.model.calendar import Boundaries, Calendar, is_part_of_day
from tidemill.model.interval import DAY, Interval
from tidemill.stores import series

Read = Callable[[str, int | None, int | None, int], Bars]
"""Bars of a stored interval from a time up to another, ascending: about as many as the number says, the
oldest where the first time is given, else the newest; fewer only where there are no more."""

CHUNK = 100_000
"""Stored bars that are read at once."""
COUNT_MAX = 64 * CHUNK
"""Stored bars of one bar, at most."""
_YEAR = 366 * DAY


def merge_by(bars: Bars, bounds: Boundaries) -> Bars:
    """Bars of these boundaries from bars that reach over none of them."""
    if not bounds.whole:
        bars = series.merge_by(bars, bounds.open, bounds.shut)
    return series.merge_by(bars, bounds.starts, bounds.ends)


class ByCalendar:
    """Bars of one unit of a calendar."""

    def __init__(self, calendar: Calendar, interval: Interval) -> None:
        """Raises `UsageError` for a unit that is no multiple of a second, or hours of more than a day."""
        self._calendar = calendar
        self._interval = interval
        self._parts = is_part_of_day(interval)
        self.base = ""
        """The stored interval that bars were made of; set by `bars`."""

    def bounds(self, start: int, end: int) -> Boundaries:
        """What reaches into [start, end): days of parts of a day, else the bars themselves."""
        return self._calendar.boundaries(start, end, "1d" if self._parts else self._interval.text)

    def bars(self, read: Read, start: int | None, end: int | None, limit: int, now: int) -> Bars:
        """Bars with `start` <= their start < `end`: the oldest `limit` and one more where `start` is given,
        else the newest. `now` is a time near the newest bar."""
        # A zone's whole history may hold changes that a year of it does not show: then all is made again.
        near = start if start is not None else end if end is not None else now
        base = self._step(self.bounds(near - _YEAR, near + _YEAR))
        while True:
            self.base = base
            made, finer = self._made(read, start, end, limit)
            if not finer:
                return made
            base = finer

    def _made(self, read: Read, start: int | None, end: int | None, limit: int) -> tuple[Bars, str | None]:
        """The bars; and a finer stored interval where these boundaries ask for one."""
        forward = start is not None
        low, high = start, self._ceiling(end)
        count = min(CHUNK, (limit + 2) * max(1, self._interval.about_ns // self._length))
        found: list[Bars] = []
        cut = True
        while cut and sum(map(len, found)) <= limit:
            rows = read(self.base, low, high, count)
            cut = len(rows) >= count
            if not len(rows):
                break
            bounds = self.bounds(int(rows["start"][0]), int(rows["end"][-1]))
            step = self._step(bounds)
            if Interval.parse(step).length_ns < self._length:
                return rows[:0], step
            made = self._cut(rows, bounds)
            if cut and len(
                made
            ):  # the bar where reading ended may go on beyond it: it comes with what follows
                low = int(made["start"][-1]) if forward else None
                high = high if forward else int(made["end"][0])
                made = made[:-1] if forward else made[1:]
                if not len(made):  # all of it was one bar
                    count = self._twice(count)
            elif cut:  # all of it lies between two sessions
                low = int(rows["end"][-1]) if forward else None
                high = high if forward else int(rows["start"][0])
            if start is not None:
                made = made[made["start"] >= start]
            if end is not None:
                made = made[made["start"] < end]
            found.append(made)
        ordered = found if forward else found[::-1]
        return (np.concatenate(ordered) if ordered else np.zeros(0, BAR)), None

    def _twice(self, count: int) -> int:
        if count >= COUNT_MAX:
            raise UsageError(
                "interval_invalid",
                f"{self._interval.text} by a calendar takes more than {COUNT_MAX:,} bars of {self.base}",
                hint="ask for a shorter interval",
            )
        return count * 2

    def _ceiling(self, end: int | None) -> int | None:
        """The end of the bar that begins last before `end`."""
        if end is None:
            return None
        bounds = self.bounds(end - 1, end)
        if self._parts:
            bounds = bounds.pieces(self._interval, np.array([end - 1], np.int64))
        return max([end, *map(int, bounds.ends)])

    def _cut(self, rows: Bars, bounds: Boundaries) -> Bars:
        if self._parts:
            bounds = bounds.pieces(self._interval, np.ascontiguousarray(rows["start"]))
        return merge_by(rows, bounds)

    @property
    def _length(self) -> int:
        return Interval.parse(self.base).length_ns

    def _step(self, bounds: Boundaries) -> str:
        step = bounds.step(self._interval)
        if not step:
            raise UsageError(
                "interval_invalid",
                f"{self._interval.text} begins between two seconds in this calendar",
                hint="ask for whole seconds",
            )
        return step
