"""Dated facts of instruments, each as its source told it and when: nothing is changed, only added."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import facts
from tidemill.model import fact as model
from tidemill.model.fact import Fact

_VALUES = ("ratio", "amount", "factor", "currency", "symbol", "zone")


def add(connection: Connection, found: Iterable[Fact], *, actor: str, cause: str | None = None) -> int:
    """Adds facts with an event; returns how many are new. One that a source has told before, in the same
    words, is the same fact."""
    new = 0
    names: set[str] = set()
    for one in found:
        if _told(connection, one):
            continue
        values = {name: getattr(one, name) for name in _VALUES if getattr(one, name) is not None}
        done = connection.execute(
            insert(connection, facts)
            .values(
                instrument=one.instrument, kind=one.kind, date=one.date, source=one.source,
                ts_known=one.ts_known, value=values, void=one.void, created=now_ns(),
            )
            .on_conflict_do_nothing(index_elements=["instrument", "kind", "date", "source", "ts_known"])
        )  # fmt: skip
        new += done.rowcount
        names |= {one.instrument} if done.rowcount else set()
    for name in sorted(names):
        event.append(connection, "facts_added", name, actor=actor, cause=cause)
    return new


def _told(connection: Connection, one: Fact) -> bool:
    """Whether the newest that the source has said of it by then is just this."""
    by_then = [
        fact
        for fact in every(connection, one.instrument)
        if (fact.kind, fact.date, fact.source) == (one.kind, one.date, one.source)
        and fact.ts_known <= one.ts_known
    ]
    if not by_then:
        return False
    last = max(by_then, key=lambda fact: fact.ts_known)
    return all(getattr(last, name) == getattr(one, name) for name in (*_VALUES, "void"))


def every(connection: Connection, instrument: str) -> list[Fact]:
    """All that was ever told of an instrument, by date and time of knowing."""
    statement = select(facts).where(facts.c.instrument == instrument).order_by(facts.c.date, facts.c.ts_known)
    return [
        Fact(
            row.instrument, row.kind, row.date, row.ts_known, row.source,
            **{name: row.value[name] for name in _VALUES if name in row.value}, void=row.void,
        )
        for row in connection.execute(statement)
    ]  # fmt: skip


def known(connection: Connection, instrument: str, *, known_at: int | None = None) -> list[Fact]:
    """What counts at a time (ns UTC; None: now and later), by date."""
    return model.known(every(connection, instrument), known_at)
