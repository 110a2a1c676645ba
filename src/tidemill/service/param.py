"""What every route checks before it runs, and the parameters many share."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Path, Query
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection, Request

from tidemill import errors
from tidemill.service.auth import Principal
from tidemill.service.command import Command

Symbol = Annotated[
    str,
    Path(
        max_length=200, description="BTC-USD.kraken, or BTC-USD or BTC%2FUSD where exactly one venue has it"
    ),
]
Cursor = Annotated[
    str | None, Query(alias="cursor", max_length=1000, description="`next` of the page before")
]
Venue = Annotated[str | None, Query(max_length=64, description="only of this venue")]


def Limit(default: int, largest: int) -> object:
    """The parameter `limit`."""
    return Query(ge=1, le=largest, description=f"rows at most; default {default}")


class Limiter:
    """Counts requests of one caller per minute, by what they do."""

    def __init__(self, limits: dict[str, str]) -> None:
        self._items = {name: parse(text) for name, text in limits.items()}
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def take(self, kind: str, caller: str) -> None:
        """Raises `RateLimitError` with the time to wait."""
        item = self._items[kind]
        if await self._window.hit(item, kind, caller):
            return
        reset_s, _ = await self._window.get_window_stats(item, kind, caller)
        raise errors.RateLimitError(
            "too_many_requests",
            f"more than {item} of this kind came from one caller",
            hint="wait for the seconds that Retry-After names, or ask for more rows at once",
            retry_after_s=max(1.0, reset_s - time.time()),
        )


def gate(command: Command, limiter: Limiter) -> Callable[[Request], Awaitable[None]]:
    """The dependency that every route of `command` runs first: scope, limit, known parameters."""
    kind = (
        "session" if command.id == "session.open" else command.effect if command.effect == "read" else "write"
    )

    async def check(request: Request) -> None:
        principal = caller(request)
        if command.scope != "open" and (principal is None or command.scope not in principal.scopes):
            raise errors.AuthError(
                "scope_missing",
                f"{command.id} needs the scope {command.scope!r}, which this caller does not have",
                hint="ask with the owner's token or session",
                http_status=403,
            )
        who = principal.subject if principal else address(request)
        if command.id != "health.live":
            await limiter.take(kind, who)
        known_query(request, command.query)

    return check


def known_query(connection: HTTPConnection, known: frozenset[str]) -> None:
    """Raises `UsageError` for a query parameter that the route does not know, or has twice."""
    for name, count in Counter(key for key, _ in connection.query_params.multi_items()).items():
        if name not in known:
            near = errors.nearest(name[:64], known, 1)
            have = f"it takes {', '.join(sorted(known))}" if known else "it takes no parameters"
            raise errors.UsageError(
                "parameter_unknown",
                f"the query parameter {name[:64]!r} is not known here; {have}",
                hint=f"did you mean {near[0]}?" if near else "leave it out",
            )
        if count > 1:
            raise errors.UsageError(
                "parameter_repeated", f"the query parameter {name!r} came {count} times", hint="send it once"
            )


def caller(connection: HTTPConnection) -> Principal | None:
    """Who is asking, as `guard` found."""
    principal: Principal | None = connection.scope.get("state", {}).get("principal")
    return principal


def actor(connection: HTTPConnection) -> str:
    """Who is asking, for an event."""
    principal = caller(connection)
    return principal.subject if principal else "nobody"


def address(connection: HTTPConnection) -> str:
    """The caller's address; IPv6 by its /64, and one that holds an IPv4 address as that."""
    host = connection.client.host if connection.client else ""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
