"""Submitting a job: its kind is known, what is asked makes sense, and a worker hears of it."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from sqlalchemy import Connection

from tidemill import control
from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.jobs import kind
from tidemill.metadata import job

PRIORITY_MIN, PRIORITY_MAX = -10, 10


def enter(
    connection: Connection,
    name: str,
    *,
    owner: str,
    detail: dict[str, Any] | None = None,
    priority: int = 0,
    key: str | None = None,
    cause: str | None = None,
) -> tuple[job.Job, bool]:
    """Enters a job in the caller's transaction; returns it and whether it is new. Tell `nudge` afterwards.

    Raises `NotFoundError` for an unknown kind, `UsageError` for a detail that does not fit,
    `RateLimitError` when the owner has too many that wait, `ConflictError` for a key in other use.
    """
    asked = kind.load(name).check(detail or {})
    return job.submit(
        connection,
        name,
        owner=owner,
        detail=asked,
        priority=priority,
        key=key,
        queued_max=number("TIDEMILL_JOBS_QUEUED_MAX", job.QUEUED_MAX),
        cause=cause,
    )


def nudge(home: Home, job_id: str) -> None:
    """Tells a worker that there is work. Lost words cost no job: workers look for themselves too."""
    from tidemill.jobs import broker

    if broker.url() is not None:
        broker.send(job_id)
    else:
        with contextlib.suppress(control.Unreachable):
            control.ask_now(home.control("worker"), "wake", timeout_s=0.3)


def number(variable: str, default: int) -> int:
    """A whole number of the environment. Raises `ConfigError` for anything else."""
    text = os.environ.get(variable)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) > 2**31:
        raise ConfigError(
            "number_invalid", f"{variable} is {text!r}; it must be a whole number", hint="docs/config.md"
        )
    return int(text)
