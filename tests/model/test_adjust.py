"""Dated facts and the prices that they change: exact, and never known too early."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.model import adjust
from tidemill.model import time as times
from tidemill.model.fact import Fact, fact, known
from tidemill.model.interval import DAY


def made(kind: str, date: str, **rest: Any) -> Fact:
    return fact(instrument="X.y", kind=kind, date=date, source=rest.pop("source", "s"), **rest)


DAYS = np.array([times.parse(f"2024-06-{day:02}") for day in range(1, 11)], np.int64)
SPLIT = made("split", "2024-06-05", ratio="4")
DIVIDEND = made("dividend", "2024-06-08", amount="0.5")


def test_a_split_divides_what_lies_before_it() -> None:
    price, volume = adjust.arrays(DAYS, adjust.steps([SPLIT], "split"))
    assert price.tolist() == [0.25] * 4 + [1.0] * 6
    assert volume.tolist() == [4.0] * 4 + [1.0] * 6
    assert adjust.steps([SPLIT], "raw") == []


def test_a_dividend_counts_by_the_close_before_it() -> None:
    close = {times.parse("2024-06-08"): Fraction(50)}
    steps = adjust.steps([SPLIT, DIVIDEND], "all", close_before=close.get)
    price, volume = adjust.arrays(DAYS, steps)
    np.testing.assert_allclose(price, [0.25 * 0.99] * 4 + [0.99] * 3 + [1.0] * 3, rtol=1e-15)
    assert volume.tolist() == [4.0] * 4 + [1.0] * 6
    assert len(adjust.steps([SPLIT, DIVIDEND], "split", close_before=close.get)) == 1
    assert len(adjust.steps([DIVIDEND], "all")) == 0, "without a close nothing can be said"


def test_only_what_is_known_counts() -> None:
    early = made("split", "2024-06-05", ratio="2", ts_known=times.parse("2024-05-01"))
    mended = made("split", "2024-06-05", ratio="4", ts_known=times.parse("2024-05-20"))
    taken_back = made("split", "2024-06-05", void=True, ts_known=times.parse("2024-06-01"))
    story = [taken_back, early, mended]
    for at, ratios in (("2024-04-30", []), ("2024-05-01", ["2"]), ("2024-05-20", ["4"]), ("2024-06-01", [])):
        assert [one.ratio for one in known(story, times.parse(at))] == ratios
    assert SPLIT.ts_known == times.parse("2024-06-05"), "by default a fact is known when it takes effect"


def test_a_split_that_two_sources_tell_happened_once() -> None:
    twice = [
        made("split", "2024-06-05", ratio="4", source="a"),
        made("split", "2024-06-05", ratio="4", source="b"),
    ]
    assert len(adjust.steps(twice, "split")) == 1


def test_within_days_a_date_begins_in_its_zone() -> None:
    one = made("split", "2024-01-10", ratio="2", zone="America/New_York")
    assert adjust.steps([one], "split", days=True)[0].starts == times.parse("2024-01-10")
    assert adjust.steps([one], "split", days=False)[0].starts == times.parse("2024-01-10T05:00:00Z")


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50), st.integers(1, 50)), max_size=6),
    st.integers(-(10**15), 10**15),
)
def test_factors_are_exact_products_and_rounding_is_half_even(
    splits: list[tuple[int, int, int]], mantissa: int
) -> None:
    steps = [
        adjust.Step(int(DAYS[day]), Fraction(under, over), Fraction(over, under))
        for day, over, under in sorted(splits)
    ]
    for rows, price, volume in adjust.factors(DAYS, steps):
        for at in range(rows.start, rows.stop):
            expected = Fraction(1)
            for step in steps:
                expected *= step.price if step.starts > DAYS[at] else 1
            assert price == expected
            assert price * volume == 1
            value = Fraction(adjust.exact([mantissa], price, 6)[0], 10**6)
            assert abs(value - mantissa * price) <= Fraction(1, 2 * 10**6)
    covered = [at for rows, _, _ in adjust.factors(DAYS, steps) for at in range(rows.start, rows.stop)]
    assert covered == list(range(len(DAYS)))


@given(st.lists(st.integers(0, 9), max_size=4), st.integers(0, 9))
def test_what_is_known_later_changes_nothing_before(days: list[int], until: int) -> None:
    """A look back at a day sees the same adjusted prices whatever comes after it."""
    story = [made("split", times.date_of(int(DAYS[day])), ratio="2") for day in days]
    at = int(DAYS[until])
    told = [one for one in story if one.ts_known <= at]
    assert adjust.steps(story, "split", at=at) == adjust.steps(told, "split")


@pytest.mark.parametrize(
    "given_",
    [
        {"kind": "split", "ratio": "0"}, {"kind": "split", "ratio": "-2"}, {"kind": "split", "ratio": "1/0"},
        {"kind": "split"}, {"kind": "dividend"}, {"kind": "dividend", "amount": "x"},
        {"kind": "dividend", "factor": "1.2"}, {"kind": "symbol", "symbol": "../x"}, {"kind": "party"},
        {"kind": "split", "ratio": "2", "zone": "Mars"},
        {"kind": "split", "ratio": "2", "date": "2024-02-30"},
        {"kind": "split", "ratio": "2", "date": "tomorrow"},
    ],
    ids=str,
)  # fmt: skip
def test_a_fact_that_makes_no_sense_is_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        fact(**{"instrument": "X.y", "date": "2024-06-05", "source": "s", **given_})


def test_days_are_whole() -> None:
    assert all(one.starts % DAY == 0 for one in (SPLIT, DIVIDEND))
