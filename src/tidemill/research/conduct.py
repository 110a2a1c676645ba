"""A backtest from what is asked to what is kept: history, run, summary, stress, and all of it stored."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from tidemill import __version__
from tidemill.errors import ConflictError
from tidemill.research import backtest, history, request, returns, stat, store, summary
from tidemill.research.history import History
from tidemill.research.request import Request
from tidemill.research.run import Outcome, Settings, fingerprint
from tidemill.research.store import PRICES, Row, Runs
from tidemill.research.summary import Summary
from tidemill.strategies.api import Strategy

if TYPE_CHECKING:
    from tidemill.stores.live import LiveView

Progress = Callable[[int, int], None]
FACTORS: Final = ("0", "1", "2", "4")
"""So many times the costs."""
_STRESSED: Final = ("total_return", "cagr", "sharpe", "max_drawdown", "costs", "trades")
_POINTS = 2_000
"""Of an instrument's price in a report: each stretch by its lowest and its highest close."""


@dataclass(frozen=True)
class Prepared:
    """A backtest that can be run, and what determines its result."""

    asked: Request
    strategy: Strategy
    source: str
    history: History
    data: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.source, self.strategy.params, self.asked.settings, self.data, __version__)


@dataclass(frozen=True)
class Again:
    """A run beside its second one."""

    row: Row
    code: bool
    """The strategy's code is still the same."""
    data: bool
    """Its rows are still the same."""
    outcome: bool
    """Orders, fills, equity and cash are the same, to the bit."""


def prepare(view: LiveView, asked: Request, strategy: Strategy | None = None) -> Prepared:
    """Loads the history. `strategy` is one that is not found by its name."""
    made = strategy if strategy is not None else request.found(asked.strategy)(**asked.params)
    found = history.load(
        view, asked.instruments, asked.interval, asked.start, asked.end,
        as_recorded=asked.settings.as_recorded,
    )  # fmt: skip
    return Prepared(asked, made, request.source_of(type(made)), found, found.digest)


def conduct(
    prepared: Prepared,
    runs: Runs,
    *,
    origin: str,
    progress: Progress | None = None,
    log: str = "",
) -> Row:
    """Runs it and keeps it."""
    asked, made = prepared.asked, prepared.strategy
    began = time.perf_counter()
    outcome = backtest.run(made, prepared.history, asked.settings, progress=progress)
    took = time.perf_counter() - began
    return keep(prepared, outcome, took, runs, origin=origin, log=log)


def keep(
    prepared: Prepared, outcome: Outcome, duration_s: float, runs: Runs, *, origin: str, log: str = ""
) -> Row:
    """Sums an outcome up and keeps it."""
    asked, made = prepared.asked, prepared.strategy
    source_digest = hashlib.sha256(prepared.source.encode()).hexdigest()
    trials, variance = _trials(runs, prepared, outcome, source_digest)
    said = summary.of(outcome, prepared.history, asked.settings, trials=trials, trial_variance=variance)
    tracks = prepared.history.tracks.values()
    row = Row(
        strategy=asked.strategy,
        instruments=asked.instruments,
        interval=asked.interval,
        # What was there, so that it can be asked for again when more has come.
        start=min(int(track.start[0]) for track in tracks),
        end=max(int(track.end[-1]) for track in tracks),
        engine=asked.settings.engine,
        params=made.params,
        settings=request.settings_json(asked.settings),
        source=prepared.source,
        source_digest=source_digest,
        data_digest=prepared.data,
        fingerprint=prepared.fingerprint,
        outcome_digest=outcome.digest,
        version=__version__,
        rows=prepared.history.rows,
        duration_s=duration_s,
        origin=origin,
        summary=said.json(),
        stress=_stressed(prepared, outcome, said),
        log=log,
    )
    return runs.keep(row, {
        "orders": outcome.orders, "fills": outcome.fills, "equity": outcome.equity,
        "trades": outcome.trades, "days": said.days, "prices": prices(prepared.history),
    })  # fmt: skip


