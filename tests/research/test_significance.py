"""Entries by chance: skill is told from a long position in a rising market."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.research.market import HOUR, NAME, START, market
from tidemill.research import significance


def trades(first: list[int], lengths: list[int], side: str = "long") -> dict[str, list[Any]]:
    return {
        "instrument": [NAME] * len(first), "side": [side] * len(first),
        "opened": [START + at * HOUR for at in first],
        "closed": [START + (at + long) * HOUR for at, long in zip(first, lengths, strict=True)],
    }  # fmt: skip


def test_who_knows_the_future_stands_out_and_who_does_not_does_not() -> None:
    history = market(3_000, seed=4)
    prices = history.tracks[NAME].series.columns["open"]
    every = np.arange(0, 2_960, 20)
    rising = [int(at) for at in every if prices[at + 20] > prices[at]][:40]
    found = significance.of(trades(rising, [20] * 40), history)
    assert found is not None
    assert (found.trades, found.paths) == (40, 1_000)
    assert found.p == 1 / 1_001
    falling = significance.of(trades(rising, [20] * 40, "short"), history)
    assert falling is not None
    assert falling.p > 0.99
    blind = [
        significance.of(trades([int(at) for at in every[seed::3]][:30], [20] * 30), history)
        for seed in range(3)
    ]
    assert all(one is not None and one.p > 0.05 for one in blind)
    assert significance.of(trades(rising, [20] * 40), history) == found


def test_a_market_that_only_rises_gives_no_significance() -> None:
    history = market(3_000, seed=1, effect=0.0)
    track = history.tracks[NAME]
    track.open[:] = np.rint(1e6 * np.exp(np.arange(3_000) * 1e-4)).astype(np.int64)
    found = significance.of(trades(list(range(0, 1_000, 50)), [20] * 20), history)
    assert found is not None
    assert found.p > 0.2


def test_too_few_trades_say_nothing() -> None:
    assert significance.of(trades([5], [5]), market(100)) is None
    assert significance.of(trades([], []), market(100)) is None
