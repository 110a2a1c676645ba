"""The wanted state of collectors: who should run, with which instruments. The supervisor follows it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from tidemill.errors import ConflictError
from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import collectors
from tidemill.model.collector import SIM_PREFIX, Collector


def every(connection: Connection, *, wanted: bool | None = None) -> list[Collector]:
    """All collectors ever asked for, by name; with `wanted` only those in that state."""
    query = select(collectors).order_by(collectors.c.name)
    if wanted is not None:
        query = query.where(collectors.c.wanted == wanted)
    return [_collector(row._mapping) for row in connection.execute(query)]


def one(connection: Connection, name: str) -> Collector | None:
    """The collector of that name, or None."""
    row = connection.execute(select(collectors).where(collectors.c.name == name)).one_or_none()
    return None if row is None else _collector(row._mapping)


def want(
    connection: Connection, collector: Collector, *, actor: str, cause: str | None = None
) -> tuple[Collector, bool]:
    """Makes `collector` the wanted state; returns it and whether that changed anything.

    A change writes the event `collector_started`, or `collector_configured` when it was wanted already.
    Raises `ConflictError` for another protocol than the venue speaks.
    """
    before = one(connection, collector.name)
    _require_same_protocol(before, collector)
    row = {
        "name": collector.name,
        "protocol": collector.protocol,
        "url": collector.url,
        "rest_url": collector.rest_url,
        "instruments": list(collector.instruments),
        "wanted": True,
        "owner": before.owner if before else collector.owner,
        "changed": now_ns(),
    }
    after = _collector(row)
    if before is not None and _same(before, after):
        return before, False
    statement = insert(connection, collectors).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={key: statement.excluded[key] for key in row if key != "name"}
        )
    )
    event.append(
        connection,
        "collector_configured" if before and before.wanted else "collector_started",
        collector.name,
        actor=actor,
        cause=cause,
        data={"protocol": after.protocol, "instruments": list(after.instruments)},
    )
    return after, True


def unwant(connection: Connection, name: str, *, actor: str, cause: str | None = None) -> bool:
    """Marks a collector as not wanted; False when it was not wanted anyway."""
    before = one(connection, name)
    if before is None or not before.wanted:
        return False
    connection.execute(
        collectors.update().where(collectors.c.name == name).values(wanted=False, changed=now_ns())
    )
    event.append(connection, "collector_stopped", name, actor=actor, cause=cause)
    return True


def _require_same_protocol(before: Collector | None, asked: Collector) -> None:
    """A venue has one journal and one place in the lake: what speaks otherwise must not get into them."""
    if not asked.possible:
        spoken = asked.name.removeprefix(SIM_PREFIX)
        hint = f"the simulator plays {SIM_PREFIX}{asked.protocol} with that protocol"
    elif before is not None and before.polled != asked.polled:
        return  # its journal is the same, whether it is asked or tells by itself
    elif before is not None and before.possible and before.protocol != asked.protocol:
        spoken, hint = before.protocol, "give the other one a name of its own"
    else:
        return
    raise ConflictError(
        "protocol_fixed",
        f"{asked.name} was asked to speak {asked.protocol}, and it is a venue of {spoken}",
        hint=hint,
    )


def _same(a: Collector, b: Collector) -> bool:
    return (a.protocol, a.url, a.rest_url, a.instruments, a.wanted) == (
        b.protocol,
        b.url,
        b.rest_url,
        b.instruments,
        b.wanted,
    )


def _collector(row: Any) -> Collector:
    return Collector(**{**row, "instruments": tuple(row["instruments"])})
