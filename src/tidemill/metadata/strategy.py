"""Strategies that came over HTTP: their text alone. Nothing here, and nobody in the service, runs it.

A version is never changed: every change is a new one. A strategy that is deleted is hidden; made again under
its name, it goes on with the next version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tidemill import errors
from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.table import strategies, strategy_versions


@dataclass(frozen=True)
class Text:
    """What somebody wrote."""

    code: str
    description: str = ""
    author: str = ""
    parameters: Mapping[str, Any] | None = None
    """Values that are other than the code's defaults, by name."""

    @property
    def sha256(self) -> str:
        """Of the code in UTF-8."""
        return hashlib.sha256(self.code.encode()).hexdigest()


@dataclass(frozen=True)
class Version:
    """A strategy as it was from `created` (ns UTC) until its next version."""

    name: str
    version: int
    description: str
    author: str
    code: str
    sha256: str
    parameters: dict[str, Any]
    created: int


@dataclass(frozen=True)
class Stored:
    """A strategy as it is now. Times in ns UTC."""

    name: str
    version: int
    metrics: dict[str, Any] | None
    created: int
    changed: int
    newest: Version


def every(connection: Connection) -> list[Stored]:
    """All that are not deleted, by name."""
    found = connection.execute(_newest().order_by(strategies.c.name))
    return [_stored(row._asdict()) for row in found]


def names(connection: Connection) -> list[str]:
    """Their names, in order."""
    return list(
        connection.execute(
            select(strategies.c.name).where(strategies.c.deleted.is_(None)).order_by(strategies.c.name)
        ).scalars()
    )


def find(connection: Connection, name: str) -> Stored | None:
    """One of them; None where there is none, or no more."""
    row = connection.execute(_newest().where(strategies.c.name == name)).first()
    return None if row is None else _stored(row._asdict())


def one(connection: Connection, name: str) -> Stored:
    """Raises `NotFoundError` `strategy_unknown` with the nearest names."""
    found = find(connection, name)
    if found is None:
        raise errors.unknown("strategy", name, names(connection))
    return found


def create(connection: Connection, name: str, text: Text, *, actor: str, cause: str | None = None) -> Stored:
    """A new strategy. Raises `ConflictError` `strategy_exists` for a name that is taken."""
    there = connection.execute(
        select(strategies.c.version, strategies.c.deleted).where(strategies.c.name == name)
    ).first()
    if there is not None and there.deleted is None:
        raise errors.ConflictError(
            "strategy_exists",
            f"there is a strategy {name!r} already, at version {there.version}",
            hint="PUT makes its next version, or choose another name",
        )
    now = now_ns()
    version = 1 if there is None else there.version + 1
    row = {"description": text.description, "author": text.author, "version": version, "changed": now}
    if there is None:
        connection.execute(insert(strategies).values(name=name, created=now, **row))
    else:
        connection.execute(
            update(strategies).where(strategies.c.name == name).values(deleted=None, metrics=None, **row)
        )
    _keep(connection, name, version, text, now)
    event.append(connection, "strategy_created", name, actor=actor, cause=cause, data={"version": version})
    return one(connection, name)


def change(
    connection: Connection,
    name: str,
    text: Text,
    *,
    expected: int,
    actor: str,
    cause: str | None = None,
) -> Stored:
    """Its next version; the newest one where nothing differs from it. Raises `ConflictError`
    `version_conflict` where the newest is another than the expected one, and `NotFoundError`."""
    before = one(connection, name)
    if before.version != expected:
        raise errors.ConflictError(
            "version_conflict",
            f"{name} is at version {before.version} by now, you changed version {expected}",
            hint=f"compare with GET /api/v1/strategies/{name}/versions/{before.version}, then send yours as a"
            " change of that",
        )
    newest = before.newest
    same = (newest.code, newest.description, newest.author, newest.parameters)
    if same == (text.code, text.description, text.author, dict(text.parameters or {})):
        return before
    now = now_ns()
    connection.execute(
        update(strategies)
        .where(strategies.c.name == name)
        .values(description=text.description, author=text.author, version=expected + 1, changed=now)
    )
    _keep(connection, name, expected + 1, text, now)
    event.append(
        connection, "strategy_changed", name, actor=actor, cause=cause, data={"version": expected + 1}
    )
    return one(connection, name)


def delete(connection: Connection, name: str, *, actor: str, cause: str | None = None) -> Stored:
    """Hides it and returns what it was; its versions stay. Raises `NotFoundError`."""
    found = one(connection, name)
    connection.execute(update(strategies).where(strategies.c.name == name).values(deleted=now_ns()))
    event.append(
        connection, "strategy_deleted", name, actor=actor, cause=cause, data={"version": found.version}
    )
    return found


def measure(connection: Connection, name: str, metrics: Mapping[str, Any]) -> bool:
    """Keeps how it did, in place of what was known; False where there is no such strategy."""
    kept = connection.execute(
        update(strategies).where(strategies.c.name == name).values(metrics=dict(metrics))
    )
    return bool(kept.rowcount)


def versions(connection: Connection, name: str, *, limit: int, before: int | None = None) -> list[Version]:
    """Its versions, the newest first; also those of a strategy that is deleted."""
    query = select(strategy_versions).where(strategy_versions.c.name == name)
    if before is not None:
        query = query.where(strategy_versions.c.version < before)
    found = connection.execute(query.order_by(strategy_versions.c.version.desc()).limit(limit))
    return [Version(**row._mapping) for row in found]


def version(connection: Connection, name: str, number: int) -> Version:
    """One of them. Raises `NotFoundError` `version_unknown`, or `strategy_unknown` where there is none."""
    row = connection.execute(
        select(strategy_versions).where(
            strategy_versions.c.name == name, strategy_versions.c.version == number
        )
    ).first()
    if row is None:
        newest = versions(connection, name, limit=1)
        if not newest:
            raise errors.unknown("strategy", name, names(connection))
        raise errors.NotFoundError(
            "version_unknown",
            f"{name} has no version {number}",
            hint=f"it has 1 to {newest[0].version}",
        )
    return Version(**row._mapping)


def _keep(connection: Connection, name: str, version: int, text: Text, now: int) -> None:
    connection.execute(
        insert(strategy_versions).values(
            name=name,
            version=version,
            description=text.description,
            author=text.author,
            code=text.code,
            sha256=text.sha256,
            parameters=dict(text.parameters or {}),
            created=now,
        )
    )


def _newest() -> Any:
    parts = strategy_versions.c
    return (
        select(
            strategies.c.name,
            strategies.c.version,
            strategies.c.metrics,
            strategies.c.created,
            strategies.c.changed,
            parts.description,
            parts.author,
            parts.code,
            parts.sha256,
            parts.parameters,
            parts.created.label("version_created"),
        )
        .join(strategy_versions, (parts.name == strategies.c.name) & (parts.version == strategies.c.version))
        .where(strategies.c.deleted.is_(None))
    )


def _stored(row: Mapping[str, Any]) -> Stored:
    newest = Version(
        row["name"],
        row["version"],
        row["description"],
        row["author"],
        row["code"],
        row["sha256"],
        row["parameters"],
        row["version_created"],
    )
    return Stored(row["name"], row["version"], row["metrics"], row["created"], row["changed"], newest)
