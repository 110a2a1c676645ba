"""Walk-forward: what is outside was never inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.research.market import market
from tidemill.errors import UsageError
from tidemill.research import walk
from tidemill.research.space import Axis, Space
from tidemill.research.trial import Trial


@given(st.integers(200, 50_000), st.integers(1, 50), st.booleans(), st.integers(0, 500))
def test_folds_keep_apart_and_end_at_the_end(steps: int, count: int, anchored: bool, purge: int) -> None:
    try:
        made = walk.folds(steps, count, anchored=anchored, purge=purge)
    except UsageError as error:
        assert error.code == "walk_invalid"
        return
    assert len(made) == count
    assert made[-1].end == steps
    for fold in made:
        outside = fold.end - fold.out
        assert 0 <= fold.first < fold.past <= fold.out - purge - outside * 5 * 0.01
        assert fold.out - (made[0].first if anchored else fold.first) >= outside * walk.RATIO
        if not anchored:
            assert fold.out - fold.first == outside * walk.RATIO
    for before, after in zip(made, made[1:], strict=False):
        assert before.end == after.out


def test_golden_folds() -> None:
    made = walk.folds(1_000, 4, purge=10)
    assert [(f.first, f.past, f.out, f.end) for f in made] == [
        (0, 483, 500, 625), (125, 608, 625, 750), (250, 733, 750, 875), (375, 858, 875, 1000),
    ]  # fmt: skip
    assert [f.first for f in walk.folds(1_000, 4, anchored=True)] == [0, 0, 0, 0]


def test_a_cut_has_the_rows_of_its_steps_alone() -> None:
    history = market(100)
    axis = next(iter(history.tracks.values())).end
    found = next(iter(walk.cut(history, axis, 10, 30).tracks.values()))
    assert (found.end[0], found.end[-1], len(found)) == (axis[10], axis[29], 20)


def test_efficiency_drift_and_share() -> None:
    made = walk.folds(1_000, 2)
    space = Space((Axis("n", 0, 10, 1, True),))
    inside = {
        1: Trial(0, {"n": 2}, (1.0,), {}, np.full(100, 0.002, np.float32)),
        2: Trial(3, {"n": 7}, (1.0,), {}, np.full(100, 0.002, np.float32)),
    }
    outside = {
        1: Trial(0, {"n": 2}, (1.0,), {}, np.full(50, 0.001, np.float32)),
        2: Trial(0, {"n": 7}, (1.0,), {}, np.full(50, -0.0005, np.float32)),
    }
    found = walk.summed(made, inside, outside, np.arange(1_000), space, 365)
    a, b = 1.002**365 - 1, (1.001**50 * 0.9995**50) ** 3.65 - 1
    assert found["wfe"] == pytest.approx(b / a, rel=1e-4)
    assert found["positive_share"] == 0.5
    assert found["drift"] == {"n": pytest.approx(0.5)}
    assert len(found["equity"]) == 100
    assert found["equity"][-1] == pytest.approx(1.001**50 * 0.9995**50, rel=1e-6)
