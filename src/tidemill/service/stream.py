"""`/stream`: a browser's connection piped to the bridge, byte for byte.

The HTTP protocol of the server looks at every upgrade. One to `/stream` leaves HTTP at once: its head
goes to `DIR/run/bridge.sock` and from then on bytes flow both ways, unparsed, at the pace of the slower side.
Everything else is served as usual, with a bound on heads and on the time they take.
"""

from __future__ import annotations

import asyncio
import os
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, cast

import httptools
from uvicorn.config import Config as ServerConfig
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tidemill.errors import DeadlineError, TidemillError, UpstreamError, UsageError
from tidemill.service import answer
from tidemill.service.observe import Metrics

PATH = b"/stream"
CONNECT_S = 2.0
HEAD_S = 12.0
# How long a client may still send what nobody will read: the rest of a body that was answered without it,
# messages to a bridge that has closed.
LINGER_S = 2.0
HEAD_BYTES_MAX = 64 << 10
# The bridge cuts a client that takes nothing for 30 s, with a last word for 3. While such a client keeps us
# from reading the bridge we hear nothing of that.
STALL_S = 35.0
BUFFER_BYTES = 256 << 10
# What the kernel holds for a client can be neither merged nor dropped: as little as at the bridge itself.
SEND_BUFFER_BYTES = 128 << 10
# A client's close frame: 1012, masked with zeros.
RESTART = b"\x88\x82\0\0\0\0" + (1012).to_bytes(2, "big")


class Front(HttpToolsProtocol):
    """One connection. `bridge` and `metrics` are set once per process, before the server starts."""

    bridge: ClassVar[Path]
    metrics: ClassVar[Metrics]

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_S, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._in_head:
            if self._head_bytes == 0 and self._deadline is None:
                self._deadline = self.loop.call_later(HEAD_S, self._head_late)
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[_offset(upgrade) :])
        except httptools.HttpParserError:
            self.send_400_response("what came is not HTTP/1.1")
        else:
            if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
                self._refuse_large_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._forget_deadline()
        # One that came in a single piece was never counted while it came.
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX:
            self._refuse_large_head()
            return
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self.send_400_response("the request's target is not a path")

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.cycle.more_body and self._deadline is None:
            self._deadline = self.loop.call_later(LINGER_S, self.transport.close)
        super().on_response_complete()

    def _upgrade(self, rest: bytes) -> None:
        if not self._should_upgrade():
            self._unsupported_upgrade_warning()
            return
        if self.url.split(b"?", 1)[0] != PATH:
            self.handle_websocket_upgrade()
            return
        self.connections.discard(self)
        head = [self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            head += [name, b": ", value, b"\r\n"]
        pipe = _Pipe(self.loop, self.transport, self.server_state, self.metrics)
        self.transport.set_protocol(pipe)
        pipe.open(self.bridge, b"".join([*head, b"\r\n", rest]))

    def send_400_response(self, msg: str) -> None:
        hint = "send HTTP/1.1 as RFC 9112 has it: ASCII, lines that end with CRLF, one Content-Length"
        self._refuse(UsageError("http_invalid", msg, hint=hint, http_status=400))

    def _refuse_large_head(self) -> None:
        self._refuse(
            UsageError(
                "head_too_large",
                f"the request's head is larger than {HEAD_BYTES_MAX} bytes",
                hint="send fewer or shorter headers",
                http_status=431,
            )
        )

    def _head_late(self) -> None:
        self._deadline = None
        if self._head_bytes:
            self._refuse(
                DeadlineError(
                    "head_slow",
                    f"the head did not come within {HEAD_S:g} s",
                    hint="send the whole head at once",
                    http_status=408,
                )
            )
        else:
            self.transport.close()

    def _forget_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, error: TidemillError) -> None:
        if self.transport.is_closing():
            return
        self.metrics.refused.labels(error.code).inc()
        self.transport.write(raw(error))
        self.transport.close()


