"""gzip for answers that shrink: JSON, CSV, text. What is compressed already leaves as it is, or unpacked for
who takes no gzip."""

from __future__ import annotations

import zlib
from collections.abc import Collection

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BYTES_MIN = 1024
# Level 1: half the bytes of the best level's saving at a tenth of its time.
LEVEL = 1
THREAD_BYTES = 128 << 10
_TYPES = (b"application/json", b"text/", b"application/javascript", b"image/svg+xml")


class Compress:
    """Wraps the router. Answers come in one piece here; one in several pieces is passed on untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        accepted = accepts_gzip(b",".join(v for k, v in scope["headers"] if k == b"accept-encoding"))
        start: Message | None = None

        async def sending(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            head, start = start, None
            if head is not None:
                if _is_packed(head):  # by who keeps it so
                    head["headers"] = [*head["headers"], (b"vary", b"Accept-Encoding")]
                    if not accepted and not message.get("more_body"):
                        message["body"] = await anyio.to_thread.run_sync(zlib.decompress, message["body"], 31)
                        head["headers"] = _resized(head, len(message["body"]), {b"content-encoding"})
                elif not message.get("more_body") and _worth(head, message.get("body", b"")):
                    head["headers"] = [*head["headers"], (b"vary", b"Accept-Encoding")]
                    if not accepted:
                        await send(head)
                        await send(message)
                        return
                    body = message["body"]
                    # zlib lets go of the interpreter: a large answer must not hold up the others.
                    large = len(body) > THREAD_BYTES
                    message["body"] = await anyio.to_thread.run_sync(_pack, body) if large else _pack(body)
                    head["headers"] = [
                        *_resized(head, len(message["body"])),
                        (b"content-encoding", b"gzip"),
                    ]
                await send(head)
            await send(message)

        await self._app(scope, receive, sending)


def _pack(body: bytes) -> bytes:
    packed = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return packed.compress(body) + packed.flush()


def _resized(head: Message, length: int, without: Collection[bytes] = ()) -> list[tuple[bytes, bytes]]:
    gone = {b"content-length", *without}
    kept = [(key, value) for key, value in head["headers"] if key.lower() not in gone]
    return [*kept, (b"content-length", str(length).encode())]


def _is_packed(head: Message) -> bool:
    """By a route that left it to this layer to look at who asks: pages say `vary` by themselves."""
    headers = {key.lower(): value for key, value in head["headers"]}
    return headers.get(b"content-encoding") == b"gzip" and b"vary" not in headers


def accepts_gzip(header: bytes) -> bool:
    """Whether an Accept-Encoding takes gzip: by name, or by `*`, and not with a weight of nothing."""
    weights = {}
    for part in header.lower().replace(b" ", b"").split(b","):
        name, _, weight = part.partition(b";q=")
        weights[name] = not weight or weight.strip(b"0.") != b""
    return weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", False)))


def _worth(head: Message, body: bytes) -> bool:
    headers = {key.lower(): value for key, value in head["headers"]}
    return (
        len(body) >= BYTES_MIN
        and b"content-encoding" not in headers
        and headers.get(b"content-type", b"").startswith(_TYPES)
    )
