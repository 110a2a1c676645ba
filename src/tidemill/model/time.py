"""Times: int64 nanoseconds UTC inside; ISO 8601 or epoch numbers at the edge."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import SupportsIndex

from tidemill.errors import UsageError
from tidemill.model.interval import DAY, SECOND, Interval

Time = str | int | float | datetime | date
"""ISO 8601 text (UTC where no zone is given), an epoch in s, ms, us or ns, a datetime or a date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A little less than int64 nanoseconds reach, so that a day more or less does no harm.
_MIN, _MAX = -(2**63) + 10**18, 2**63 - 10**18
_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(Z|[+-]\d{2}:?\d{2})?)?"
)


def parse(text: Time) -> int:
    """Nanoseconds UTC of a time written as ISO 8601 (UTC where no zone is given) or as an epoch number.

    Epoch numbers are s, ms, us or ns by magnitude: below 1e11 seconds, below 1e14 milliseconds, below
    1e17 microseconds, else nanoseconds. Raises `UsageError` for what is no time between the years 1710 and
    2230.
    """
    nanoseconds = _read(text)
    if nanoseconds is None or not _MIN <= nanoseconds <= _MAX:
        raise UsageError(
            "time_invalid",
            f"{str(text)[:60]!r} is not a time between the years 1710 and 2230",
            hint="write ISO 8601 (2026-11-20T09:30:00Z) or an epoch in s, ms, us or ns",
        )
    return nanoseconds


def span(start: Time | None, end: Time | None) -> tuple[int | None, int | None]:
    """Both ends of a range, ns UTC; None stays None. Raises `UsageError` for what is no time, and for a range
    that ends before it begins."""
    return in_order(None if start is None else parse(start), None if end is None else parse(end))


def in_order(start: int | None, end: int | None) -> tuple[int | None, int | None]:
    """Both ends of a range, ns UTC, as they are. Raises `UsageError` when it ends before it begins."""
    if start is not None and end is not None and start > end:
        raise UsageError(
            "range_reversed",
            f"the start {iso(start)} is after the end {iso(end)}",
            hint="swap start and end",
        )
    return start, end


def _read(text: Time) -> int | None:
    if isinstance(text, datetime):
        aware = text if text.tzinfo else text.replace(tzinfo=UTC)
        return _from_timedelta(aware - _EPOCH)
    if isinstance(text, date):
        return (text - _EPOCH.date()).days * DAY
    if isinstance(text, SupportsIndex):  # the integers of numpy too
        return _by_magnitude(text.__index__())
    if isinstance(text, float):
        return _by_magnitude(text)
    if not isinstance(text, str):
        return None
    stripped = text.strip()
    if re.fullmatch(r"-?\d+", stripped):
        return _by_magnitude(int(stripped))
    if re.fullmatch(r"-?\d+\.\d+", stripped):
        return _by_magnitude(Decimal(stripped))
    match = _ISO.fullmatch(stripped)
    if match:
        year, month, day, hour, minute, second = (int(match[i] or 0) for i in range(1, 7))
        try:
            whole = datetime(year, month, day, hour, minute, tzinfo=UTC) - _EPOCH
        except ValueError:
            whole = None
        if whole is not None and second <= 60:
            nanos = int((match[7] or "").ljust(9, "0")) if match[7] else 0
            return _from_timedelta(whole) + second * SECOND + nanos - _offset(match[8])
    return None


def _from_timedelta(since: timedelta) -> int:
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000


def _by_magnitude(value: int | float | Decimal) -> int | None:
    size = -value if value < 0 else value
    if value != value or size >= 2**63:
        return None
    for bound, unit in ((10**11, SECOND), (10**14, 1_000_000), (10**17, 1_000)):
        if size < bound:
            return round(value * unit)
    return int(value)


def _offset(zone: str | None) -> int:
    if not zone or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    return (1 if zone[0] == "+" else -1) * (hours * 60 + minutes) * 60 * SECOND


def duration(text: str) -> int:
    """Nanoseconds of a length such as "1h" or "3d". Months count 31 days. Raises `UsageError`."""
    return Interval.parse(text).about_ns


def iso(ns: int) -> str:
    """ISO 8601 text in UTC, with as many decimals as are needed: `2026-11-20T09:30:00.5Z`."""
    seconds, nanos = divmod(ns, SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos:09d}".rstrip("0") + "Z" if nanos else text + "Z"


def date_of(ns: int) -> str:
    """The UTC date, `2026-11-20`."""
    return (_EPOCH + timedelta(days=ns // DAY)).strftime("%Y-%m-%d")


def month_of(ns: int) -> str:
    """The UTC month, `2026-11`."""
    return date_of(ns)[:7]
