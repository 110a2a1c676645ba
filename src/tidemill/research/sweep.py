"""A rule over one series for every combination of its parameters, in one go (`docs/sweep.md`).

    from tidemill.research import sweep

    bars = td.bars("BTC-USD.kraken", "1m", limit=500_000)
    found = sweep.cross(bars, fast=range(5, 50), slow=range(50, 500, 10), cost=0.0007)
    found.sort("sharpe", descending=True, nulls_last=True).head()

A sweep is for looking at a landscape, not for choosing its summit: the best of a thousand worthless rules
looks good, and `sharpe_by_luck` says how good."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tidemill import _native
from tidemill.errors import ConfigError, UsageError
from tidemill.research import luck

Floats = npt.NDArray[np.float64]
Average = Literal["sma", "ema"]
Fill = Literal["open", "close"]
Device = Literal["cpu", "cuda"]
COLUMNS: Final = ("open", "high", "low", "close", "volume")
RESULTS: Final = ("total", "drawdown", "trades", "mean", "deviation", "exposure")
KERNELS: Final[Mapping[str, str]] = {"sma": "simple", "ema": "exponential"}


def cross(
    bars: Any,
    fast: Sequence[int],
    slow: Sequence[int],
    *,
    average: Average = "sma",
    shorts: bool = False,
    cost: float = 0.0,
    fill: Fill = "open",
    per_year: float = 1.0,
    threads: int | None = None,
    device: Device = "cpu",
) -> pl.DataFrame:
    """Two averages of the close that cross, for every `fast` below a `slow`: one row each, in that order.

    At the close of each bar from the first that has both averages on: long where the fast one is above the
    slow one, else flat, or short with `shorts`. A change is done at the open of the next bar, or with
    `fill="close"` at the very close that decided it; the last close changes nothing. Positions are all of
    equity, a short one again at every close. Each change costs `cost` of what is traded (0.0007 is 7
    hundredths of a percent: fee and slippage), from long to short twice.

    `bars` are what `td.bars` gives, or any mapping of columns `close` and, for `fill="open"`, `open`.

    Columns: `fast`, `slow`; `total_return` and `max_drawdown` (0.1 is 10 %, drawdowns are below 0, at
    closes); `trades` that were opened; `mean` and `deviation` of the returns of a bar, flat ones included;
    `sharpe`, their ratio times √`per_year`, null where nothing moves; `sharpe_by_luck`, what the best of so
    many worthless rules would have; `exposure`, the share of the bars with a position.

    `threads` is as many as there are processors when left out; results do not depend on it. `device="cuda"`
    takes a GPU (`tidemill[cuda]`; `average="sma"` alone).

    Raises `UsageError`: `bars_invalid` for columns that are missing or hold anything but prices above 0,
    `sweep_invalid` for windows or costs out of range, and for shorts where a price doubles within a bar;
    `ConfigError`: `gpu_missing`, `extra_missing`.
    """
    pairs = [(one, other) for one in _whole("fast", fast) for other in _whole("slow", slow) if one < other]
    if not pairs:
        raise UsageError("sweep_invalid", "no fast window is below a slow one: nothing to sweep")
    for name, given, known in (("average", average, tuple(KERNELS)), ("fill", fill, ("open", "close")),
                               ("device", device, ("cpu", "cuda"))):  # fmt: skip
        if given not in known:
            raise UsageError("sweep_invalid", f"{name} is {given!r}; have: {', '.join(known)}")
    if device == "cuda" and average != "sma":
        raise UsageError("sweep_invalid", "a GPU sweeps simple averages alone", hint="device='cpu'")
    close = _column(bars, "close")
    opened = _column(bars, "open") if fill == "open" else None
    windows: dict[str, list[int]] = {
        "fast": [one for one, _ in pairs],
        "slow": [other for _, other in pairs],
    }
    count = threads or os.cpu_count() or 1
    try:
        if device == "cuda":
            try:
                from tidemill.research import sweep_cuda
            except ImportError as error:
                raise ConfigError(
                    "extra_missing",
                    "a sweep on a GPU needs the Python packages numba and numba-cuda",
                    hint="pip install 'tidemill[cuda]'",
                ) from error
            found = sweep_cuda.cross(close, opened, **windows, shorts=shorts, cost=cost)
        else:
            told = _native.sweep_cross(
                close,
                **windows,
                open=opened,
                average=KERNELS[average],
                shorts=shorts,
                cost=cost,
                threads=count,
            )
            found = {
                name: np.frombuffer(told[name], np.uint64 if name == "trades" else np.float64)
                for name in RESULTS
            }
    except ValueError as error:
        code = (
            "bars_invalid" if "prices are" in str(error) or " opens and " in str(error) else "sweep_invalid"
        )
        raise UsageError(code, str(error)) from error
    return _table(windows, found, per_year)


def compiled(
    signal: Callable[..., Any],
    bars: Any,
    grid: Mapping[str, Sequence[float]],
    *,
    cost: float = 0.0,
    fill: Fill = "open",
    per_year: float = 1.0,
    threads: int | None = None,
) -> pl.DataFrame:
    """Your own rule, compiled by Numba, for every combination of `grid`: one row each, the last parameter
    varying fastest (`tidemill[jit]`).

        @numba.njit
        def signal(open, high, low, close, volume, params):     # params: float64, in the order of the grid
            ...
            return positions                                    # float64 (n,): shares of equity, -1 to 1

    `positions[i]` is decided at the close of bar i, and filled, paid for and counted as in `cross`; NaN keeps
    the one before. What is not flat is that share of equity again at every close, without costs. Equity that
    is lost stays lost. `signal` may look at every bar: nothing here can see that it does not look ahead.

    Columns are those of the grid and of `cross`. The first call compiles, for seconds; `signal` runs on
    `threads` threads without the interpreter's lock, so it must not share what it writes.

    Raises `ConfigError` `extra_missing`; `UsageError` `sweep_invalid` for a grid without combinations or a
    `signal` that is not compiled or gives another length, `bars_invalid` as `cross`.
    """
    try:
        from tidemill.research import sweep_jit
    except ImportError as error:
        raise ConfigError(
            "extra_missing",
            "sweep.compiled needs the Python package numba",
            hint="pip install 'tidemill[jit]'",
        ) from error
    combinations = np.array(list(product(*grid.values())), np.float64)
    if not grid or not len(combinations):
        raise UsageError("sweep_invalid", "the grid has no combinations: every parameter needs a value")
    if fill not in ("open", "close"):
        raise UsageError("sweep_invalid", f"fill is {fill!r}; have: open, close")
    if not 0 <= cost <= 0.4:
        raise UsageError("sweep_invalid", f"a cost of {cost:g}, not 0 to 0.4 of what is traded")
    columns = tuple(_column(bars, name) for name in COLUMNS)
    run = sweep_jit.runner(signal)
    parts = np.array_split(combinations, min(len(combinations), 4 * (threads or os.cpu_count() or 1)))
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        done = list(pool.map(lambda part: run(*columns, part, fill == "open", cost), parts))
    rows = np.concatenate(done)
    if (rows[:, 0] == sweep_jit.UNFIT).any():
        raise UsageError(
            "sweep_invalid", f"signal gave another number of positions than {len(columns[0])} bars"
        )
    names = {name: combinations[:, at] for at, name in enumerate(grid)}
    return _table(names, {name: rows[:, at] for at, name in enumerate(RESULTS)}, per_year)


def _table(params: Mapping[str, Any], found: Mapping[str, npt.NDArray[Any]], per_year: float) -> pl.DataFrame:
    mean, deviation = found["mean"], found["deviation"]
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = np.where(deviation > 0, mean / deviation, np.nan)
    known = sharpe[np.isfinite(sharpe)]
    by_luck = luck.expected_best(float(known.var(ddof=1)), len(known)) if len(known) > 1 else 0.0
    year = float(np.sqrt(per_year))
    columns = {
        **params,
        "total_return": found["total"],
        "max_drawdown": found["drawdown"],
        "trades": found["trades"].astype(np.int64),
        "mean": mean,
        "deviation": deviation,
        "sharpe": sharpe * year,
        "sharpe_by_luck": np.full(len(sharpe), by_luck * year),
        "exposure": found["exposure"],
    }
    # What is not defined is null, not NaN.
    return pl.DataFrame(columns).with_columns(
        pl.col("mean", "deviation", "sharpe", "exposure").fill_nan(None)
    )


def _whole(name: str, windows: Sequence[int]) -> list[int]:
    found = [int(one) for one in windows]
    for one in found:
        if not 1 <= one <= 1_000_000:
            raise UsageError("sweep_invalid", f"{name} has a window of {one} bars, not 1 to 1,000,000")
    return found


def _column(bars: Any, name: str) -> Floats:
    known = set(bars.columns if hasattr(bars, "columns") else bars.keys())
    if name not in known:
        raise UsageError("bars_invalid", f"the bars have no column {name}", hint=f"have: {sorted(known)}")
    column = bars[name]
    try:
        values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
        found = np.ascontiguousarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError("bars_invalid", f"column {name} holds no numbers: {error}") from error
    if found.ndim != 1:
        raise UsageError("bars_invalid", f"column {name} has shape {found.shape}, not (n,)")
    return found
