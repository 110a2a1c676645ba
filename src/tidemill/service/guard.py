"""The gate before every route: Host, Origin, credentials, forged requests, size and time of bodies, headers.

Deny by default: what is not a page, a preflight or a command with scope "open" needs a known caller.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill import errors
from tidemill.errors import AuthError, ResourceError, TidemillError, UsageError
from tidemill.service import answer
from tidemill.service.auth import Keeper, Principal, refused
from tidemill.service.command import REGISTRY
from tidemill.service.config import Config, is_loopback
from tidemill.service.observe import Metrics

BODY_S = 12.0
UPLOADS = "/api/v1/data/uploads"
"""Takes files: they may be larger, and take longer as long as something comes."""
# Below these a path is never a page of the app, and answers JSON only.
RESERVED = (
    "/api", "/metrics", "/ws", "/stream",
    "/historical", "/utils", "/strategies", "/optimize", "/candles", "/trade",
)  # fmt: skip
# What another service of this machine calls its cookie, and how many of those are looked at.
_COOKIE = re.compile(r"tidemill_\d{1,5}")
COOKIES_MAX = 8
_SAFE = ("GET", "HEAD", "OPTIONS")
_CSP = (
    b"default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    b"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CSP),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


class Guard:
    """Wraps the router; refuses in the one error shape, for WebSockets before the handshake."""

    def __init__(self, app: ASGIApp, config: Config, keeper: Keeper, metrics: Metrics) -> None:
        self._app = app
        self._config = config
        self._keeper = keeper
        self._metrics = metrics
        self._open = {(c.method, c.path) for c in REGISTRY.values() if c.scope == "open"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        origin: str | None = None

        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = _dressed(message.get("headers", ()), scope, origin)
            await send(message)

        try:
            headers = _Headers(scope)
            host = self._host(headers)
            origin = self._origin(headers, scope, host)
            if scope["type"] == "http" and _is_preflight(scope, headers):
                await _preflight(sending, allowed=origin is not None and _own(scope, host) != origin)
                return
            await self._admit(scope, headers, origin)
            receive = self._bounded(scope, headers, receive)
        except TidemillError as error:
            self._metrics.refused.labels(error.code).inc()
            await refuse(error, scope, receive, sending)
            return
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, sending)
            return
        # Answered as GET; the server leaves the body out.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, sending)
        finally:
            scope["route"] = asked.get("route")

    def _host(self, headers: _Headers) -> str:
        hosts = headers.every(b"host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name and (
            is_loopback(name.strip("[]"))
            or name in self._config.allowed_hosts
            or host in self._config.allowed_hosts
        ):
            return host
        raise UsageError(
            "host_refused",
            f"this service does not answer to Host {', '.join(hosts)[:100]!r}",
            hint="use 127.0.0.1 or localhost, or name the host in TIDEMILL_ALLOWED_HOSTS",
            http_status=421,
        )

    def _origin(self, headers: _Headers, scope: Scope, host: str) -> str | None:
        origins = headers.every(b"origin")
        if not origins:
            return None
        origin = origins[0].lower()
        if len(origins) == 1 and (origin == _own(scope, host) or origin in self._config.allowed_origins):
            return origin
        raise AuthError(
            "origin_refused",
            f"a page of {', '.join(origins)[:100]!r} may not use this service",
            hint="open the page this service serves, or name the origin in TIDEMILL_ALLOWED_ORIGINS",
            http_status=403,
        )

    async def _admit(self, scope: Scope, headers: _Headers, origin: str | None) -> None:
        path = scope["path"]
        method = scope.get("method", "WS")
        method = "GET" if method == "HEAD" else method
        # A page and its files are for anyone: who reloads one is not asked for a session, so that it
        # opens, and says what is wrong, while the metadata database is away.
        is_page = method == "GET" and not is_reserved(path)
        principal = await self._principal(headers, cookies=not is_page)
        scope.setdefault("state", {})["principal"] = principal
        if principal is not None and principal.session is not None:
            _require_own_page(method, headers, origin, path)
        if principal is not None or method == "WS" or (method, path) in self._open:
            return  # a WebSocket may still show a ticket in its first message: `socket.enter` asks for it
        if is_reserved(path):
            raise refused()
        if method != "GET":
            raise UsageError(
                "method_unknown",
                f"a page cannot be asked with {method[:16]}",
                hint="use GET",
                http_status=405,
            )

    async def _principal(self, headers: _Headers, *, cookies: bool) -> Principal | None:
        bearers = headers.every(b"authorization")
        if bearers:
            scheme, _, text = bearers[0].partition(" ")
            found = (
                self._keeper.bearer(text.strip())
                if scheme.lower() == "bearer" and len(bearers) == 1
                else None
            )
            if found is None:
                raise refused(
                    "the Authorization header holds no valid token: send `Bearer ` and the text of DIR/token"
                )
            return found
        for value in headers.cookies(self._keeper.cookie) if cookies else ():
            found = await self._keeper.enter(value)
            if found is not None:
                return found
        return None

    def _bounded(self, scope: Scope, headers: _Headers, receive: Receive) -> Receive:
        if scope["type"] != "http":
            return receive
        uploading = scope["path"] == UPLOADS
        limit = self._config.upload_bytes_max if uploading else self._config.body_bytes_max
        if headers.every(b"content-encoding") not in ([], ["identity"]):
            raise UsageError(
                "encoding_unsupported",
                "the body is compressed, and compressed bodies are not taken",
                hint="send it as it is",
                http_status=415,
            )
        lengths = headers.every(b"content-length")
        if lengths and (not lengths[0].isdigit() or int(lengths[0][:20]) > limit):
            raise _too_large(limit)
        read = 0
        deadline = asyncio.get_running_loop().time() + BODY_S
        ended = False

        async def receiving() -> Message:
            nonlocal read, ended, deadline
            if ended:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise errors.DeadlineError(
                    "body_slow",
                    f"the body did not come within {BODY_S:g} s",
                    hint="send it faster, or in several requests",
                    http_status=408,
                ) from None
            read += len(message.get("body", b""))
            if uploading:
                deadline = asyncio.get_running_loop().time() + BODY_S
            ended = not message.get("more_body", False)
            if read > limit:
                raise _too_large(limit)
            return message

        return receiving


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self._raw: list[tuple[bytes, bytes]] = scope["headers"]

    def every(self, name: bytes) -> list[str]:
        return [value.decode("latin-1").strip() for key, value in self._raw if key == name]

    def cookies(self, name: str) -> Iterator[str]:
        """Every value of that cookie, then those that another service of this machine has set: one of the
        same home signs with the same secret, all others fail at that. Other programs on this host set what
        no parser of cookies takes, and for that nobody is signed out."""
        others = []
        for line in self.every(b"cookie"):
            for cookie in line.split(";"):
                key, _, value = cookie.strip().partition("=")
                if key == name:
                    yield value.strip('"')
                elif _COOKIE.fullmatch(key):
                    others.append(value.strip('"'))
        yield from others[:COOKIES_MAX]

    def one(self, name: bytes) -> str | None:
        found = self.every(name)
        return found[0] if found else None


def is_reserved(path: str) -> bool:
    """Whether a path belongs to the interfaces, so that it is never a page."""
    return any(path == name or path.startswith(name + "/") for name in RESERVED)


async def refuse(error: TidemillError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request or refuses a handshake with the one error shape."""
    response = answer.failure(error)
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    await receive()
    head = {"status": response.status_code, "headers": list(response.raw_headers)}
    await send({"type": "websocket.http.response.start", **head})
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})


