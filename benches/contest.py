"""A contest: parties that do the same work, measured in turn, round by round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = "tidemill"


class AbsentError(Exception):
    """A peer is not on this machine; the message says what would bring it."""


@dataclass(frozen=True)
class Metric:
    """One figure of a contest. `goals` holds, for each peer, how many times better ours is to be."""

    name: str
    unit: str
    goals: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None
    """What our own figure is to reach, in `unit`, where there is no peer to compare with."""
    more: bool = False
    """More is better: a rate, not a time."""


Run = Callable[[], Mapping[str, float]]
"""Does the work once; the value of each metric by its name."""

Party = Callable[[], AbstractContextManager[Run]]
"""Opens a party: starts its servers, makes its data. Raises AbsentError or ImportError where it is not."""


@dataclass(frozen=True)
class Contest:
    """`ours` and `peers` do the same work. Each round runs every party once, so that what disturbs the
    machine disturbs all of them."""

    name: str
    metrics: tuple[Metric, ...]
    ours: Party
    peers: Mapping[str, Party] = field(default_factory=dict)
    rounds: int = 5
    warm: bool = True
    """Run every party once before the rounds, unmeasured."""


@contextmanager
def party(run: Run) -> Iterator[Run]:
    """A party that needs nothing opened."""
    yield run


def timed(work: Callable[[], Any], amount: float, per_s: float = 1e9, name: str = "time") -> Run:
    """Runs `work` and says the time for one of `amount`, in ns or `per_s` parts of a second."""

    def run() -> Mapping[str, float]:
        started = time.perf_counter()
        work()
        return {name: (time.perf_counter() - started) / amount * per_s}

    return run


def measure(contest: Contest) -> dict[str, Any]:
    """Medians and spreads of every party; ratios are medians of the rounds' own ratios."""
    absent: dict[str, str] = {}
    runs: dict[str, Run] = {}
    values: dict[str, list[Mapping[str, float]]] = {}
    with ExitStack() as stack:
        runs[OURS] = stack.enter_context(contest.ours())
        for name, open_ in contest.peers.items():
            try:
                runs[name] = stack.enter_context(open_())
            except (ImportError, AbsentError) as error:
                absent[name] = str(error)
        for at in range(contest.rounds + contest.warm):
            for name, run in runs.items():
                said = run()
                if at >= contest.warm:
                    values.setdefault(name, []).append(said)
    return {
        "name": contest.name,
        "rounds": contest.rounds,
        "absent": absent,
        "metrics": [_figures(metric, values) for metric in contest.metrics],
    }


def _figures(metric: Metric, values: Mapping[str, list[Mapping[str, float]]]) -> dict[str, Any]:
    series = {name: [one[metric.name] for one in said] for name, said in values.items()}
    ours = series[OURS]
    ratios = {
        name: statistics.median(
            (o / p if p else 0.0) if metric.more else (p / o if o else 0.0)
            for o, p in zip(ours, theirs, strict=True)
        )
        for name, theirs in series.items()
        if name != OURS
    }
    return {
        "name": metric.name,
        "unit": metric.unit,
        "more_is_better": metric.more,
        "median": {name: statistics.median(one) for name, one in series.items()},
        "spread": {name: [min(one), max(one)] for name, one in series.items()},
        "ratio": ratios,
        "goal": dict(metric.goals),
        "limit": metric.limit,
    }
