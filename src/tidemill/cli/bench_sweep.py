"""Sweeps of crossing averages: ours beside a plain loop by Numba."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.cli.bench_research import compared

WINDOWS = 45
COST = 0.0005
Floats = npt.NDArray[np.float64]
Work = Callable[[], object]


def closes(rows: int) -> Floats:
    """Closes in cents of a market that wanders."""
    dice = np.random.default_rng(1)
    return np.asarray(np.round(100 * np.exp(np.cumsum(dice.normal(0, 1e-3, rows))), 2))


def windows(pairs: int) -> list[tuple[int, int]]:
    """So many pairs of few windows, 5 to 225 bars in 45 steps where a thousand are wanted."""
    steps = next(n for n in range(2, 1_000) if n * (n - 1) // 2 >= min(pairs, WINDOWS * (WINDOWS - 1) // 2))
    known = [5 + 5 * at for at in range(steps)]
    found = [(fast, slow) for fast in known for slow in known if fast < slow]
    more = 1
    while len(found) < pairs:
        found += [(fast + more, slow + more) for fast, slow in found[: steps * (steps - 1) // 2]]
        more += 1
    return found[:pairs]


def measured(rows: int, pairs: int, rounds: int) -> dict[str, Any]:
    from os import cpu_count

    from tidemill import _native

    close, wanted = closes(rows), windows(pairs)
    fast, slower = [one for one, _ in wanted], [other for _, other in wanted]

    def ours(threads: int) -> Work:
        return lambda: _native.sweep_cross(close, fast, slower, cost=COST, threads=threads)

    parties: dict[str, Work] = {"tidemill": ours(cpu_count() or 1), "tidemill, one thread": ours(1)}
    absent: dict[str, str] = {}
    try:
        parties["numba"] = plain(close, wanted)
    except ImportError as error:
        absent["numba"] = str(error)
    return {"cross": _timed(parties, rounds), "absent": absent}


def plain(close: Floats, wanted: list[tuple[int, int]]) -> Work:
    """A loop as a person writes it, one pass a pair, its pairs on all processors."""
    numba: Any = import_module("numba")

    def loop(close: Any, fast: Any, slow: Any, cost: float) -> Any:
        out = np.empty((len(fast), 5))
        for pair in numba.prange(len(fast)):
            f, s = fast[pair], slow[pair]
            sum_f, sum_s, held, equity, peak, fall = 0.0, 0.0, 0.0, 1.0, 1.0, 1.0
            trades, total, square = 0, 0.0, 0.0
            for i in range(len(close) - 1):
                sum_f += close[i]
                sum_s += close[i]
                if i >= f:
                    sum_f -= close[i - f]
                if i >= s:
                    sum_s -= close[i - s]
                wanted = 1.0 if i >= s - 1 and sum_f * s > sum_s * f else 0.0
                growth = 1.0 + wanted * (close[i + 1] / close[i] - 1.0)
                if wanted != held:
                    growth *= 1.0 - cost
                    trades += 1
                    held = wanted
                equity *= growth
                peak = max(peak, equity)
                fall = min(fall, equity / peak)
                total += growth - 1.0
                square += (growth - 1.0) ** 2
            out[pair, 0], out[pair, 1], out[pair, 2] = equity - 1.0, fall - 1.0, trades
            out[pair, 3], out[pair, 4] = total, square
        return out

    made = numba.njit(parallel=True)(loop)
    fast, slow = (np.array(one) for one in zip(*wanted, strict=True))
    made(close[:1_000], fast[:2], slow[:2], COST)
    return lambda: made(close, fast, slow, COST)


def _timed(parties: dict[str, Work], rounds: int) -> dict[str, Any]:
    """Medians, ms, of rounds in which all take turns; and how many times as long as ours others take."""
    spent: dict[str, list[float]] = {name: [] for name in parties}
    for at in range(rounds + 1):
        for name, work in parties.items():
            began = time.perf_counter()
            work()
            if at:  # the first warms up
                spent[name].append((time.perf_counter() - began) * 1e3)
    return compared(spent)
