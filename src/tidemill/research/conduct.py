"""A backtest from what is asked to what is kept: strategy, history, run, summary and stress."""

from __future__ import annotations

import hashlib
import inspect
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tidemill import __version__
from tidemill.errors import ConflictError
from tidemill.home import Home
from tidemill.metadata import Metadata
from tidemill.metadata import strategy as stored
from tidemill.research import backtest, history, ledger, returns, setting, stat, summary
from tidemill.research.history import History
from tidemill.research.request import Request
from tidemill.research.run import Outcome, Settings, fingerprint
from tidemill.research.store import PRICES, Row, Runs
from tidemill.research.summary import Summary
from tidemill.research.thin import thinned
from tidemill.strategies import library
from tidemill.strategies.api import Strategy

if TYPE_CHECKING:
    from tidemill.stores.live import LiveView

Progress = Callable[[int, int], None]
Play = Callable[[History, Settings, Progress | None], Outcome]
VERSIONS_MAX: Final = 1_000
"""Of a stored strategy that are looked at, the newest first."""
FACTORS: Final = ("0", "1", "2", "4")
"""So many times the costs."""
_STRESSED: Final = ("total_return", "cagr", "sharpe", "max_drawdown", "costs", "trades")
_POINTS: Final = 2_000
"""Of an instrument's price in a report."""


@dataclass(frozen=True)
class Subject:
    """A strategy that can be run, wherever its code comes from."""

    name: str
    source: str
    params: Mapping[str, Any]
    """All of them, with their values."""
    by_signal: bool
    play: Play

    @property
    def source_digest(self) -> str:
        return hashlib.sha256(self.source.encode("utf-8", "replace")).hexdigest()


def subject(strategy: Strategy, name: str | None = None, source: str | None = None) -> Subject:
    """One whose code runs in this process: ours, and that of whoever runs this process."""
    return Subject(
        name or strategy.name(),
        source_of(type(strategy)) if source is None else source,
        strategy.params,
        strategy.by_signal(),
        lambda found, settings, progress: backtest.run(strategy, found, settings, progress=progress),
    )


def entry(home: Home, metadata: Metadata, name: str, version: int | None = None) -> library.Entry:
    """The strategy of that name: of the package, of the person's folder, or stored; with `version` that one
    of the database, also where it is deleted. Raises `NotFoundError` `strategy_unknown` and
    `version_unknown`."""
    with metadata.read() as connection:
        if version is not None:
            one = stored.version(connection, name, version)
            return library.kept(stored.Stored(name, version, None, one.created, one.created, one))
        found = stored.every(connection)
    return library.find(home, name, found)


def version_of(metadata: Metadata, name: str, source_digest: str) -> int | None:
    """The newest version of a stored strategy whose code has this digest; None where there is none."""
    with metadata.read() as connection:
        found = stored.versions(connection, name, limit=VERSIONS_MAX)
    return next((one.version for one in found if one.sha256 == source_digest), None)


@dataclass(frozen=True)
class Prepared:
    """A backtest that can be run, and what determines its result."""

    asked: Request
    subject: Subject
    history: History
    data: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(
            self.subject.source, self.subject.params, self.asked.settings, self.data, __version__
        )


@dataclass(frozen=True)
class Again:
    """A run's second run."""

    row: Row
    data: bool
    """Its rows are still the same."""
    outcome: bool
    """Orders, fills, equity and cash are the same, to the bit."""


def prepare(
    view: LiveView, asked: Request, found: Subject, ends: Mapping[str, tuple[int, int]] | None = None
) -> Prepared:
    """Loads the history; with `ends` of each instrument its bars that end within them, if any."""
    bars = history.load(
        view, asked.instruments, asked.interval, asked.start, asked.end,
        as_recorded=asked.settings.as_recorded,
    )  # fmt: skip
    cut = bars.within(ends or {})
    bars = cut if all(map(len, cut.tracks.values())) else bars
    return Prepared(asked, found, bars, bars.digest)


def conduct(
    prepared: Prepared,
    runs: Runs,
    metadata: Metadata,
    *,
    origin: str,
    progress: Progress | None = None,
    log: str = "",
) -> Row:
    """Runs it, enters it in the ledger of trials, and keeps it."""
    asked, found = prepared.asked, prepared.subject
    began = time.perf_counter()
    outcome = found.play(prepared.history, asked.settings, progress)
    took = time.perf_counter() - began
    said = _summed(prepared, outcome, metadata)
    tracks = prepared.history.tracks.values()
    row = Row(
        strategy=found.name,
        instruments=asked.instruments,
        interval=asked.interval,
        # What was there, so that it can be asked for again when more has come.
        start=min(int(track.start[0]) for track in tracks),
        end=max(int(track.end[-1]) for track in tracks),
        engine=asked.settings.engine,
        params=found.params,
        settings=setting.json(asked.settings),
        source=found.source,
        source_digest=found.source_digest,
        data_digest=prepared.data,
        fingerprint=prepared.fingerprint,
        outcome_digest=outcome.digest,
        version=__version__,
        rows=prepared.history.rows,
        duration_s=took,
        origin=origin,
        summary=said.json(),
        stress=_stressed(prepared, said),
        log=log,
    )
    return runs.keep(row, {
        "orders": outcome.orders, "fills": outcome.fills, "equity": outcome.equity,
        "trades": outcome.trades, "days": said.days, "prices": prices(prepared.history),
    })  # fmt: skip


