"""The same history with prices that are a little off: whether a result hangs on the last tick of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from tidemill.research.history import History, Track

SHARE: Final = 0.1
"""Of the deviation of a bar's return, by which its prices move."""


def history(given: History, seed: int, share: float = SHARE) -> History:
    """Each bar's four prices, moved together by a factor of its own, so that a bar stays one; on the tick."""
    dice = np.random.default_rng([seed, 7])
    return History(given.interval, {name: _moved(track, dice, share) for name, track in given.tracks.items()})


def _moved(track: Track, dice: np.random.Generator, share: float) -> Track:
    close = track.close.astype(np.float64)
    usual = float(np.diff(np.log(np.maximum(close, 1))).std()) if len(close) > 2 else 0.0
    factor = np.exp(dice.standard_normal(len(close)) * usual * share)
    tick = track.terms.tick
    moved = {
        name: np.maximum(np.rint(getattr(track, name) * factor / tick), 1).astype(np.int64) * tick
        for name in ("open", "high", "low", "close")
    }
    return replace(track, **moved)
