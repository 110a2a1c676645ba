"""Columns of text as exact numbers: mantissas at one scale, digit for digit what was sent, never a float."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidemill.errors import UpstreamError

Ints = npt.NDArray[np.int64]
SCALE_MAX = 18


def exact(texts: Sequence[str]) -> tuple[Ints, int]:
    """Mantissas, shape (n,), and the scale that they share: that of the most precise one.

    Raises `UpstreamError` for a text that is no decimal, or where a mantissa is beyond 64 bits.
    """
    scales = [len(text) - text.find(".") - 1 if "." in text else 0 for text in texts]
    scale = max(scales, default=0)
    factors = [10**power for power in range(min(scale, SCALE_MAX) + 1)]
    try:
        mantissas = (
            int(text.replace(".", "", 1)) * factors[scale - own]
            for text, own in zip(texts, scales, strict=True)
        )
        return np.fromiter(mantissas, np.int64, len(texts)), scale
    except (ValueError, OverflowError, IndexError):
        raise _unreadable(texts) from None


def whole(texts: Sequence[str]) -> Ints:
    """Whole numbers, shape (n,); an empty text is 0. Raises `UpstreamError` for anything else."""
    try:
        return np.fromiter((int(text) if text else 0 for text in texts), np.int64, len(texts))
    except (ValueError, OverflowError):
        raise _unreadable(texts) from None


def rescaled(mantissas: Ints, scale: int, wanted: int) -> Ints:
    """The same numbers with more decimals. Raises `UpstreamError` where they are beyond 64 bits then."""
    if scale == wanted or not len(mantissas):
        return mantissas
    factor = 10 ** (wanted - scale)
    if int(np.abs(mantissas).max()) > np.iinfo(np.int64).max // factor:
        raise UpstreamError("iqfeed_unreadable", f"numbers of IQFeed do not fit {wanted} decimals")
    more: Ints = mantissas * factor
    return more


def _unreadable(texts: Sequence[str]) -> UpstreamError:
    bad = next((text for text in texts if not _is_decimal(text)), "a number beyond 64 bits")
    return UpstreamError("iqfeed_unreadable", f"IQFeed sent {bad[:40]!r} as a number")


def _is_decimal(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdecimal()
