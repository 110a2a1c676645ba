"""Rows that nobody has traded: what a model expects of an instrument. They are never among its bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, select

from tidemill.errors import ResourceError
from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import projections

ROWS_MAX = 50_000
"""Of one instrument and interval, of all sources."""


def put(
    connection: Connection, instrument: str, interval: str, source: str, rows: Iterable[Mapping[str, Any]]
) -> int:
    """Keeps rows (`ts` in ns; open, high, low, close, volume as decimal text) of a source; a row of the same
    `ts` is replaced. Returns how many came. Raises `ResourceError` `projections_full`."""
    mine = projections.c
    count = 0
    for row in rows:
        values = {name: value for name, value in row.items() if name != "ts"}
        statement = insert(connection, projections).values(
            instrument=instrument,
            interval=interval,
            source=source,
            ts=row["ts"],
            row=values,
            created=now_ns(),
        )
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["instrument", "interval", "source", "ts"],
                set_={"row": new.row, "created": new.created},
            )
        )
        count += 1
    kept = connection.execute(
        select(func.count()).where(mine.instrument == instrument, mine.interval == interval)
    ).scalar()
    if int(kept or 0) > ROWS_MAX:
        raise ResourceError(
            "projections_full",
            f"{instrument} {interval} would have more than {ROWS_MAX} projected rows",
            hint="delete what is over first",
        )
    return count


def beyond(
    connection: Connection, instrument: str, interval: str, ts: int, end: int | None, limit: int
) -> list[dict[str, Any]]:
    """Rows after `ts` and before `end`, ascending, then by source: ts, source and the values."""
    mine = projections.c
    query = select(mine.ts, mine.source, mine.row).where(
        mine.instrument == instrument, mine.interval == interval, mine.ts > ts
    )
    if end is not None:
        query = query.where(mine.ts < end)
    found = connection.execute(query.order_by(mine.ts, mine.source).limit(limit))
    return [{"ts": int(row.ts), "source": row.source, **row.row} for row in found]


def drop(connection: Connection, instrument: str, interval: str, source: str) -> int:
    """Deletes all rows of a source; returns how many."""
    mine = projections.c
    gone = delete(projections).where(
        mine.instrument == instrument, mine.interval == interval, mine.source == source
    )
    return connection.execute(gone).rowcount