def again(view: LiveView, row: Row, runs: Runs, *, origin: str, strategy: Strategy | None = None) -> Again:
    """Runs a kept run once more, over the same span, and keeps that too. Raises `ConflictError`
    `run_code_changed` where the strategy is another by now: what is kept of its code is never executed."""
    made = strategy if strategy is not None else request.found(row.strategy)(**row.params)
    source = request.source_of(type(made))
    if hashlib.sha256(source.encode()).hexdigest() != row.source_digest:
        raise ConflictError(
            "run_code_changed",
            f"the code of {row.strategy} is not what the run {row.id} had",
            hint="put the code back that the run keeps, or run the new one as a run of its own",
        )
    asked = Request(
        row.strategy, row.instruments, row.interval, row.start, row.end, dict(row.params),
        request.settings_of(row.settings), bool(row.stress),
    )  # fmt: skip
    ready = prepare(view, asked, made)
    found = conduct(ready, runs, origin=origin)
    return Again(
        found,
        True,
        found.data_digest == row.data_digest,
        found.outcome_digest == row.outcome_digest,
    )


def _trials(runs: Runs, prepared: Prepared, outcome: Outcome, source_digest: str) -> tuple[int, float | None]:
    """How many variants of the strategy were ever run on these instruments and this interval, this one
    included, and the variance of their Sharpe ratios of one period."""
    asked = prepared.asked
    known = runs.variants(asked.strategy, asked.instruments, asked.interval)
    _, equity = summary.sampled(outcome, prepared.history, asked.settings)
    mine = stat.sharpe(returns.of_equity(equity), 1)
    known[source_digest, store.marked(prepared.strategy.params)] = mine
    ratios = [one for one in known.values() if one is not None]
    return len(known), float(np.var(ratios, ddof=1)) if len(ratios) > 1 else None


def _stressed(prepared: Prepared, outcome: Outcome, said: Summary) -> list[dict[str, Any]] | None:
    """The same with other costs; None where there are none, or it would take long."""
    asked = prepared.asked
    cheap = prepared.strategy.by_signal() and asked.settings.engine == "fast"
    if not asked.stress or not cheap or asked.settings.costs.free:
        return None
    found = []
    for factor in FACTORS:
        settings = costlier(asked.settings, factor)
        numbers = said.numbers
        if settings != asked.settings:
            other = backtest.run(prepared.strategy, prepared.history, settings)
            numbers = summary.of(other, prepared.history, settings).numbers
        found.append({"factor": float(factor), **{name: numbers[name] for name in _STRESSED}})
    return found


def costlier(settings: Settings, factor: str) -> Settings:
    """Settings with so many times the costs."""
    return replace(settings, costs=settings.costs.times(factor))


def prices(found: History) -> pa.Table:
    """Closes of each instrument as in `PRICES`, few enough for a picture."""
    pieces = []
    for name, track in found.tracks.items():
        close = track.series.columns["close"]
        at = thinned(close, _POINTS)
        columns: Mapping[str, Any] = {
            "instrument": pa.array([name] * len(at), pa.string()),
            "ts": track.end[at],
            "close": close[at],
        }
        pieces.append(pa.table(columns, schema=PRICES))
    return pa.concat_tables(pieces) if pieces else PRICES.empty_table()


def thinned(values: np.ndarray[Any, np.dtype[np.float64]], most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Places of at most `most` values, ascending: the first, the last, and of each of equal stretches the
    lowest and the highest, so that no peak is lost."""
    count = len(values)
    if count <= most:
        return np.arange(count, dtype=np.int64)
    stretches = max(1, (most - 2) // 2)
    edges = np.linspace(0, count, stretches + 1).astype(np.int64)
    found = {0, count - 1}
    for low, past in zip(edges[:-1], edges[1:], strict=True):
        piece = values[low:past]
        found |= {int(low + np.argmin(piece)), int(low + np.argmax(piece))}
    return np.array(sorted(found), np.int64)
