"""The space of a study: which values each parameter may take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tidemill.errors import UsageError, nearest
from tidemill.strategies.param import Param, Value, declared

Params = dict[str, Value]
SIZE_MAX = 10_000_000
STEPS_DEFAULT = 10
"""In so many steps a grid cuts a range of floats that says no step."""


@dataclass(frozen=True)
class Axis:
    """One parameter's values: a range with a step, a range without one, or a list."""

    name: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    whole: bool = False
    """The values are ints."""
    choices: tuple[Value, ...] = ()

    @property
    def continuous(self) -> bool:
        """Any number between its ends."""
        return not self.choices and self.step is None

    @property
    def size(self) -> int:
        """How many values a grid takes of it."""
        if self.choices:
            return len(self.choices)
        assert self.low is not None  # noqa: S101 - it is a list or has ends
        assert self.high is not None  # noqa: S101
        if self.step is None:
            return STEPS_DEFAULT + 1 if self.high > self.low else 1
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def value(self, index: int) -> Value:
        """The value at a place of the grid, 0 the lowest."""
        if self.choices:
            return self.choices[index]
        assert self.low is not None  # noqa: S101 - as above
        assert self.high is not None  # noqa: S101
        step = (self.high - self.low) / STEPS_DEFAULT if self.step is None else self.step
        found = self.low + index * step
        # 0.1 + 2 × 0.1 is meant as 0.3.
        return round(found) if self.whole else float(f"{min(found, self.high):.12g}")

    def drawn(self, uniform: float) -> Value:
        """The value at a number from 0 to 1."""
        if self.continuous:
            assert self.low is not None  # noqa: S101 - as above
            assert self.high is not None  # noqa: S101
            return self.low + uniform * (self.high - self.low)
        return self.value(min(int(uniform * self.size), self.size - 1))

    def place(self, value: Value) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one; of a list by its order."""
        if self.choices:
            return self.choices.index(value) / max(len(self.choices) - 1, 1)
        assert self.low is not None  # noqa: S101 - as above
        assert self.high is not None  # noqa: S101
        return (float(value) - self.low) / (self.high - self.low) if self.high > self.low else 0.0

    def beside(self, value: Value) -> list[Value]:
        """The values one step to either side: on a grid its neighbours, in a range a tenth of it away."""
        if self.choices and not all(_is_number(one) for one in self.choices):
            return []
        if self.continuous:
            assert self.low is not None  # noqa: S101 - as above
            assert self.high is not None  # noqa: S101
            away = (self.high - self.low) / STEPS_DEFAULT
            around = [float(value) - away, float(value) + away]
            return [one for one in around if self.low <= one <= self.high]
        index = round(self.place(value) * (self.size - 1)) if self.choices else self._index(value)
        return [self.value(at) for at in (index - 1, index + 1) if 0 <= at < self.size]

    def _index(self, value: Value) -> int:
        assert self.low is not None  # noqa: S101 - it is no list and has steps
        assert self.step is not None  # noqa: S101
        return round((float(value) - self.low) / self.step)

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name, "low": self.low, "high": self.high, "step": self.step, "whole": self.whole,
            "choices": list(self.choices),
        }  # fmt: skip

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Axis:
        return cls(**{**given, "choices": tuple(given["choices"])})


@dataclass(frozen=True)
class Space:
    """Axes, and the parameters that stay as they are."""

    axes: tuple[Axis, ...]
    fixed: Params = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Points of its grid."""
        return math.prod(axis.size for axis in self.axes)

    @property
    def finite(self) -> bool:
        """Every point is one of its grid."""
        return not any(axis.continuous for axis in self.axes)

    def at(self, index: int) -> Params:
        """A point of the grid; the last axis goes fastest."""
        found: Params = {}
        for axis in reversed(self.axes):
            index, place = divmod(index, axis.size)
            found[axis.name] = axis.value(place)
        return {axis.name: found[axis.name] for axis in self.axes} | self.fixed

    def drawn(self, uniform: np.ndarray[Any, np.dtype[np.float64]]) -> Params:
        """The point at one number from 0 to 1 for each axis."""
        found = {axis.name: axis.drawn(float(one)) for axis, one in zip(self.axes, uniform, strict=True)}
        return found | self.fixed

    def beside(self, params: Params) -> list[Params]:
        """The points one step away on one axis, the low side first."""
        return [params | {axis.name: value} for axis in self.axes for value in axis.beside(params[axis.name])]

    def json(self) -> dict[str, Any]:
        return {"axes": [axis.json() for axis in self.axes], "fixed": self.fixed}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Space:
        return cls(tuple(Axis.of_json(axis) for axis in given["axes"]), dict(given["fixed"]))


