"""Jobs: work longer than a request, as rows of one table that is the only truth about them.

    queued ── claim ──▶ running ──▶ done | failed | cancelled
      ▲                    │
      └── its worker or its process vanished, or the error may pass; the third time: poisoned, or failed

A claim counts the attempt, gives a lease and a token one higher than any before. Whatever a worker writes
carries its token and is refused (`False`, `None`) once it is not the newest: a worker that was believed dead
cannot end, move or log a job that another one has.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from tidemill.errors import ConflictError, InternalError, RateLimitError
from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.table import job_logs, jobs

STATES = ("queued", "running", "done", "failed", "cancelled", "poisoned")
ENDED = ("done", "failed", "cancelled", "poisoned")
ATTEMPTS_MAX = 3
QUEUED_MAX = 10_000
"""Jobs of one owner that may wait."""
LOG_LINES_MAX = 2_000
LOG_CHARS_MAX = 4_000
KEPT_NS = 30 * 86_400 * 1_000_000_000
"""How long an ended job and its log are kept."""
_S = 1_000_000_000


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
    priority: int = 0
    attempts: int = 0
    attempts_max: int = ATTEMPTS_MAX
    token: int = 0
    holder: str | None = None
    lease_until: int | None = None
    run_after: int = 0
    cancel_asked: bool = False
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    rate: float | None = None
    eta_s: float | None = None
    note: str | None = None
    result: dict[str, Any] | None = None
    checkpoint: Any = None
    key: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` `unit`s, units per second, seconds to go, what it does now."""

    done: int = 0
    total: int | None = None
    unit: str | None = None
    rate: float | None = None
    eta_s: float | None = None
    note: str | None = None

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where no total is known."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total else None


@dataclass(frozen=True)
class Line:
    """One line of a job's log."""

    id: int
    ts: int
    level: str
    text: str


# ── asking ────────────────────────────────────────────────────────────────────────────────────────


def submit(
    connection: Connection,
    kind: str,
    *,
    owner: str,
    detail: dict[str, Any] | None = None,
    priority: int = 0,
    key: str | None = None,
    job_id: str | None = None,
    attempts_max: int = ATTEMPTS_MAX,
    run_after: int = 0,
    queued_max: int = QUEUED_MAX,
    cause: str | None = None,
) -> tuple[Job, bool]:
    """Enters a job with its event; returns it and whether it is new.

    With `key` the owner's job of that key that has not ended is returned instead of a second one; with
    `job_id` the job of that id, ended or not. Raises `RateLimitError` when the owner has too many that wait,
    `ConflictError` when the key belongs to a job of another kind.
    """
    same = _same(connection, owner, key, job_id)
    if same is None:
        _check_queued(connection, owner, queued_max)
        row = {
            "id": job_id or secrets.token_hex(8), "kind": kind, "state": "queued", "progress": 0.0,
            "owner": owner, "created": now_ns(), "detail": detail or {}, "priority": priority, "key": key,
            "attempts_max": attempts_max, "run_after": run_after,
        }  # fmt: skip
        try:
            with connection.begin_nested():
                connection.execute(insert(jobs).values(row))
        except IntegrityError:  # another has entered the same in this moment
            same = _same(connection, owner, key, job_id)
        else:
            return _told(connection, str(row["id"]), cause), True
    if same is None:
        raise InternalError("internal", f"the job {key or job_id!r} cannot be entered and is not there")
    if same.kind != kind:
        raise ConflictError(
            "key_used",
            f"the key {key or job_id!r} belongs to job {same.id} of kind {same.kind}, not {kind}",
            hint="choose another key, or wait until that job has ended",
        )
    return same, False


def _same(connection: Connection, owner: str, key: str | None, job_id: str | None) -> Job | None:
    if job_id is not None:
        return one(connection, job_id)
    if key is None:
        return None
    row = connection.execute(
        select(jobs).where(jobs.c.owner == owner, jobs.c.key == key, jobs.c.ended.is_(None))
    ).one_or_none()
    return None if row is None else Job(**row._mapping)


def _check_queued(connection: Connection, owner: str, queued_max: int) -> None:
    waiting = connection.execute(
        select(func.count()).where(jobs.c.state == "queued", jobs.c.owner == owner)
    ).scalar()
    if (waiting or 0) >= queued_max:
        raise RateLimitError(
            "jobs_too_many",
            f"{waiting} jobs of {owner} wait already; {queued_max} may",
            retry_after_s=10,
            hint="wait until some have run, or cancel them: GET /api/v1/jobs?state=queued",
        )