def _own(scope: Scope, host: str) -> str:
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return f"{scheme}://{host}"


def _require_own_page(method: str, headers: _Headers, origin: str | None, path: str) -> None:
    """A cookie goes with whatever any page sends: what it may do, only our own page may ask for."""
    site = headers.one(b"sec-fetch-site")
    if site in ("cross-site", "same-site") and origin is None and is_reserved(path):
        said = f"the browser says it comes from elsewhere (Sec-Fetch-Site: {site})"
    elif method == "WS" and origin is None:
        said = "a WebSocket with a cookie must name its Origin"
    elif method not in (*_SAFE, "WS") and origin is None and site != "same-origin":
        said = "neither Origin nor Sec-Fetch-Site says that our own page sent it"
    else:
        return
    raise AuthError(
        "cross_site_refused",
        f"the request was refused although it has a session: {said}",
        hint="use the page this service serves, or Bearer; other pages: TIDEMILL_ALLOWED_ORIGINS",
        http_status=403,
    )


def _too_large(limit: int) -> ResourceError:
    return ResourceError(
        "body_too_large", f"the body is larger than {limit} bytes", hint="send less, or in several requests"
    )


def _is_preflight(scope: Scope, headers: _Headers) -> bool:
    return scope["method"] == "OPTIONS" and bool(headers.every(b"access-control-request-method"))


async def _preflight(send: Send, allowed: bool) -> None:
    headers = [(b"content-length", b"0")]
    if allowed:
        headers += [
            (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", b"authorization, content-type"),
            (b"access-control-max-age", b"600"),
        ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _dressed(headers: object, scope: Scope, origin: str | None) -> list[tuple[bytes, bytes]]:
    dressed = [(bytes(key), bytes(value)) for key, value in headers]  # type: ignore[attr-defined]
    present = {key.lower() for key, _ in dressed}
    dressed += [(key, value) for key, value in _HEADERS if key not in present]
    if b"cache-control" not in present:
        dressed.append((b"cache-control", b"no-store"))
    if origin is not None:
        # Only own and listed origins come this far.
        dressed += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
            (b"vary", b"Origin"),
        ]
    if scope["scheme"] in ("https", "wss"):
        dressed.append((b"strict-transport-security", b"max-age=31536000"))
    return dressed
