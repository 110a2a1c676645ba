"""Three indicators of stock rows, exactly as defined here: `sma`, `ema`, `rsi`.

All take values of shape (n,), ascending in time and without NaN, and give float64 of shape (n,) with NaN
where there is no value yet. An EMA and an RSI remember all that came before: over rows that begin `WARM`
before the first that is shown they differ from those over the whole series by less than one part in 10^7.

Source of the RSI: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WARM = 250
"""How many rows before the first that is shown are taken into account."""

Values = npt.NDArray[np.float64]


def sma(values: Values, length: int) -> Values:
    """The mean of the last `length` values; NaN for the first `length` - 1."""
    found = np.full(len(values), np.nan)
    if len(values) >= length:
        windows = np.lib.stride_tricks.sliding_window_view(values, length)
        found[length - 1 :] = windows.mean(axis=1)
    return found


def ema(values: Values, length: int) -> Values:
    """The mean of the first `length` values, then e + (value - e) × 2 / (length + 1); NaN for the first
    `length` - 1."""
    found = np.full(len(values), np.nan)
    if len(values) < length:
        return found
    share = 2.0 / (length + 1)
    now = float(values[:length].mean())
    found[length - 1] = now
    for at in range(length, len(values)):
        now += (float(values[at]) - now) * share
        found[at] = now
    return found


def rsi(values: Values, length: int) -> Values:
    """Wilder's: 100 × gain / (gain + loss), of which both are means of `length` changes at first and then
    (before × (length - 1) + change) / length; 50 where nothing has moved. NaN for the first `length`."""
    found = np.full(len(values), np.nan)
    if len(values) <= length:
        return found
    changes = np.diff(values)
    gains, losses = np.maximum(changes, 0.0), np.maximum(-changes, 0.0)
    gain, loss = float(gains[:length].mean()), float(losses[:length].mean())
    found[length] = _share(gain, loss)
    for at in range(length, len(changes)):
        gain = (gain * (length - 1) + float(gains[at])) / length
        loss = (loss * (length - 1) + float(losses[at])) / length
        found[at + 1] = _share(gain, loss)
    return found


def _share(gain: float, loss: float) -> float:
    return 50.0 if gain + loss == 0.0 else 100.0 * gain / (gain + loss)
