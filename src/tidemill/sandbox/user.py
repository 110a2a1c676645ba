"""The user's module inside a guest: loaded from its text once, its errors told by its own lines."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from types import ModuleType
from typing import Any

from tidemill import errors

FILE = "strategy.py"
LINES_MAX = 20
TEXT_MAX = 1000

_loaded: dict[tuple[str, str], ModuleType] = {}
_files: set[str] = set()


def load(source: str, name: str = FILE) -> ModuleType:
    """The module of this text, run once in this process. What it raises while it runs is raised."""
    kept = _loaded.get((name, source))
    if kept is not None:
        return kept
    name = os.path.basename(name) or FILE  # noqa: PTH119 - a name for people, no path
    _files.add(name)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    code = compile(source, name, "exec", dont_inherit=True)
    module = ModuleType(name.removesuffix(".py") or "strategy")
    module.__file__ = name
    sys.modules[f"user_{module.__name__}"] = module
    module.__name__ = f"user_{module.__name__}"
    exec(code, module.__dict__)  # noqa: S102 - this is the place where it may
    _loaded[name, source] = module
    return module


def told(error: BaseException) -> dict[str, Any]:
    """What the asker hears of an error: its code and the lines of the user's file that led there."""
    if isinstance(error, MemoryError):
        return {"code": "sandbox_memory"}
    if isinstance(error, errors.TidemillError):
        return {"code": "refused", "error": error.as_dict(), "lines": _lines(error)}
    if isinstance(error, SyntaxError) and error.filename in _files:
        return {
            "code": "code_invalid",
            "file": error.filename,
            "line": error.lineno or 0,
            "column": error.offset or 0,
            "text": str(error.msg)[:TEXT_MAX],
        }
    try:
        text = str(error)[:TEXT_MAX]
    except BaseException:
        text = "an error that cannot be shown"
    return {"code": "code_failed", "type": type(error).__name__[:100], "text": text, "lines": _lines(error)}


def _lines(error: BaseException) -> list[dict[str, Any]]:
    frames = [
        {"file": frame.filename, "line": frame.lineno or 0, "function": frame.name[:100]}
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in _files
    ]
    return frames[-LINES_MAX:]
