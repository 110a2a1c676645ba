"""Series as answers: numbers leave digit for digit as they are stored, on the short way and the long one."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill import wire
from tidemill.model.bar import BAR, set_volumes
from tidemill.service.series import _bar_table, _decimals

MANTISSAS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(MANTISSAS, max_size=20), st.integers(0, 18))
def test_decimals_of_one_scale_are_exact(values: list[int], scale: int) -> None:
    column = _decimals(np.array(values, np.int64), np.full(len(values), scale, np.uint8))
    assert column.to_pylist() == [Decimal(value).scaleb(-scale) for value in values]


@given(st.lists(st.tuples(MANTISSAS, st.integers(0, 18)), min_size=1, max_size=20))
def test_decimals_of_several_scales_take_the_largest(pairs: list[tuple[int, int]]) -> None:
    values, scales = (np.array(column) for column in zip(*pairs, strict=True))
    column = _decimals(values, scales.astype(np.uint8))
    assert column.type.scale == max(scale for _, scale in pairs)
    assert column.to_pylist() == [Decimal(value).scaleb(-scale) for value, scale in pairs]


def test_what_is_absent_is_null() -> None:
    column = _decimals(np.array([1, 2]), np.array([1, 1]), np.array([False, True]))
    assert column.to_pylist() == [Decimal("0.1"), None]


@pytest.mark.parametrize("volumes", [[5, -7], [2**63, 5], [2**100, 2**63 - 1]])
def test_volumes_of_any_size_are_exact(volumes: list[int]) -> None:
    bars = np.zeros(len(volumes), BAR)
    set_volumes(bars, volumes)
    bars["size_scale"] = 2
    expected = [Decimal(wire.text(one, 2)) for one in volumes]  # scaleb would round to 28 digits
    assert _bar_table(bars)["volume"].to_pylist() == expected
