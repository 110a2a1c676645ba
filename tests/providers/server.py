"""A small HTTP server for tests: answers what a model says, and misbehaves where it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Request:
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    at: float
    """When it came, by the server's clock."""


@dataclass
class Reply:
    status: int
    data: Any
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return self.data if isinstance(self.data, bytes) else json.dumps(self.data).encode()


class Model(Protocol):
    base: str

    def answer(self, request: Request) -> Reply: ...


Fault = Callable[[Reply], Reply | str]
"""What becomes of one answer; the words are "cut" and "slow"."""


class Server:
    """One model on a port of its own. `faults` are used up, one per request; None is none."""

    def __init__(self, model: Model, clock: Callable[[], float] = time.monotonic) -> None:
        self.model, self.clock = model, clock
        self.faults: list[Fault | None] = []
        self.requests: list[Request] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.model.base = self.url
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                parts = urlsplit(head[0].split()[1])
                params = {k: v[-1] for k, v in parse_qs(parts.query).items()}
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                request = Request(unquote(parts.path), params, headers, self.clock())
                self.requests.append(request)
                reply = self.model.answer(request)
                fault = self.faults.pop(0) if self.faults else None
                changed = fault(reply) if fault else reply
                if changed == "slow":
                    await asyncio.sleep(1.0)
                elif isinstance(changed, Reply):
                    reply = changed
                body = reply.body()
                lines = [f"HTTP/1.1 {reply.status} X", "content-type: application/json"]
                lines += [f"{name}: {value}" for name, value in reply.headers.items()]
                lines += [f"content-length: {len(body)}", "", ""]
                cut = len(body) // 2 if changed == "cut" else len(body)
                writer.write("\r\n".join(lines).encode() + body[:cut])
                await writer.drain()
                if changed == "cut":
                    break
        writer.close()


def refuse(status: int, headers: dict[str, str] | None = None, data: Any = None) -> Fault:
    return lambda reply: Reply(status, data or {"message": "no"}, headers or {})


def cut(reply: Reply) -> str:
    return "cut"


def slow(reply: Reply) -> str:
    return "slow"
