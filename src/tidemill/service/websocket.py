"""What all WebSockets share: entering with cookie, Bearer or ticket, one error shape, a stated end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from tidemill import errors
from tidemill.service import answer, param, platform
from tidemill.service.auth import Principal, refused
from tidemill.service.command import REGISTRY
from tidemill.service.guard import refuse

AUTH_S = 5.0
CHECK_S = 2.0
SEND_S = 10.0
MESSAGE_BYTES_MAX = 16 << 10
MESSAGES_PER_S = 20
# Close codes beyond the protocol's own; docs/api.md lists them.
UNAUTHENTICATED, WRONG, TOO_MUCH, SLOW = 4401, 4422, 4429, 4008

Handle = Callable[[Mapping[str, Any]], Awaitable[None]]


class Leave(Exception):
    """Ends a connection with an error message and a close code."""

    def __init__(self, error: errors.TidemillError, code: int) -> None:
        super().__init__(error.code)
        self.error = error
        self.code = code


async def send(socket: WebSocket, value: Any) -> None:
    """One JSON message. A client that does not take it in time is left: it knows where to go on."""
    try:
        async with asyncio.timeout(SEND_S):
            await socket.send_text(answer.encode(value).decode())
    except TimeoutError:
        raise Leave(
            errors.DeadlineError("client_slow", f"a message was not taken within {SEND_S:g} s"), SLOW
        ) from None


@contextlib.asynccontextmanager
async def enter(socket: WebSocket, command_id: str) -> AsyncIterator[Principal]:
    """Accepts a connection and yields who it is, then ends it in order whatever happened inside.

    Refuses the handshake for unknown parameters. A client without cookie or Bearer sends
    `{"op":"auth","ticket":…}` first.
    """
    try:
        param.known_query(socket, REGISTRY[command_id].query)
    except errors.TidemillError as error:
        await refuse(error, socket.scope, socket.receive, socket.send)
        return
    await socket.accept()
    try:
        principal = param.caller(socket) or await _ticket(socket)
        if REGISTRY[command_id].scope not in principal.scopes:
            raise Leave(refused(), UNAUTHENTICATED)
        yield principal
    except Leave as leave:
        await _end(socket, leave.code, leave.error)
    except errors.TidemillError as error:
        await _end(socket, UNAUTHENTICATED if isinstance(error, errors.AuthError) else WRONG, error)
    except (WebSocketDisconnect, RuntimeError) as gone:
        # Starlette says RuntimeError for a send after the client has gone; anything else is a bug.
        if isinstance(gone, RuntimeError) and socket.client_state is not WebSocketState.DISCONNECTED:
            raise
    else:
        await _end(socket, 1000, None)


async def attend(
    socket: WebSocket, principal: Principal, work: Awaitable[None], handle: Handle | None = None
) -> None:
    """Runs `work` until it ends, the client leaves, or its session does; answers pings meanwhile."""
    tasks = [
        asyncio.ensure_future(work),
        asyncio.ensure_future(_listen(socket, handle)),
        asyncio.ensure_future(_recheck(socket, principal)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(socket: WebSocket, handle: Handle | None) -> None:
    loop = asyncio.get_running_loop()
    second, count = loop.time(), 0
    while True:
        message = await _message(socket)
        if loop.time() - second > 1.0:
            second, count = loop.time(), 0
        count += 1
        if count > MESSAGES_PER_S:
            raise Leave(
                errors.RateLimitError(
                    "too_many_messages", f"more than {MESSAGES_PER_S} messages came in a second"
                ),
                TOO_MUCH,
            )
        if message.get("op") == "ping":
            await send(socket, {"type": "pong", "id": message.get("id")})
        elif handle is not None:
            await handle(message)
        else:
            raise Leave(
                errors.UsageError(
                    "op_unknown", f"op {str(message.get('op'))[:64]!r} is not known here; have: ping"
                ),
                WRONG,
            )


async def _recheck(socket: WebSocket, principal: Principal) -> None:
    service = platform.of(socket)
    while True:
        await asyncio.sleep(CHECK_S)
        if not await service.run(service.keeper.holds, principal):
            raise Leave(refused("the session has ended; sign in again"), UNAUTHENTICATED)


async def _ticket(socket: WebSocket) -> Principal:
    try:
        async with asyncio.timeout(AUTH_S):
            message = await _message(socket)
    except TimeoutError:
        raise Leave(refused(f"send an auth message within {AUTH_S:g} s"), UNAUTHENTICATED) from None
    ticket = message.get("ticket")
    principal = None
    if message.get("op") == "auth" and isinstance(ticket, str):
        service = platform.of(socket)
        principal = await service.run(service.keeper.ticket, ticket)
    if principal is None:
        raise Leave(
            refused('send {"op":"auth","ticket":…} first; POST /api/v1/stream/ticket gives one'),
            UNAUTHENTICATED,
        )
    return principal


async def _message(socket: WebSocket) -> Mapping[str, Any]:
    event = await socket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1005), event.get("reason"))
    data = event.get("text")
    try:
        if data is None or len(data) > MESSAGE_BYTES_MAX:
            raise ValueError
        message = orjson.loads(data)
        if not isinstance(message, dict):
            raise ValueError
    except ValueError:
        raise Leave(
            errors.UsageError(
                "message_invalid",
                f"a message was not one JSON object of at most {MESSAGE_BYTES_MAX} bytes",
                hint='send text such as {"op":"ping","id":1}',
            ),
            WRONG,
        ) from None
    return message


async def _end(socket: WebSocket, code: int, error: errors.TidemillError | None) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(1.0):
            if error is not None:
                await socket.send_text(answer.encode({"type": "error", **answer.shape(error)}).decode())
            await socket.close(code, error.code if error else None)
