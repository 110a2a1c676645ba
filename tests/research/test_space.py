"""Spaces: every way to write a range, and the grid that it makes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.research import space
from tidemill.research.space import Axis, Space
from tidemill.strategies.api import Strategy
from tidemill.strategies.param import Param


class Sample(Strategy):
    fast = Param(20, low=2, high=30)
    risk = Param(0.5, low=0.0, high=1.0, step=0.25)
    free = Param(0.5, low=0.0, high=1.0)
    side = Param("long", choices=("long", "both"))
    deep = Param(False)
    open = Param(3)


def values(axis: Axis) -> list[object]:
    return [axis.value(at) for at in range(axis.size)]


@pytest.mark.parametrize(
    ("name", "given_", "expected"),
    [
        ("fast", "5:20:5", [5, 10, 15, 20]),
        ("fast", "5:8", [5, 6, 7, 8]),
        ("fast", "5,10,7", [5, 10, 7]),
        ("fast", (5, 20, 5), [5, 10, 15, 20]),
        ("fast", [3, 4], [3, 4]),
        ("risk", "0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("free", "0:1", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ("side", "both,long", ["both", "long"]),
        ("deep", "true,false", [True, False]),
    ],
)
def test_a_range_is_written_in_many_ways(name: str, given_: object, expected: list[object]) -> None:
    found = space.of(Sample, {name: given_})  # type: ignore[dict-item]
    assert values(found.axes[0]) == expected
    assert set(found.at(0)) == {"fast", "risk", "free", "side", "deep", "open"}


def test_without_ranges_all_that_parameters_declare_are_tried() -> None:
    found = space.of(Sample, {})
    assert [axis.name for axis in found.axes] == ["fast", "risk", "free", "side", "deep"]
    assert found.fixed == {"open": 3}
    assert found.size == 29 * 5 * 11 * 2 * 2


@pytest.mark.parametrize(
    ("given_", "code"),
    [
        ({"fasd": "1:2"}, "parameter_unknown"),
        ({"fast": "9:5"}, "space_invalid"),
        ({"fast": "5:9:0"}, "space_invalid"),
        ({"fast": "5:9:0.5"}, "space_invalid"),
        ({"fast": "5:9:x"}, "space_invalid"),
        ({"fast": "1:9"}, "parameter_invalid"),
        ({"fast": "nan:9"}, "parameter_invalid"),
        ({"free": "0:1:nan"}, "space_invalid"),
        ({"free": "0:1:1e-12"}, "space_invalid"),
        ({"fast": 7}, "space_invalid"),
    ],
)
def test_what_is_no_range_is_refused(given_: dict[str, object], code: str) -> None:
    with pytest.raises(UsageError) as refused:
        space.of(Sample, given_)  # type: ignore[arg-type]
    assert refused.value.code == code


def test_the_grid_has_every_point_once_and_neighbours_are_one_step_away() -> None:
    found = space.of(Sample, {"fast": "5:15:5", "risk": "0:1:0.5", "side": "long,both"})
    points = [found.at(index) for index in range(found.size)]
    expected = itertools.product([5, 10, 15], [0.0, 0.5, 1.0], ["long", "both"])
    assert [(p["fast"], p["risk"], p["side"]) for p in points] == list(expected)
    beside = found.beside(found.at(0))
    assert [(p["fast"], p["risk"]) for p in beside] == [(10, 0.0), (5, 0.5)]
    assert Space.of_json(found.json()) == found


@given(st.floats(0, 1), st.integers(-50, 50), st.integers(0, 40), st.integers(1, 9))
def test_what_is_drawn_lies_on_the_grid(at: float, low: int, wide: int, step: int) -> None:
    axis = Axis("x", low, low + wide, step, True)
    drawn = axis.drawn(at)
    assert drawn in values(axis)
    assert isinstance(drawn, int)
    assert 0 <= axis.place(drawn) <= 1
