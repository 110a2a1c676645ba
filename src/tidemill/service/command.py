"""The command registry: every route, with its operation id, scope and effect, in one table.

Screens, command line, assistant and agents read this table (`GET /api/v1/commands`); a route that is
not in it does not exist, because `command` is the only way to add one.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import params
from starlette.routing import compile_path

from tidemill.errors import UsageError

Scope = Literal["open", "data", "collection", "platform", "session", "jobs"]
Effect = Literal["read", "write", "trade"]
Endpoint = Callable[..., Any]

# "open" needs no credential: liveness, the session exchange. Every other scope does.
SCOPES: tuple[Scope, ...] = typing.get_args(Scope)
BASE = "/api/v1"


@dataclass(frozen=True)
class Command:
    """One route. `path` is the full template as the API document shows it; `method` is WS for WebSockets."""

    id: str
    method: str
    path: str
    scope: Scope
    effect: Effect
    summary: str
    endpoint: Endpoint = field(repr=False, compare=False)
    route: str = ""  # with converters, as the router takes it
    model: Any = None  # of the 200 (or 202) answer
    status: int = 200
    media: tuple[str, ...] = ()  # other content types of the answer
    query: frozenset[str] = frozenset()  # the parameters it knows


REGISTRY: dict[str, Command] = {}


def command(
    id: str,  # noqa: A002 - the table's own word
    method: str,
    path: str,
    *,
    scope: Scope,
    effect: Effect = "read",
    model: Any = None,
    status: int = 200,
    media: tuple[str, ...] = (),
    base: str = BASE,
) -> Callable[[Endpoint], Endpoint]:
    """Enters the decorated function as the route `method base+path`; its docstring is the summary."""

    def enter(endpoint: Endpoint) -> Endpoint:
        if id in REGISTRY:
            raise ValueError(f"two routes are named {id}")
        route = base + path
        REGISTRY[id] = Command(
            id=id,
            method=method,
            path=route.replace(":path}", "}"),
            scope=scope,
            effect=effect,
            summary=(inspect.getdoc(endpoint) or "").split("\n", 1)[0],
            endpoint=endpoint,
            route=route,
            model=model,
            status=status,
            media=media,
            query=_query(endpoint),
        )
        return endpoint

    return enter


class MethodError(UsageError):
    """A path that is known and cannot be asked this way; `allow` is the header of that name."""

    def __init__(self, path: str, method: str, allow: set[str]) -> None:
        super().__init__(
            "method_unknown",
            f"{path!r} cannot be asked with {method[:16]}",
            hint=f"use {' or '.join(sorted(allow))}",
            http_status=405,
        )
        self.allow = allow


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [(compile_path(c.route)[0], c.method) for c in REGISTRY.values() if c.method != "WS"]


def methods(path: str) -> set[str]:
    """The methods with which a path can be asked; none where no command has it."""
    found = {method for pattern, method in _patterns() if pattern.match(path)}
    return found | {"HEAD"} if "GET" in found else found


def _query(endpoint: Endpoint) -> frozenset[str]:
    """Names of the query parameters an endpoint and its dependencies declare."""
    hints = typing.get_type_hints(endpoint, include_extras=True)
    found: set[str] = set()
    for name, hint in hints.items():
        for extra in typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ():
            if isinstance(extra, params.Query):
                found.add(extra.alias or name)
            elif isinstance(extra, params.Depends) and extra.dependency is not None:
                found |= _query(extra.dependency)
    return frozenset(found)
