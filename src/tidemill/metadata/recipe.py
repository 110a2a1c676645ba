"""Recipes of files, saved by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from tidemill import errors
from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import recipes


@dataclass(frozen=True)
class Saved:
    """A recipe as it is saved."""

    name: str
    recipe: dict[str, Any]
    changed: int
    """ns UTC."""
    actor: str


def every(connection: Connection) -> list[Saved]:
    """All of them, by name."""
    return [Saved(**row._mapping) for row in connection.execute(select(recipes).order_by(recipes.c.name))]


def one(connection: Connection, name: str) -> Saved:
    """Raises `NotFoundError` naming the nearest."""
    row = connection.execute(select(recipes).where(recipes.c.name == name)).first()
    if row is None:
        raise errors.unknown("recipe", name, connection.execute(select(recipes.c.name)).scalars())
    return Saved(**row._mapping)


def put(
    connection: Connection, name: str, recipe: dict[str, Any], *, actor: str, cause: str | None = None
) -> Saved:
    """Saves it under a name; what was there is replaced."""
    saved = Saved(name, recipe, now_ns(), actor)
    statement = insert(connection, recipes).values(
        name=name, recipe=recipe, changed=saved.changed, actor=actor
    )
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"recipe": new.recipe, "changed": new.changed, "actor": new.actor},
        )
    )
    event.append(connection, "recipe_saved", name, actor=actor, cause=cause)
    return saved


def drop(connection: Connection, name: str, *, actor: str, cause: str | None = None) -> None:
    """Forgets it. Raises `NotFoundError` where there is none."""
    one(connection, name)
    connection.execute(delete(recipes).where(recipes.c.name == name))
    event.append(connection, "recipe_deleted", name, actor=actor, cause=cause)
