"""Days, weeks and parts of days against the plain use of zoneinfo, over every change of clocks."""

from __future__ import annotations

from bisect import bisect
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.model import calendar
from tidemill.model.calendar import Boundaries, boundaries
from tidemill.model.interval import DAY, HOUR, SECOND, Interval

ZONES = (
    "America/New_York", "America/Sao_Paulo", "America/Havana", "America/St_Johns", "Europe/London",
    "Europe/Moscow", "Africa/Cairo", "Asia/Beirut", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia",
    "Pacific/Auckland",
)  # fmt: skip
UNITS = ("1d", "2d", "1w", "2w", "1mo", "3mo", "1h", "4h", "15m", "7m", "12h")


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@lru_cache
def transitions(zone: str) -> list[int]:
    """Unix seconds at which the zone's offset changes, 1990 to 2040."""
    found = []
    tz = ZoneInfo(zone)

    def offset(at: int) -> timedelta | None:
        return datetime.fromtimestamp(at, UTC).astimezone(tz).utcoffset()

    step = 20 * 86_400
    for at in range(631_152_000, 2_208_988_800, step):
        low, high = at, at + step
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        found.append(high)
    return found or [946_684_800]


def local(ts: int, zone: str) -> date:
    """The local day that has begun: where clocks go back over midnight, it goes on."""

    def on(at: int) -> date:
        return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).date()

    changes = transitions(zone)
    at = ts // SECOND
    last = bisect(changes, at) - 1
    near = last >= 0 and at - changes[last] < 4 * 3600
    return max(on(at), on(changes[last] - 1)) if near else on(at)


def group(day: date, unit: str) -> int:
    """The number of the bar that a local day belongs to, by the words of the definition."""
    parsed = Interval.parse(unit)
    if parsed.months:
        return (day.year * 12 + day.month - 1) // parsed.months
    days = (day - date(1970, 1, 1)).days
    if unit.endswith("w"):
        return (days - 4) // (7 * int(unit[:-1]))
    return days // int(unit[:-1])


