"""WebSocket servers that send every message to every client, as processes.

    python -m benches.peer.websocket fastapi RATE SECONDS     a plain loop over the clients, under uvicorn
    python -m benches.peer.websocket picows RATE SECONDS

Says its port, then waits for a line; then sends RATE messages a second (0: as fast as it goes) for
SECONDS, each the text of a trade with the time it was made, says how many, and waits for another line.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable

SUBSCRIBED = '{"type":"subscribed"}'
BUFFERED_MAX = 1 << 16


def trade(n: int) -> str:
    """What our bridge sends for a trade, made now."""
    now = time.time_ns()
    return (
        f'{{"prev":{n},"id":1,"type":"trade","venue":"sim-load","instrument":"C0-USD.sim-load","sequence":{n},"epoch":1,'
        f'"price":"64231.5","size":"0.0114","aggressor":"buy","trade_id":"{n}","ts_event":"{now}","ts_recv":"{now}"}}'
    )


async def hear() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def publish(send: Callable[[str], Awaitable[None]], rate: int, seconds: float) -> int:
    """How many messages were sent to all."""
    start, n = time.monotonic(), 0
    while (now := time.monotonic()) - start < seconds:
        if rate and n > (now - start) * rate:
            await asyncio.sleep(start + n / rate - now)
            continue
        await send(trade(n))
        n += 1
    return n


async def serve(send: Callable[[str], Awaitable[None]], port: int, rate: int, seconds: float) -> None:
    print(json.dumps({"port": port}), flush=True)
    await hear()
    print(json.dumps({"sent": await publish(send, rate, seconds)}), flush=True)
    await hear()


def listening() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(4096)
    return server


async def fastapi(rate: int, seconds: float) -> None:
    import uvicorn
    from fastapi import FastAPI, WebSocket

    app = FastAPI()
    clients: list[WebSocket] = []

    async def stream(client: WebSocket) -> None:
        await client.accept()
        await client.receive_text()
        await client.send_text(SUBSCRIBED)
        clients.append(client)
        await asyncio.Event().wait()

    # Given outright: annotations inside a function are text that FastAPI cannot resolve.
    stream.__annotations__["client"] = WebSocket
    app.add_api_websocket_route("/stream", stream)

    async def send(text: str) -> None:
        for client in clients:
            await client.send_text(text)

    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws_ping_interval=None)
    server, place = uvicorn.Server(config), listening()
    serving = asyncio.create_task(server.serve([place]))
    await serve(send, place.getsockname()[1], rate, seconds)
    server.should_exit = server.force_exit = True
    serving.cancel()


async def picows(rate: int, seconds: float) -> None:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

    clients: list[WSTransport] = []

    class Client(WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                transport.send(WSMsgType.TEXT, SUBSCRIBED.encode())
                clients.append(transport)

    def client(_: WSUpgradeRequest) -> Client:
        return Client()

    async def send(text: str) -> None:
        payload = text.encode()
        for client in clients:
            client.send(WSMsgType.TEXT, payload)
        await asyncio.sleep(0)
        while clients[-1].underlying_transport.get_write_buffer_size() > BUFFERED_MAX:
            await asyncio.sleep(0.001)

    place = listening()
    server = await ws_create_server(client, sock=place)
    await serve(send, place.getsockname()[1], rate, seconds)
    server.close()


def main() -> None:
    import uvloop

    kind, rate, seconds = sys.argv[1:]
    part = {"fastapi": fastapi, "picows": picows}[kind]
    uvloop.run(part(int(rate), float(seconds)))


if __name__ == "__main__":
    main()
