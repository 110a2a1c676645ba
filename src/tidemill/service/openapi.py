"""The OpenAPI document, written by `python -m tidemill.service.openapi FILE`; clients are made from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from tidemill.home import Home
from tidemill.service.command import REGISTRY
from tidemill.service.config import Config


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with scope and effect of every operation and the WebSockets listed beside."""
    found = app.openapi()
    for command in REGISTRY.values():
        if command.method != "WS" and command.path in found["paths"]:
            operation = found["paths"][command.path][command.method.lower()]
            operation["x-scope"], operation["x-effect"] = command.scope, command.effect
            operation["security"] = [] if command.scope == "open" else [{"bearer": []}, {"cookie": []}]
    found.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "the text of DIR/token"},
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "tidemill_8484",
            "description": "tidemill_<port>",
        },
    }
    found["x-websockets"] = [
        {"id": c.id, "path": c.path, "scope": c.scope, "effect": c.effect, "summary": c.summary}
        for c in REGISTRY.values()
        if c.method == "WS"
    ]
    return found


def text() -> str:
    """The document as it is committed in docs/openapi.json."""
    from tidemill.service.app import routes

    app = routes(Config(home=Home(Path("/"))))
    return json.dumps(document(app), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text())
