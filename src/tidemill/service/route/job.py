"""Work longer than a request: submitted, watched, cancelled."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Body, Path, Query, Request, Response

from tidemill import errors
from tidemill.jobs.shape import shape
from tidemill.metadata import job
from tidemill.service import answer, cursor, instant, param, platform, schema
from tidemill.service.command import command

State = Literal["queued", "running", "done", "failed", "cancelled", "poisoned"]
# PostgreSQL takes no NUL, not even to look for.
_WORD = r"^[^\x00]*$"
JobId = Annotated[str, Path(alias="id", max_length=100, pattern=_WORD)]


@command("jobs", "GET", "/jobs", scope="jobs", model=schema.Jobs)
async def jobs(
    request: Request,
    state: Annotated[State | None, Query()] = None,
    kind: Annotated[str | None, Query(max_length=64, pattern=_WORD)] = None,
    owner: Annotated[str | None, Query(max_length=100, pattern=_WORD)] = None,
    limit: Annotated[int, param.Limit(100, 1000)] = 100,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Jobs, newest first."""
    service = platform.of(request)
    filters = (state, kind, owner)
    key = cursor.read(service.keeper, "jobs", filters, cursor_)
    before = (int(key[0]), str(key[1])) if key else None
    rows = await service.read(
        lambda connection: job.page(
            connection, limit=limit + 1, state=state, kind=kind, owner=owner, before=before
        )
    )
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursor.make(service.keeper, "jobs", filters, [rows[-1].created, rows[-1].id])
    return answer.json({"items": [show(row, time) for row in rows], "next": following})


@command("jobs.submit", "POST", "/jobs", scope="jobs", effect="write", model=schema.Job, status=202)
async def submit(request: Request, body: Annotated[schema.JobSubmit, Body()]) -> Response:
    """Submit a job. With a key that a job of the caller has which has not ended, that one is the answer."""
    from tidemill.jobs import submit as submitting

    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    entered, new = await service.write(
        lambda connection: submitting.enter(
            connection,
            body.kind,
            owner=actor,
            detail=body.detail,
            priority=body.priority,
            key=body.key,
            cause=cause,
        )
    )
    if new:
        await service.run(submitting.nudge, service.home, entered.id)
    return answer.json(show(entered, "ns"), 202, {"Location": f"/api/v1/jobs/{entered.id}"})


@command("jobs.show", "GET", "/jobs/{id}", scope="jobs", model=schema.Job)
async def one(request: Request, job_id: JobId, time: instant.As = "ns") -> Response:
    """One job."""
    found = await platform.of(request).read(lambda connection: job.one(connection, job_id))
    return answer.json(show(_known(found, job_id), time))


@command(
    "jobs.cancel", "POST", "/jobs/{id}/cancel", scope="jobs", effect="write", model=schema.Job, status=202
)
async def cancel(request: Request, job_id: JobId) -> Response:
    """Ask a job to end; one that has ended stays as it is, and is the answer."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    found = await service.write(
        lambda connection: job.ask_cancel(connection, job_id, actor=actor, cause=cause)
    )
    return answer.json(show(_known(found, job_id), "ns"), 202)


@command("jobs.logs", "GET", "/jobs/{id}/logs", scope="jobs", model=schema.JobLogs)
async def logs(
    request: Request,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=2**53, description="`next` of the page before")] = 0,
    limit: Annotated[int, param.Limit(200, 2000)] = 200,
    time: instant.As = "ns",
) -> Response:
    """What a job said, oldest first; `next` is to come back with."""

    def read(connection: Any) -> list[job.Line]:
        _known(job.one(connection, job_id), job_id)
        return job.logs(connection, job_id, after=after, limit=limit)

    lines = await platform.of(request).read(read)
    items = [{"ts": instant.show(line.ts, time), "level": line.level, "text": line.text} for line in lines]
    return answer.json({"items": items, "next": lines[-1].id if lines else after})


def _known(found: job.Job | None, job_id: str) -> job.Job:
    if found is None:
        raise errors.NotFoundError(
            "job_unknown", f"no job is named {job_id[:100]!r}", hint="GET /api/v1/jobs lists them"
        )
    return found


def show(row: job.Job, time: instant.TimeFormat) -> dict[str, Any]:
    """A job as it leaves."""
    found = shape(row)
    return found | {name: instant.show(found[name], time) for name in ("created", "started", "ended")}