def again(view: LiveView, row: Row, found: Subject, runs: Runs, metadata: Metadata, *, origin: str) -> Again:
    """Runs a kept run once more, over the same span, and keeps that too. Raises `ConflictError`
    `run_code_changed` where the strategy is another by now: what a run keeps of its code is never
    executed."""
    if found.source_digest != row.source_digest:
        raise ConflictError(
            "run_code_changed",
            f"the code of {row.strategy} is not what the run {row.id} had",
            hint="put the code back that the run keeps, or run the new one as a run of its own",
        )
    asked = Request(
        row.strategy, row.instruments, row.interval, row.start, row.end, dict(row.params),
        setting.of_json(row.settings), bool(row.stress),
    )  # fmt: skip
    ends = _ends(runs.table(row.id, "prices")) if row.state == "done" else None
    second = conduct(prepare(view, asked, found, ends), runs, metadata, origin=origin)
    return Again(second, second.data_digest == row.data_digest, second.outcome_digest == row.outcome_digest)


def _ends(kept: pa.Table) -> dict[str, tuple[int, int]]:
    """Of each instrument the ends of its first and its last bar: of several live ones they are not the same,
    and where one had no bar yet there is one by now."""
    found = kept.group_by("instrument").aggregate([("ts", "min"), ("ts", "max")]).to_pylist()
    return {one["instrument"]: (one["ts_min"], one["ts_max"]) for one in found}


def _summed(prepared: Prepared, outcome: Outcome, metadata: Metadata) -> Summary:
    """The summary beside all trials of the strategy on this dataset, of which this is one from now on."""
    asked = prepared.asked
    _, equity = summary.sampled(outcome, prepared.history, asked.settings)
    ours = returns.of_equity(equity)
    mine = ledger.Entry(prepared.fingerprint, stat.sharpe(ours, 1), len(ours))
    family, data = prepared.subject.name, ledger.dataset(asked.instruments, asked.interval)
    with metadata.write() as connection:
        ledger.record(connection, family, data, [mine], source=f"run:{prepared.fingerprint[:16]}")
        found = ledger.count(connection, family, data)
    return summary.of(
        outcome,
        prepared.history,
        asked.settings,
        trials=found.trials,
        trial_variance=found.variance or None,
    )


def _stressed(prepared: Prepared, said: Summary) -> list[dict[str, Any]] | None:
    """The same with other costs; None where there are none, or it would take long."""
    settings, found = prepared.asked.settings, prepared.subject
    cheap = found.by_signal and settings.engine == "fast"
    if not prepared.asked.stress or not cheap or settings.costs.free:
        return None
    lines = []
    for factor in FACTORS:
        numbers = said.numbers
        if factor != "1":
            costly = replace(settings, costs=settings.costs.times(factor))
            other = found.play(prepared.history, costly, None)
            numbers = summary.of(other, prepared.history, costly).numbers
        lines.append({"factor": float(factor), **{name: numbers[name] for name in _STRESSED}})
    return lines


def prices(found: History) -> pa.Table:
    """Closes of each instrument as in `PRICES`, few enough for a picture."""
    pieces = [PRICES.empty_table()]
    for name, track in found.tracks.items():
        close = track.series.columns["close"]
        at = thinned(close, _POINTS)
        columns = {
            "instrument": pa.array([name] * len(at), pa.string()), "ts": track.end[at], "close": close[at],
        }  # fmt: skip
        pieces.append(pa.table(columns, schema=PRICES))
    return pa.concat_tables(pieces)


def source_of(made: type[Strategy]) -> str:
    """The code of a strategy: the file that it is in, or the class alone where it was typed into a notebook
    or a shell. What nobody wrote down is equal to nothing else."""
    try:
        module = inspect.getmodule(made)
        file = getattr(module, "__file__", None)
        if module is not None and file is not None and module.__name__ != "__main__":
            return Path(file).read_text()
        return inspect.getsource(made)
    except (OSError, TypeError, UnicodeDecodeError):
        return f"# {made.__qualname__}: its code is not known ({secrets.token_hex(8)})\n"