Range = str | int | float | bool | Sequence[Any]
"""`"5:50:5"`, `"5:50"`, `"5,10,20"`, `(5, 50)`, `(5, 50, 5)`, `[5, 10, 20]`, or one value."""


def of(strategy: type, given: Mapping[str, Range], defaults: Mapping[str, Any] | None = None) -> Space:
    """The space of a strategy: what is given for each parameter, and where nothing is given at all, the
    ranges of all its parameters that have one; the others stay at their defaults, or at those in `defaults`.

    Raises `UsageError` `parameter_unknown`, `parameter_invalid` (a value outside the parameter's own range)
    and `space_invalid`."""
    known = declared(strategy)
    for name in given:
        if name not in known:
            hint = ", ".join(nearest(name, known)) if known else "it has none"
            raise UsageError(
                "parameter_unknown", f"{strategy.__name__} has no parameter {name[:80]!r}", hint=hint
            )
    axes, fixed = [], {name: one.default for name, one in known.items()}
    for name, value in (defaults or {}).items():
        if name in known:
            fixed[name] = known[name].checked(value)
    ranges: Mapping[str, Range | None] = given or dict.fromkeys(known)
    for name, wanted in ranges.items():
        axis = _own(known[name]) if wanted is None else _axis(known[name], wanted)
        if axis is None:
            continue
        if axis.size == 1 and not axis.continuous:
            fixed[name] = axis.value(0)
            continue
        fixed.pop(name, None)
        axes.append(axis)
    if not axes:
        raise UsageError(
            "space_invalid",
            f"no parameter of {strategy.__name__} has two values or more",
            hint="give a range: --param fast=5:50:5",
        )
    return Space(tuple(axes), fixed)


def _own(param: Param[Any]) -> Axis | None:
    """A parameter's own range; None where it has none."""
    if param.choices:
        return Axis(param.name, choices=param.choices)
    if param.kind is bool:
        return Axis(param.name, choices=(False, True))
    if param.low is None or param.high is None:
        return None
    return _numbers(param, param.low, param.high, param.step)


def _axis(param: Param[Any], wanted: Range) -> Axis:
    if isinstance(wanted, str):
        words = wanted.split(":")
        if param.kind in (int, float) and len(words) in (2, 3):
            return _numbers(param, *words)
        return _listed(param, wanted.split(","))
    if isinstance(wanted, tuple) and param.kind in (int, float) and len(wanted) in (2, 3):
        return _numbers(param, *wanted)
    return _listed(param, list(wanted) if isinstance(wanted, Sequence) else [wanted])


def _listed(param: Param[Any], values: list[Any]) -> Axis:
    found = tuple(dict.fromkeys(param.checked(value) for value in values))
    if not found:
        raise _unfit(param, "no value")
    return Axis(param.name, choices=found)


def _numbers(param: Param[Any], low: Any, high: Any, step: Any = None) -> Axis:
    first, last = param.checked(low), param.checked(high)
    whole = param.kind is int
    try:
        each = None if step in (None, "") else float(step)
    except (TypeError, ValueError):
        raise _unfit(param, f"the step {step!r}") from None
    each = 1.0 if each is None and whole else each
    if first > last or (each is not None and not (math.isfinite(each) and each > 0)):
        raise _unfit(param, f"from {low} to {high} by {step}")
    if whole and each is not None and not each.is_integer():
        raise _unfit(param, f"the step {step} of whole numbers")
    found = Axis(param.name, first, last, each, whole)
    if found.size > SIZE_MAX:
        raise _unfit(param, f"{found.size:,} values")
    return found


def _unfit(param: Param[Any], what: str) -> UsageError:
    return UsageError(
        "space_invalid",
        f"{param.name}: {what} is no range"[:300],
        hint="low:high:step, or values with commas between: 5:50:5, or 5,10,20",
    )


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