def ask_cancel(connection: Connection, job_id: str, *, actor: str, cause: str | None = None) -> Job | None:
    """Asks a job to end; returns it as it is then, None where there is none. One that waits is cancelled at
    once, one that runs as soon as its worker sees it; one that has ended stays as it is."""
    now = now_ns()
    waiting = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == "queued")
        .values(state="cancelled", ended=now, cancel_asked=True, eta_s=None, rate=None)
    ).rowcount
    running = 0
    if not waiting:
        running = connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state == "running", jobs.c.cancel_asked.is_(False))
            .values(cancel_asked=True)
        ).rowcount
    if waiting or running:
        return _told(connection, job_id, cause, actor)
    return one(connection, job_id)


# ── working ───────────────────────────────────────────────────────────────────────────────────────


def claim(
    connection: Connection,
    holder: str,
    *,
    lease_s: float,
    job_id: str | None = None,
    running_max: int | None = None,
    share: tuple[str, int] | None = None,
) -> Job | None:
    """Takes the next job, or that of `job_id`, for `lease_s`; None when none may be taken now.

    Highest priority first; then the owner with the fewest running jobs, of those the one who was served
    longest ago, of this one's jobs the oldest. Owners with `running_max` running jobs wait, and those who
    have as many with holders that begin with `share[0]` as `share[1]` says. The attempt is counted here,
    before anything starts, so that a worker that dies of a job cannot forget that it tried.
    """
    now = now_ns()
    # Writers come one after the other on both kinds of database: shares and bounds are exact.
    found = job_id or _next(connection, now, running_max, share)
    if found is None:
        return None
    taken = connection.execute(
        update(jobs)
        .where(jobs.c.id == found, jobs.c.state == "queued", jobs.c.run_after <= now)
        .values(
            state="running", holder=holder, lease_until=now + int(lease_s * _S), token=jobs.c.token + 1,
            attempts=jobs.c.attempts + 1, started=now, error=None, rate=None, eta_s=None,
        )
    ).rowcount  # fmt: skip
    return _told(connection, found) if taken else None


def _next(
    connection: Connection, now: int, running_max: int | None, share: tuple[str, int] | None
) -> str | None:
    ready = and_(jobs.c.state == "queued", jobs.c.run_after <= now)
    waiting = connection.execute(
        select(jobs.c.owner, func.max(jobs.c.priority)).where(ready).group_by(jobs.c.owner)
    ).all()
    if not waiting:
        return None
    busy = select(jobs.c.owner, func.count()).where(jobs.c.state == "running").group_by(jobs.c.owner)
    running = {row[0]: int(row[1]) for row in connection.execute(busy)}
    full: set[str] = set()
    if share is not None:
        here = busy.where(jobs.c.holder.startswith(share[0], autoescape=True))
        full = {row[0] for row in connection.execute(here) if row[1] >= share[1]}
    turns = []
    for owner, priority in waiting:
        has = running.get(owner, 0)
        if owner not in full and (running_max is None or has < running_max):
            served = connection.execute(select(func.max(jobs.c.started)).where(jobs.c.owner == owner))
            turns.append((-priority, has, served.scalar() or 0, owner))
    if not turns:
        return None
    priority, _, _, owner = min(turns)
    return connection.execute(
        select(jobs.c.id)
        .where(ready, jobs.c.owner == owner, jobs.c.priority == -priority)
        .order_by(jobs.c.created, jobs.c.id)
        .limit(1)
    ).scalar()


def ready(connection: Connection, most: int = 1) -> int:
    """How many jobs could be claimed now, counted up to `most`."""
    some = select(jobs.c.id).where(jobs.c.state == "queued", jobs.c.run_after <= now_ns()).limit(most)
    return int(connection.execute(select(func.count()).select_from(some.subquery())).scalar() or 0)


def renew(connection: Connection, job_id: str, token: int, *, lease_s: float) -> int | None:
    """A longer lease: until when (ns UTC), None when the job is no longer this token's."""
    until = now_ns() + int(lease_s * _S)
    return until if _write(connection, job_id, token, lease_until=until) else None


