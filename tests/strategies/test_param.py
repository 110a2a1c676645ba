"""Parameters: what they may be, what they say, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.strategies.param import Param, declared, values


class Base:
    fast = Param(20, low=2, high=200, help="bars")


class Every(Base):
    risk = Param(0.5, low=0.0, high=1.0, step=0.1)
    side = Param("long", choices=("long", "both"))
    hedge = Param(False)

    def __init__(self, **given: object) -> None:
        self._params = values(type(self), given)


def test_values_are_the_given_ones_and_defaults() -> None:
    every = Every(fast="30", hedge="yes")
    assert (every.fast, every.risk, every.side, every.hedge) == (30, 0.5, "long", True)
    assert list(declared(Every)) == ["fast", "risk", "side", "hedge"]
    assert isinstance(Every.fast, Param)
    with pytest.raises(AttributeError, match="stays"):
        every.fast = 7
    assert Every.risk.json() == {
        "name": "risk", "kind": "float", "default": 0.5, "low": 0.0, "high": 1.0, "step": 0.1, "choices": [],
        "help": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"fast": 2}, 2), ({"fast": 200.0}, 200), ({"fast": "7"}, 7), ({"fast": np.int64(9)}, 9),
        ({"risk": 1}, 1.0), ({"risk": "0.25"}, 0.25), ({"risk": np.float64(0.5)}, 0.5),
        ({"hedge": "no"}, False), ({"hedge": np.bool_(True)}, True), ({"side": "both"}, "both"),
    ],
)  # fmt: skip
def test_what_is_meant_is_read(given: dict[str, object], read: object) -> None:
    (name,) = given
    found = values(Every, given)[name]
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    "given",
    [
        {"fast": 1}, {"fast": 201}, {"fast": 2.5}, {"fast": "x"}, {"fast": True}, {"fast": None},
        {"fast": "9" * 5000}, {"fast": float("nan")}, {"fast": float("inf")}, {"fast": "1e2"}, {"fast": []},
        {"risk": -0.1}, {"risk": "nan"}, {"risk": "inf"}, {"risk": 10**400}, {"risk": False},
        {"side": "short"}, {"side": 1}, {"hedge": 1}, {"hedge": "maybe"}, {"hedge": None},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_range(given: dict[str, object]) -> None:
    (name,) = given
    with pytest.raises(UsageError) as refused:
        values(Every, given)
    assert refused.value.code == "parameter_invalid"
    assert f"{name} is {declared(Every)[name].range}, not " in refused.value.message
    assert len(refused.value.message) <= 300


def test_ranges_in_words() -> None:
    assert Param(1).range == "an int"
    assert Param(1, low=1).range == "an int from 1"
    assert Param(1.0, high=2.0).range == "a float up to 2.0"
    assert Param(1, low=1, high=2).range == "an int from 1 to 2"
    assert Param("a", choices=("a", "b")).range == "one of a, b"


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(UsageError) as refused:
        values(Every, {"fsat": 3})
    assert (refused.value.code, refused.value.hint.split(", ")[0]) == ("parameter_unknown", "fast")


@pytest.mark.parametrize(
    ("default", "rest"),
    [
        (1, {"low": 2}), (3, {"high": 2}), ("x", {"choices": ("a", "b")}), (float("nan"), {}), (None, {}),
        ([1], {}), ("a", {"low": "a"}), (True, {"high": True}),
    ],
)  # fmt: skip
def test_a_default_that_is_none_of_its_values_is_a_mistake(default: object, rest: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Param(default, **rest)  # type: ignore[type-var,arg-type]


@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers())
    )
)
def test_whatever_is_given_fits_or_is_refused(value: object) -> None:
    for one in declared(Every).values():
        try:
            found = one.checked(value)
        except UsageError:
            continue
        assert type(found) is one.kind
        assert one.checked(found) == found
