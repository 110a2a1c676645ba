"""Where bars begin and end on a zone's days or an exchange's sessions: local midnight, opening and close.

    of_zone("America/New_York").boundaries(start, end, "1d").starts    # days of 23, 24 and 25 hours
    of_exchange("XNYS").boundaries(start, end, "30m")                   # from each opening on

Without a calendar bars are UTC around the clock (`interval.py`). Zones are the system's IANA data, exchanges
and their holidays those of `exchange_calendars` (imported by the first who asks for one: it takes a second).
"""

from __future__ import annotations

import sys
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError, nearest
from tidemill.model.interval import DAY, HOUR, MINUTE, SECOND, Interval

Hours = Literal["regular", "extended"]
Instants = npt.NDArray[np.int64]

_ORDINAL = date(1970, 1, 1).toordinal()
_MONDAY = 4
_ALWAYS = "24/7"
_US = ("XNYS", "NYSE", "XNAS", "NASDAQ", "XASE", "ARCX", "BATS")
_PRE, _POST, _POST_EARLY, _CLOSE = 4 * HOUR, 20 * HOUR, 17 * HOUR, 16 * HOUR
"""Extended hours in New York, from local midnight; after an early close they end early too."""


@dataclass(frozen=True)
class Boundaries:
    """Bars of one unit, ascending; times are int64 ns UTC, shape (n,)."""

    starts: Instants
    ends: Instants
    """Exclusive."""
    open: Instants
    """What of them counts: trading from `open[i]` to `shut[i]`, shape (m,), m >= n. A week's nights and a
    session's lunch break are in no bar."""
    shut: Instants

    @property
    def whole(self) -> bool:
        """Everything between a bar's start and end counts."""
        return len(self.open) == len(self.starts)

    def step(self, unit: Interval) -> str:
        """The longest of 1h, 1m and 1s that begins and ends with all of them, and with what they are cut
        into by `unit`; "" where none does."""
        for text, length in (("1h", HOUR), ("1m", MINUTE), ("1s", SECOND)):
            cut = unit.length_ns if is_part_of_day(unit) else 0
            if not cut % length and not (self.open % length).any() and not (self.shut % length).any():
                return text
        return ""

    def pieces(self, unit: Interval, ts: Instants) -> Boundaries:
        """Bars of a part of a day, where these are days: those that one of `ts` (ascending) lies in."""
        at = np.searchsorted(self.open, ts, "right") - 1
        known = at >= 0
        at, ts = at[known], ts[known]
        known = ts < self.shut[at]
        at, ts = at[known], ts[known]
        starts = ts - (ts - self.open[at]) % unit.length_ns
        first = np.append(True, starts[1:] != starts[:-1])[: len(starts)]
        starts, ends = starts[first], self.shut[at[first]]
        return _plain(starts, np.minimum(starts + unit.length_ns, ends))


def is_part_of_day(unit: Interval) -> bool:
    """Seconds, minutes and hours, counted from the opening. Raises `UsageError` for more than a day."""
    return _grouping(unit) is None


class Calendar(Protocol):
    """Days, and how they are cut."""

    @property
    def name(self) -> str: ...

    def boundaries(self, start: int, end: int, unit: str) -> Boundaries:
        """Bars of `unit` that reach into [start, end), ns. Seconds, minutes and hours count from the
        opening, in a zone from local midnight, and the last bar of a day ends with it; weeks begin on
        Monday. Raises `UsageError` for a unit that is none, or hours that are more than a day."""
        ...


def of(zone: str | None, calendar: str | None, hours: Hours = "regular") -> Calendar | None:
    """What the parameters `zone`, `calendar` and `hours` name; None for UTC around the clock. Raises
    `UsageError` for an unknown name, or for both at once."""
    if hours not in get_args(Hours):
        raise UsageError("hours_unknown", f"no hours are named {hours!r}", hint="regular or extended")
    if zone and calendar:
        raise UsageError(
            "calendar_twice", "both a zone and a calendar were given", hint="a calendar has its own zone"
        )
    if zone:
        return of_zone(zone)
    if calendar and calendar != _ALWAYS:
        return of_exchange(calendar, hours)
    return None


