"""Settings that are changed while the platform runs; everything else is in tidemill.toml or environment."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import settings


def get(connection: Connection, key: str) -> Any:
    """The value, or None when it was never set."""
    return connection.execute(select(settings.c.value).where(settings.c.key == key)).scalar()


def put(connection: Connection, key: str, value: Any, *, actor: str, cause: str | None = None) -> None:
    """Sets a value, with its event. The event names the key and not the value, which may be private."""
    keep(connection, key, value, actor=actor)
    event.append(connection, "setting_changed", key, actor=actor, cause=cause)


def keep(connection: Connection, key: str, value: Any, *, actor: str) -> None:
    """Sets a value that nobody chose, such as how far some work has come: of that there is no event."""
    statement = insert(connection, settings).values(key=key, value=value, changed=now_ns(), actor=actor)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["key"], set_={"value": new.value, "changed": new.changed, "actor": new.actor}
        )
    )
