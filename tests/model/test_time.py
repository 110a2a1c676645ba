"""Times in every spelling that is documented."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.model import time

INSTANT = 1_795_167_000_000_000_000  # 2026-11-20T09:30:00Z


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T09:30:00Z",
        "2026-11-20 09:30",
        "2026-11-20T09:30:00.000",
        "2026-11-20T10:30:00+01:00",
        "2026-11-20T04:30:00-0500",
        "1795167000",
        "1795167000.0",
        "1795167000000",
        "1795167000000000",
        "1795167000000000000",
        1_795_167_000,
        datetime(2026, 11, 20, 9, 30),
        datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
    ],
)
def test_spellings(text: str | int | datetime) -> None:
    assert time.parse(text) == INSTANT


def test_dates() -> None:
    assert time.parse("2026-11-20") == INSTANT - 34_200 * 10**9
    assert time.parse(datetime(2026, 11, 20).date()) == time.parse("2026-11-20")
    assert time.date_of(INSTANT) == "2026-11-20"
    assert time.month_of(INSTANT) == "2026-11"


@given(st.integers(-(10**18), 4 * 10**18))
def test_iso_is_exact_to_the_nanosecond(ns: int) -> None:
    assert time.parse(time.iso(ns)) == ns


@pytest.mark.parametrize(
    "text",
    [
        "9999-01-01",
        "0001-01-01",
        "-99999999999",
        float("nan"),
        float("inf"),
        [1],
        "",
        "yesterday",
        "2026-13-01",
        "2026-02-30",
        "9" * 25,
        "nan",
        "2026-11-20T25:00",
    ],
)
def test_what_is_no_time_is_a_usage_error(text: Any) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        time.parse(text)


def test_an_epoch_with_a_fraction_is_exact() -> None:
    assert time.parse("1795167000.123456789") == INSTANT + 123_456_789
    assert time.parse("1795167000123.456789") == INSTANT + 123_456_789


def test_numbers_of_numpy_are_numbers() -> None:
    assert time.parse(np.int64(INSTANT)) == INSTANT
    assert time.parse(np.uint32(1_795_167_000)) == INSTANT


def test_a_span_does_not_end_before_it_begins() -> None:
    assert time.span("2026-11-20", None) == (time.parse("2026-11-20"), None)
    assert time.span(0, 0) == (0, 0)
    with pytest.raises(UsageError, match="is after the end"):
        time.span("2026-11-21", "2026-11-20")


def test_duration() -> None:
    assert time.duration("1h") == 3_600 * 10**9
