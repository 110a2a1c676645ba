"""What is said of closed trades: of what each brought after fees, funding and slippage."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from tidemill.errors import UsageError
from tidemill.research.returns import Array, Floats


@dataclass(frozen=True)
class TradeStats:
    """Of all closed trades, in the order in which they were closed. None is what they do not define."""

    trades: int
    wins: int
    losses: int
    even: int
    """Trades that brought exactly nothing: neither won nor lost."""
    net: float
    win_rate: float | None
    """Wins of all closed trades."""
    profit_factor: float | None
    """What was won by what was lost; None where nothing was lost, which is no bound."""
    expectancy: float | None
    """Mean of what a trade brought."""
    expectancy_ratio: float | None
    """Expectancy in units of the average loss: (1 + W/L) · p − 1."""
    payoff: float | None
    """Average win by average loss."""
    sqn: float | None
    """√N · mean / standard deviation of the returns on what was risked (Van Tharp's system quality)."""
    best: float | None
    worst: float | None
    longest_winning: int
    longest_losing: int
    largest_share: float | None
    """What the best trade is of the whole profit; None where there is none."""


def of(net: Array, returns: Array | None = None) -> TradeStats:
    """`net` has what each trade brought, shape (n,), in one currency; `returns` that as a fraction of what
    was put in, for `sqn`. Raises `UsageError` (`trades_invalid`) for NaN and for series of two lengths."""
    brought = _numbers(net, "net")
    won, lost = brought[brought > 0], brought[brought < 0]
    count = len(brought)
    rate = len(won) / count if count else None
    payoff = float(won.mean() / -lost.mean()) if len(won) and len(lost) else None
    return TradeStats(
        trades=count,
        wins=len(won),
        losses=len(lost),
        even=count - len(won) - len(lost),
        net=float(brought.sum()),
        win_rate=rate,
        profit_factor=float(won.sum() / -lost.sum()) if len(lost) else None,
        expectancy=float(brought.mean()) if count else None,
        # As a share of all trades that were won or lost: those that brought nothing are in neither average.
        expectancy_ratio=(1 + payoff) * len(won) / (len(won) + len(lost)) - 1 if payoff is not None else None,
        payoff=payoff,
        sqn=_quality(returns, count),
        best=float(brought.max()) if count else None,
        worst=float(brought.min()) if count else None,
        longest_winning=_longest(brought > 0),
        longest_losing=_longest(brought < 0),
        largest_share=float(brought.max() / brought.sum()) if count and brought.sum() > 0 else None,
    )


def _quality(returns: Array | None, count: int) -> float | None:
    if returns is None:
        return None
    series = _numbers(returns, "returns")
    if len(series) != count:
        raise UsageError(
            "trades_invalid",
            f"{len(series):,} returns of {count:,} trades",
            hint="pass one return for each trade",
        )
    if count < 2 or float(np.ptp(series)) <= 1e-12:
        return None
    return float(sqrt(count) * series.mean() / series.std(ddof=1))


def _longest(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    edges = np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(lengths.max()) if len(lengths) else 0


def _numbers(values: Array, name: str) -> Floats:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise UsageError(
            "trades_invalid",
            f"{name} is no series of finite numbers",
            hint="pass what each closed trade brought, open ones left out",
        )
    return found
