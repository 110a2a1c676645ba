"""Crossing averages with costs and drawdowns, half a million bars by a thousand pairs of windows: our
compiled sweep beside a plain loop by Numba with its pairs on all processors, and vectorbt.

Goal: 1,000 times vectorbt, which takes minutes and a gigabyte: it runs once. Processor time is that of all
threads, and says more on a machine that other work shares.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benches.contest import Contest, Metric, Party, Run, party
from tidemill import _native
from tidemill.cli.bench_sweep import COST, Floats, closes, plain, windows

Pairs = list[tuple[int, int]]
PART = 25
"""Pairs that vectorbt takes at once: a frame of all would take tens of gigabytes."""


def both(work: Callable[[], object]) -> Run:
    """Runs `work` and says its time by the clock and on all processors, ms."""

    def run() -> Mapping[str, float]:
        clock, processor = time.perf_counter(), time.process_time()
        work()
        return {
            "time": (time.perf_counter() - clock) * 1e3,
            "processor time": (time.process_time() - processor) * 1e3,
        }

    return run


def once(run: Run) -> Run:
    """What `run` said when it was first asked, ever after."""
    said: list[Mapping[str, float]] = []

    def kept() -> Mapping[str, float]:
        if not said:
            said.append(run())
        return said[0]

    return kept


def numba(close: Floats, pairs: Pairs) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        yield both(plain(close, pairs))

    return open_


def vectorbt(close: Floats, pairs: Pairs) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import pandas as pd
        import vectorbt as vbt

        series = pd.Series(close, index=pd.date_range("2020", periods=len(close), freq="1min"))

        def part(some: Pairs) -> list[Any]:
            fast, slow = (list(one) for one in zip(*some, strict=True))
            quick = vbt.MA.run(series, fast, short_name="fast")
            other = vbt.MA.run(series, slow, short_name="slow")
            held = vbt.Portfolio.from_signals(
                series, quick.ma_crossed_above(other), quick.ma_crossed_below(other), fees=COST, freq="1min"
            )
            return [held.total_return(), held.max_drawdown(), held.trades.count(), held.sharpe_ratio()]

        part(pairs[:2])  # compiles
        yield once(both(lambda: [part(pairs[at : at + PART]) for at in range(0, len(pairs), PART)]))

    return open_


def contests(tiny: bool) -> Iterator[Contest]:
    rows, count, rounds = (2_000, 20, 1) if tiny else (500_000, 1_000, 5)
    close, pairs = closes(rows), windows(count)
    fast, slow = [one for one, _ in pairs], [other for _, other in pairs]

    def ours(threads: int) -> Run:
        return both(lambda: _native.sweep_cross(close, fast, slow, cost=COST, threads=threads))

    goals = {"vectorbt": 1_000}
    yield Contest(
        f"{rows:,} bars × {count:,} pairs",
        (Metric("time", "ms", goals), Metric("processor time", "ms", goals)),
        lambda: party(ours(os.cpu_count() or 1)),
        {
            "tidemill, one thread": lambda: party(ours(1)),
            "numba": numba(close, pairs),
            "vectorbt": vectorbt(close, pairs),
        },
        rounds,
    )
