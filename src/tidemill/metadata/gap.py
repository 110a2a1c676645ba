"""The gap ledger: every known hole, once, by the position of the record that opened it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, or_, select

from tidemill.metadata.dialect import insert
from tidemill.metadata.table import gaps
from tidemill.model.gap import Gap

STATES = ("open", "filled", "unfillable")
_LEARNED = ("ended_at", "ts_event_end", "missing", "state", "venue_sequence_open", "venue_sequence_end")
"""What may be known of a hole later than its opening."""


@dataclass(frozen=True)
class Entry(Gap):
    """A hole as the ledger numbers it."""

    id: int = 0


def merge(connection: Connection, found: Iterable[Gap]) -> int:
    """Adds what is new and closes what has ended since; returns how many rows changed."""
    changed = 0
    for gap in found:
        row = {**gap.as_dict(), "instrument": gap.instrument or ""}
        statement = insert(connection, gaps).values(row)
        new = statement.excluded
        kept = statement.on_conflict_do_update(
            index_elements=["venue", "epoch", "sequence", "instrument", "channel"],
            set_={key: new[key] for key in _LEARNED},
            where=or_(*(gaps.c[key].is_distinct_from(new[key]) for key in _LEARNED)),
        )
        changed += len(connection.execute(kept.returning(gaps.c.id)).all())
    return changed


def page(
    connection: Connection,
    *,
    limit: int,
    venue: str | None = None,
    instrument: str | None = None,
    state: str | None = None,
    before: tuple[int, int] | None = None,
) -> list[Entry]:
    """Newest first; `before` is the (opened_at, id) of the last row of the page before. With `instrument`
    also those of its whole venue: name that too."""
    query = select(gaps).order_by(gaps.c.opened_at.desc(), gaps.c.id.desc()).limit(limit)
    if venue is not None:
        query = query.where(gaps.c.venue == venue)
    if instrument is not None:
        query = query.where(gaps.c.instrument.in_((instrument, "")))
    if state is not None:
        query = query.where(gaps.c.state == state)
    if before is not None:
        opened_at, row_id = before
        query = query.where(
            or_(gaps.c.opened_at < opened_at, and_(gaps.c.opened_at == opened_at, gaps.c.id < row_id))
        )
    rows = []
    for row in connection.execute(query):
        values = dict(row._mapping)
        rows.append(Entry(**{**values, "instrument": values["instrument"] or None}))
    return rows


def count_since(connection: Connection, since: int) -> dict[str, int]:
    """Gaps per venue that opened at or after `since` (ns UTC)."""
    rows = connection.execute(
        select(gaps.c.venue, func.count()).where(gaps.c.opened_at >= since).group_by(gaps.c.venue)
    )
    return {str(venue): int(count) for venue, count in rows}


def count_open(connection: Connection) -> dict[str, int]:
    """Gaps per venue that go on: nothing came after them yet."""
    rows = connection.execute(
        select(gaps.c.venue, func.count()).where(gaps.c.ended_at.is_(None)).group_by(gaps.c.venue)
    )
    return {str(venue): int(count) for venue, count in rows}
