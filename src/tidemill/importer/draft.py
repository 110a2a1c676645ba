"""A guess at what a file means, as it grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tidemill.importer.raw import Raw


@dataclass
class Draft:
    """The fields of a recipe that are known so far, what was taken for granted, and what is open."""

    columns: tuple[str, ...]
    sample: Raw
    parts: dict[str, Any]
    confidence: float = 0.5
    notes: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
