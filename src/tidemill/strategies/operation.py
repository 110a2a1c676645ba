"""What signals may do with numbers. One function serves arrays and single numbers, so that both give the same
bits; what is made of a number that is not known (NaN) is not known either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

NAN: Final = float("nan")


def _compared(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    """A comparison that knows nothing of what is not known."""

    def compare(a: Any, b: Any) -> Any:
        return np.where(np.isnan(a) | np.isnan(b), NAN, ufunc(a, b))

    return compare


def _logic(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    def combine(a: Any, b: Any) -> Any:
        return np.where(np.isnan(a) | np.isnan(b), NAN, ufunc(a != 0, b != 0))

    return combine


OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
    ">": _compared(np.greater), ">=": _compared(np.greater_equal),
    "<": _compared(np.less), "<=": _compared(np.less_equal),
    "==": _compared(np.equal), "!=": _compared(np.not_equal),
    "&": _logic(np.logical_and), "|": _logic(np.logical_or),
    "not": lambda a: np.where(np.isnan(a), NAN, a == 0),
    "negative": np.negative, "abs": np.abs, "log": np.log, "exp": np.exp, "sqrt": np.sqrt, "sign": np.sign,
    "known": lambda a: np.where(np.isnan(a), 0.0, 1.0),
    "least": np.minimum, "most": np.maximum,
    "when": lambda test, then, other: np.where(np.isnan(test), NAN, np.where(test != 0, then, other)),
}  # fmt: skip
