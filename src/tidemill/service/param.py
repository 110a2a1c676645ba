"""What every route checks before it runs, and the parameters many share."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Path, Query
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection, Request

from tidemill import errors
from tidemill.cache import Shared
from tidemill.cache.redis import TIMEOUT_S, Redis
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
    """Counts requests of one caller per minute, by what they do; with a Redis, those of all processes."""

    def __init__(self, limits: dict[str, str], cache: Shared | None = None) -> None:
        self._items = {name: parse(text) for name, text in limits.items()}
        self._cache = cache
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None

    async def take(self, kind: str, caller: str) -> None:
        """Raises `RateLimitError` with the time to wait."""
        item = self._items[kind]
        reset_s = await self._count_shared(item, kind, caller)
        if reset_s is None:
            reset_s = await _count(self._window, item, kind, caller)
        if reset_s == 0.0:
            return
        raise errors.RateLimitError(
            "too_many_requests",
            f"more than {item} of this kind came from one caller",
            hint="wait for the seconds that Retry-After names, or ask for more rows at once",
            retry_after_s=max(1.0, reset_s - time.time()),
        )

    async def _count_shared(self, item: RateLimitItem, kind: str, caller: str) -> float | None:
        """As `_count` by what Redis has counted; None where it has not: then this process counts alone."""
        cache = self._cache
        if cache is None or cache.redis is None or not cache.admit():
            return None
        started = time.monotonic()
        try:
            if self._shared is None:
                self._shared = _in_redis(cache.redis)
            async with asyncio.timeout(TIMEOUT_S):
                found = await _count(self._shared, item, kind, caller)
        except cache.redis.errors as error:  # no answer in time is an OSError too
            cache.breaker.failed(f"{type(error).__name__}: {error}")
            return None
        cache.breaker.passed(time.monotonic() - started)
        return found


async def _count(
    window: SlidingWindowCounterRateLimiter, item: RateLimitItem, kind: str, caller: str
) -> float:
    """Counts one request; 0 where it is within the limit, else when there is room again (unix s)."""
    if await window.hit(item, kind, caller):
        return 0.0
    reset_s, _ = await window.get_window_stats(item, kind, caller)
    return reset_s


def _in_redis(redis: Redis) -> SlidingWindowCounterRateLimiter:
    from limits.aio.storage import RedisStorage

    return SlidingWindowCounterRateLimiter(
        RedisStorage(
            "async+redis://localhost:6379",  # the pool knows better
            implementation="redispy",
            key_prefix=f"tidemill:{redis.name}:limit",
            connection_pool=redis.pool(),  # type: ignore[arg-type]
        )
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
