"""Prices of a day in the shares of another: adjusted by splits, or dividends too, when they are read.

Raw prices stay as they were printed. Splits: prices before are divided by the ratio, volumes multiplied.
Dividends: prices before are multiplied by 1 − amount / close of the last bar before the ex-date, as CRSP
and LEAN's factor files have it; where a source gives the factor itself, by that. Only facts known at a time
count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError
from tidemill.model import fact as facts
from tidemill.model.fact import Fact

Adjusted = Literal["raw", "split", "all"]
ADJUSTED: tuple[Adjusted, ...] = ("raw", "split", "all")
WORDS = (*ADJUSTED, "none")
"""What may be asked for by word; none is raw."""
Ints = npt.NDArray[np.int64]


def named(text: str) -> Adjusted:
    """The way that a word means. Raises `UsageError`."""
    for way in ADJUSTED:
        if text == way or (text, way) == ("none", "raw"):
            return way
    raise UsageError(
        "adjusted_unknown", f"prices cannot be {text!r:.40}", hint=f"have: {', '.join(ADJUSTED)}"
    )


@dataclass(frozen=True)
class Step:
    """From `starts` on prices are what they are; before they are × `price`, volumes × `volume`."""

    starts: int
    """ns UTC."""
    price: Fraction
    volume: Fraction


def steps(
    known: Iterable[Fact],
    adjusted: Adjusted,
    *,
    at: int | None = None,
    days: bool = True,
    close_before: Callable[[int], Fraction | None] = lambda _: None,
) -> list[Step]:
    """The steps of facts that are known `at` a time (ns UTC), by when they take effect: for bars of `days` at
    midnight UTC of their date, for shorter ones at midnight of their venue's zone.

    `close_before` gives the raw close of the last bar that starts before a time (ns); a dividend of which
    only the amount is known counts for nothing without it, or where it is not below that close. Where several
    sources tell of one split or dividend, the first by name counts: it happened once.
    """
    adjusted = named(adjusted)
    found: list[Step] = []
    seen: set[tuple[str, str]] = set()
    for one in facts.known(known, at) if adjusted != "raw" else ():
        if (one.kind, one.date) in seen:
            continue
        if one.kind == "split" and one.ratio:
            ratio = facts.fraction(one.ratio)
            found.append(Step(one.starts if days else one.begins, 1 / ratio, ratio))
        elif one.kind == "dividend" and adjusted == "all":
            factor = facts.fraction(one.factor) if one.factor else _factor(one, close_before)
            if factor is None:
                continue
            found.append(Step(one.starts if days else one.begins, factor, Fraction(1)))
        else:
            continue
        seen.add((one.kind, one.date))
    return sorted(found, key=lambda step: step.starts)


def _factor(one: Fact, close_before: Callable[[int], Fraction | None]) -> Fraction | None:
    close, amount = close_before(one.starts), Fraction(one.amount or 0)
    return 1 - amount / close if close and amount < close else None


def factors(starts: Ints, found: Sequence[Step]) -> list[tuple[slice, Fraction, Fraction]]:
    """Runs of rows (ascending by start) with one pair of factors: rows, price, volume. Exact."""
    edges = [int(np.searchsorted(starts, step.starts)) for step in found]
    runs: list[tuple[slice, Fraction, Fraction]] = []
    end, price, volume = len(starts), Fraction(1), Fraction(1)
    for at, step in zip(reversed(edges), reversed(found), strict=True):
        if at < end:
            runs.append((slice(at, end), price, volume))
            end = at
        price, volume = price * step.price, volume * step.volume
    if end:
        runs.append((slice(0, end), price, volume))
    return runs[::-1]


def arrays(starts: Ints, found: Sequence[Step]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Factors of prices and of volumes as floats, shape (n,): for research arrays."""
    price, volume = np.ones(len(starts)), np.ones(len(starts))
    for rows, by_price, by_volume in factors(starts, found):
        price[rows], volume[rows] = float(by_price), float(by_volume)
    return price, volume


def exact(mantissas: Sequence[int], factor: Fraction, places: int) -> list[int]:
    """Mantissas × a factor at `places` more decimals, rounded half to even: the only rounding there is."""
    over, under = factor.numerator * 10**places, factor.denominator
    return [_even(mantissa * over, under) for mantissa in mantissas]


def _even(over: int, under: int) -> int:
    whole, rest = divmod(over, under)
    if 2 * rest > under or (2 * rest == under and whole % 2):
        return whole + 1
    return whole
