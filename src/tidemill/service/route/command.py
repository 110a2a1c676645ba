"""The command registry as data: for palettes, assistants and agents."""

from __future__ import annotations

from fastapi import Response

from tidemill.service import answer, schema
from tidemill.service.command import REGISTRY, command


@command("commands", "GET", "/commands", scope="platform", model=schema.Commands)
async def commands() -> Response:
    """Every operation with its scope and effect."""
    items = [
        {
            "id": c.id,
            "method": c.method,
            "path": c.path,
            "scope": c.scope,
            "effect": c.effect,
            "summary": c.summary,
        }
        for c in REGISTRY.values()
    ]
    return answer.json({"items": items})
