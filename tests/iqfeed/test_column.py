"""Exact numbers out of text."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UpstreamError
from tidemill.iqfeed.column import exact, rescaled, whole


def test_digit_for_digit() -> None:
    mantissas, scale = exact(["96.0700", "1", "2938.", ".5", "-0.25"])
    assert (mantissas.tolist(), scale) == ([960_700, 10_000, 29_380_000, 5_000, -2_500], 4)
    assert exact([])[0].shape == (0,)


@given(st.lists(st.decimals(-(10**9), 10**9, places=6), max_size=20))
def test_no_digit_is_lost(numbers: list[Decimal]) -> None:
    mantissas, scale = exact([f"{number:f}" for number in numbers])
    assert [Decimal(int(m)).scaleb(-scale) for m in mantissas] == numbers


@pytest.mark.parametrize("text", ["", "x", "1e5", "1.2.3", "nan", "99999999999999999999", "0." + "1" * 40])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UpstreamError):
        exact(["1.5", text])


def test_whole_numbers_and_scales() -> None:
    assert whole(["7", ""]).tolist() == [7, 0]
    with pytest.raises(UpstreamError):
        whole(["7.5"])
    assert rescaled(np.array([12], np.int64), 1, 4).tolist() == [12_000]
    with pytest.raises(UpstreamError):
        rescaled(np.array([2**60], np.int64), 0, 4)