@lru_cache(maxsize=4096)
def first_instant(day: date, zone: str) -> int:
    """The first second of a local day, found by looking at every one of them that it may be."""
    low = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) - 15 * 3600
    high = low + 30 * 3600
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if local(middle * SECOND, zone) < day else (low, middle)
    return high * SECOND


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_bars_of_a_zone_against_zoneinfo(zone: str, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(transitions(zone))) + data.draw(st.integers(-3 * 86_400, 3 * 86_400))
    unit = data.draw(st.sampled_from(UNITS))
    ts = at * SECOND + data.draw(st.integers(0, SECOND - 1))
    found = boundaries(zone, ts, ts + 3 * DAY, unit)
    # No hole, no key twice, and what was asked lies within.
    assert (found.starts[1:] == found.ends[:-1]).all()
    assert (found.ends > found.starts).all()
    assert found.starts[0] <= ts < found.ends[0]
    assert found.ends[-1] >= ts + 3 * DAY
    parsed = Interval.parse(unit)
    bars = list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    for start, end in bars if len(bars) < 100 else bars[:: len(bars) // 50]:
        if unit.endswith(("h", "m")):
            midnight = first_instant(local(start, zone), zone)
            assert (start - midnight) % parsed.length_ns == 0
            assert local(end - 1, zone) == local(start, zone)
            whole = end - start == parsed.length_ns
            assert whole or end == first_instant(local(start, zone) + timedelta(1), zone)
        else:
            mine = group(local(start, zone), unit)
            assert group(local(end - 1, zone), unit) == mine
            assert group(local(start - 1, zone), unit) < mine < group(local(end, zone), unit)


def lengths(found: Boundaries) -> list[float]:
    return [length / HOUR for length in (found.ends - found.starts).tolist()]


def test_days_have_23_and_25_hours() -> None:
    spring = boundaries("America/New_York", ns("2026-03-07T12:00"), ns("2026-03-09T12:00"), "1d")
    assert lengths(spring) == [24, 23, 24]
    autumn = boundaries("America/New_York", ns("2026-10-31T12:00"), ns("2026-11-02T12:00"), "1d")
    assert lengths(autumn) == [24, 25, 24]
    assert lengths(boundaries("America/New_York", ns("2026-03-08T12:00"), ns("2026-03-08T13:00"), "1w")) == [
        167
    ]
    assert spring.step(Interval.parse("1d")) == "1h"


def test_a_day_that_a_zone_skipped_is_none() -> None:
    found = boundaries("Pacific/Apia", ns("2011-12-28"), ns("2012-01-03"), "1d")
    days = [local(start, "Pacific/Apia") for start in found.starts.tolist()]
    assert {date(2011, 12, day) for day in (29, 30, 31)} & set(days) == {
        date(2011, 12, 29),
        date(2011, 12, 31),
    }


def test_sessions_half_days_and_weeks_of_an_exchange() -> None:
    found = boundaries("XNYS", ns("2026-11-24"), ns("2026-12-01"), "1d")
    # Thanksgiving is none, the day after it is a short one, a weekend is none.
    assert lengths(found) == [6.5, 6.5, 3.5, 6.5]
    assert found.starts[0] == ns("2026-11-24T14:30")
    weeks = boundaries("XNYS", ns("2026-11-24"), ns("2026-11-30T15:00"), "1w")
    assert weeks.starts.tolist() == [ns("2026-11-23T14:30"), ns("2026-11-30T14:30")]
    assert weeks.ends[0] == ns("2026-11-27T18:00")
    assert not weeks.whole
    assert len(weeks.open) == 4 + 5
    halves = boundaries("XNYS", ns("2026-11-27"), ns("2026-11-28"), "1h")
    assert lengths(halves) == [1, 1, 1, 0.5]
    assert halves.step(Interval.parse("1h")) == "1m"


def test_extended_hours_end_early_after_an_early_close() -> None:
    found = boundaries("XNYS", ns("2026-11-25T12:00"), ns("2026-11-28"), "1d", "extended")
    assert found.starts.tolist() == [ns("2026-11-25T09:00"), ns("2026-11-27T09:00")]
    assert lengths(found) == [16, 13]


def test_a_lunch_break_counts_for_nothing() -> None:
    day = boundaries("XHKG", ns("2026-11-24"), ns("2026-11-24T12:00"), "1d")
    assert (len(day.starts), len(day.open)) == (1, 2)
    assert (day.shut[0], day.open[1]) == (ns("2026-11-24T04:00"), ns("2026-11-24T05:00"))
    hours = boundaries("XHKG", ns("2026-11-24"), ns("2026-11-24T12:00"), "1h")
    assert lengths(hours) == [1, 1, 0.5, 1, 1, 1]


def test_pieces_are_those_of_the_unit() -> None:
    span = (ns("2026-03-06"), ns("2026-03-11"))
    for place in ("America/New_York", "XNYS", "XHKG"):
        for unit in ("1h", "7m", "4h"):
            parsed = Interval.parse(unit)
            whole = boundaries(place, *span, unit)
            ts = np.arange(span[0], span[1], 11 * 60 * SECOND)
            found = boundaries(place, *span, "1d").pieces(parsed, ts)
            at = np.searchsorted(whole.starts, ts, "right") - 1
            hit = np.unique(at[(at >= 0) & (ts < whole.ends[at])])
            assert found.starts.tolist() == whole.starts[hit].tolist()
            assert found.ends.tolist() == whole.ends[hit].tolist()


def test_around_the_clock_is_utc() -> None:
    for unit in ("1d", "1w", "1mo", "6h"):
        found = boundaries("24/7", ns("2026-02-10"), ns("2026-05-10"), unit)
        parsed = Interval.parse(unit)
        assert found.starts.tolist() == [parsed.start(start) for start in found.starts.tolist()]
        assert found.ends.tolist() == [parsed.end(start) for start in found.starts.tolist()]
    assert calendar.of(None, None) is None
    assert calendar.of(None, "24/7") is None


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({"zone": "America/New_Yrok"}, "zone_unknown", "America/New_York"),
        ({"calendar": "XNYX"}, "calendar_unknown", "XNYS"),
        ({"zone": "../../etc/passwd"}, "zone_unknown", "zone"),
        ({"zone": "UTC", "calendar": "XNYS"}, "calendar_twice", "zone"),
        ({"calendar": "XHKG", "hours": "extended"}, "hours_unknown", "XNYS"),
        ({"calendar": "XNYS", "hours": "all"}, "hours_unknown", "extended"),
    ],
)
def test_what_is_unknown_says_what_is_near(asked: dict[str, str], code: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        calendar.of(asked.get("zone"), asked.get("calendar"), asked.get("hours", "regular"))  # type: ignore[arg-type]
    assert caught.value.code == code
    assert said in str(caught.value)


def test_more_hours_than_a_day_are_refused() -> None:
    with pytest.raises(UsageError, match="longer than a day"):
        boundaries("UTC", 0, DAY, "36h")
