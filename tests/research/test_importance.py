"""What matters is told from what does not."""

from __future__ import annotations

import numpy as np

from tidemill.research import importance
from tidemill.research.space import Axis, Space
from tidemill.research.trial import Trial

SPACE = Space((Axis("a", 0, 9, 1, True), Axis("b", 0, 9, 1, True), Axis("c", 0.0, 1.0)))


def trials(count: int = 1_000) -> list[Trial]:
    dice = np.random.default_rng(0)
    made = []
    for number in range(count):
        a, b, c = int(dice.integers(10)), int(dice.integers(10)), float(dice.random())
        made.append(Trial(number, {"a": a, "b": b, "c": c}, (a + 2.0 * c,)))
    return made


def test_shares_are_those_of_the_variances() -> None:
    # Var(a) = 99/12, Var(2c) = 4/12: 0.961 and 0.039.
    found = importance.importance(trials(5_000), SPACE)
    assert abs((found["a"] or 0) - 0.961) < 0.01
    assert abs(found["b"] or 0) < 0.005
    assert abs((found["c"] or 0) - 0.039) < 0.01
    flat = [Trial(n, {"a": n, "b": 0, "c": 0.5}, (1.0,)) for n in range(10)]
    assert importance.importance(flat, SPACE) == {"a": None, "b": None, "c": None}


def test_heatmaps_have_the_means() -> None:
    grid = [
        Trial(a * 10 + b, {"a": a, "b": b, "c": 0.0}, (float(a * b),)) for a in range(10) for b in range(10)
    ]
    found = importance.heatmaps(grid, SPACE)
    first = found[0]
    assert (first["x"], first["y"], first["xs"]) == ("a", "b", list(range(10)))
    assert first["values"][3][7] == 21.0
    assert [(one["x"], one["y"]) for one in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found[1]["values"][1] == [None] * 10


def test_parallel_lines_are_bounded_and_have_the_best() -> None:
    found = importance.parallel(trials(5_000), SPACE)
    assert found["axes"] == ["a", "b", "c", "value"]
    assert len(found["lines"]) <= importance.LINES_MAX + 1
    assert max(line[-1] for line in found["lines"]) == max(one.values[0] for one in trials(5_000))
