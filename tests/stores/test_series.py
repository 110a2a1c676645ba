"""Series over each other: one row per start, and the right one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill.model.bar import BAR, Bars
from tidemill.stores import series

STARTS = st.sets(st.integers(0, 30), max_size=20)


def bars(starts: set[int], close: int) -> Bars:
    made = np.zeros(len(starts), BAR)
    made["start"] = sorted(starts)
    made["close"] = close
    return made


@given(STARTS, STARTS)
def test_what_covers_wins_wherever_it_begins(below: set[int], above: set[int]) -> None:
    found = series.cover(bars(below, 1), bars(above, 2))
    assert found["start"].tolist() == sorted(below | above)
    assert found["close"].tolist() == [2 if start in above else 1 for start in sorted(below | above)]


@given(STARTS, STARTS)
def test_covering_changes_neither(below: set[int], above: set[int]) -> None:
    lower, upper = bars(below, 1), bars(above, 2)
    before = lower.copy(), upper.copy()
    series.cover(lower, upper)["close"]
    assert (lower == before[0]).all()
    assert (upper == before[1]).all()


@given(st.lists(st.integers(0, 30), max_size=8), st.sets(st.integers(0, 30)))
def test_a_few_instants_are_found_among_many(some: list[int], many: set[int]) -> None:
    found = series.among(np.array(some, np.int64), np.array(sorted(many), np.int64))
    assert found.tolist() == [one in many for one in some]
