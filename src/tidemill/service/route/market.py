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


@command("market.follow", "WS", "/ws/market/{symbol:path}", scope="data", base="")
async def follow(websocket: WebSocket, symbol: Annotated[str, Path(max_length=200)]) -> None:
    """One instrument as it moves: the messages of /stream."""
    async with sockets.enter(websocket, "market.follow") as principal:
        service = platform.of(websocket)
        instrument = await service.run(service.view.resolve, symbol)
        await sockets.attend(websocket, principal, _pipe(websocket, service, instrument))


async def _pipe(websocket: WebSocket, service: Platform, instrument: str) -> None:
    from websockets.asyncio.client import unix_connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake

    path = str(service.home.socket("bridge.sock"))
    try:
        # The queue is small and the bridge cuts or conflates by its own rules: nothing is dropped here.
        async with unix_connect(path, "ws://127.0.0.1/stream", max_queue=QUEUE, proxy=None) as bridge:
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
                async with asyncio.timeout(sockets.SEND_S):
                    await websocket.send_text(message if isinstance(message, str) else message.decode())
    except TimeoutError:
        raise Leave(
            errors.DeadlineError("client_slow", f"a message was not taken within {sockets.SEND_S:g} s"),
            sockets.SLOW,
        ) from None
    except (OSError, InvalidHandshake, ConnectionClosed) as error:
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
        # 1012: the bridge is started again; the client connects anew.
        raise Leave(
            errors.UpstreamError("bridge_down", f"the bridge does not answer: {error}", hint="connect again"),
            1012,
        ) from error
