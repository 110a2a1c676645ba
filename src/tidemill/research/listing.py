"""A list of runs for other programs: one CSV with a line for each, and all of its numbers."""

from __future__ import annotations

import csv as texts
import io
from datetime import UTC, datetime
from typing import Any, Final

from tidemill.research.store import Filters, Row, Runs, key

ROWS_MAX: Final = 100_000
_PAGE: Final = 1_000
_HEAD: Final = (
    "id", "created", "state", "strategy", "instruments", "interval", "start", "end", "engine", "params",
    "rows", "duration_s", "origin", "fingerprint",
)  # fmt: skip


def csv(runs: Runs, where: str, sort: str = "created", *, ascending: bool = False) -> bytes:
    """The runs that fit a filter, `ROWS_MAX` at most, in UTF-8. Raises `UsageError` `filter_invalid`."""
    rows: list[Row] = []
    after = None
    while len(rows) < ROWS_MAX:
        found = runs.page(_PAGE, Filters(where=where), sort=sort, ascending=ascending, after=after)
        rows += found
        if len(found) < _PAGE:
            break
        after = key(found[-1], sort, ascending)
    rows = rows[:ROWS_MAX]
    numbers = list(dict.fromkeys(name for row in rows for name in row.numbers))
    sink = io.StringIO()
    writer = texts.writer(sink)
    writer.writerow([*_HEAD, *numbers])
    for row in rows:
        writer.writerow([*map(_text, _about(row)), *(row.numbers.get(name) for name in numbers)])
    return sink.getvalue().encode()


def _about(row: Row) -> list[Any]:
    params = " ".join(f"{name}={value}" for name, value in row.params.items())
    return [
        row.id, _time(row.created), row.state, row.strategy, " ".join(row.instruments), row.interval,
        _time(row.start), _time(row.end), row.engine, params, row.rows, row.duration_s, row.origin,
        row.fingerprint,
    ]  # fmt: skip


def _time(ns: int | None) -> str | None:
    return None if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


def _text(value: Any) -> Any:
    """As it is; text that a spreadsheet would run as a formula gets a quote first."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
