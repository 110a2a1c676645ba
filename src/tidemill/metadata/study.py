"""Studies and their trials, as rows.

queued ──▶ running ──▶ done | failed
             │  ▲
             ▼  │
           paused, cancelled: what was tried is kept, and `resume` goes on from there
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from tidemill.errors import ConflictError, NotFoundError
from tidemill.metadata import dialect, event
from tidemill.metadata.database import now_ns
from tidemill.metadata.table import studies, study_trials

STATES: Final = ("queued", "running", "paused", "done", "failed", "cancelled")
_SHOWN = [column for column in studies.c if column.name != "result"]


@dataclass(frozen=True)
class Study:
    """One of them. Times in ns UTC."""

    id: str
    family: str
    dataset: str
    state: str
    owner: str
    created: int
    ended: int | None
    plan: dict[str, Any]
    data: str | None
    source: str | None
    job: str | None
    error: dict[str, Any] | None
    result: dict[str, Any] | None = None


@dataclass(frozen=True)
class Row:
    """A trial as it is kept."""

    part: str
    number: int
    params: dict[str, Any]
    vals: list[float | None]
    metrics: dict[str, float | None]
    returns: bytes
    error: str | None


def create(
    connection: Connection, family: str, dataset: str, plan: Mapping[str, Any], *, owner: str
) -> Study:
    """A new one, queued, with its event."""
    name = secrets.token_hex(8)
    connection.execute(
        insert(studies).values(
            id=name, family=family, dataset=dataset, state="queued", owner=owner, created=now_ns(),
            plan=dict(plan),
        )
    )  # fmt: skip
    event.append(connection, "study_created", name, actor=owner, data={"family": family, "dataset": dataset})
    return one(connection, name)


def one(connection: Connection, study_id: str) -> Study:
    """Raises `NotFoundError` `study_unknown`."""
    row = connection.execute(select(studies).where(studies.c.id == study_id)).one_or_none()
    if row is None:
        raise NotFoundError(
            "study_unknown", f"no study is named {study_id[:100]!r}", hint="`tidemill study ls` lists them"
        )
    return Study(**row._mapping)


def of_job(connection: Connection, job_id: str) -> Study | None:
    """The study whose newest job that is."""
    row = connection.execute(select(studies).where(studies.c.job == job_id)).first()
    return None if row is None else Study(**row._mapping)


def page(
    connection: Connection, *, limit: int, state: str | None = None, before: tuple[int, str] | None = None
) -> list[Study]:
    """The newest first, without their results; those after (created, id) of the page before."""
    found = select(*_SHOWN).order_by(studies.c.created.desc(), studies.c.id.desc()).limit(limit)
    if state is not None:
        found = found.where(studies.c.state == state)
    if before is not None:
        created, name = before
        older = (studies.c.created == created) & (studies.c.id < name)
        found = found.where(or_(studies.c.created < created, older))
    return [Study(**row._mapping) for row in connection.execute(found)]


def assign(connection: Connection, study_id: str, job_id: str) -> None:
    """That job works on it from now on."""
    connection.execute(
        update(studies).where(studies.c.id == study_id).values(job=job_id, state="queued", error=None)
    )


def begin(connection: Connection, study_id: str, data: str, source: str) -> Study:
    """It runs, on this history and this source. Raises `ConflictError` `study_changed` where either is not
    that of its first trial: its trials would not be of one kind."""
    found = one(connection, study_id)
    for what, before, now in (("history", found.data, data), ("strategy", found.source, source)):
        if before is not None and before != now:
            raise ConflictError(
                "study_changed",
                f"the {what} of study {study_id} is not what it was when it began",
                hint="make a new study: trials of two kinds cannot be compared",
            )
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(state="running", data=data, source=source, ended=None, error=None)
    )
    return one(connection, study_id)


def move(
    connection: Connection,
    study_id: str,
    state: str,
    *,
    actor: str,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> None:
    """Its state changes, with its event."""
    values: dict[str, Any] = {"state": state, "ended": None if state in ("queued", "running") else now_ns()}
    values["error"] = None if error is None else dict(error)
    if result is not None:
        values["result"] = dict(result)
    connection.execute(update(studies).where(studies.c.id == study_id).values(values))
    event.append(connection, f"study_{state}", study_id, actor=actor)


def remove(connection: Connection, study_id: str, *, actor: str) -> Study:
    """Forgets it and its trials; the ledger does not. Raises `ConflictError` `study_running`."""
    found = one(connection, study_id)
    if found.state in ("queued", "running"):
        raise ConflictError(
            "study_running", f"study {study_id} is {found.state}", hint="`tidemill study pause` stops it"
        )
    connection.execute(delete(study_trials).where(study_trials.c.study == study_id))
    connection.execute(delete(studies).where(studies.c.id == study_id))
    event.append(connection, "study_removed", study_id, actor=actor)
    return found


def keep(connection: Connection, study_id: str, rows: Sequence[Row]) -> None:
    """Keeps trials; one that is there stays as it is."""
    now = now_ns()
    connection.execute(
        dialect.insert(connection, study_trials).on_conflict_do_nothing(
            index_elements=["study", "part", "number"]
        ),
        [{"study": study_id, "created": now, **vars(row)} for row in rows],
    )


def trials(
    connection: Connection,
    study_id: str,
    part: str | None = None,
    *,
    after: int = -1,
    limit: int | None = None,
    returns: bool = True,
) -> list[Row]:
    """Its trials by part and number; without their returns these are empty."""
    columns = [study_trials.c[name] for name in ("part", "number", "params", "vals", "metrics", "error")]
    wanted = select(*columns, *([study_trials.c.returns] if returns else []))
    wanted = wanted.where(study_trials.c.study == study_id, study_trials.c.number > after)
    if part is not None:
        wanted = wanted.where(study_trials.c.part == part)
    wanted = wanted.order_by(study_trials.c.part, study_trials.c.number).limit(limit)
    return [Row(**{"returns": b"", **row._mapping}) for row in connection.execute(wanted)]


def counted(connection: Connection, study_id: str) -> int:
    """How many trials it has."""
    found = select(func.count()).where(study_trials.c.study == study_id)
    return int(connection.execute(found).scalar() or 0)
