"""Volumes wider than 64 bits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill.model.bar import BAR, set_volumes, volume_floats, volumes


@given(st.lists(st.integers(-(2**127), 2**127 - 1), min_size=1, max_size=20))
def test_volumes_are_exact(values: list[int]) -> None:
    bars = np.zeros(len(values), BAR)
    set_volumes(bars, values)
    assert volumes(bars) == values
    np.testing.assert_allclose(volume_floats(bars), np.array(values, dtype=float), rtol=1e-15)


def test_int64_volumes() -> None:
    bars = np.zeros(3, BAR)
    set_volumes(bars, np.array([-1, 0, 2**63 - 1]))
    assert volumes(bars) == [-1, 0, 2**63 - 1]
