"""Logs of a part: one JSON line per event on stderr, `{"ts", "level", "part", "message", fields…}`."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any


class Log:
    """The voice of one part; `ts` is UTC nanoseconds."""

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

    def _write(self, level: str, message: str, fields: dict[str, Any]) -> None:
        line = {"ts": time.time_ns(), "level": level, "part": self._part, "message": message, **fields}
        # Whoever read stderr may be gone; recording goes on without a listener.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(json.dumps(line, default=str) + "\n")
            sys.stderr.flush()
