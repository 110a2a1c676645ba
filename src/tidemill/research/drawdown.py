"""Drawdowns: how far below its highest point so far an equity curve lies, the start included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tidemill.research.returns import Array, Floats, checked


@dataclass(frozen=True)
class Drawdown:
    """One fall from a peak until the peak is reached again. Places are those of `curve`: 0 is the start."""

    peak: int
    trough: int
    recovery: int | None
    """None while it is not recovered."""
    depth: float
    """Of the peak, below 0."""
    periods: int
    """From peak to recovery, or to the end of the curve."""


def equity(returns: Array) -> Floats:
    """Growth of 1, shape (n+1,): the start first."""
    return np.concatenate([[1.0], np.cumprod(1 + checked(returns))])


def curve(returns: Array) -> Floats:
    """Distance below the peak so far, as a fraction of it, shape (n+1,): 0 at a peak, −1 at ruin."""
    grown = equity(returns)
    return np.asarray(grown / np.maximum.accumulate(grown) - 1)


def deepest(returns: Array) -> float:
    """The lowest point of `curve`; 0 where nothing was ever lost."""
    return float(curve(returns).min())


def ulcer(returns: Array) -> float | None:
    """Root mean square of `curve` over the periods; None without any."""
    fallen = curve(returns)
    return float(np.sqrt((fallen**2).sum() / (len(fallen) - 1))) if len(fallen) > 1 else None


def worst(returns: Array, count: int = 5) -> list[Drawdown]:
    """The deepest falls, deepest first; of equal ones the earlier first."""
    fallen = curve(returns)
    under = np.concatenate([[False], fallen < 0, [False]])
    edges = np.diff(under.astype(np.int8))
    found = []
    for first, after in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        trough = int(first + np.argmin(fallen[first:after]))
        recovered = after < len(fallen)
        end = int(after) if recovered else len(fallen) - 1
        found.append(
            Drawdown(
                peak=int(first) - 1,
                trough=trough,
                recovery=end if recovered else None,
                depth=float(fallen[trough]),
                periods=end - int(first) + 1,
            )
        )
    return sorted(found, key=lambda one: one.depth)[:count]
