"""What is stored: one dataset per instrument and kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response

from tidemill import errors
from tidemill.service import answer, cursor, instant, param, platform, schema
from tidemill.service.command import command

Kind = Literal["trades", "quotes", "levels", "bars"]


@command("datasets", "GET", "/datasets", scope="data", model=schema.Datasets)
async def datasets(
    request: Request,
    venue: param.Venue = None,
    kind: Annotated[Kind | None, Query()] = None,
    limit: Annotated[int, param.Limit(200, 2000)] = 200,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Stored datasets by id."""
    service = platform.of(request)
    key = cursor.read(service.keeper, "datasets", (venue, kind), cursor_)
    rows = [
        row
        for row in (await service.run(service.view.datasets)).values()
        if (venue is None or row["venue"] == venue)
        and (kind is None or row["kind"] == kind)
        and (key is None or row["id"] > str(key[0]))
    ]
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursor.make(service.keeper, "datasets", (venue, kind), [rows[-1]["id"]])
    return answer.json({"items": [show(row, time) for row in rows], "next": following})


@command("datasets.show", "GET", "/datasets/{id}", scope="data", model=schema.Dataset)
async def dataset(
    request: Request, dataset_id: Annotated[str, Path(alias="id", max_length=200)], time: instant.As = "ns"
) -> Response:
    """One dataset."""
    service = platform.of(request)
    rows = await service.run(service.view.datasets)
    if dataset_id not in rows:
        raise errors.unknown("dataset", dataset_id[:200], rows)
    return answer.json(show(rows[dataset_id], time))


def show(row: dict[str, Any], time: instant.TimeFormat) -> dict[str, Any]:
    """A dataset as it leaves."""
    return {
        "id": row["id"],
        "instrument": row["instrument"],
        "venue": row["venue"],
        "kind": row["kind"],
        "rows": row.get("rows"),
        "start": instant.show(row.get("start"), time),
        "end": instant.show(row.get("end"), time),
        "bytes": row.get("bytes"),
        "complete": bool(row.get("complete", False)),
        "status": str(row.get("status", "")),
    }
