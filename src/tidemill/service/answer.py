"""How answers leave: JSON by orjson, errors in one shape, a request id on everything."""

from __future__ import annotations

import contextvars
import math
import secrets
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response
from fastapi.responses import JSONResponse

from tidemill.errors import RateLimitError, TidemillError

JSON = "application/json"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

# The id of the request being served: set by `observe`, read wherever an error or an event is made.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


class JSONShape(JSONResponse):
    """Only tells the API document that an answer is JSON; `json` makes the answers."""


def new_request_id() -> str:
    return secrets.token_hex(8)


def encode(value: Any) -> bytes:
    """JSON bytes. NaN and infinity become null; a lone surrogate becomes `?` instead of failing."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return orjson.dumps(_scrub(value), option=_OPTIONS)


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that no other encoder touches."""
    return Response(encode(value), status, dict(headers or {}), JSON)


def shape(error: TidemillError) -> dict[str, Any]:
    """The one error shape, with this request's id."""
    value = error.as_dict()
    value["request_id"] = error.request_id or request_id.get() or None
    return value


def failure(error: TidemillError) -> Response:
    """An error as an HTTP answer."""
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, RateLimitError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    allow = getattr(error, "allow", None)
    if allow:
        headers["Allow"] = ", ".join(sorted(allow))
    status = error.http_status
    # "data_quality" travels with 200 beside data; alone it would be a success without an answer.
    return json(shape(error), 500 if status == 200 else status, headers)


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(_scrub(str(key))): _scrub(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrub(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        # orjson takes 64 bits; a larger integer leaves as text, digit for digit.
        return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value
    return str(value)
