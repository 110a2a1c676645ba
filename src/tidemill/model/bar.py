"""Bars as an array: open, high, low, close and volume over an interval, exact."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

BAR: Final = np.dtype(
    [
        ("instrument", "<u4"),  # number of this home's registry; 0 where names are kept apart
        ("interval", "<u4"),  # index into the intervals of whoever made the row
        ("revision", "<u4"),  # 0 the first time, one more each time a late trade changed it
        ("price_scale", "u1"),  # decimal places of the four prices
        ("size_scale", "u1"),  # decimal places of volume
        ("_pad", "<u2"),
        ("start", "<i8"),  # ns UTC, first of the interval
        ("end", "<i8"),  # ns UTC, first after it
        ("open", "<i8"),  # mantissas
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume_low", "<u8"),  # mantissa of 128 bits in two's complement, lower and upper half
        ("volume_high", "<i8"),
        ("trades", "<u8"),  # number of trades
        ("ts_known", "<i8"),  # earliest time a strategy may use it: the end, or its last trade's if later
        ("ts_recv", "<i8"),  # arrival time that closed it
        ("sequence", "<u8"),  # of the record that closed it; its epoch is the reader's to know
    ]
)
"""One bar: 112 bytes, as the native builder writes it."""

Bars = npt.NDArray[np.void]
"""A structured array of dtype BAR, shape (n,), ascending by start."""

if BAR.itemsize != 112:
    raise ImportError(f"a bar has 112 bytes, this numpy makes {BAR.itemsize}")


def volumes(bars: Bars) -> list[int]:
    """Volume mantissas, exact."""
    return [
        (high << 64) | low
        for high, low in zip(bars["volume_high"].tolist(), bars["volume_low"].tolist(), strict=True)
    ]


def set_volumes(bars: Bars, volumes: npt.NDArray[Any] | list[int]) -> None:
    """Sets volume mantissas from integers of up to 128 bits, or an int64 array."""
    if isinstance(volumes, np.ndarray) and volumes.dtype.kind == "i":
        bars["volume_low"] = volumes.astype(np.int64).view(np.uint64)
        bars["volume_high"] = volumes.astype(np.int64) >> 63
        return
    bars["volume_low"] = [int(v) & 0xFFFFFFFFFFFFFFFF for v in volumes]
    bars["volume_high"] = [int(v) >> 64 for v in volumes]


def volume_floats(bars: Bars) -> npt.NDArray[np.float64]:
    """Volumes as floats, for drawing and statistics."""
    low, high = bars["volume_low"].view(np.int64), bars["volume_high"]
    # Where 64 bits are enough the sum of both halves would cancel and lose digits.
    mantissa = np.where(
        high == low >> 63,
        low.astype(np.float64),
        high.astype(np.float64) * 2.0**64 + bars["volume_low"].astype(np.float64),
    )
    result: npt.NDArray[np.float64] = mantissa / (10.0 ** bars["size_scale"])
    return result
