"""The check for look-ahead of a text that nobody may trust: `lookahead.check`, in the sandbox."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, cast, get_args

import pyarrow as pa

from tidemill.errors import RateLimitError, UsageError
from tidemill.research.history import COLUMNS, History
from tidemill.research.lookahead import Finding, Way
from tidemill.sandbox import Limits
from tidemill.sandbox import run as in_sandbox
from tidemill.strategies.diagnosis import Problem, deciding_line

MIB: Final = 1 << 20
LIMITS: Final = Limits(wall_s=30.0, cpu_s=30.0, memory_bytes=1024 * MIB, answer_bytes=4 * MIB)
TURNS: Final = 2
"""Checks at once in one process: the asker waits for the answer, and there are others."""
WAIT_S: Final = 10.0
FINDINGS_MAX: Final = 100
_turns = threading.BoundedSemaphore(TURNS)


@dataclass(frozen=True)
class Checked:
    """What came of it. Of code that fails there are problems alone."""

    instruments: tuple[str, ...] = ()
    bars: int = 0
    decisions: int = 0
    runs: int = 0
    warm_up: int | None = None
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()


def check(
    source: str,
    name: str,
    params: Mapping[str, Any],
    bars: int,
    history: History | None,
    limits: Limits = LIMITS,
) -> Checked:
    """Runs a strategy's text again, cut and moved, over this history, or over so many made-up bars.

    Raises `RateLimitError` `check_busy`, and what `sandbox.run` raises: `sandbox_missing` where this machine
    cannot isolate, `sandbox_timeout`, `sandbox_memory`."""
    tracks = [] if history is None else list(history.tracks.values())
    tables = {
        str(number): pa.table({name: getattr(track, name) for name in COLUMNS})
        for number, track in enumerate(tracks)
    }
    request = {
        "source": source, "name": f"{name}.py", "params": dict(params), "bars": bars,
        "interval": "" if history is None else history.interval,
        "terms": [asdict(track.terms) for track in tracks],
    }  # fmt: skip
    if not _turns.acquire(timeout=WAIT_S):
        raise RateLimitError(
            "check_busy", f"{TURNS} checks are running, as many as may at once", hint="try again",
            retry_after_s=5,
        )  # fmt: skip
    try:
        answer = in_sandbox("check", request, tables, limits=limits)
    finally:
        _turns.release()
    try:
        return _read(answer.result, source)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise UsageError(
            "strategy_invalid",
            f"the strategy's code gave no report of a check: {error}"[:300],
            hint="leave the modules of tidemill as they are",
        ) from error


def _read(said: Mapping[str, Any], source: str) -> Checked:
    """What a guest told, read as what it is: words of code that nobody trusts."""
    lines = max(1, source.count("\n") + 1)
    if "failed" in said:
        return Checked(problems=(_failure(dict(said["failed"]), lines),))
    findings = tuple(_finding(dict(one)) for one in list(said["findings"])[:FINDINGS_MAX])
    line = deciding_line(source) or 1
    first = {one.way: one for one in reversed(findings)}
    return Checked(
        tuple(str(one)[:200] for one in list(said["instruments"])[:100]),
        _count(said["bars"]),
        _count(said["decisions"]),
        _count(said["runs"]),
        None if said["warm_up"] is None else _count(said["warm_up"]),
        findings,
        tuple(_problem("lookahead_found", one.error.message, line) for one in first.values()),
    )


def _finding(one: dict[str, Any]) -> Finding:
    if one["way"] not in get_args(Way):
        raise ValueError("a finding of no way")
    ts = int(str(one["ts"])[:20])
    if not 0 <= ts < 2**63:
        raise ValueError("a finding at no time")
    words = [_text(one[name])[:300] for name in ("instrument", "whole", "other")]
    return Finding(cast("Way", one["way"]), ts, *words)


def _failure(told: dict[str, Any], lines: int) -> Problem:
    """What the code raised, at its own line that raised it."""
    trail = [one for one in told.get("lines") or [] if isinstance(one, dict)]
    line = told.get("line") or (trail[-1].get("line") if trail else 1)
    at = min(max(line if isinstance(line, int) else 1, 1), lines)
    if told.get("code") == "refused":
        error = dict(told.get("error") or {})
        hint = _text(error.get("hint"))
        said = _text(error.get("message")) + (f": {hint}" if hint else "")
    else:
        said = _text(told.get("text"))
        said = f"{_text(told['type'])}: {said}" if told.get("type") else said
    return _problem("strategy_failed", said, at)


def _problem(code: str, message: str, line: int) -> Problem:
    # To the end of the line, however long it is: an editor cuts that.
    return Problem("error", code, message[:600], line, 1, line, 1_000)


def _text(value: object) -> str:
    return "" if value is None else str(value).replace("\x00", "").encode("utf-8", "replace").decode()[:600]


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return value
