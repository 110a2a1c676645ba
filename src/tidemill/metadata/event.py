"""Application events: appended with the change they tell of, read in order by everyone who follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select

from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import tell
from tidemill.metadata.table import events

# What is kept: so many, of so long. A follower that comes later than that gets what there is.
EVENTS_MAX = 100_000
AGE_NS_MAX = 90 * 86_400 * 1_000_000_000


@dataclass(frozen=True)
class Event:
    """One thing that happened. `ts` is ns UTC; `cause` is the request or fault behind it."""

    id: int
    ts: int
    actor: str
    kind: str
    subject: str
    cause: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def append(
    connection: Connection,
    kind: str,
    subject: str,
    *,
    actor: str,
    cause: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> int:
    """Writes an event in the caller's transaction and returns its id."""
    row = {
        "ts": now_ns(),
        "actor": actor,
        "kind": kind,
        "subject": subject,
        "cause": cause,
        "data": dict(data or {}),
    }
    key = connection.execute(insert(events).values(row)).inserted_primary_key
    assert key is not None  # noqa: S101 - an insert of one row has one key
    tell(connection)
    return int(key[0])


def after(connection: Connection, event_id: int, limit: int) -> list[Event]:
    """Events with a higher id, oldest first."""
    rows = connection.execute(select(events).where(events.c.id > event_id).order_by(events.c.id).limit(limit))
    return [Event(*row) for row in rows]


def newest_id(connection: Connection) -> int:
    """The id of the newest event, 0 when there is none."""
    return int(connection.execute(select(func.max(events.c.id))).scalar() or 0)


def trim(connection: Connection) -> int:
    """Deletes what is beyond `EVENTS_MAX` or older than `AGE_NS_MAX`; returns how many."""
    beyond = events.c.id <= newest_id(connection) - EVENTS_MAX
    old = events.c.ts < now_ns() - AGE_NS_MAX
    return connection.execute(delete(events).where(or_(beyond, old))).rowcount
