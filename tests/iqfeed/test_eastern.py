"""Eastern wall time and UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidemill.errors import UpstreamError
from tidemill.iqfeed.eastern import Clock, asked, midnight, utc_day, wall
from tidemill.model.interval import DAY, HOUR, MINUTE, SECOND

ZONE = ZoneInfo("America/New_York")
# 3 November 2024: 01:00 to 02:00 occurs twice, from 05:00 and from 06:00 UTC.
TWICE = 1_730_610_000 * SECOND


def printed(ns: int) -> str:
    return wall(ns).strftime("%Y-%m-%d %H:%M:%S") + f".{ns % SECOND // 1_000:06d}"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2018-04-17 17:51:22.123456", 1_524_001_882_123_456_000),
        ("2018-06-29 16:12:40", 1_530_303_160_000_000_000),
        ("2024-01-02 09:30:00", 1_704_205_800_000_000_000),
        ("2024-01-02 09:30:00.5", 1_704_205_800_500_000_000),
    ],
)
def test_times(text: str, ns: int) -> None:
    assert Clock().ns(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "2018-04-17", "2018-04-17 17:51", "2018-04-17 17:61:22", "2018-04-17 25:00:00",
     "2018-13-17 17:00:00", "2018-04-17 17:51:22.", "2018-04-17 17:51:2x", "2018-04-17T17:51:22",
     "2018-04-17 17:51:22.1234567890"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    if text.endswith("."):
        assert Clock().ns(text) == Clock().ns(text[:-1])
        return
    with pytest.raises(UpstreamError):
        Clock().ns(text)


@given(st.integers(1_000_000_000, 1_900_000_000), st.integers(0, 999_999))
@example(TWICE // SECOND, 1)
@example((TWICE - 1) // SECOND, 1)
@example((TWICE + 2 * HOUR) // SECOND, 0)
def test_any_moment_that_occurs_once_comes_back(second: int, micro: int) -> None:
    ns = second * SECOND + micro * 1_000
    moment = wall(ns)
    read = Clock().ns(printed(ns))
    if moment.fold == 0:
        assert read == ns
    else:
        assert read == ns - HOUR, "alone, the second hour reads as the first"


def test_a_series_tells_the_two_hours_apart() -> None:
    moments = list(range(TWICE - HOUR, TWICE + 3 * HOUR, 7 * MINUTE + 123_456_000))
    clock = Clock()
    assert [clock.ns(printed(ns)) for ns in moments] == moments


def test_trades_a_little_out_of_order_do_not_turn_the_clock_back() -> None:
    clock = Clock()
    first = TWICE + 10 * MINUTE
    for ns in (first, first - 30 * SECOND, first + SECOND, first - 59 * SECOND):
        assert clock.ns(printed(ns)) == ns


@given(st.dates(date(2007, 1, 1), date(2036, 12, 30)))
@example(date(2024, 3, 10))
@example(date(2024, 11, 3))
def test_days_have_23_24_or_25_hours(day: date) -> None:
    start, end = midnight(day), midnight(day + timedelta(days=1))
    expected = {date(2024, 3, 10): 23, date(2024, 11, 3): 25}
    assert (end - start) // HOUR == expected.get(day, (end - start) // HOUR)
    assert (end - start) // HOUR in (23, 24, 25)
    assert wall(start).date() == day == wall(end - SECOND).date()
    assert wall(start).hour == 0


@given(st.integers(1_200_000_000, 1_900_000_000), st.integers(1, 400_000), st.integers(0, SECOND - 1))
@example(TWICE // SECOND + 1_800, 60, 5)
@example(TWICE // SECOND + 5_400, 60, 0)
@example(TWICE // SECOND - 60, 7_200, 1)
@example(1_710_054_000, 60, 0)
def test_what_is_asked_holds_all_that_is_wanted(second: int, length: int, extra: int) -> None:
    start = second * SECOND + extra
    end = start + length * SECOND
    begin, last = (
        datetime.strptime(text, "%Y%m%d %H%M%S").replace(tzinfo=ZONE) for text in asked(start, end)
    )

    def least(moment: datetime) -> int:
        return min(int(moment.replace(fold=fold).astimezone(UTC).timestamp()) for fold in (0, 1)) * SECOND

    def most(moment: datetime) -> int:
        return max(int(moment.replace(fold=fold).astimezone(UTC).timestamp()) for fold in (0, 1)) * SECOND

    # However the server reads a time that occurs twice.
    assert most(begin) <= start or (wall(start).fold == 0 and least(begin) <= start)
    assert least(last) >= end or (wall(end - 1).fold == 1 and most(last) >= end)
    assert begin.strftime("%H") != "01" or begin.strftime("%M%S") == "0000" or least(begin) == most(begin)


def test_trading_dates() -> None:
    assert utc_day("2018-04-27") == utc_day("2018-04-27 00:00:00") == 17_648 * DAY
    with pytest.raises(UpstreamError):
        utc_day("04/27/2018")
