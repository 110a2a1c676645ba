"""Calls one function of the user's module.

The request has `source`, and may have `name` (the file that errors speak of), `entry` ("main") and `args`.
The function is called as `entry(tables, **args)` and returns a value that JSON can carry, or that and a dict
of tables. The result is `{"value": value}`.
"""

from __future__ import annotations

from typing import Any

from tidemill import errors
from tidemill.sandbox import user
from tidemill.sandbox.task import Say


def run(request: dict[str, Any], tables: dict[str, Any], say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
    module = user.load(request["source"], request.get("name") or user.FILE)
    module.__dict__.setdefault("say", say)
    entry = str(request.get("entry") or "main")
    function = getattr(module, entry, None)
    if not callable(function):
        raise errors.UsageError(
            "code_invalid",
            f"{module.__file__} has no function {entry!r}",
            hint=f"define it: def {entry}(tables): …",
        )
    answer = function(tables, **(request.get("args") or {}))
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict):
        return {"value": answer[0]}, answer[1]
    return {"value": answer}, {}
