"""Control sockets: every part of a platform answers one JSON line with one JSON line at `DIR/run/<part>.ctl`.

Operations every part knows: `status`, `metrics`, `drain`; collectors also `configure`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
Handler = Callable[[Answer], Awaitable[Answer]]

LINE_BYTES_MAX = 1 << 20


class Unreachable(Exception):
    """Nobody answered: the part is not running, or hangs."""


async def ask(path: Path, op: str, *, timeout_s: float = 1.0, **fields: Any) -> Answer:
    """One answer of the part behind the socket at `path`. Raises `Unreachable` with the reason."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_BYTES_MAX)
            try:
                writer.write(_line(op, fields))
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        raise Unreachable(f"no answer on {path.name} within {timeout_s:g} s") from None
    except (OSError, ValueError) as error:
        raise Unreachable(f"{path.name}: {error}") from error
    return _answer(path, line)


def ask_now(path: Path, op: str, *, timeout_s: float = 1.0, **fields: Any) -> Answer:
    """`ask` for code without an event loop."""
    line = b""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout_s)
            client.connect(str(path))
            client.sendall(_line(op, fields))
            while not line.endswith(b"\n") and (read := client.recv(1 << 16)):
                line += read
    except TimeoutError:
        raise Unreachable(f"no answer on {path.name} within {timeout_s:g} s") from None
    except OSError as error:
        raise Unreachable(f"{path.name}: {error}") from error
    return _answer(path, line)


def _line(op: str, fields: Answer) -> bytes:
    return json.dumps({"op": op, **fields}).encode() + b"\n"


def _answer(path: Path, line: bytes) -> Answer:
    try:
        answer = json.loads(line)
    except json.JSONDecodeError:
        raise Unreachable(f"{path.name} closed without an answer") from None
    if not isinstance(answer, dict):
        raise Unreachable(f"{path.name} answered {type(answer).__name__}, not an object")
    return answer


class Server:
    """Serves a control socket, mode 0600, until closed."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        # A part owns its socket by owning its home's lock; what lies here is left from a killed one.
        self._path.unlink(missing_ok=True)
        old = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=LINE_BYTES_MAX)
        finally:
            os.umask(old)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            handler = self._handlers[request["op"]]
        except (ValueError, TypeError, KeyError):
            have = ", ".join(sorted(self._handlers))
            return {
                "error": {
                    "code": "unknown_op",
                    "category": "usage",
                    "message": f"the control socket got {line[:80]!r}; it knows: {have}",
                    "hint": 'send one JSON line such as {"op":"status"}',
                    "retryable": False,
                }
            }
        return await handler(request)

    async def close(self) -> None:
        if self._server:
            self._server.close()
            self._path.unlink(missing_ok=True)
