"""Intervals against the calendar, and against the native twin."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.model.interval import SECOND, STORED, Interval

TEXTS = ("1s", "5s", "1m", "7m", "15m", "1h", "4h", "1d", "1w", "2w", "1mo", "3mo", "12mo")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ns(*when: int) -> int:
    return int((datetime(*when, tzinfo=UTC) - EPOCH) / timedelta(seconds=1)) * SECOND


@given(st.integers(-(10**10), 10**11).map(lambda s: s * SECOND + 1), st.sampled_from(TEXTS))
def test_every_instant_lies_in_its_interval(ts: int, text: str) -> None:
    interval = Interval.parse(text)
    start = interval.start(ts)
    end = interval.end(start)
    assert start <= ts < end
    assert interval.start(end) == end
    assert interval.start(end - 1) == start


@given(st.integers(-(2**62), 2**62), st.sampled_from(TEXTS))
def test_the_native_twin_agrees(ts: int, text: str) -> None:
    native = pytest.importorskip("tidemill._native")
    interval = Interval.parse(text)
    start = interval.start(ts)
    assert native.interval_bounds(text, ts) == (start, interval.end(start))


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
def test_months_follow_the_calendar(when: datetime) -> None:
    ts = int((when.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)) * 1_000
    assert Interval.parse("1mo").start(ts) == ns(when.year, when.month, 1)
    assert Interval.parse("3mo").start(ts) == ns(when.year, (when.month - 1) // 3 * 3 + 1, 1)


def test_weeks_start_on_monday() -> None:
    assert Interval.parse("1w").start(ns(2026, 11, 20)) == ns(2026, 11, 16)
    assert Interval.parse("7d").start(ns(2026, 11, 20)) != ns(2026, 11, 16)


@pytest.mark.parametrize(
    ("text", "base"),
    [("1s", "1s"), ("90s", "1s"), ("120s", "1m"), ("4h", "1h"), ("1w", "1d"), ("1mo", "1d"), ("48h", "1d")],
)
def test_base_is_the_longest_stored_interval_that_fits(text: str, base: str) -> None:
    assert Interval.parse(text).base == base
    assert base in STORED


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "-1m", "1", "1y", "1M", "1.5m", "99999999999s", "0mo", "1 m"]
)
def test_what_is_no_interval_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not an interval"):
        Interval.parse(text)
