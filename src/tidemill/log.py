"""Logs of a part: one JSON line per event on stderr, `{"ts", "level", "part", "message", fields…}`."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any, Literal

Level = Literal["info", "warning", "error"]


def line(level: Level, part: str, message: str, **fields: Any) -> str:
    """One line of a log, without its newline; `ts` is UTC nanoseconds."""
    said = {"ts": time.time_ns(), "level": level, "part": part, "message": message, **fields}
    return json.dumps(said, default=str)


class Log:
    """The voice of one part."""

    def __init__(self, part: str) -> None:
        self._part = part

    def info(self, message: str, **fields: Any) -> None:
        """Something that happened as it should."""
        self._write("info", message, fields)

    def warn(self, message: str, **fields: Any) -> None:
        """Something is wrong and is being dealt with."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Something is wrong and needs a person."""
        self._write("error", message, fields)

    def _write(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        # Whoever read stderr may be gone; recording goes on without a listener.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line(level, self._part, message, **fields) + "\n")
            sys.stderr.flush()
