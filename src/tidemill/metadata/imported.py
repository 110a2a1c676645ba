"""Files that were imported: each once by its hash and recipe, with what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import imports


@dataclass(frozen=True)
class Import:
    """One file, read one way."""

    id: str
    name: str
    source: str
    hash: str
    recipe: dict[str, Any]
    created: int
    """ns UTC; `ts_recv` of every row, however often it was begun anew."""
    ended: int | None
    result: dict[str, Any] | None


def begin(
    connection: Connection,
    import_id: str,
    name: str,
    source: str,
    digest: str,
    recipe: dict[str, Any],
) -> Import:
    """The import of that id: a new one, or the one that was begun or made before."""
    connection.execute(
        insert(connection, imports)
        .values(id=import_id, name=name[:300], source=source, hash=digest, recipe=recipe, created=now_ns())
        .on_conflict_do_nothing(index_elements=["id"])
    )
    return Import(**connection.execute(select(imports).where(imports.c.id == import_id)).one()._mapping)


def end(connection: Connection, import_id: str, result: dict[str, Any], *, actor: str) -> None:
    """All of it is kept; with its event."""
    connection.execute(
        imports.update().where(imports.c.id == import_id).values(ended=now_ns(), result=result)
    )
    event.append(connection, "import_ended", import_id, actor=actor, data=result)


def page(connection: Connection, *, limit: int) -> list[Import]:
    """The newest ones."""
    found = connection.execute(select(imports).order_by(imports.c.created.desc(), imports.c.id).limit(limit))
    return [Import(**row._mapping) for row in found]
