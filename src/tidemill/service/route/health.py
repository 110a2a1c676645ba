"""Is it alive, is it ready, and if not, which part keeps it."""

from __future__ import annotations

from fastapi import Request, Response

from tidemill.service import answer, platform, schema
from tidemill.service.command import command
from tidemill.service.health import survey


@command("health.live", "GET", "/health/live", scope="open", model=schema.Live)
async def live() -> Response:
    """The process serves requests."""
    return answer.json({"live": True})


@command("health", "GET", "/health", scope="platform", model=schema.Health)
async def health(request: Request) -> Response:
    """Every part that is wanted; 503 names the one that is not ready."""
    service = platform.of(request)
    parts = await survey(service)
    ready = all(part["ready"] for part in parts)
    return answer.json({"live": True, "ready": ready, "parts": parts}, 200 if ready else 503)
