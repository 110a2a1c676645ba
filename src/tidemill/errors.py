"""Every error a user can meet, in one shape, whichever door it leaves by (REST, WebSocket, command line).

    TidemillError                exit code   HTTP status
    ├── UsageError                   2          422    what was asked makes no sense; the asker changes it
    ├── ConfigError                  3          424    a setting, folder or installation must change first
    ├── AuthError                    4       401, 403  who are you (401), or you may not (403)
    ├── NotFoundError                5          404    a name nobody has; the three nearest are named
    ├── ConflictError                6          409    true of the request, not of the state it meets
    ├── RateLimitError               7          429    too often; `retry_after_s` says when again
    ├── UpstreamError                8          502    a venue, provider or part of the platform failed
    ├── DeadlineError                9          504    it took longer than was allowed
    ├── DataQualityError            10          200    an answer exists and is not known to be whole
    ├── ResourceError               11       413, 507  too large, or the disk or memory is full
    ├── CancelledError             130          499    the asker went away
    └── InternalError                1          500    a bug: please report it

A message says what was asked, what was found and, in `hint`, what to do. `code` is a stable snake_case
name for programs and never changes its meaning.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar


class TidemillError(Exception):
    """The root. Raise one of the classes below; `from_dict` rebuilds one that came over a wire."""

    category: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1
    default_status: ClassVar[int] = 500
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        retryable: bool | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = self.default_retryable if retryable is None else retryable
        self.http_status = self.default_status if http_status is None else http_status
        self.request_id = request_id

    @property
    def docs(self) -> str:
        """Where the category is explained, relative to the repository and to the served documentation."""
        return f"docs/errors.md#{self.category}"

    def as_dict(self) -> dict[str, Any]:
        """The one shape: code, category, message, hint, retryable, docs, request_id."""
        return {
            "code": self.code,
            "category": self.category,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            "docs": self.docs,
            "request_id": self.request_id,
        }

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(TidemillError):
    category, exit_code, default_status = "usage", 2, 422


class ConfigError(TidemillError):
    category, exit_code, default_status = "config", 3, 424


class AuthError(TidemillError):
    """401 unless `http_status=403`: known, and not allowed."""

    category, exit_code, default_status = "auth", 4, 401


class NotFoundError(TidemillError):
    category, exit_code, default_status = "not_found", 5, 404


class ConflictError(TidemillError):
    category, exit_code, default_status = "conflict", 6, 409


class RateLimitError(TidemillError):
    """`retry_after_s`: seconds until the next try can succeed (the Retry-After header)."""

    category, exit_code, default_status = "rate_limit", 7, 429
    default_retryable = True

    def __init__(self, code: str, message: str, *, retry_after_s: float = 1.0, **rest: Any) -> None:
        super().__init__(code, message, **rest)
        self.retry_after_s = retry_after_s


class UpstreamError(TidemillError):
    category, exit_code, default_status = "upstream", 8, 502
    default_retryable = True


class DeadlineError(TidemillError):
    category, exit_code, default_status = "timeout", 9, 504
    default_retryable = True


class DataQualityError(TidemillError):
    """For a program that asked for whole data only; an API answer carries warnings instead."""

    category, exit_code, default_status = "data_quality", 10, 200


class ResourceError(TidemillError):
    """413 unless `http_status=507`: the request was fine, the disk or memory is full."""

    category, exit_code, default_status = "resource", 11, 413


class CancelledError(TidemillError):
    category, exit_code, default_status = "cancelled", 130, 499


class InternalError(TidemillError):
    category, exit_code, default_status = "internal", 1, 500


CATEGORIES: Mapping[str, type[TidemillError]] = {
    error.category: error
    for error in (
        UsageError,
        ConfigError,
        AuthError,
        NotFoundError,
        ConflictError,
        RateLimitError,
        UpstreamError,
        DeadlineError,
        DataQualityError,
        ResourceError,
        CancelledError,
        InternalError,
    )
}
"""Category name to class: with `exit_code` and `default_status` this is the whole error table."""


def from_dict(shape: Mapping[str, Any]) -> TidemillError:
    """The error that `as_dict` described; an unknown category reads as internal."""
    error = CATEGORIES.get(str(shape.get("category")), InternalError)
    return error(
        str(shape.get("code", "unknown")),
        str(shape.get("message", "an error without a message")),
        hint=str(shape.get("hint") or ""),
        retryable=bool(shape.get("retryable", False)),
        request_id=shape.get("request_id"),
    )


def nearest(asked: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The `count` known names most like `asked`, best first, whatever the case."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(asked.casefold(), by_folded, n=count, cutoff=0.3)
    return [by_folded[name] for name in close]


def unknown(what: str, asked: str, known: Iterable[str]) -> NotFoundError:
    """No `what` is named `asked`: the message for every unknown name, with the three nearest.

    `what` is a singular noun such as "venue"; its error code is `<what>_unknown`.
    """
    names = sorted(known)
    close = nearest(asked, names)
    if close:
        hint = f"nearest: {', '.join(close)}"
    elif names:
        hint = f"have: {', '.join(names[:10])}" + (", …" if len(names) > 10 else "")
    else:
        hint = f"there is no {what} yet"
    return NotFoundError(f"{what.replace(' ', '_')}_unknown", f"no {what} is named {asked!r}", hint=hint)
