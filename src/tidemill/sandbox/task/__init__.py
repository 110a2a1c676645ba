"""What a guest can do: a file each, with `run(request, tables, say) -> (result, tables)`.

`request` is the dict of the asker, `tables` Arrow tables by name; `say(dict)` tells progress. The result is a
dict that JSON can carry (NaN becomes null), the tables are of plain columns. User code is loaded with
`tidemill.sandbox.user.load`, so that its errors are told by its own lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

NAME = re.compile(r"[a-z][a-z_]{0,31}")

Say = Callable[[dict[str, Any]], None]
Task = Callable[[dict[str, Any], dict[str, Any], Say], tuple[dict[str, Any], dict[str, Any]]]


def load(name: str) -> Task:
    """The `run` of a task; raises `ValueError` for a name that no task has."""
    if not NAME.fullmatch(name):
        raise ValueError(f"no task is named {name!r}")
    try:
        run: Task = import_module(f"tidemill.sandbox.task.{name}").run
    except ModuleNotFoundError as error:
        if error.name != f"tidemill.sandbox.task.{name}":
            raise
        raise ValueError(f"no task is named {name!r}") from None
    return run
