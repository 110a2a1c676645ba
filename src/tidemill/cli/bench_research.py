"""`tidemill bench sweep`, `engine` and `indicators`: our kernels of research beside those of others."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Table as Grid

from tidemill.cli.app import JsonOption, talk

ROUNDS = 5
WINDOWS = 45
COST = 0.0005
Floats = npt.NDArray[np.float64]
Work = Callable[[], object]


def sweep(
    rows: Annotated[int, typer.Option(help="Invented bars.", min=1_000)] = 500_000,
    pairs: Annotated[int, typer.Option(help="Pairs of windows.", min=1, max=4_950)] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Sweep crossing averages, with costs and drawdowns: ours, and a plain loop by Numba."""
    with talk.status("measuring …"):
        told = {"rows": rows, "pairs": pairs, **_swept(rows, pairs)}
    _say(f"{rows:,} bars × {pairs:,} pairs", told, "ms", as_json)


def engine(
    rows: Annotated[int, typer.Option(help="Invented bars.", min=1_000)] = 1_000_000,
    peer_rows: Annotated[int, typer.Option(help="The first of them, for NautilusTrader.", min=100)] = 20_000,
    as_json: JsonOption = False,
) -> None:
    """Play crossing averages through an event engine: ours, all at once and bar by bar, and
    NautilusTrader."""
    from tidemill.cli import bench_engine

    with talk.status("measuring …"):
        told = {"rows": rows, "peer_rows": peer_rows, **bench_engine.measured(rows, peer_rows, ROUNDS)}
    _say(f"{rows:,} bars", told, "ns a bar", as_json)


def indicators(
    rows: Annotated[int, typer.Option(help="Invented bars.", min=1_000)] = 100_000,
    as_json: JsonOption = False,
) -> None:
    """Compute indicators over a series, beside TA-Lib; and stream six of them, beside talipp."""
    from tidemill.cli import bench_indicator

    with talk.status("measuring …"):
        told = {"rows": rows, **bench_indicator.measured(rows, 3 * ROUNDS)}
    _say(f"{rows:,} bars", told, "ns a bar", as_json)


# ── sweeps ────────────────────────────────────────────────────────────────────────────────────────


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


def _swept(rows: int, pairs: int) -> dict[str, Any]:
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
    return {"cross": measured(parties), "absent": absent}


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


# ── what all share ────────────────────────────────────────────────────────────────────────────────


def measured(parties: dict[str, Work]) -> dict[str, Any]:
    """Medians, ms, of rounds in which all take turns; and how many times as long as ours others take."""
    spent: dict[str, list[float]] = {name: [] for name in parties}
    for at in range(ROUNDS + 1):
        for name, work in parties.items():
            began = time.perf_counter()
            work()
            if at:  # the first warms up
                spent[name].append((time.perf_counter() - began) * 1e3)
    return compared(spent)


def compared(spent: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and theirs by ours."""
    median = {name: statistics.median(some) for name, some in spent.items()}
    ours = median["tidemill"]
    return {
        "median": {name: round(one, 3) for name, one in median.items()},
        "ratio": {name: round(one / ours, 2) for name, one in median.items() if name != "tidemill"},
    }


def _lines(told: dict[str, Any]) -> Iterator[tuple[str, str, float, float | None]]:
    for what, found in told.items():
        if isinstance(found, dict) and "median" in found:
            for name, spent in found["median"].items():
                yield what, name, spent, found["ratio"].get(name)


def _say(title: str, told: dict[str, Any], unit: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    grid = Grid("", "who", unit, "ours is faster by")
    for what, name, spent, ratio in _lines(told):
        grid.add_row(what.replace("_", " "), name, f"{spent:,.2f}", "" if ratio is None else f"{ratio} ×")
    talk.print(title)
    talk.print(grid)
    for name in ("geometric_mean", "absent"):
        if told.get(name):
            talk.print(f"{name.replace('_', ' ')}: {told[name]}")
