"""Lines of the catalogue: what a table has of an instrument, and how much of what there was, day by day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.model.gap import Gap
from tidemill.model.instrument import venue_of
from tidemill.model.interval import DAY
from tidemill.model.time import date_of
from tidemill.stores import completeness
from tidemill.stores.api import Held
from tidemill.stores.table import LIVE, Table

RECENT_DAYS = 60
CHANNELS = {"trades": ("trades",), "bars": ("trades",), "quotes": ("quotes",), "levels": ("book",)}
"""Streams of a venue whose holes are holes of a dataset."""
Touching = Callable[[str, tuple[str, ...], int, int], list[Gap]]
"""Gaps of an instrument's channels within [start, end)."""
Spans = npt.NDArray[np.int64]


def line(held: Held, table: Table, touching: Touching) -> dict[str, Any]:
    """id, instrument, venue, kind, rows, start, end (ns), bytes, complete, status, sources, intervals (of
    bars), gaps (how many touch it), completeness: how much of what there was to have it has
    (`completeness`), and `recent`, its newest days (`by_day`)."""
    gaps, missing, opened = lost(held, table, touching)
    whole, gone = int(opened.sum()), int(missing.sum())
    return {
        "id": f"{held.instrument}:{table.name}",
        "instrument": held.instrument,
        "venue": venue_of(held.instrument),
        "kind": table.name,
        "rows": held.rows,
        "start": held.start,
        "end": held.end,
        "bytes": held.bytes,
        "complete": not gaps and not gone,
        "status": "stored",
        "sources": list(held.sources),
        "intervals": list(held.intervals),
        "gaps": len(gaps),
        "completeness": round(1.0 - gone / max(1, whole), 6),
        "recent": by_day(held, missing, opened, held.end // DAY - RECENT_DAYS + 1),
    }


def lost(held: Held, table: Table, touching: Touching) -> tuple[list[Gap], Spans, Spans]:
    """Gaps that touch a dataset; and of each of its days how long (ns) it lacks something, and how long there
    was something to have."""
    span = (held.start, held.end + 1)
    gaps = touching(held.instrument, CHANNELS[table.name], *span)
    # Of what was collected live every hole is a gap, and a day without rows a quiet one.
    days = None if held.sources == (LIVE,) else held.days
    return gaps, *completeness.by_day(held.instrument, *span, days, gaps)


def by_day(
    held: Held, missing: Spans, opened: Spans, first: int | None = None, last: int | None = None
) -> dict[str, Any]:
    """The UTC days `first` to `last` of a dataset that it reaches over: `first` as a date, and of each day
    `rows`, None where the store does not look, and `completeness` from 0 to 1, None where its market was
    shut."""
    begin, end = held.start // DAY, held.end // DAY
    low = begin if first is None else max(begin, first)
    high = end if last is None else min(end, last)
    days = range(low, max(low, high + 1))
    shares = [
        round(1.0 - int(missing[day - begin]) / int(opened[day - begin]), 6) if opened[day - begin] else None
        for day in days
    ]
    rows = None if held.daily is None else [held.daily.get(day, 0) for day in days]
    return {"first": date_of(low * DAY), "rows": rows, "completeness": shares}
