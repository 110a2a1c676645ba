"""A WebSocket below the routes: how many pings, how much that is not taken, how long a close may last."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tidemill.service.websocket import SLOW, TOO_MUCH

PINGS_PER_S = 20
# Pongs that may wait for a client that takes none, with whatever else waits.
BUFFER_BYTES_MAX = 64 << 10
CLOSE_S = 2.0


class Frames(WebSocketsSansIOProtocol):
    """Anyone may ping, before they have said who they are: it must cost others nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.close_timeout = CLOSE_S
        self._second = float("-inf")
        self._pings = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, _Closing(self.transport, self.loop))

    def handle_ping(self) -> None:
        now = self.loop.time()
        if now - self._second > 1.0:
            self._second, self._pings = now, 0
        self._pings += 1
        if self.transport.is_closing():
            return
        if self._pings > PINGS_PER_S:
            self._cut(TOO_MUCH, "too_many_pings")
        elif self.transport.get_write_buffer_size() > BUFFER_BYTES_MAX:
            self._cut(SLOW, "client_slow")
        else:
            super().handle_ping()

    def _cut(self, code: int, reason: str) -> None:
        self.stop_keepalive()
        self.conn.fail(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()


class _Closing:
    """A transport whose close waits no longer than `CLOSE_S` for a client to take what was sent."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._transport.close()
        self._loop.call_later(CLOSE_S, self._transport.abort)
