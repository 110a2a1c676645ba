"""The web app: its built files, its pages by history fallback, and a plain word where it was not built."""

from __future__ import annotations

import hashlib
import mimetypes
import zlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from tidemill import errors
from tidemill.service.command import MethodError, methods
from tidemill.service.compress import accepts_gzip
from tidemill.service.guard import is_reserved

_FOREVER = "public, max-age=31536000, immutable"
_TEXT = ("text/", "application/javascript", "application/json", "image/svg+xml", "application/manifest+json")
_ABSENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tidemill</title>
<body style="font:16px/1.5 system-ui;max-width:38rem;margin:4rem auto;padding:0 1rem">
<h1>The screens are not built</h1>
<p>The service runs, and its interfaces answer; the web app's files are not in this installation.</p>
<p>In a source tree, build them with <code>make build</code> and reload this page.
The interfaces are described at <a href="/api/docs">/api/docs</a>.</p></body></html>
"""


@dataclass(frozen=True)
class File:
    """One built file in memory, as it is and compressed."""

    body: bytes
    packed: bytes | None
    media: str
    etag: str
    hashed: bool  # its name holds a hash of its content


class Files:
    """The files below a folder, read once: a request names only what was found, so none leads outside."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made = 0
        self._files: dict[str, File] = {}

    def find(self, path: str) -> File | None:
        """The file served at `/path`; None when there is none."""
        self._refresh()
        return self._files.get(path)

    def _refresh(self) -> None:
        index = self._root / "index.html"
        try:
            made = index.stat().st_mtime_ns
        except OSError:
            made = 0
        if made == self._made:
            return
        # A build replaces index.html last, so its time tells that all are there.
        self._files = {}
        for file in sorted(self._root.rglob("*")) if made else ():
            if file.is_file() and not file.is_symlink():
                self._files[file.relative_to(self._root).as_posix()] = _file(file, self._root)
        self._made = made


def _file(path: Path, root: Path) -> File:
    body = path.read_bytes()
    media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    media = "text/javascript" if media == "application/javascript" else media
    text = media.startswith(_TEXT)
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = packer.compress(body) + packer.flush() if text and len(body) > 1024 else None
    return File(
        body,
        packed,
        f"{media}; charset=utf-8" if text else media,
        f'"{hashlib.sha256(body).hexdigest()[:20]}"',
        path.relative_to(root).parts[0] == "assets",
    )


async def serve(request: Request) -> Response:
    """A file, else the app's page where a page was asked for, else 404."""
    path = request.url.path.lstrip("/")
    if path == "stream":
        raise errors.UsageError(
            "upgrade_required",
            "/stream is a WebSocket and was asked without an upgrade",
            hint="open it with a WebSocket client; docs/api.md describes its messages",
            http_status=426,
        )
    if allowed := methods(request.url.path):
        raise MethodError(request.url.path[:200], request.method, allowed)
    if is_reserved(request.url.path):
        raise _unknown(request.url.path)
    files: Files = request.app.state.files
    file = files.find(path)
    if file is None:
        if not _is_page(request, path):
            raise _unknown(request.url.path)
        file = files.find("index.html")
        if file is None:
            return Response(_ABSENT, 503, media_type="text/html")
    headers = {
        "ETag": file.etag,
        "Cache-Control": _FOREVER if file.hashed else "no-cache",
        "Vary": "Accept-Encoding",
    }
    # A proxy that packs makes a tag weak; what it names is still this content.
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {file.etag, "*"}:
        return Response(status_code=304, headers=headers)
    if file.packed is not None and accepts_gzip(request.headers.get("accept-encoding", "").encode("latin-1")):
        return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media)
    return Response(file.body, headers=headers, media_type=file.media)


def _is_page(request: Request, path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return path in ("", "index.html") or (
        "text/html" in request.headers.get("accept", "")
        and not path.startswith("assets/")
        # A name with a dot is a file; BTC-USD.kraken:trades is a dataset, which has a page.
        and ("." not in name or ":" in name)
    )


def _unknown(path: str) -> errors.NotFoundError:
    return errors.NotFoundError(
        "path_unknown",
        f"there is nothing at {path[:200]!r}",
        hint="the interfaces are listed at /api/docs and in GET /api/v1/commands",
    )
