"""The outermost layer: a request id on everything, a log line and a measurement each, no bare 500."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.cache import Shared
from tidemill.errors import DeadlineError, InternalError, TidemillError, UpstreamError, UsageError
from tidemill.metadata import database
from tidemill.service import answer, log


class Metrics:
    """Numbers of this process, labelled with the route's full template: never with what a client typed."""

    def __init__(self, cache: Shared) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tidemill_http_requests",
            "Requests answered, by method, route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.latency_s = Histogram(
            "tidemill_http_request_seconds",
            "Time from the first byte of a request's head to the end of its answer.",
            ("method", "route"),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=self.registry,
        )
        self.sockets = Gauge(
            "tidemill_websocket_connections", "Open WebSockets, by route.", ("route",), registry=self.registry
        )
        self.streams = Gauge(
            "tidemill_stream_pipes", "Open /stream connections piped to the bridge.", registry=self.registry
        )
        self.stream_bytes = Counter(
            "tidemill_stream_bytes",
            "Bytes piped between clients and the bridge.",
            ("direction",),
            registry=self.registry,
        )
        self.refused = Counter(
            "tidemill_refused_requests",
            "Requests refused before a route, by code.",
            ("code",),
            registry=self.registry,
        )
        self.registry.register(_CacheNumbers(cache))


class _CacheNumbers(Collector):
    """What the cache counts by itself, read when somebody asks."""

    def __init__(self, cache: Shared) -> None:
        self._cache = cache

    def collect(self) -> Iterator[Metric]:
        cache = self._cache
        layers = [("memory", cache.memory.counts)]
        if cache.redis is not None:
            layers.append(("redis", cache.counts))
        for name, about in (
            ("hits", "Look-ups in the cache that found something, by layer."),
            ("misses", "Look-ups in the cache that found nothing, by layer."),
            ("evictions", "Cached answers let go of for want of room, by layer."),
        ):
            family = CounterMetricFamily(f"tidemill_cache_{name}", about, labels=("layer",))
            for layer, counts in layers:
                family.add_metric((layer,), getattr(counts, name))
            yield family
        yield GaugeMetricFamily("tidemill_cache_bytes", "Cached in this process.", cache.memory.bytes)
        yield GaugeMetricFamily(
            "tidemill_redis_left_out",
            "1 while Redis is configured and not used, because it did not answer in time.",
            int(cache.state not in ("off", "closed")),
        )
        yield CounterMetricFamily(
            "tidemill_redis_failures", "How often Redis was left out.", cache.breaker.opened
        )


class Observe:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        identity = answer.new_request_id()
        answer.request_id.set(identity)
        scope.setdefault("state", {})["request_id"] = identity
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send, identity)

    async def _http(self, scope: Scope, receive: Receive, send: Send, identity: str) -> None:
        started = time.perf_counter()
        status = 0
        whole = False

        async def sending(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identity.encode())]
            else:
                whole = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if not status:
                await answer.failure(bug(error))(scope, receive, sending)
            elif not whole:
                raise  # half an answer is out: only closing the connection tells the client
            # else the framework answered by `bug` already and raised for whoever else wants to know
        finally:
            route = template(scope)
            spent_s = time.perf_counter() - started
            self._metrics.requests.labels(scope["method"] if status != 405 else "other", route, status).inc()
            self._metrics.latency_s.labels(scope["method"] if status != 405 else "other", route).observe(
                spent_s
            )
            quiet = status < 400 and scope["method"] in ("GET", "HEAD")
            log.note(
                logging.DEBUG if quiet else logging.INFO,
                "request",
                method=scope["method"][:16],
                route=route,
                status=status,
                ms=round(spent_s * 1000, 2),
            )

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        opened: Any = None

        async def sending(message: Message) -> None:
            nonlocal opened
            if message["type"] == "websocket.accept":
                opened = self._metrics.sockets.labels(template(scope))
                opened.inc()
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            bug(error)
            if opened is not None:
                await send({"type": "websocket.close", "code": 1011, "reason": "internal"})
        finally:
            if opened is not None:
                opened.dec()


def bug(error: Exception) -> TidemillError:
    """Logs what nobody expected and returns what its asker is told: nothing of the inside."""
    told = database.failure(error) if isinstance(error, SQLAlchemyError) else None
    if isinstance(told, UsageError):
        return told  # a value that the database cannot take: the asker's, and no bug
    log.logger.error("unexpected %s", type(error).__name__, exc_info=error)
    if isinstance(told, DeadlineError):
        return DeadlineError(
            "database_busy",
            "the metadata database is in use by others",
            hint="try again",
            http_status=503,
        )
    if told is not None:
        return UpstreamError(
            "database_down",
            "the metadata database cannot be used",
            hint="GET /api/v1/health and the service's log tell why; journal and lake go on without it",
            http_status=503,
        )
    return InternalError(
        "internal",
        "the request failed for a reason that is not yours",
        hint="try again; the service's log has the cause under this request_id",
        retryable=True,
    )


def template(scope: Scope) -> str:
    """The full template of the route that took a request, such as `/api/v1/data/{symbol}/bars`."""
    path = getattr(scope.get("route"), "path", None)
    return str(path).replace(":path}", "}") if path else "unmatched"