def boundaries(place: str, start: int, end: int, unit: str, hours: Hours = "regular") -> Boundaries:
    """`Calendar.boundaries` of a zone, an exchange's MIC or name, or `24/7`."""
    if place == _ALWAYS:
        return of_zone("UTC").boundaries(start, end, unit)
    is_zone = "/" in place or place in _zones()
    found = of_zone(place) if is_zone else of_exchange(place, hours)
    return found.boundaries(start, end, unit)


def of_zone(name: str) -> Zone:
    """The days of an IANA zone. Raises `UsageError` naming the nearest for one that there is not."""
    if name not in _zones():
        raise _unknown("zone", name, _zones())
    return Zone(name)


def of_exchange(name: str, hours: Hours = "regular") -> Exchange:
    """The sessions of an exchange, by MIC or common name. Raises `UsageError` naming the nearest for one that
    there is not, and for extended hours where none are known."""
    known = _exchanges()
    if name not in known:
        raise _unknown("calendar", name, known | {_ALWAYS})
    if hours == "extended" and name not in _US:
        raise UsageError(
            "hours_unknown",
            f"extended hours of {name} are not known",
            hint=f"they are of {', '.join(_US)}; leave hours out for the regular session",
        )
    return Exchange(name, hours)


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    close = ", ".join(nearest(name[:64], known))
    hint = f"nearest: {close}" if close else "write it as Europe/Berlin or XNYS"
    return UsageError(f"{what}_unknown", f"no {what} is named {name[:64]!r}", hint=hint)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


@lru_cache(maxsize=1)
def _exchanges() -> frozenset[str]:
    return frozenset(_library().get_calendar_names(include_aliases=True)) - {_ALWAYS}


def _library() -> Any:
    """exchange_calendars, which brings pandas: our own processes keep that out until somebody needs it."""
    sys.meta_path[:] = [one for one in sys.meta_path if getattr(one, "keeps_out", "") != "pandas"]
    import exchange_calendars

    return exchange_calendars


# ── zones ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Zone:
    """Days from local midnight to local midnight: of 24 hours, but for those on which clocks are changed."""

    name: str

    def boundaries(self, start: int, end: int, unit: str) -> Boundaries:
        first, last = start // DAY - 2, end // DAY + 2
        parsed = Interval.parse(unit)
        group = _grouping(parsed)
        if group is not None:  # the first days of groups, and of one after the last
            first, last = first - parsed.about_ns // DAY, last + parsed.about_ns // DAY
            numbers = np.arange(first, last + 1)
            named = group(numbers)
            begun = np.flatnonzero(named[1:] != named[:-1]) + 1
            midnights = self._midnights(numbers[begun])
        else:
            midnights = self._midnights(np.arange(first, last + 1))
        kept = np.append(midnights[1:] > midnights[:-1], True)  # a day that a zone skipped has no length
        midnights = midnights[kept]
        starts, ends = midnights[:-1], midnights[1:]
        if group is None:
            starts, ends = _subdivided(starts, ends, parsed)
        within = (ends > start) & (starts < end)
        return _plain(starts[within], ends[within])

    def _midnights(self, days: Instants) -> Instants:
        """First instant of each local day, days counted from 1 January 1970."""
        zone = zoneinfo.ZoneInfo(self.name)
        reach = np.iinfo(np.int64)
        midnights = (_midnight(zone, day) for day in days.tolist())
        return np.array([min(max(ts, reach.min), reach.max) for ts in midnights], np.int64)


def _midnight(zone: zoneinfo.ZoneInfo, day: int) -> int:
    local = date.fromordinal(_ORDINAL + day)
    # Where clocks skip midnight, fold 0 gives the moment of the change, which is the day's first; where
    # midnight comes twice, the earlier of the two, and the day that has begun goes on.
    offset = datetime(local.year, local.month, local.day, tzinfo=zone).utcoffset() or timedelta()
    return day * DAY - round(offset.total_seconds()) * SECOND


