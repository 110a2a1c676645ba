"""What runs by the clock: each at most once per period, however many workers look.

The id of such a job is its kind and the number of its period, so the second who enters it finds it there.
Compaction, retention and roll-ups of the lake are not here: the recorder is its only writer and does them
between its commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from tidemill.metadata import catalogue, job

OWNER = "beat"


@dataclass(frozen=True)
class Period:
    """A kind of job and how often it runs."""

    kind: str
    every_s: int
    wanted: Callable[[Connection], bool] = lambda _connection: True
    """Whether there is anything for it to do."""


PERIODS = (Period("tidy", 3600), Period("retain", 86_400, catalogue.any_kept_for))


def beat(connection: Connection, periods: tuple[Period, ...] = PERIODS, now_s: float | None = None) -> int:
    """Submits what is due in this period and was not submitted yet; returns how many."""
    now = time.time() if now_s is None else now_s
    return sum(
        job.submit(connection, one.kind, owner=OWNER, job_id=f"{one.kind}-{int(now // one.every_s)}")[1]
        for one in periods
        if one.wanted(connection)
    )


def due(connection: Connection, periods: tuple[Period, ...] = PERIODS) -> bool:
    """Whether `beat` would submit something: a look that takes no write lock."""
    now = time.time()
    return any(
        job.one(connection, f"{one.kind}-{int(now // one.every_s)}") is None and one.wanted(connection)
        for one in periods
    )
