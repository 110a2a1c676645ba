"""Rows as they lie in a file: columns that nobody has understood yet, and the lines they came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class Bad:
    """A row that is not kept."""

    line: int
    """From 1, as an editor counts; of a columnar file the row."""
    reason: str
    text: str
    """As it stands in the file, its beginning."""


@dataclass(frozen=True)
class Raw:
    """Rows of one batch, in the order of the file."""

    lines: npt.NDArray[np.int64]
    columns: dict[str, pa.Array]
    """Text, or the file's own types; one length."""
    text: Callable[[int], str]
    """The raw text of a row."""
    bad: list[Bad] = field(default_factory=list)
    """Rows that are no rows at all."""
    bytes: int = 0
    """How much of the unpacked file they are."""

    def __len__(self) -> int:
        return len(self.lines)