def advance(connection: Connection, job_id: str, token: int, progress: Progress) -> bool:
    """Says how far a job is, with its event."""
    values: dict[str, Any] = {
        "done": progress.done, "total": progress.total, "unit": progress.unit, "rate": progress.rate,
        "eta_s": progress.eta_s, "note": progress.note,
    }  # fmt: skip
    if progress.share is not None:
        values["progress"] = progress.share
    if not _write(connection, job_id, token, **values):
        return False
    _told(connection, job_id)
    return True


def keep(connection: Connection, job_id: str, token: int, checkpoint: Any) -> bool:
    """Keeps from where the next attempt goes on."""
    return _write(connection, job_id, token, checkpoint=checkpoint)


def log(connection: Connection, job_id: str, token: int, lines: Sequence[tuple[int, str, str]]) -> bool:
    """Keeps lines (ts, level, text) of the job's log, `LOG_LINES_MAX` at most: the last one says so."""
    if not _write(connection, job_id, token, token=token):
        return False
    count = select(func.count()).where(job_logs.c.job_id == job_id)
    room = LOG_LINES_MAX - int(connection.execute(count).scalar() or 0)
    if lines and room > 0:
        kept = [(ts, level, text[:LOG_CHARS_MAX]) for ts, level, text in lines[:room]]
        if len(lines) >= room:
            kept[-1] = (kept[-1][0], "warning", f"the log is full: {LOG_LINES_MAX} lines are kept")
        rows = [{"job_id": job_id, "ts": ts, "level": level, "text": text} for ts, level, text in kept]
        connection.execute(insert(job_logs), rows)
    return True


