"""US Eastern wall clock, in which IQFeed tells every time, and UTC nanoseconds.

On one Sunday each November the hour from 01:00 to 02:00 occurs twice (that day has 25 hours), and IQFeed does
not say which one it means. A series that is read oldest first tells: where its clock goes back by more than
a minute within that hour, the second one has begun. Until it does, the first is meant; so a series that has
rows in the second hour alone reads an hour early. No equity trades then. The hour that is left out in March
(that day has 23) is nobody's time.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from tidemill.errors import UpstreamError
from tidemill.model.interval import DAY, MINUTE, SECOND

ZONE = ZoneInfo("America/New_York")
_UTC = ZoneInfo("UTC")
_EPOCH = date(1970, 1, 1)
# Trades of one moment are not always in order; a step back of more than this is the clock's.
BACK_NS = MINUTE


class Clock:
    """Reads the times of one series, oldest first: `2018-04-17 17:51:22.123456`, with or without decimals."""

    def __init__(self) -> None:
        # UTC of the starts of hours already met: the first, and the second where the hour occurs twice.
        self._hours: dict[str, tuple[int, int | None]] = {}
        self._hour = ""
        self._latest = 0
        self._second = False

    def ns(self, text: str) -> int:
        """ns UTC. Raises `UpstreamError` for what is no time."""
        hour = text[:13]
        try:
            first, second = self._hours.get(hour) or self._starts(hour)
            within = _within_hour(text[13:])
        except ValueError:
            raise UpstreamError("iqfeed_unreadable", f"IQFeed sent {text[:40]!r} as a time") from None
        if second is None:
            return first + within
        if hour != self._hour:
            self._hour, self._latest, self._second = hour, within, False
        elif within < self._latest - BACK_NS:
            self._latest, self._second = within, True
        self._latest = max(self._latest, within)
        return (second if self._second else first) + within

    def _starts(self, hour: str) -> tuple[int, int | None]:
        wall = datetime.strptime(hour, "%Y-%m-%d %H")
        first, second = (_utc(wall.replace(tzinfo=ZONE, fold=fold)) for fold in (0, 1))
        # In the hour that March leaves out the two differ as well, the other way round.
        starts = (first, second if second > first else None)
        self._hours[hour] = starts
        return starts


def _within_hour(text: str) -> int:
    """ns of `:51:22.123456`."""
    digits = text[7:]
    if text[0:1] != ":" or text[3:4] != ":" or text[6:7] not in ("", ".") or len(digits) > 9:
        raise ValueError(text)
    whole = text[1:3] + text[4:6]
    if len(whole) != 4 or not (whole + digits).isdecimal() or whole[0] > "5" or whole[2] > "5":
        raise ValueError(text)
    seconds = int(whole[:2]) * 60 + int(whole[2:])
    return seconds * SECOND + (int(digits.ljust(9, "0")) if digits else 0)


def _utc(moment: datetime) -> int:
    since = moment.astimezone(_UTC) - datetime(1970, 1, 1, tzinfo=_UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000


def wall(ns: int) -> datetime:
    """What Eastern clocks show, to the second."""
    return (datetime(1970, 1, 1, tzinfo=_UTC) + timedelta(seconds=ns // SECOND)).astimezone(ZONE)


def midnight(day: date) -> int:
    """ns UTC of the begin of an Eastern day."""
    return _utc(datetime(day.year, day.month, day.day, tzinfo=ZONE))


def utc_day(text: str) -> int:
    """Midnight UTC, ns, of a trading date, `2018-04-27` with or without a time. Raises `UpstreamError`."""
    try:
        return day_ns(date.fromisoformat(text[:10]))
    except ValueError:
        raise UpstreamError("iqfeed_unreadable", f"IQFeed sent {text[:40]!r} as a date") from None


def day_ns(day: date) -> int:
    """Midnight UTC of a date, ns."""
    return (day - _EPOCH).days * DAY


def asked(start: int, end: int) -> tuple[str, str]:
    """The begin and end to ask for, `YYYYMMDD HHMMSS`, so that all of [start, end) is in the answer.

    The answer may hold more: seconds are the finest that can be asked, and nobody can ask for one half of the
    hour that occurs twice. Whoever asks leaves the rest out.
    """
    begin, last = wall(start), wall(-(-end // SECOND) * SECOND)
    if _occurs_twice(begin):
        begin = begin.replace(minute=0, second=0)
    if _occurs_twice(last) or _occurs_twice(wall(end - 1)):
        last = last.replace(hour=2, minute=0, second=0)
    return begin.strftime("%Y%m%d %H%M%S"), last.strftime("%Y%m%d %H%M%S")


def _occurs_twice(moment: datetime) -> bool:
    return moment.replace(fold=0).utcoffset() > moment.replace(fold=1).utcoffset()  # type: ignore[operator]
