"""A strategy's parameters: declared in its class, read as plain values of its instances."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast, overload

import numpy as np

from tidemill.errors import UsageError, nearest

Value = int | float | bool | str
T = TypeVar("T", int, float, bool, str)


class Param(Generic[T]):
    """A parameter with its default, and the values that it may take. Raises `TypeError` for a default that is
    none of them.

        fast = Param(20, low=2, high=200)               # int, both ends included
        risk = Param(0.5, low=0.0, high=1.0, step=0.1)  # float; studies go by `step`
        side = Param("long", choices=("long", "both"))

    `low`, `high` and `step` belong to numbers, `choices` to any kind. Its kind is the default's.
    """

    def __init__(
        self,
        default: T,
        *,
        low: T | None = None,
        high: T | None = None,
        step: T | None = None,
        choices: Sequence[T] = (),
        help: str = "",  # noqa: A002
    ) -> None:
        self.name = ""
        self.default: T = default
        self.low: T | None = low
        self.high: T | None = high
        self.step: T | None = step
        self.choices: tuple[T, ...] = tuple(choices)
        self.help = help
        self.kind: type[T] = type(default)
        if self.kind not in (int, float, bool, str):
            raise TypeError(f"a parameter is an int, float, bool or str, not {self.kind.__name__}")
        if self.kind in (bool, str) and (low, high, step) != (None, None, None):
            raise TypeError(f"a parameter of kind {self.kind.__name__} has choices, no range")
        if self._fitting(default) is None:
            raise TypeError(f"the default {default!r} is not {self.range}")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Param[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Param[T] | T:
        if instance is None:
            return self
        return instance.__dict__["_params"][self.name]  # type: ignore[no-any-return]

    def __set__(self, instance: object, value: T) -> None:
        raise AttributeError(f"parameter {self.name} is given when the strategy is made, and stays")

    def checked(self, value: object) -> T:
        """`value` as this parameter's kind; text is read, as a command line gives it. Raises `UsageError`
        `parameter_invalid` that names the range."""
        fitting = self._fitting(value)
        if fitting is None:
            raise UsageError(
                "parameter_invalid", f"{self.name} is {self.range}, not {value!r}"[:300], hint=self.help
            )
        return fitting

    def _fitting(self, value: object) -> T | None:
        """`value` as this parameter's kind; None where it is none of its values."""
        read = self._read(value)
        if read is None or (self.choices and read not in self.choices):
            return None
        if isinstance(read, (int, float)) and not isinstance(read, bool):
            within = (self.low is None or read >= self.low) and (self.high is None or read <= self.high)
            if not within or (isinstance(read, float) and not math.isfinite(read)):
                return None
        return read

    def _read(self, value: object) -> T | None:
        kind: type = self.kind
        # A grid of numpy's numbers is a grid of numbers.
        value = value.item() if isinstance(value, np.generic) else value
        try:
            if kind is bool and isinstance(value, str):
                found: object = {
                    "true": True,
                    "yes": True,
                    "1": True,
                    "false": False,
                    "no": False,
                    "0": False,
                }[value.lower()]
            elif kind is int and isinstance(value, float) and value.is_integer():
                found = int(value)
            elif kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
                found = float(value)
            elif kind is int and isinstance(value, str):
                found = int(value)
            else:
                found = value
        except (ValueError, KeyError, OverflowError):
            return None
        return cast(T, found) if type(found) is kind else None

    @property
    def range(self) -> str:
        """What it may be, in words: `an int from 2 to 200`."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        words = {int: "an int", float: "a float", bool: "true or false", str: "text"}[self.kind]
        if self.low is not None:
            words += f" from {self.low}"
        if self.high is not None:
            words += f" {'to' if self.low is not None else 'up to'} {self.high}"
        return words

    def json(self) -> dict[str, Any]:
        """As the API and the screen have it."""
        return {
            "name": self.name,
            "kind": self.kind.__name__,
            "default": self.default,
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "choices": list(self.choices),
            "help": self.help,
        }


def declared(owner: type) -> dict[str, Param[Any]]:
    """The parameters of a class by name, those of its bases first, in the order in which they are written."""
    found: dict[str, Param[Any]] = {}
    for one in reversed(owner.__mro__):
        found |= {name: value for name, value in vars(one).items() if isinstance(value, Param)}
    return found


def values(owner: type, given: Mapping[str, object]) -> dict[str, Value]:
    """All parameters with their values: those given, checked, and the defaults of the others."""
    known = declared(owner)
    for name in given:
        if name not in known:
            raise UsageError(
                "parameter_unknown",
                f"{owner.__name__} has no parameter {name[:80]!r}",
                hint=", ".join(nearest(name, known)) if known else "it has none",
            )
    return {name: one.checked(given[name]) if name in given else one.default for name, one in known.items()}