def end(
    connection: Connection,
    job_id: str,
    token: int,
    state: str,
    *,
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> bool:
    """Ends a job as done, failed or cancelled: once, and only by who holds it."""
    values: dict[str, Any] = {"state": state, "ended": now_ns(), "error": error, "eta_s": None}
    if state == "done":
        values |= {"progress": 1.0, "result": result, "checkpoint": None}
    return _leave(connection, job_id, token, **values)


def retry(connection: Connection, job_id: str, token: int, *, wait_s: float, error: dict[str, Any]) -> bool:
    """Puts a job that met an error which may pass back into the queue; after the last attempt it failed."""
    found = one(connection, job_id)
    if found is not None and found.cancel_asked:
        return end(connection, job_id, token, "cancelled")
    if found is not None and found.attempts >= found.attempts_max:
        return end(connection, job_id, token, "failed", error=error)
    return _leave(
        connection, job_id, token, state="queued", run_after=now_ns() + int(wait_s * _S), error=error
    )


def release(connection: Connection, job_id: str, token: int) -> bool:
    """Puts a job back whose worker leaves in order: that attempt does not count. One that was asked to end
    meanwhile does."""
    found = one(connection, job_id)
    if found is not None and found.cancel_asked:
        return end(connection, job_id, token, "cancelled")
    return _leave(connection, job_id, token, state="queued", attempts=jobs.c.attempts - 1)


def died(connection: Connection, job_id: str, token: int, why: str) -> bool:
    """The process that worked on a job is gone without a word: another try, or, after the last, poisoned."""
    found = one(connection, job_id)
    if found is None or found.token != token or found.state != "running":
        return False
    if found.cancel_asked:
        return end(connection, job_id, token, "cancelled")
    error = InternalError(
        "job_died",
        f"attempt {found.attempts} of {found.attempts_max} died: {why}",
        hint="it is tried again by itself",
        retryable=True,
    ).as_dict()
    if found.attempts < found.attempts_max:
        return _leave(connection, job_id, token, state="queued", error=error)
    error |= {
        "code": "job_poisoned",
        "message": f"its process died {found.attempts} times, the last time: {why}",
        "hint": f"`tidemill jobs show {job_id} --logs` has its last words; submit it anew without the cause",
        "retryable": False,
    }
    return _leave(connection, job_id, token, state="poisoned", ended=now_ns(), error=error, eta_s=None)


def reap(connection: Connection) -> int:
    """Sees to running jobs whose lease is over: their worker is gone or stopped. Returns how many."""
    query = select(jobs.c.id, jobs.c.token, jobs.c.holder).where(
        jobs.c.state == "running", or_(jobs.c.lease_until.is_(None), jobs.c.lease_until < now_ns())
    )
    gone = connection.execute(query).all()
    return sum(
        died(connection, row.id, row.token, f"no word of {row.holder or 'its worker'}") for row in gone
    )


def expired(connection: Connection) -> bool:
    """Whether `reap` would find one."""
    query = select(jobs.c.id).where(
        jobs.c.state == "running", or_(jobs.c.lease_until.is_(None), jobs.c.lease_until < now_ns())
    )
    return connection.execute(query.limit(1)).scalar() is not None


def _write(connection: Connection, job_id: str, token: int, /, **values: Any) -> bool:
    """Changes a running job, if `token` is still its newest."""
    mine = (jobs.c.id == job_id, jobs.c.token == token, jobs.c.state == "running")
    return bool(connection.execute(update(jobs).where(*mine).values(**values)).rowcount)


def _leave(connection: Connection, job_id: str, token: int, /, **values: Any) -> bool:
    if not _write(connection, job_id, token, holder=None, lease_until=None, rate=None, **values):
        return False
    _told(connection, job_id)
    return True


def _told(connection: Connection, job_id: str, cause: str | None = None, actor: str | None = None) -> Job:
    """The job as it is now, after an event that says so."""
    row = one(connection, job_id)
    assert row is not None  # noqa: S101 - it was changed in this transaction
    data = {
        "kind": row.kind, "state": row.state, "progress": row.progress, "note": row.note, "rate": row.rate,
        "eta_s": row.eta_s, "done": row.done, "total": row.total, "unit": row.unit, "attempts": row.attempts,
        "cancel_asked": row.cancel_asked,
    }  # fmt: skip
    event.append(connection, "job_progress", job_id, actor=actor or row.owner, cause=cause, data=data)
    if row.state in ("failed", "poisoned"):
        failed = {"kind": row.kind, "state": row.state, "attempts": row.attempts, "error": row.error}
        event.append(connection, "job_failed", job_id, actor=row.owner, cause=cause, data=failed)
    return row


# ── looking ───────────────────────────────────────────────────────────────────────────────────────


def one(connection: Connection, job_id: str) -> Job | None:
    """The job of that id, or None."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return None if row is None else Job(**row._mapping)


def page(
    connection: Connection,
    *,
    limit: int,
    state: str | None = None,
    kind: str | None = None,
    owner: str | None = None,
    before: tuple[int, str] | None = None,
) -> list[Job]:
    """Newest first; `before` is the (created, id) of the last row of the page before."""
    query = select(jobs).order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)
    for column, wanted in ((jobs.c.state, state), (jobs.c.kind, kind), (jobs.c.owner, owner)):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        created, job_id = before
        query = query.where(
            or_(jobs.c.created < created, and_(jobs.c.created == created, jobs.c.id < job_id))
        )
    return [Job(**row._mapping) for row in connection.execute(query)]


def logs(connection: Connection, job_id: str, *, after: int = 0, limit: int = 200) -> list[Line]:
    """Lines of a job's log with a higher id, oldest first."""
    query = select(job_logs.c.id, job_logs.c.ts, job_logs.c.level, job_logs.c.text)
    query = query.where(job_logs.c.job_id == job_id, job_logs.c.id > after)
    return [Line(*row) for row in connection.execute(query.order_by(job_logs.c.id).limit(limit))]


def depth(connection: Connection) -> dict[tuple[str, str], int]:
    """How many jobs there are by (kind, state)."""
    query = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
    return {(kind, state): int(count) for kind, state, count in connection.execute(query)}


def oldest_waiting_s(connection: Connection) -> float:
    """Seconds that the oldest job which could run has waited; 0 when none waits."""
    now = now_ns()
    found = connection.execute(
        select(func.min(jobs.c.created)).where(jobs.c.state == "queued", jobs.c.run_after <= now)
    ).scalar()
    return 0.0 if found is None else max(0.0, (now - int(found)) / _S)


def trim(connection: Connection, *, kept_ns: int = KEPT_NS) -> int:
    """Deletes jobs that ended longer ago than is kept, with their logs; returns how many."""
    old = jobs.c.ended < now_ns() - kept_ns
    connection.execute(delete(job_logs).where(job_logs.c.job_id.in_(select(jobs.c.id).where(old))))
    return connection.execute(delete(jobs).where(old)).rowcount
