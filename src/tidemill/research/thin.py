"""Fewer points of a curve, for pictures: no peak and no trough is lost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def thinned(values: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """Places of at most `most` values, ascending: the first, the last, and of each of equal stretches the
    lowest and the highest."""
    count = len(values)
    if count <= max(most, 2):
        return np.arange(count, dtype=np.int64)
    edges = np.linspace(0, count, max(1, (most - 2) // 2) + 1).astype(np.int64)
    found = {0, count - 1}
    for low, past in zip(edges[:-1], edges[1:], strict=True):
        if past > low:
            piece = values[low:past]
            found |= {int(low + np.argmin(piece)), int(low + np.argmax(piece))}
    return np.array(sorted(found), np.int64)
