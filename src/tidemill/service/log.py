"""JSON lines on stderr: one object per line, so that a newline in a message stays in its line."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import Any

from tidemill.service import answer

PART = "service"
_LEVELS = {"CRITICAL": "error", "ERROR": "error", "WARNING": "warning", "INFO": "info", "DEBUG": "debug"}
logger = logging.getLogger("tidemill.service")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": time.time_ns(),
            "level": _LEVELS.get(record.levelname, "info"),
            "part": PART,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        current = answer.request_id.get()
        if current:
            line.setdefault("request_id", current)
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return answer.encode(line).decode()


def setup() -> None:
    """Sends every logger of this process to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # These speak of their own steps, or repeat what `observe` says with the query, which may hold anything.
    for name in ("uvicorn.access", "httpx", "websockets", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def note(level: int, message: str, **fields: Any) -> None:
    """One line with extra fields."""
    logger.log(level, message, extra={"fields": fields})
