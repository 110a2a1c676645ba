"""Times of files: every way they are written, of any zone, exact to the nanosecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.importer import instant
from tidemill.model import time as times

NS = times.parse("2024-03-04T05:06:07.123456789Z")


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        (str(NS), "epoch_ns", NS),
        (str(NS // 1000), "epoch_us", NS // 1000 * 1000),
        (str(NS // 10**6), "epoch_ms", NS // 10**6 * 10**6),
        ("1709528767.123456789", "epoch_s", NS),
        ("1709528767", "epoch_s", NS // 10**9 * 10**9),
        ("2024-03-04T05:06:07.123456789Z", "YYYY-MM-DD", NS),
        ("2024-03-04 05:06:07.123456789+00:00", "YYYY-MM-DD", NS),
        ("2024-03-04T07:06:07.123456789+0200", "YYYY-MM-DD", NS),
        ("2024-03-04 05:06", "YYYY-MM-DD", times.parse("2024-03-04T05:06:00Z")),
        ("2024-3-4", "YYYY-MM-DD", times.parse("2024-03-04")),
        ("20240304 05:06", "YYYYMMDD", times.parse("2024-03-04T05:06:00Z")),
        ("20240304 050607", "YYYYMMDD", times.parse("2024-03-04T05:06:07Z")),
        ("04.03.2024 05:06:07.5", "DD.MM.YYYY", times.parse("2024-03-04T05:06:07.5Z")),
        ("03/04/2024 05:06", "MM/DD/YYYY", times.parse("2024-03-04T05:06:00Z")),
        ("04/03/2024", "DD/MM/YYYY", times.parse("2024-03-04")),
        ("2024.03.04 05:06", "YYYY.MM.DD", times.parse("2024-03-04T05:06:00Z")),
    ],
)
def test_golden(text: str, form: str, expected: int) -> None:
    found, bad = instant.read([pa.array([text])], form, "UTC", None)
    assert (found.tolist(), bad.tolist()) == ([expected], [False])


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2024-02-30", "YYYY-MM-DD"), ("2024-13-01", "YYYY-MM-DD"), ("2024-00-01", "YYYY-MM-DD"),
        ("2024-01-01 25:00", "YYYY-MM-DD"), ("1600-01-01", "YYYY-MM-DD"), ("9999-01-01", "YYYY-MM-DD"),
        ("yesterday", "YYYY-MM-DD"), ("", "epoch_ms"), ("99999999999999999999", "epoch_s"),
        ("1e30", "epoch_ms"),
        ("9223372036854775807", "epoch_ns"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_told(text: str, form: str) -> None:
    assert instant.read([pa.array([text])], form, "UTC", None)[1].tolist() == [True]


def test_two_columns_are_one_time() -> None:
    found, bad = instant.read(
        [pa.array(["2024.03.04", "2024.03.04"]), pa.array(["05:06", "x"])], "YYYY.MM.DD", "UTC", None
    )
    assert found[0] == times.parse("2024-03-04T05:06:00Z")
    assert bad.tolist() == [False, True]


def test_a_time_of_day_needs_its_date_and_has_a_zone() -> None:
    column = pa.array(["14400464", "71999536.25"])
    day = instant.day_of("20131007")
    found, bad = instant.read([column], "ms_of_day", "America/New_York", day)
    assert [times.iso(int(one)) for one in found] == [
        "2013-10-07T08:00:00.464Z",
        "2013-10-07T23:59:59.53625Z",
    ]
    assert not bad.any()
    with pytest.raises(UsageError, match="count from a date"):
        instant.read([column], "ms_of_day", "UTC", None)


@given(
    st.datetimes(datetime(1975, 1, 1), datetime(2035, 1, 1)),
    st.sampled_from(["America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_wall_clocks_are_those_of_their_zone(wall: datetime, name: str) -> None:
    wall = wall.replace(microsecond=0)
    found, bad = instant.read([pa.array([wall.isoformat(" ")])], "YYYY-MM-DD", name, None)
    said = wall.replace(tzinfo=ZoneInfo(name)).astimezone(UTC)
    assert not bad[0]
    assert found[0] == (said - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 10**9


def test_an_hour_that_comes_twice_is_the_first() -> None:
    found, _ = instant.read([pa.array(["2024-11-03 01:30"])], "YYYY-MM-DD", "America/New_York", None)
    assert times.iso(int(found[0])) == "2024-11-03T05:30:00Z"


def test_days_of_a_zone_are_dates() -> None:
    starts = [times.parse("2024-03-08T05:00:00Z"), times.parse("2024-03-11T04:00:00Z")]
    import numpy as np

    found = instant.local_days(np.array(starts), "America/New_York")
    assert [times.iso(int(one)) for one in found] == ["2024-03-08T00:00:00Z", "2024-03-11T00:00:00Z"]


def test_types_of_columnar_files() -> None:
    moment = datetime(2024, 3, 4, 5, 6, 7, 123000, tzinfo=UTC)
    for unit in ("ms", "us", "ns"):
        found, bad = instant.read(
            [pa.array([moment, None], pa.timestamp(unit, "UTC"))], "epoch_ns", "UTC", None
        )
        assert found[0] == times.parse("2024-03-04T05:06:07.123Z")
        assert bad.tolist() == [False, True]
    naive = pa.array([datetime(2024, 7, 1, 12)], pa.timestamp("s"))
    assert (
        times.iso(int(instant.read([naive], "epoch_ns", "America/New_York", None)[0][0]))
        == "2024-07-01T16:00:00Z"
    )


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "", "\0"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        instant.zone(name)


def test_magnitudes() -> None:
    assert instant.of_magnitude(1_700_000_000) == "epoch_s"
    assert instant.of_magnitude(1_700_000_000_000) == "epoch_ms"
    assert instant.of_magnitude(1_700_000_000_000_000) == "epoch_us"
    assert instant.of_magnitude(1_700_000_000_000_000_000) == "epoch_ns"
    assert instant.of_magnitude(20240304) is None
