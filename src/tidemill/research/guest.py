"""Strategies whose code is nobody's that this process may trust: they run in the sandbox, history and all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import pyarrow as pa

from tidemill.errors import UsageError
from tidemill.research import checked, setting
from tidemill.research.conduct import Progress, Subject
from tidemill.research.history import COLUMNS, History
from tidemill.research.lookahead import Report
from tidemill.research.run import EQUITY, FILLS, ORDERS, TRADES, Outcome, Settings
from tidemill.sandbox import Limits
from tidemill.sandbox import run as in_sandbox
from tidemill.strategies import description, library

MIB: Final = 1 << 20
LIMITS: Final = Limits(wall_s=1800.0, cpu_s=1800.0, memory_bytes=4096 * MIB, answer_bytes=512 * MIB)
_SHAPES: Final = {"orders": ORDERS, "fills": FILLS, "equity": EQUITY, "trades": TRADES}


def subject(
    found: library.Entry, params: Mapping[str, Any], cancelled: Callable[[], bool] | None = None
) -> Subject:
    """One whose code runs in the sandbox alone. Raises `UsageError` for a strategy that is none, and for
    parameters that it does not have."""
    if (refused := description.refusal(found.about, found.name)) is not None:
        raise refused
    given = {**(found.stored.newest.parameters if found.stored else {}), **params}
    values = found.about.values(given)

    def play(history: History, settings: Settings, progress: Progress | None) -> Outcome:
        return _played(found, values, history, settings, progress, cancelled)

    return Subject(found.name, found.source, values, found.about.kind == "signal", play)


def _played(
    found: library.Entry,
    params: Mapping[str, Any],
    history: History,
    settings: Settings,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> Outcome:
    request, tables = _handed(found, params, history)
    request["settings"] = setting.json(settings)

    def told(said: Mapping[str, Any]) -> None:
        done, total = said.get("done"), said.get("total")
        if progress is not None and isinstance(done, int) and isinstance(total, int):
            progress(min(max(done, 0), history.rows), history.rows)

    answer = in_sandbox(
        "backtest", request, tables, limits=LIMITS, cancel=cancelled,
        progress=told if progress is not None else None,
    )  # fmt: skip
    return _outcome(answer.result, answer.tables, history)


def check(found: library.Entry, params: Mapping[str, Any], history: History) -> Report:
    """As `lookahead.check`, in the sandbox. Raises as `subject`, and what its code raises."""
    values = subject(found, params).params
    said = checked.check(found.source, found.name, values, 0, history, LIMITS)
    for problem in said.problems:
        if problem.code == "strategy_failed":
            raise UsageError(
                problem.code,
                f"line {problem.line} of {found.name}: {problem.message}",
                hint="mend it, then check again",
            )
    return Report(said.bars, said.decisions, said.runs, said.warm_up, said.findings)


def _handed(
    found: library.Entry, params: Mapping[str, Any], history: History
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """What a guest is told of code and history, and the tables of the latter."""
    request = {
        "source": found.source, "name": f"{found.name}.py", "params": dict(params),
        "interval": history.interval,
        "terms": [asdict(track.terms) for track in history.tracks.values()],
    }  # fmt: skip
    tables = {
        str(number): pa.table({name: getattr(track, name) for name in COLUMNS})
        for number, track in enumerate(history.tracks.values())
    }
    return request, tables


def _outcome(result: Mapping[str, Any], tables: Mapping[str, pa.Table], history: History) -> Outcome:
    """What it gave, read as what it is: words of code that nobody trusts."""
    try:
        shaped = {name: tables[name].select(shape.names).cast(shape) for name, shape in _SHAPES.items()}
        named = set(shaped["fills"]["instrument"].to_pylist()) | set(
            shaped["trades"]["instrument"].to_pylist()
        )
        if not named <= set(history.tracks) or not len(shaped["equity"]):
            raise ValueError("it tells of other instruments, or of no step")
        positions = {str(name): Decimal(size) for name, size in dict(result["positions"]).items()}
        return Outcome(**shaped, cash=Decimal(result["cash"]), positions=positions)
    except (KeyError, ValueError, TypeError, InvalidOperation, pa.ArrowException) as error:
        raise UsageError(
            "strategy_invalid",
            f"the strategy's code gave no outcome of a backtest: {error}"[:300],
            hint="leave the modules of tidemill as they are",
        ) from error
