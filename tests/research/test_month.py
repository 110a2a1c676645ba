"""Calendar months, by the reader's zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidemill.errors import UsageError
from tidemill.research.month import months, years

DAY = 86_400 * 10**9


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc,arg-type]


def test_days_are_compounded_inside_their_month() -> None:
    # Two days that end with January, then two of February.
    ends = [at(2024, 1, 31), at(2024, 2, 1), at(2024, 2, 2), at(2024, 2, 3)]
    found = months([0.1, 0.1, 0.2, -0.1], ends, step=DAY)
    assert [(one.year, one.month, one.partial) for one in found] == [(2024, 1, True), (2024, 2, True)]
    assert found[0].returned == pytest.approx(1.1 * 1.1 - 1)
    assert found[1].returned == pytest.approx(1.2 * 0.9 - 1)
    assert years(found) == {2024: pytest.approx(1.1 * 1.1 * 1.2 * 0.9 - 1)}


def test_a_whole_month_is_not_partial() -> None:
    ends = [at(2024, 1, 2) + day * DAY for day in range(31)]
    assert [one.partial for one in months([0.01] * 31, ends, step=DAY)] == [False]


def test_the_zone_says_to_which_month_a_moment_belongs() -> None:
    end = at(2024, 2, 1, 3)  # 22:00 on 31 January in New York
    assert months([0.1], [end], step=DAY)[0].month == 2
    assert months([0.1], [end], "America/New_York", step=DAY)[0].month == 1


def test_times_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="2 returns with 1 times"):
        months([0.1, 0.1], [DAY], step=DAY)
    with pytest.raises(UsageError, match="ascend"):
        months([0.1, 0.1], [DAY, DAY], step=DAY)
    assert months([], [], step=DAY) == []
