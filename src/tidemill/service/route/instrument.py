"""Instruments this home knows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from tidemill.service import answer, cursor, instant, param, platform, schema
from tidemill.service.command import command


@command("instruments", "GET", "/instruments", scope="data", model=schema.Instruments)
async def instruments(
    request: Request,
    venue: param.Venue = None,
    q: Annotated[str | None, Query(max_length=100, description="part of the name, in any case")] = None,
    limit: Annotated[int, param.Limit(200, 2000)] = 200,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Instruments by name; those that were fetched or imported are `stored`."""
    service = platform.of(request)
    key = cursor.read(service.keeper, "instruments", (venue, q), cursor_)
    known = await service.run(service.view.listed)
    wanted = (q or "").casefold().replace("/", "-")
    names = sorted(
        name
        for name, row in known.items()
        if (venue is None or row["venue"] == venue)
        and wanted in name.casefold()
        and (key is None or name > str(key[0]))
    )
    following = None
    if len(names) > limit:
        names = names[:limit]
        following = cursor.make(service.keeper, "instruments", (venue, q), [names[-1]])
    return answer.json({"items": [show(known[name], time) for name in names], "next": following})


def show(row: dict[str, Any], time: instant.TimeFormat) -> dict[str, Any]:
    """An instrument as it leaves."""
    last = row.get("last")
    return {
        "instrument": row["instrument"],
        "venue": row["venue"],
        "symbol": row.get("symbol", ""),
        "base": row.get("base", ""),
        "quote": row.get("quote", ""),
        "tick": _text(row.get("tick")),
        "lot": _text(row.get("lot")),
        "price_scale": row.get("price_scale", 0),
        "size_scale": row.get("size_scale", 0),
        "status": row.get("status", ""),
        "last": {"price": str(last["price"]), "ts_event": instant.show(int(last["ts_event"]), time)}
        if last
        else None,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
