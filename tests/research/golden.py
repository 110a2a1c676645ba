"""Golden returns: 756 made-up days of a strategy and of a benchmark. What the tests beside expect of them was
computed by empyrical 0.7.1, quantstats and ffn, as `docs/stats.md` says of each number."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt


def series(name: str) -> npt.NDArray[np.float64]:
    """The column of `golden_<name>.csv`, shape (756,)."""
    with (Path(__file__).parent / f"golden_{name}.csv").open() as lines:
        return np.array([float(row[1]) for row in list(csv.reader(lines))[1:]])
