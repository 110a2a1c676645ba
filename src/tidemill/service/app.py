"""Puts the service together: the registry's routes, the layers around them, one shape for failures."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Depends, FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp

import tidemill
from tidemill import errors
from tidemill.cache import Shared
from tidemill.service import answer, schema
from tidemill.service.command import REGISTRY, Command, MethodError, methods
from tidemill.service.compress import Compress
from tidemill.service.config import Config
from tidemill.service.guard import Guard, is_reserved, refuse
from tidemill.service.observe import Observe, bug
from tidemill.service.page import Files, serve
from tidemill.service.param import Limiter, gate
from tidemill.service.platform import Platform
from tidemill.service.route import enter_all
from tidemill.service.slash import Slash

_CODES = {
    400: "request_invalid",
    413: "body_too_large",
    415: "encoding_unsupported",
}


def build(service: Platform) -> ASGIApp:
    """The whole service of one home: routes and every layer around them."""
    config = service.config
    app = routes(config, service.cache)
    app.state.platform = service
    app.state.files = Files(config.web)
    inner: ASGIApp = Compress(Slash(app))
    guarded = Guard(inner, config, service.keeper, service.metrics)
    return Observe(guarded, service.metrics)


def routes(config: Config, cache: Shared | None = None) -> FastAPI:
    """The routes and their API document, without home, credentials or background work."""
    enter_all()
    app = FastAPI(
        title="Tidemill",
        version=tidemill.__version__,
        summary="Self-hosted platform for quantitative trading",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    limiter = Limiter(config.limits, cache)
    for command in REGISTRY.values():
        if command.method == "WS":
            app.add_api_websocket_route(command.route, command.endpoint, name=command.id)
        else:
            _add(app, command, limiter)
    _add_rest(app)
    for kind, handler in (
        (errors.TidemillError, _known),
        (RequestValidationError, _invalid),
        (WebSocketRequestValidationError, _invalid_socket),
        (StarletteHTTPException, _http),
        (Exception, _unexpected),
    ):
        app.add_exception_handler(kind, handler)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with app.state.platform.running():
        yield


def _add(app: FastAPI, command: Command, limiter: Limiter) -> None:
    answers: dict[int | str, dict[str, Any]] = {
        "default": {"model": schema.Error, "description": "what went wrong, in the one error shape"}
    }
    success: dict[str, Any] = {"description": command.summary}
    if command.model is not None:
        success["model"] = command.model
    if command.media:
        success["content"] = {media: {} for media in command.media}
    answers[command.status] = success
    if command.id == "health":
        answers[503] = {"model": command.model, "description": "something that is wanted is not ready"}
    app.add_api_route(
        command.route,
        command.endpoint,
        methods=[command.method],
        name=command.id,
        status_code=command.status,
        summary=command.summary,
        tags=[command.id.split(".", 1)[0]],
        responses=answers,
        response_model=None,
        response_class=Response if command.model is None else answer.JSONShape,
        dependencies=[Depends(gate(command, limiter))],
    )


def _add_rest(app: FastAPI) -> None:
    """What no command takes: unknown paths of the interfaces, and the pages of the app."""

    async def unknown_socket(websocket: WebSocket) -> None:
        error = errors.NotFoundError(
            "path_unknown",
            f"there is no WebSocket at {websocket.url.path[:200]!r}",
            hint=f"have: {', '.join(c.path for c in REGISTRY.values() if c.method == 'WS')}",
        )
        await refuse(error, websocket.scope, websocket.receive, websocket.send)

    app.add_api_websocket_route("/{path:path}", unknown_socket)
    app.add_route("/{path:path}", serve, methods=["GET", "HEAD"], include_in_schema=False)


async def _known(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.TidemillError)  # noqa: S101 - registered for this class
    return answer.failure(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    return answer.failure(_misfit(error.errors()))


async def _invalid_socket(websocket: WebSocket, error: Exception) -> None:
    assert isinstance(error, WebSocketRequestValidationError)  # noqa: S101 - registered for this class
    await refuse(_misfit(error.errors()), websocket.scope, websocket.receive, websocket.send)


def _misfit(problems: Sequence[Any]) -> errors.UsageError:
    """What the framework found wrong with parameters or body, in our words."""
    hint = "/api/docs lists what each request takes"
    found = []
    for problem in problems[:5]:
        place, *names = [str(part) for part in problem["loc"]]
        if problem["type"] == "json_invalid":
            why = problem.get("ctx", {}).get("error", "it ends too early")
            at = f" at character {names[0]}" if names else ""
            return errors.UsageError(
                "request_invalid", f"the body is not JSON: {why}{at}", hint=hint, http_status=400
            )
        where = {"query": "parameter", "path": "path parameter", "body": "body field"}.get(place, place)
        name = ".".join(names)
        found.append(f"{where} {name[:100]!r}: {problem['msg']}" if name else f"{place}: {problem['msg']}")
    return errors.UsageError("parameter_invalid", "; ".join(found)[:1000], hint=hint)


async def _unexpected(_request: Request, error: Exception) -> Response:
    return answer.failure(bug(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for this class
    if isinstance(error.__cause__, errors.TidemillError):  # a body that was cut off while it was read
        return answer.failure(error.__cause__)
    status = error.status_code
    path = request.url.path[:200]
    if status in (404, 405):
        allowed = methods(path)
        if not allowed and (status == 404 or is_reserved(path)):
            return answer.failure(
                errors.unknown("path", path, {command.path for command in REGISTRY.values()})
            )
        return answer.failure(MethodError(path, request.method, allowed or {"GET", "HEAD"}))
    return answer.failure(
        errors.UsageError(
            _CODES.get(status, "request_invalid"),
            str(error.detail)[:500],
            hint="/api/docs lists what each request takes",
            http_status=status,
        )
    )
