"""The API document, and a page made from it on the server: no script, nothing from elsewhere."""

from __future__ import annotations

import html
from typing import Any

from fastapi import Request, Response

from tidemill.errors import CATEGORIES
from tidemill.service import answer, openapi
from tidemill.service.command import command

_STYLE = """<style>
body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
code,pre{font:13px/1.5 ui-monospace,monospace} table{border-collapse:collapse}
td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
section{border-top:1px solid #8886;margin-top:1.2rem} .effect{opacity:.7}
</style>"""


@command("document.openapi", "GET", "/openapi.json", scope="platform", base="/api")
async def show(request: Request) -> Response:
    """The OpenAPI document."""
    return answer.json(openapi.document(request.app))


@command("document.page", "GET", "/docs", scope="platform", base="/api", media=("text/html",))
async def page(request: Request) -> Response:
    """The API document as a page."""
    return Response(_page(openapi.document(request.app)), media_type="text/html")


def _page(document: dict[str, Any]) -> str:
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Tidemill API</title>{_STYLE}',
        f"<h1>Tidemill {_text(document['info']['version'])} API</h1>",
        '<p>Machine-readable: <a href="/api/openapi.json">/api/openapi.json</a>. Programs send '
        "<code>Authorization: Bearer</code> with the text of <code>DIR/token</code>.</p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(path, method, operation))
    parts.append("<section><h2>WebSockets</h2><table>")
    parts += [
        f"<tr><td><code>{_text(socket['path'])}</code><td>{_text(socket['summary'])}"
        for socket in document["x-websockets"]
    ]
    parts.append(
        "</table></section><section><h2 id='errors'>Errors</h2><table><tr><th>category<th>HTTP<th>exit code"
    )
    parts += [
        f'<tr id="{name}"><td>{name}<td>{kind.default_status}<td>{kind.exit_code}'
        for name, kind in CATEGORIES.items()
    ]
    return "".join([*parts, "</table></section></html>"])


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(p['name'])}</code><td>{_text(p['in'])}"
        f"{'' if p.get('required') else ', optional'}"
        f"<td>{_text(p.get('description', ''))}"
        for p in operation.get("parameters", ())
    )
    return (
        f'<section id="{_text(operation["operationId"])}">'
        f"<h3><code>{method.upper()} {_text(path)}</code></h3>"
        f'<p>{_text(operation["summary"])} <span class="effect">{_text(operation.get("x-scope", ""))} · '
        f"{_text(operation.get('x-effect', ''))}</span></p><table>{rows}</table></section>"
    )


def _text(value: object) -> str:
    return html.escape(str(value))
