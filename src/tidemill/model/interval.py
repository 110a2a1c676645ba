"""Intervals: `<n><unit>` with unit s, m, h, d, w or mo, all UTC.

Weeks start on Monday 00:00 UTC, months follow the calendar (3mo are quarters), everything else counts
from 1 January 1970. The twin of `kernels::bar::Interval`; a test holds the two together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tidemill.errors import UsageError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_MONDAY = 4 * DAY  # 5 January 1970

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_SHAPE = re.compile(r"([0-9]{1,9})(s|m|h|d|w|mo)")
_LENGTH_MAX = (1 << 63) - 1

STORED = ("1s", "1m", "1h", "1d")
"""Intervals that the recorder writes; every other one is merged from the longest of these that fits."""
STANDARD = (
    *("1s", "5s", "15s", "30s", "1m", "2m", "3m", "5m", "10m", "15m", "30m"),
    *("1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1mo"),
)
"""Those that are made ready of an instrument once one of them was asked for."""

STANDARD = (
    "1s", "5s", "15s", "30s", "1m", "2m", "3m", "5m", "10m", "15m", "30m",
    "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1mo",
)  # fmt: skip
"""Those that people ask for by name, shortest first."""


@dataclass(frozen=True)
class Interval:
    """How long a bar lasts."""

    text: str
    """As the user wrote it."""
    length_ns: int
    """Nanoseconds; 0 for months, whose length varies."""
    months: int = 0

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> Interval:
        """Raises `UsageError` for text that is no interval."""
        match = _SHAPE.fullmatch(text)
        count = int(match[1]) if match else 0
        if match and match[2] == "mo" and 1 <= count <= 1_200:
            return cls(text, 0, count)
        if match and match[2] != "mo" and 0 < count * _UNITS[match[2]] <= _LENGTH_MAX:
            return cls(text, count * _UNITS[match[2]])
        raise UsageError(
            "interval_invalid",
            f"{text[:40]!r} is not an interval",
            hint="write a number and a unit (s, m, h, d, w, mo), such as 1m or 4h",
        )

    @property
    def _anchor(self) -> int:
        return _MONDAY if self.text.endswith("w") else 0

    def start(self, ts: int) -> int:
        """First nanosecond of the interval that holds `ts`."""
        if self.months:
            year, month = _civil_month(ts // DAY)
            return _month_start((year * 12 + month) // self.months * self.months)
        return (ts - self._anchor) // self.length_ns * self.length_ns + self._anchor

    def end(self, start: int) -> int:
        """First nanosecond after the interval that starts at `start`."""
        if self.months:
            year, month = _civil_month(start // DAY)
            return _month_start(year * 12 + month + self.months)
        return start + self.length_ns

    @property
    def base(self) -> str:
        """The longest stored interval that this one is whole multiples of."""
        for text in reversed(STORED):
            length = Interval.parse(text).length_ns
            if self.months or self.length_ns % length == 0:
                return text
        raise UsageError("interval_invalid", f"{self.text} is shorter than a second", hint="use 1s")

    @property
    def about_ns(self) -> int:
        """Longest length, nanoseconds: for deciding how far back to look."""
        return self.length_ns or self.months * 31 * DAY


def _civil_month(day: int) -> tuple[int, int]:
    """Year and month (0 to 11) of a day counted from 1 January 1970 (Gregorian, proleptic)."""
    # Years run from March so that the leap day comes last: 146,097 days are 400 years exactly.
    era, of_era = divmod(day + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = ((5 * of_year + 2) // 153 + 2) % 12
    return era * 400 + year + (month < 2), month


def _month_start(index: int) -> int:
    """First nanosecond of a month counted from January of year 0."""
    year, month = divmod(index, 12)
    year -= month < 2
    era, of_era = divmod(year, 400)
    day = of_era * 365 + of_era // 4 - of_era // 100 + (153 * ((month + 10) % 12) + 2) // 5
    return (era * 146_097 + day - 719_468) * DAY
