"""Application events: what happened, in order, and what happens from now on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response, WebSocket

from tidemill.metadata import event
from tidemill.service import answer, instant, param, platform, schema
from tidemill.service import websocket as sockets
from tidemill.service.command import command

PAGE = 500
After = Annotated[int, Query(ge=0, le=2**62, description="id of the last event seen; 0 = from the beginning")]


@command("events", "GET", "/events", scope="platform", model=schema.Events)
async def events(
    request: Request,
    after: After = 0,
    limit: Annotated[int, param.Limit(100, 1000)] = 100,
    time: instant.As = "ns",
) -> Response:
    """Events after one, oldest first."""
    rows = await platform.of(request).read(lambda connection: event.after(connection, after, limit))
    return answer.json({"items": [show(row, time) for row in rows], "next": rows[-1].id if rows else after})


@command("events.follow", "WS", "/ws/events", scope="platform", base="")
async def follow(
    websocket: WebSocket,
    after: Annotated[
        str | None, Query(description="id of the last event seen; none = only what comes")
    ] = None,
) -> None:
    """Events after one, then each as it happens."""
    async with sockets.enter(websocket, "events.follow") as principal:
        service = platform.of(websocket)
        if after is None:
            position = await service.read(event.newest_id)
        else:
            position = _position(after)
        await sockets.send(websocket, {"type": "hello", "version": 1, "after": position})

        async def work() -> None:
            nonlocal position
            while True:
                for row in await service.follow.page(position, PAGE):
                    await sockets.send(websocket, {"type": "event", **show(row, "ns")})
                    position = row.id
                await service.follow.beyond(position)

        await sockets.attend(websocket, principal, work())


def show(row: event.Event, time: instant.TimeFormat) -> dict[str, Any]:
    """An event as it leaves."""
    return {
        "id": row.id,
        "ts": instant.show(row.ts, time),
        "actor": row.actor,
        "kind": row.kind,
        "subject": row.subject,
        "cause": row.cause,
        "data": row.data,
    }


def _position(text: str) -> int:
    from tidemill.errors import UsageError

    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise UsageError(
            "parameter_invalid",
            f"after={text[:64]!r} is not an event's id",
            hint="send the last id you have, or 0",
        )
    return int(text)
