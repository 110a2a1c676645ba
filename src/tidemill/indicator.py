"""Indicators of bars: a registry, a whole series at once, and one that is fed bar after bar.

    from tidemill import indicator

    indicator.compute("rsi", td.bars("BTC-USD.kraken", "1h"), period=14)["rsi"]     # (n,), NaN until warm
    indicator.compute("talib:CDLDOJI", bars)                # any function of TA-Lib, with `tidemill[talib]`
    macd = indicator.Stream("macd")                         # the same values, one bar at a time
    macd.extend(history); macd.update(start, open, high, low, close, volume)["signal"]

All are compiled (`crates/kernels/src/indicator`), and a series is computed by the code that takes single
bars. Which there are, with sources and where other programs differ: `docs/indicators.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidemill import _native
from tidemill.errors import ConfigError, UsageError, nearest

Floats = npt.NDArray[np.float64]
PRICES = ("open", "high", "low", "close", "volume")
TALIB = "talib:"


@dataclass(frozen=True)
class Param:
    """A parameter and its range, both ends included."""

    name: str
    kind: Literal["int", "float"]
    default: float
    low: float
    high: float


@dataclass(frozen=True)
class Output:
    """A line of numbers, and how to draw it."""

    name: str
    draw: Literal["line", "histogram", "band", "marks"]
    pane: Literal["price", "own", "volume"]
    first: int
    """Index of the first value of a series without gaps."""
    shift: int
    """By how many bars it is drawn later, or earlier where negative. Values are never moved."""


@dataclass(frozen=True)
class Spec:
    """An indicator with the parameters that `warm_up`, `first` and `shift` are of."""

    name: str
    title: str
    description: str
    source: str
    inputs: tuple[str, ...]
    params: tuple[Param, ...]
    outputs: tuple[Output, ...]
    memory: Literal["window", "fading", "whole"]
    """Over the last `warm_up` bars alone; over all, but what came before those weighs less than 1e-12; over
    all bars, however long ago."""
    warm_up: int | None
    """After how many bars a fresh one agrees with one that saw all history; None: it never has to."""

    @property
    def cumulative(self) -> bool:
        """Its values depend on where it began."""
        return self.memory == "whole"


@cache
def registry() -> Mapping[str, Spec]:
    """All indicators by name, those drawn over prices first, with their defaults."""
    return {found["name"]: _spec(found) for found in _native.indicators()}


def spec(name: str, **params: float) -> Spec:
    """One of them as it is with these parameters. Raises `UsageError` as `compute` does."""
    return Stream(name, **params).spec


def compute(name: str, bars: Any, **params: float) -> dict[str, Floats]:
    """The outputs by name, float64 of shape (n,), NaN until there is a first value.

    `bars` are what `td.bars` gives, or any mapping of columns: those that the indicator uses of `start` (or
    `ts`; ns), open, high, low, close, volume, ascending in time. A bar with NaN in one of them has NaN, and
    is as if it were not there. With `talib:` before it, `name` is a function of TA-Lib, `params` are its own.

    Raises `UsageError`: `indicator_unknown` with the nearest names, `parameter_invalid` with its range,
    `bars_invalid` for a column that is missing or has another length; `ConfigError` `extra_missing` without
    TA-Lib.
    """
    if name.startswith(TALIB):
        return _talib(name, bars, params)
    return Stream(name, **params).extend(bars)


class Stream:
    """An indicator with its parameters and all it has seen; `spec` says what it is.

    Raises as `compute` does."""

    def __init__(self, name: str, **params: float) -> None:
        if name not in registry():
            raise _unknown(name, registry())
        try:
            self._native = _native.Indicator(name, params)
        except ValueError as error:
            raise UsageError("parameter_invalid", str(error), hint=_signature(registry()[name])) from error
        self.spec = _spec(self._native.describe())

    def update(
        self,
        start: int,
        open: float,  # noqa: A002
        high: float,
        low: float,
        close: float,
        volume: float,
    ) -> dict[str, float]:
        """Takes one bar (`start` in UTC ns); the outputs by name, NaN until there is a value."""
        values = self._native.update(start, open, high, low, close, volume)
        return {output.name: value for output, value in zip(self.spec.outputs, values, strict=True)}

    def extend(self, bars: Any) -> dict[str, Floats]:
        """Takes many, as if each were given to `update`."""
        try:
            return self._native.extend(_columns(bars, self.spec.inputs))
        except ValueError as error:
            raise UsageError("bars_invalid", str(error)) from error


def _spec(found: Mapping[str, Any]) -> Spec:
    told = {key: value for key, value in found.items() if key != "cumulative"}
    return Spec(
        **told
        | {
            "inputs": tuple(found["inputs"]),
            "params": tuple(Param(**one) for one in found["params"]),
            "outputs": tuple(Output(**one) for one in found["outputs"]),
        }
    )


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    names = list(known)
    close = nearest(name, names)
    said = f"nearest: {', '.join(close)}" if close else f"have: {', '.join(names)}"
    return UsageError("indicator_unknown", f"no indicator is named {name!r}", hint=said)


def _signature(one: Spec) -> str:
    if not one.params:
        return f"{one.name} has no parameters"
    return f"{one.name}: " + ", ".join(
        f"{p.name}={p.default:g} ({p.low:g} to {p.high:g})" for p in one.params
    )


def _columns(bars: Any, used: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """The used columns as contiguous arrays; those that are already are not copied."""
    known = set(bars.columns if hasattr(bars, "columns") else bars.keys())
    found: dict[str, npt.NDArray[Any]] = {}
    for name in used:
        own = "ts" if name == "start" and name not in known else name
        if own not in known:
            raise UsageError("bars_invalid", f"the bars have no column {name}", hint=f"have: {sorted(known)}")
        column = bars[own]
        values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
        try:
            if name == "start":
                # Times of a zone are objects in pandas; as datetime64 they are in UTC.
                times = np.asarray(column, "datetime64[ns]") if values.dtype.kind in "MO" else values
                found[name] = np.ascontiguousarray(
                    times, times.dtype if times.dtype.kind == "M" else np.int64
                )
                found[name] = found[name].view(np.int64)
            else:
                found[name] = np.ascontiguousarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError("bars_invalid", f"column {name} holds no numbers: {error}") from error
        if found[name].ndim != 1:
            raise UsageError("bars_invalid", f"column {name} has shape {values.shape}, not (n,)")
    return found


def _talib(name: str, bars: Any, params: Mapping[str, float]) -> dict[str, Floats]:
    """A function of TA-Lib by its abstract interface, under its own names."""
    try:
        talib: Any = import_module("talib")
        abstract: Any = import_module("talib.abstract")
    except ImportError as error:
        raise ConfigError(
            "extra_missing", f"{name} needs the Python package ta-lib", hint="pip install 'tidemill[talib]'"
        ) from error
    known = {TALIB + one for one in talib.get_functions()}
    if name not in known:
        raise _unknown(name, known)
    function = abstract.Function(name.removeprefix(TALIB))
    own = function.info["parameters"]
    if strange := sorted(set(params) - set(own)):
        said = f"{name} has no parameter {strange[0]!r}"
        raise UsageError("parameter_invalid", said, hint=f"it has: {', '.join(own) or 'none'}")
    # A price may be named by a list of columns or by one; which are used is TA-Lib's to say.
    named = function.input_names.values()
    used = {column for one in named for column in ([one] if isinstance(one, str) else one)}
    if strange := sorted(used - set(PRICES)):
        raise UsageError("bars_invalid", f"{name} needs {', '.join(strange)}, which bars have not")
    columns = _columns(bars, sorted(used))
    if len({len(column) for column in columns.values()}) > 1:
        raise UsageError("bars_invalid", "the columns have several lengths")
    try:
        found = function(columns, **params)
    except (
        Exception
    ) as error:  # TA-Lib raises bare Exception for a value out of range, TypeError for its kind.
        raise UsageError("parameter_invalid", f"TA-Lib refused {name}: {error}") from error
    several = found if isinstance(found, list | tuple) else [found]
    return {
        output: np.asarray(values, np.float64)
        for output, values in zip(function.output_names, several, strict=True)
    }
