"""The gap ledger."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from tidemill.metadata import gap
from tidemill.model.instrument import venue_of
from tidemill.service import answer, cursor, instant, param, platform, schema
from tidemill.service.command import command


@command("gaps", "GET", "/gaps", scope="data", model=schema.Gaps)
async def gaps(
    request: Request,
    venue: param.Venue = None,
    instrument: Annotated[
        str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="with those of its whole venue")
    ] = None,
    state: Annotated[schema.GapState | None, Query()] = None,
    limit: Annotated[int, param.Limit(100, 1000)] = 100,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Known holes in what was collected, newest first."""
    service = platform.of(request)
    filters = (venue, instrument, state)
    key = cursor.read(service.keeper, "gaps", filters, cursor_)
    before = (int(key[0]), int(key[1])) if key else None
    if instrument is not None and venue is None:
        venue = venue_of(instrument)
    rows = await service.read(
        lambda connection: gap.page(
            connection, limit=limit + 1, venue=venue, instrument=instrument, state=state, before=before
        )
    )
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursor.make(service.keeper, "gaps", filters, [rows[-1].opened_at, rows[-1].id])
    return answer.json({"items": [show(row, time) for row in rows], "next": following})


def show(row: gap.Entry, time: instant.TimeFormat) -> dict[str, Any]:
    """A row of the ledger as it leaves."""
    return {
        "id": row.id,
        "venue": row.venue,
        "instrument": row.instrument,
        "channel": row.channel,
        "cause": row.cause,
        "opened_at": instant.show(row.opened_at, time),
        "ended_at": instant.show(row.ended_at, time),
        "ts_event_open": instant.show(row.ts_event_open, time),
        "ts_event_end": instant.show(row.ts_event_end, time),
        "missing": row.missing,
        "state": row.state,
        "epoch": row.epoch,
        "sequence": row.sequence,
        "venue_sequence_open": None if row.venue_sequence_open is None else str(row.venue_sequence_open),
        "venue_sequence_end": None if row.venue_sequence_end is None else str(row.venue_sequence_end),
    }
