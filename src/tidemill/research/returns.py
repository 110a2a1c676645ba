"""Periodic returns of an equity curve, and what is asked of any series of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError

Floats = npt.NDArray[np.float64]
Array = npt.ArrayLike


def of_equity(equity: Array) -> Floats:
    """Returns of `equity`, shape (n+1,) → (n,): what was there at the end of each period, the start first,
    without money that was paid in or out.

    Who is ruined stays ruined: from the first period that ends at 0 or below, the return is −1, then 0.
    """
    curve = _numbers(equity, "equity")
    if len(curve) < 1 or curve[0] <= 0:
        raise UsageError(
            "returns_invalid",
            "an equity curve begins with what was there before the first period, above 0",
            hint="put the starting capital first",
        )
    ruined = curve <= 0
    if ruined.any():
        first = int(np.argmax(ruined))
        found = np.zeros(len(curve) - 1)
        found[: first - 1] = curve[1:first] / curve[: first - 1] - 1
        found[first - 1] = -1.0
        return found
    return np.asarray(curve[1:] / curve[:-1] - 1)


def checked(returns: Array, name: str = "returns") -> Floats:
    """`returns` as float64, shape (n,). Raises `UsageError` where one is NaN, infinite or below −1: a series
    with holes has to say first what they are."""
    found = _numbers(returns, name)
    if (below := found < -1).any():
        at = int(np.argmax(below))
        raise UsageError(
            "returns_invalid",
            f"{name}[{at}] is {found[at]:g}: nobody loses more than everything",
            hint="returns are fractions of what was there at the start of the period: −0.02 is −2 %",
        )
    return found


def aligned(returns: Array, benchmark: Array) -> tuple[Floats, Floats]:
    """Both, of the same periods. Raises `UsageError` where they are not equally long."""
    ours, theirs = checked(returns), checked(benchmark, "benchmark")
    if len(ours) != len(theirs):
        raise UsageError(
            "returns_invalid",
            f"{len(ours):,} returns lie beside {len(theirs):,} of the benchmark",
            hint="bring both on the same periods first",
        )
    return ours, theirs


def per_period(annual: float, per_year: float) -> float:
    """A rate of a year as the rate of one of `per_year` periods, compounded."""
    return float((1 + annual) ** (1 / per_year) - 1)


def _numbers(values: Array, name: str) -> Floats:
    found = np.asarray(values, np.float64)
    if found.ndim != 1:
        raise UsageError(
            "returns_invalid", f"{name} has {found.ndim} dimensions; one is expected", hint="pass one series"
        )
    if not (finite := np.isfinite(found)).all():
        at = int(np.argmin(finite))
        raise UsageError(
            "returns_invalid",
            f"{name}[{at}] is {found[at]}, no number",
            hint="leave the period out, or say what it returned",
        )
    return found