# ── exchanges ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Exchange:
    """Sessions of an exchange from opening to close, with half days and lunch breaks."""

    name: str
    hours: Hours = "regular"

    def boundaries(self, start: int, end: int, unit: str) -> Boundaries:
        parsed = Interval.parse(unit)
        slack = parsed.about_ns + 5 * DAY
        days, opens, closes, breaks, resumes = self._sessions(start - slack, end + slack)
        # Two parts of a session with a break, one of others.
        broken = breaks > 0
        open_ = np.concatenate([opens, resumes[broken]])
        shut = np.concatenate([np.where(broken, breaks, closes), closes[broken]])
        rank = np.argsort(open_, kind="stable")
        open_, shut = open_[rank], shut[rank]
        named = np.concatenate([days, days[broken]])[rank]
        group = _grouping(parsed)
        if group is None:
            starts, ends = _subdivided(open_, shut, parsed)
            within = (ends > start) & (starts < end)
            return _plain(starts[within], ends[within])
        if not len(open_):
            return _plain(open_, shut)
        named = group(named)
        edges = np.flatnonzero(np.diff(named, prepend=named[0] - 1))
        starts, ends = open_[edges], shut[np.append(edges[1:], len(shut)) - 1]
        within = (ends > start) & (starts < end)
        if not within.any():
            return _plain(starts[:0], ends[:0])
        starts, ends = starts[within], ends[within]
        counted = (open_ >= starts[0]) & (open_ < ends[-1])
        return Boundaries(starts, ends, open_[counted], shut[counted])

    def _sessions(self, start: int, end: int) -> tuple[Instants, Instants, Instants, Instants, Instants]:
        """Days, openings, closes, and beginnings and ends of breaks (0 where there is none) of sessions that
        reach into [start, end)."""
        held = _held(self.name, self.hours, _decade(start), _decade(end) + 10)
        low = int(np.searchsorted(held[2], start, "right"))
        high = int(np.searchsorted(held[1], end))
        days, opens, closes, breaks, resumes = (column[low:high] for column in held)
        return days, opens, closes, breaks, resumes


def _decade(ts: int) -> int:
    """The decade that a time lies in: calendars are made once for each span of them."""
    year = datetime.fromtimestamp(min(max(ts // SECOND, -2_208_988_800), 4_000_000_000), UTC).year
    return year // 10 * 10


@lru_cache(maxsize=32)
def _held(name: str, hours: Hours, first: int, last: int) -> tuple[Instants, ...]:
    get_calendar = _library().get_calendar
    bounds: dict[str, Any] = {"start": f"{first}-01-01", "end": f"{last}-01-01"}
    try:
        calendar: Any = get_calendar(name, **bounds)
    except ValueError:  # it is known for fewer years, or begins within these
        calendar = get_calendar(name)
    days = calendar.sessions.as_unit("ns").asi8 // DAY
    opens, closes, breaks, resumes = (
        _instants(column)
        for column in (calendar.opens, calendar.closes, calendar.break_starts, calendar.break_ends)
    )
    if hours == "extended":
        midnights = Zone(str(calendar.tz))._midnights(days)
        local = closes - midnights
        opens = midnights + _PRE
        closes = midnights + np.where(local < _CLOSE, _POST_EARLY, _POST)
    return days, opens, closes, breaks, resumes


def _instants(column: Any) -> Instants:
    """Times of a pandas series as ns; 0 where it has none."""
    from pandas import DatetimeIndex

    found: Instants = DatetimeIndex(column).as_unit("ns").asi8
    return np.where(found == np.iinfo(np.int64).min, 0, found)


# ── what they share ───────────────────────────────────────────────────────────────────────────────


def _plain(starts: Instants, ends: Instants) -> Boundaries:
    return Boundaries(starts, ends, starts, ends)


def _grouping(unit: Interval) -> Any:
    """From days to the number of the bar that each belongs to; None for parts of a day."""
    if unit.months:
        return lambda days: _months(days) // unit.months
    if unit.length_ns % DAY == 0 and unit.text[-1] in "dw":
        count, anchor = unit.length_ns // DAY, _MONDAY if unit.text.endswith("w") else 0
        return lambda days: (days - anchor) // count
    if unit.length_ns > DAY:
        raise UsageError(
            "interval_invalid",
            f"{unit.text} is longer than a day, and days of a calendar differ in length",
            hint="count in d, w or mo",
        )
    return None


def _months(days: Instants) -> Instants:
    found: Instants = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return found + 1970 * 12


def _subdivided(starts: Instants, ends: Instants, unit: Interval) -> tuple[Instants, Instants]:
    """Each span in pieces of the unit from its start on, the last as long as is left."""
    counts = -(-(ends - starts) // unit.length_ns)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    begun = np.repeat(starts, counts) + within * unit.length_ns
    return begun, np.minimum(begun + unit.length_ns, np.repeat(ends, counts))
