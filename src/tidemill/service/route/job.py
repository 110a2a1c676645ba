"""Work longer than a request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response

from tidemill import errors
from tidemill.metadata import job
from tidemill.service import answer, cursor, instant, param, platform, schema
from tidemill.service.command import command

State = Literal["queued", "running", "done", "failed", "cancelled"]


@command("jobs", "GET", "/jobs", scope="jobs", model=schema.Jobs)
async def jobs(
    request: Request,
    state: Annotated[State | None, Query()] = None,
    limit: Annotated[int, param.Limit(100, 1000)] = 100,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Jobs, newest first."""
    service = platform.of(request)
    key = cursor.read(service.keeper, "jobs", (state,), cursor_)
    before = (int(key[0]), str(key[1])) if key else None
    rows = await service.read(
        lambda connection: job.page(connection, limit=limit + 1, state=state, before=before)
    )
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursor.make(service.keeper, "jobs", (state,), [rows[-1].created, rows[-1].id])
    return answer.json({"items": [show(row, time) for row in rows], "next": following})


@command("jobs.show", "GET", "/jobs/{id}", scope="jobs", model=schema.Job)
async def one(
    request: Request, job_id: Annotated[str, Path(alias="id", max_length=100)], time: instant.As = "ns"
) -> Response:
    """One job."""
    service = platform.of(request)
    found = await service.read(lambda connection: job.one(connection, job_id))
    if found is None:
        raise errors.NotFoundError(
            "job_unknown", f"no job is named {job_id[:100]!r}", hint="GET /api/v1/jobs lists them"
        )
    return answer.json(show(found, time))


def show(row: job.Job, time: instant.TimeFormat) -> dict[str, Any]:
    """A job as it leaves."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "progress": row.progress,
        "owner": row.owner,
        "created": instant.show(row.created, time),
        "started": instant.show(row.started, time),
        "ended": instant.show(row.ended, time),
        "detail": row.detail,
        "error": row.error,
    }
