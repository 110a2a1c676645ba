"""Studies as jobs: started, paused, resumed and removed, each in the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from tidemill.errors import ConflictError
from tidemill.jobs import submit
from tidemill.metadata import job
from tidemill.metadata import study as rows
from tidemill.research.plan import Plan


def start(
    connection: Connection,
    plan: Plan,
    *,
    owner: str,
    workers: int = 0,
    priority: int = 0,
    cause: str | None = None,
) -> tuple[rows.Study, job.Job]:
    """A new study and the job that runs it. Tell `submit.nudge` afterwards."""
    made = rows.create(connection, plan.family, plan.dataset, plan.json(), owner=owner)
    return made, _work(connection, made, owner=owner, workers=workers, priority=priority, cause=cause)


def resume(
    connection: Connection, study_id: str, *, owner: str, workers: int = 0, cause: str | None = None
) -> tuple[rows.Study, job.Job]:
    """Goes on with a study that was paused or cancelled, or whose job is gone. Raises `ConflictError`:
    `study_running` and `study_done`."""
    found = state(connection, study_id)
    if found.state in ("queued", "running"):
        raise ConflictError(
            "study_running", f"study {study_id} is {found.state}", hint="`tidemill study show` tells how far"
        )
    if found.state == "done":
        raise ConflictError(
            "study_done", f"study {study_id} has ended", hint="make a new study to try something else"
        )
    return found, _work(connection, found, owner=owner, workers=workers, cause=cause)


def pause(
    connection: Connection, study_id: str, *, actor: str, to: str = "paused", cause: str | None = None
) -> rows.Study:
    """Stops a study: what was tried is kept, and `resume` goes on. One that does not run stays as it is."""
    found = state(connection, study_id)
    if found.state not in ("queued", "running"):
        return found
    rows.move(connection, study_id, to, actor=actor)
    if found.job is not None:
        job.ask_cancel(connection, found.job, actor=actor, cause=cause)
    return rows.one(connection, study_id)


def remove(connection: Connection, study_id: str, *, actor: str) -> rows.Study:
    """Forgets a study that does not run, and its trials. The ledger keeps their number."""
    found = state(connection, study_id)
    if found.state != rows.one(connection, study_id).state:
        rows.move(connection, study_id, found.state, actor=actor)
    return rows.remove(connection, study_id, actor=actor)


def state(connection: Connection, study_id: str) -> rows.Study:
    """A study as it is: one whose job has ended without a word of its own is cancelled, or failed."""
    return settled(connection, rows.one(connection, study_id))


def settled(connection: Connection, found: rows.Study) -> rows.Study:
    """The same of one that was read."""
    if found.state not in ("queued", "running") or found.job is None:
        return found
    work = job.one(connection, found.job)
    if work is not None and work.ended is None:
        return found
    if work is None or work.state in ("cancelled", "done"):
        return _with(found, state="cancelled", ended=work.ended if work else None)
    return _with(found, state="failed", ended=work.ended, error=work.error)


def _with(found: rows.Study, **changes: Any) -> rows.Study:
    return rows.Study(**{**vars(found), **changes})


def _work(
    connection: Connection,
    found: rows.Study,
    *,
    owner: str,
    workers: int,
    priority: int = 0,
    cause: str | None = None,
) -> job.Job:
    entered, _ = submit.enter(
        connection, "study", owner=owner, detail={"study": found.id, "workers": workers}, priority=priority,
        cause=cause,
    )  # fmt: skip
    rows.assign(connection, found.id, entered.id)
    return entered
