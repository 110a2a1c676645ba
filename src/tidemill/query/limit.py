"""What one query may take: time, rows, bytes, memory, threads."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tidemill.errors import ConfigError

SQL_CHARS_MAX = 100_000
ROWS_MAX = 1_000_000
ROWS_NEWEST = 10_000
"""Rows of an answer where nobody says how many."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one query."""

    timeout_s: float = 30.0
    rows: int = ROWS_MAX
    bytes: int = 128 << 20
    """Of the answer as Arrow columns."""
    memory_bytes: int = 1 << 30
    """What DuckDB may hold; the whole process half a GiB more."""
    threads: int = 2

    @classmethod
    def of_environment(cls) -> Limits:
        """Raises `ConfigError` for what is no number."""
        return cls(
            timeout_s=_number("TIDEMILL_QUERY_TIMEOUT_S", 30, 3600),
            rows=_number("TIDEMILL_QUERY_ROWS", ROWS_MAX, 1 << 31),
            memory_bytes=_number("TIDEMILL_QUERY_MEMORY_MB", 1024, 1 << 20) << 20,
            threads=_number("TIDEMILL_QUERY_THREADS", 2, 256),
        )

    @property
    def process_bytes(self) -> int:
        """What the process may hold: DuckDB's share, the answer, and what Python and Arrow are."""
        return self.memory_bytes + self.bytes + (512 << 20)


def _number(variable: str, default: int, most: int) -> int:
    text = os.environ.get(variable)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= most:
        raise ConfigError(
            "number_invalid",
            f"{variable} is {text[:40]!r}; it must be a whole number from 1 to {most}",
            hint="docs/config.md",
        )
    return int(text)