class _Pipe(asyncio.Protocol):
    """The client's side; `_Bridge` is the other. One of the server's connections, so that a drain ends it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, client: asyncio.Transport, state: ServerState, metrics: Metrics
    ) -> None:
        self._loop = loop
        self._state = state
        self._metrics = metrics
        self._up = metrics.stream_bytes.labels("to_bridge")
        self._task: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.client = client
        self.bridge: asyncio.Transport | None = None

    def open(self, path: Path, head: bytes) -> None:
        # What the client sends before the bridge is there waits in the kernel.
        self.client.pause_reading()
        self.client.set_write_buffer_limits(high=BUFFER_BYTES)
        line = self.client.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._state.connections.add(cast(Any, self))
        self._metrics.streams.inc()
        self._task = self._loop.create_task(self._connect(path, head))

    async def _connect(self, path: Path, head: bytes) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await self._loop.create_unix_connection(lambda: _Bridge(self), os.fspath(path))
        except (OSError, TimeoutError) as error:
            self.client.write(raw(_unreachable(path, error)))
            self.client.close()
            return
        if self.client.is_closing():
            transport.abort()
            return
        self.bridge = transport
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        transport.write(head)
        self._up.inc(len(head))
        self.client.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.bridge is not None:
            self.bridge.write(data)
            self._up.inc(len(data))

    def eof_received(self) -> bool:
        if self.bridge is not None and self.bridge.can_write_eof():
            self.bridge.write_eof()
        return self._linger is None

    def pause_writing(self) -> None:
        if self._stall is None:
            self._stall = self._loop.call_later(STALL_S, self.client.abort)
        if self.bridge is not None:
            self.bridge.pause_reading()

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self.bridge is not None and not self.bridge.is_closing():
            self.bridge.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(cast(Any, self))
        self._metrics.streams.dec()
        if self._task is not None and not self._task.done():
            self._task.cancel()
        for timer in (self._linger, self._stall):
            if timer is not None:
                timer.cancel()
        if self.bridge is not None:
            self.bridge.close()

    def bridge_lost(self) -> None:
        """Passes on the bridge's last words. What the client still sends is read away for a while: a close
        over bytes that nobody read is a reset, which takes from the client what it has not read yet."""
        self.bridge = None
        if self.client.is_closing():
            return
        self._leave_soon()
        self.client.write_eof()
        self.client.resume_reading()

    def shutdown(self) -> None:
        """The server drains: the client hears 1012, connects again and goes on at its last position. It is
        the bridge that says so, in answer to a close from here: bytes of ours could fall into a frame."""
        if self.bridge is None or self.bridge.is_closing():
            self.client.close()
        else:
            self.bridge.write(RESTART)
        self._leave_soon()

    def _leave_soon(self) -> None:
        if self._linger is None:
            self._linger = self._loop.call_later(LINGER_S, self._leave)

    def _leave(self) -> None:
        """A close waits until everything is written: for a client that does not read, for ever."""
        if self.client.get_write_buffer_size():
            self.client.abort()
        else:
            self.client.close()


class _Bridge(asyncio.Protocol):
    def __init__(self, pipe: _Pipe) -> None:
        self._client = pipe.client
        self._pipe = pipe
        self._down = pipe._metrics.stream_bytes.labels("to_client")

    def data_received(self, data: bytes) -> None:
        self._client.write(data)
        self._down.inc(len(data))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if not self._client.is_closing():
            self._client.pause_reading()

    def resume_writing(self) -> None:
        if not self._client.is_closing():
            self._client.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipe.bridge_lost()


def raw(error: TidemillError) -> bytes:
    """An error as a whole HTTP/1.1 answer, for a connection that no route will see."""
    identity = answer.new_request_id()
    answer.request_id.set(identity)
    body = answer.encode(answer.shape(error))
    status = HTTPStatus(error.http_status)
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
        f"x-request-id: {identity}\r\nconnection: close\r\n\r\n"
    ).encode() + body


def _unreachable(path: Path, error: Exception) -> UpstreamError:
    return UpstreamError(
        "bridge_down",
        f"the bridge does not answer at {path.name}: {error or 'no answer in time'}",
        hint="it is started again by itself; `tidemill status` tells how it is",
        http_status=503,
    )


def _offset(upgrade: httptools.HttpParserUpgrade) -> int:
    """Where, in the piece just fed, the bytes after the head begin."""
    return int(upgrade.args[0]) if upgrade.args else 0
