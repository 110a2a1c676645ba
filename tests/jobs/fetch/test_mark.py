"""A mark says which units are done, in few words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.jobs.fetch.mark import Mark


@given(st.sets(st.integers(0, 300)))
def test_what_a_mark_says_it_reads_again(numbers: set[int]) -> None:
    mark = Mark()
    mark.add(numbers)
    again = Mark(str(mark))
    assert {n for n in range(302) if n in again} == numbers
    assert len(again) == len(numbers)
    assert str(again) == str(mark)


def test_a_hundred_thousand_chunks_are_few_words() -> None:
    mark = Mark()
    mark.add(n for n in range(100_000) if n % 2_000)
    assert len(str(mark)) < 1_000
    assert str(Mark("0-3,5")) == "0-3,5"
