"""Crossing averages on a GPU, one pair a thread. Only imported where `device="cuda"` is asked for.

Seen by nobody on a GPU yet: the tests compare it with the processor's sweep under Numba's simulator.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from math import ceil, exp2, floor, log2
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidemill.errors import ConfigError

Floats = npt.NDArray[np.float64]
cuda: Any = import_module("numba.cuda")
"""Of the module, because the simulator puts its own in the place of a module's."""
BLOCK: Final = 64
"""Pairs a block of threads: a sweep has few, and a GPU many processors."""


def cross(
    close: Floats, opened: Floats | None, fast: list[int], slow: list[int], *, shorts: bool, cost: float
) -> dict[str, npt.NDArray[Any]]:
    """As `_native.sweep_cross` for simple averages, as arrays. Raises ValueError as it does, and
    `ConfigError` `gpu_missing` without a GPU."""
    if not cuda.is_available():
        raise ConfigError(
            "gpu_missing",
            "a sweep with device='cuda' found no GPU that CUDA can use",
            hint="device='cpu' gives the same; `nvidia-smi` shows what the driver sees",
        )
    _check(close, opened, shorts, cost)
    steps, pairs = max(len(close) - 1, 0), len(fast)
    out = np.zeros((pairs, 6))
    if steps and pairs:
        fills = opened if opened is not None else np.concatenate([close[:1], close[:-1]])
        windows = np.array([fast, slow], np.int64)
        rule = (int(shorts), float(cost))
        _kernel()[ceil(pairs / BLOCK), BLOCK](
            *(cuda.to_device(one) for one in (close, fills, _sums(close, max(fast + slow)), windows)),
            *rule,
            out,
        )
    spread = out[:, 4]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = out[:, 3] / steps
        deviation = np.sqrt(np.where(spread > 0, spread, 0.0) / (steps - 1)) if steps > 1 else spread * np.nan
        exposure = out[:, 5] / steps
    return {
        "total": out[:, 0], "drawdown": out[:, 1], "trades": out[:, 2].astype(np.uint64), "mean": mean,
        "deviation": deviation, "exposure": exposure,
    }  # fmt: skip


def _check(close: Floats, opened: Floats | None, shorts: bool, cost: float) -> None:
    for name, values in (("close", close), ("open", opened)):
        if values is not None and (bad := ~(np.isfinite(values) & (values > 0))).any():
            at = int(np.argmax(bad))
            said = f"{name}[{at}] is {values[at]}: prices are finite and above 0, leave other bars out"
            raise ValueError(said)
    if opened is not None and len(opened) != len(close):
        raise ValueError(f"{len(opened)} opens and {len(close)} closes")
    if not 0 <= cost <= 0.4:
        raise ValueError(f"a cost of {cost:g}, not 0 to 0.4 of what is traded")
    if shorts and len(close) > 1:
        ratios = [close[1:] / close[:-1]]
        if opened is not None:
            ratios += [opened[1:] / close[:-1], close[1:] / opened[1:]]
        if (ruins := np.max(ratios, axis=0) >= 2).any():
            at = int(np.argmax(ruins)) + 1
            raise ValueError(f"bar {at} doubles the price: a short position would lose more than there is")


def _sums(close: Floats, longest: int) -> npt.NDArray[np.int64]:
    """Sums of all closes up to each as whole numbers, which nothing is lost of: as the processor's sweep."""
    most, limit = float(close.max()), 2.0**52 / max(longest, 2)
    for decimals in range(10):
        scale = 10.0**decimals
        if most * scale <= limit and np.array_equal(np.rint(close * scale) / scale, close):
            break
    else:
        scale = exp2(min(max(floor(log2(limit / most)), -1000), 1000))
    return np.concatenate([[0], np.cumsum(np.rint(close * scale).astype(np.int64))])


@cache
def _kernel() -> Any:
    @cuda.jit  # type: ignore[untyped-decorator]
    def sweep(close: Any, fills: Any, sums: Any, windows: Any, shorts: int, cost: float, out: Any) -> None:
        pair = cuda.grid(1)
        if pair >= out.shape[0]:
            return
        fast, slow = windows[0, pair], windows[1, pair]
        start = max(fast, slow) - 1
        count = close.shape[0] - 1
        before, grown, peak, fall = 0.0, 1.0, 1.0, 1.0
        trades, held, mean, spread, total = 0, 0, 0.0, 0.0, 0.0
        for at in range(start, count):
            past = sums[at + 1]
            above = (past - sums[at + 1 - fast]) / float(fast) > (past - sums[at + 1 - slow]) / float(slow)
            wanted = 1.0 if above else (-1.0 if shorts else 0.0)
            if wanted == before:
                growth = 1.0 + before * (close[at + 1] / close[at] - 1.0)
            else:
                growth = 1.0 + before * (fills[at + 1] / close[at] - 1.0)
                growth *= 1.0 - cost * abs(wanted - before)
                growth *= 1.0 + wanted * (close[at + 1] / fills[at + 1] - 1.0)
                trades += 1 if wanted != 0.0 else 0
            held += 1 if wanted != 0.0 else 0
            before = wanted
            grown *= growth
            peak = max(peak, grown)
            fall = min(fall, grown / peak)
            back = growth - 1.0
            total += back
            # Welford, 1962; the bars before `start` returned nothing.
            off = back - mean
            mean += off / (at + 1)
            spread += off * (back - mean)
        out[pair, 0], out[pair, 1], out[pair, 2] = grown - 1.0, fall - 1.0, trades
        out[pair, 3], out[pair, 4], out[pair, 5] = total, spread, held

    return sweep
