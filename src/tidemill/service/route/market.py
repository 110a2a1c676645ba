"""`/ws/market/{symbol}`: one instrument's trades, quotes, book and seconds, subscribed beforehand."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Path, WebSocket

from tidemill import errors
from tidemill.service import answer, platform
from tidemill.service import websocket as sockets
from tidemill.service.command import command
from tidemill.service.platform import Platform
from tidemill.service.websocket import Leave

CHANNELS = ("trades", "quotes", "book", "bars:1s", "status")
DEPTH = 20
QUEUE = 64
CONNECT_S = 2.0


@command("market.follow", "WS", "/ws/market/{symbol:path}", scope="data", base="")
async def follow(websocket: WebSocket, symbol: Annotated[str, Path(max_length=200)]) -> None:
    """One instrument as it moves: the messages of /stream."""
    async with sockets.enter(websocket, "market.follow") as principal:
        service = platform.of(websocket)
        instrument = await service.run(service.view.resolve, symbol)
        await sockets.attend(websocket, principal, _pipe(websocket, service, instrument))


@command("stream", "WS", "/stream", scope="data", base="")
async def stream(_websocket: WebSocket) -> None:
    """Market data of the bridge, piped byte for byte: subscribe, resume, conflate."""
    # `service.stream` takes these connections before any route sees them; this is their row in the table.


async def _pipe(websocket: WebSocket, service: Platform, instrument: str) -> None:
    from websockets.asyncio.client import unix_connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake

    path = str(service.home.socket("bridge.sock"))
    try:
        # The queue is small and the bridge cuts or conflates by its own rules: nothing is dropped here.
        connection = await unix_connect(
            path, "ws://127.0.0.1/stream", max_queue=QUEUE, proxy=None, open_timeout=CONNECT_S
        )
    except (OSError, InvalidHandshake) as error:  # no answer in time is an OSError too
        raise _down(error) from error
    try:
        async with connection as bridge:
            await bridge.send(answer.encode({"op": "auth", "ticket": service.keeper.own_ticket()}).decode())
            await bridge.send(
                answer.encode(
                    {
                        "op": "subscribe",
                        "id": 1,
                        "instruments": [instrument],
                        "venues": [],
                        "channels": list(CHANNELS),
                        "depth": DEPTH,
                    }
                ).decode()
            )
            async for message in bridge:
                await _pass_on(websocket, message)
    except (OSError, ConnectionClosed) as error:
        if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code == sockets.SLOW:
            # The cut with its positions came before, as on the stream itself.
            raise Leave(
                errors.DeadlineError(
                    "client_slow",
                    "the messages were not taken in time",
                    hint="connect again: take them faster",
                ),
                sockets.SLOW,
            ) from error
        raise _down(error) from error


async def _pass_on(websocket: WebSocket, message: str | bytes) -> None:
    try:
        async with asyncio.timeout(sockets.SEND_S):
            await websocket.send_text(message if isinstance(message, str) else message.decode())
    except TimeoutError:
        raise Leave(
            errors.DeadlineError("client_slow", f"a message was not taken within {sockets.SEND_S:g} s"),
            sockets.SLOW,
        ) from None


def _down(error: Exception) -> Leave:
    """1012: the bridge is started again; the client connects anew."""
    why = str(error) or "no answer in time"
    return Leave(
        errors.UpstreamError("bridge_down", f"the bridge does not answer: {why}", hint="connect again"), 1012
    )
