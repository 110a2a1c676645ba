"""What people say of datasets, and who follows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import datasets, subscriptions

EDITABLE = ("description", "category", "licence", "retention_days")


@dataclass(frozen=True)
class Entry:
    """One dataset. What nobody has said is None."""

    id: str
    description: str | None = None
    category: str | None = None
    licence: str | None = None
    retention_days: int | None = None
    """None is for ever."""
    accessed: int | None = None
    """When rows of it were asked for last, ns."""
    changed: int | None = None


def every(connection: Connection) -> dict[str, Entry]:
    """All entries by id."""
    return {row.id: Entry(*row) for row in connection.execute(select(datasets))}


def edit(
    connection: Connection, dataset: str, changes: Mapping[str, Any], *, actor: str, cause: str | None = None
) -> None:
    """Changes some of `EDITABLE`, with an event `dataset_changed`."""
    _put(connection, dataset, {**changes, "changed": now_ns()})
    event.append(
        connection, "dataset_changed", dataset, actor=actor, cause=cause, data={"fields": sorted(changes)}
    )


def touch(connection: Connection, accessed: Mapping[str, int]) -> None:
    """Keeps when datasets were asked for."""
    for dataset, ts in sorted(accessed.items()):
        _put(connection, dataset, {"accessed": ts})


def _put(connection: Connection, dataset: str, values: Mapping[str, Any]) -> None:
    statement = insert(connection, datasets).values(id=dataset, **values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"], set_={name: statement.excluded[name] for name in values}
        )
    )


def forget(
    connection: Connection, dataset: str, *, actor: str, cause: str | None = None, rows: int = 0
) -> None:
    """Lets go of what was said of a dataset that is deleted, with an event `dataset_deleted`."""
    connection.execute(delete(datasets).where(datasets.c.id == dataset))
    connection.execute(delete(subscriptions).where(subscriptions.c.dataset == dataset))
    event.append(connection, "dataset_deleted", dataset, actor=actor, cause=cause, data={"rows": rows})


def subscribe(connection: Connection, dataset: str, subject: str) -> bool:
    """Makes `subject` a follower; False where it was one."""
    statement = insert(connection, subscriptions).values(dataset=dataset, subject=subject, created=now_ns())
    done = connection.execute(
        statement.on_conflict_do_nothing(index_elements=["dataset", "subject"]).returning(
            subscriptions.c.dataset
        )
    )
    return bool(done.all())


def unsubscribe(connection: Connection, dataset: str, subject: str) -> bool:
    """Ends it; False where there was nothing to end."""
    gone = delete(subscriptions).where(subscriptions.c.dataset == dataset, subscriptions.c.subject == subject)
    return bool(connection.execute(gone).rowcount)


def subscribed(connection: Connection, subject: str | None = None) -> set[str]:
    """Datasets that somebody follows, or that `subject` does."""
    query = select(subscriptions.c.dataset)
    if subject is not None:
        query = query.where(subscriptions.c.subject == subject)
    return set(connection.execute(query).scalars())


def any_kept_for(connection: Connection) -> bool:
    """Whether some dataset is not kept for ever."""
    found = select(datasets.c.id).where(datasets.c.retention_days.is_not(None)).limit(1)
    return connection.execute(found).first() is not None


def kept_for(entries: Iterable[Entry]) -> dict[str, int]:
    """Days of those that are not kept for ever."""
    return {entry.id: entry.retention_days for entry in entries if entry.retention_days is not None}
