"""Markets of a seed: noise, or one that has what a crossing of averages finds; in memory or in a home."""

from __future__ import annotations

import numpy as np

from tidemill.home import Home
from tidemill.research.history import History, Terms, Track
from tidemill.stores import imported
from tidemill.stores.opening import open_store

HOUR = 3_600 * 10**9
START = 1_577_836_800 * 10**9
NAME = "BTC-USD.sim-kraken"


def market(rows: int = 4_000, seed: int = 0, effect: float = 0.0, name: str = NAME) -> History:
    """Hourly bars of 0.8 % noise; with `effect`, of a drift whose sign is drawn anew every 120 bars."""
    dice = np.random.default_rng(seed)
    drift = np.repeat(dice.choice([-1.0, 1.0], rows // 120 + 1), 120)[:rows] * effect
    close = 100 * np.exp(np.cumsum(drift + dice.standard_normal(rows) * 0.008))
    opened = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999

    def exact(values: np.ndarray) -> np.ndarray:
        return np.rint(values * 1e4).astype(np.int64)

    start = START + np.arange(rows, dtype=np.int64) * HOUR
    columns = map(exact, (opened, high, low, close))
    terms = Terms(name, 4, 6)
    return History("1h", {name: Track(terms, start, start + HOUR, start + HOUR, *columns, np.ones(rows))})


def keep(home: Home, history: History) -> None:
    """The same as stored bars of a home."""
    store = open_store(home.path)
    try:
        for name, track in history.tracks.items():
            columns = {
                "start": track.start, "open": track.open, "high": track.high, "low": track.low,
                "close": track.close, "volume": np.full(len(track), 10**6), "trades": np.ones(len(track), np.int64),
                "price_scale": 4, "size_scale": 6,
            }  # fmt: skip
            imported.keep(store, name, history.interval, columns, source="test", chunk="all", ts_recv=START)
    finally:
        store.close()
