"""Work longer than a request: what runs, how far it is, how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update

from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.table import jobs

STATES = ("queued", "running", "done", "failed", "cancelled")


@dataclass(frozen=True)
class Job:
    """One piece of work. Times in ns UTC; `progress` from 0 to 1; `error` has the one error shape."""

    id: str
    kind: str
    state: str
    progress: float
    owner: str
    created: int
    started: int | None = None
    ended: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None


def add(connection: Connection, job: Job) -> None:
    """Enters a job, with its event."""
    connection.execute(insert(jobs).values(**job.__dict__))
    event.append(connection, "job_progress", job.id, actor=job.owner, data=_told(job))


def advance(
    connection: Connection,
    job_id: str,
    *,
    state: str,
    progress: float,
    error: dict[str, Any] | None = None,
) -> Job | None:
    """Moves a job on, with its event; None when there is no such job or it has ended."""
    now = now_ns()
    before = one(connection, job_id)
    if before is None or before.ended is not None:
        return None
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            state=state,
            progress=progress,
            error=error,
            started=before.started if state == "queued" else before.started or now,
            ended=now if state in ("done", "failed", "cancelled") else None,
        )
    )
    after = one(connection, job_id)
    if after is not None:
        event.append(connection, "job_progress", job_id, actor=after.owner, data=_told(after))
    return after


def end_running(connection: Connection, kind: str, error: dict[str, Any]) -> None:
    """Marks jobs of a kind as failed that nobody works on any more: whoever did was killed."""
    query = select(jobs.c.id, jobs.c.progress).where(jobs.c.kind == kind, jobs.c.ended.is_(None))
    for job_id, progress in connection.execute(query).all():
        advance(connection, job_id, state="failed", progress=progress, error=error)


def one(connection: Connection, job_id: str) -> Job | None:
    """The job of that id, or None."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return None if row is None else Job(**row._mapping)


def page(
    connection: Connection, *, limit: int, state: str | None = None, before: tuple[int, str] | None = None
) -> list[Job]:
    """Newest first; `before` is the (created, id) of the last row of the page before."""
    query = select(jobs).order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if before is not None:
        created, job_id = before
        query = query.where(
            or_(jobs.c.created < created, and_(jobs.c.created == created, jobs.c.id < job_id))
        )
    return [Job(**row._mapping) for row in connection.execute(query)]


def _told(job: Job) -> dict[str, Any]:
    return {"kind": job.kind, "state": job.state, "progress": job.progress}
