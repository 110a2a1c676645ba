"""Control sockets: every part of a platform answers one JSON line with one JSON line at `DIR/run/<part>.ctl`.

Operations every part knows: `status`, `metrics`, `drain`; collectors also `configure`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
Handler = Callable[[Answer], Awaitable[Answer]]

LINE_BYTES_MAX = 1 << 20
# A peer that sends or takes nothing for so long is cut.
IDLE_S = 30.0


class Unreachable(Exception):
    """Nobody answered: the part is not running, or hangs."""


class Silent(Unreachable):
    """No answer in time: somebody holds the socket, and hangs or is busy."""


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
        raise Silent(f"no answer on {path.name} within {timeout_s:g} s") from None
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
        raise Silent(f"no answer on {path.name} within {timeout_s:g} s") from None
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


def same_user(peer: socket.socket) -> bool:
    """Whether the process at the other end is this user's or root's. Where the system does not tell, the
    socket's mode has to do."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _pid, user, _group = struct.unpack(
        "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return user in (0, os.geteuid())


class Server:
    """Serves a control socket, mode 0600, to this user (and root), until closed."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        # A part owns its socket by owning its home's lock; what lies here is left from a killed one.
        self._path.unlink(missing_ok=True)
        old = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=LINE_BYTES_MAX)
            self._inode = self._path.stat().st_ino
        finally:
            os.umask(old)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, TimeoutError):
            while same_user(writer.get_extra_info("socket")):
                async with asyncio.timeout(IDLE_S):
                    line = await reader.readline()
                if not line:
                    break
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                async with asyncio.timeout(IDLE_S):
                    await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            handler = self._handlers[request["op"]]
        except (ValueError, TypeError, KeyError, RecursionError):
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
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:  # else it is another's by now
                    self._path.unlink()
