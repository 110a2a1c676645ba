"""A job as it leaves: the one shape of REST and command line, times in ns UTC."""

from __future__ import annotations

from typing import Any

from tidemill.metadata.job import Job

FIELDS = (
    "id", "kind", "state", "progress", "owner", "created", "started", "ended", "detail", "error", "priority",
    "attempts", "attempts_max", "note", "done", "total", "unit", "rate", "eta_s", "cancel_asked", "result",
)  # fmt: skip


def shape(row: Job) -> dict[str, Any]:
    """The fields that others see; lease, token and checkpoint are between table and workers."""
    return {name: getattr(row, name) for name in FIELDS}
