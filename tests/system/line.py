"""What stands between a client and its venue: a forwarder, TLS in front of it, a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Address = tuple[str, int]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError):
        target.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Address, first: bytes = b""
) -> None:
    """Passes bytes both ways until either side ends, `first` before all others."""
    try:
        far_reader, far_writer = await asyncio.open_connection(*target)
    except OSError:
        writer.close()
        return
    far_writer.write(first)
    await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))


@contextlib.contextmanager
def served(
    serve: Serve, listen: Address = ("127.0.0.1", 0), tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server in a thread of its own; yields its port."""
    loop = asyncio.new_event_loop()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, *listen, ssl=tls)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    # A client that refuses our certificate is an error here, and just what some tests are for.
    loop.set_exception_handler(lambda _loop, _context: None)
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


@contextlib.contextmanager
def forwarder(
    target: Address, tls: ssl.SSLContext | None = None, listen: Address = ("127.0.0.1", 0)
) -> Iterator[int]:
    """Passes connections on to `target`, taking TLS off where it is given."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, target)

    with served(serve, listen, tls) as port:
        yield port


@dataclass
class Proxy:
    """An HTTP proxy: tunnels, and plain requests. `hosts` says where a name leads; others get 403."""

    hosts: dict[str, Address]
    authorization: str | None = None
    # What it was asked: the first line of each request.
    asked: list[str] = field(default_factory=list)
    port: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *headers = head.strip().split("\r\n")
        self.asked.append(line)
        verb, target, _version = line.split(" ")
        given = {name.lower(): value for name, _, value in (h.partition(": ") for h in headers)}
        there = urlsplit(target if verb != "CONNECT" else f"//{target}")
        host = there.hostname or ""
        if self.authorization is not None and given.get("proxy-authorization") != self.authorization:
            answer = "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic"
        elif host not in self.hosts:
            answer = "403 Forbidden"
        elif verb == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _join(reader, writer, self.hosts[host])
            return
        else:
            request = "\r\n".join([f"{verb} {there.path}?{there.query} HTTP/1.1", *headers, "", ""])
            await _join(reader, writer, self.hosts[host], request.encode())
            return
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    @contextlib.contextmanager
    def running(self) -> Iterator[Proxy]:
        with served(self._serve) as self.port:
            yield self


if __name__ == "__main__":
    # python -m tests.system.line LISTEN_HOST PORT TARGET_HOST PORT: a forwarder for a network of its own
    here, there = (sys.argv[1], int(sys.argv[2])), (sys.argv[3], int(sys.argv[4]))
    with forwarder(there, listen=here) as _port:
        print("ready", flush=True)
        threading.Event().wait()
