"""A path with a slash at its end is the same path without, where it is one of ours: no redirect."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.service.command import methods


class Slash:
    """Wraps the router."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path.endswith("/") and len(path) > 1 and not methods(path) and methods(path[:-1]):
                # In place: what wraps us reads the route that the router writes here.
                scope["path"], scope["raw_path"] = path[:-1], scope["raw_path"].rstrip(b"/")
        await self._app(scope, receive, send)
