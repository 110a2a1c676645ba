"""Signals' values: of whole series at once, and step after step. Both give the same bits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tidemill import indicator
from tidemill.strategies.operation import NAN, OPERATIONS
from tidemill.strategies.signal import (
    COLUMNS,
    Apply,
    Column,
    Const,
    Floats,
    Hold,
    Line,
    Of,
    Shift,
    Signal,
    Switch,
    ordered,
)

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """Bars of one instrument as columns of shape (n,), ascending in both times."""

    start: Times
    """First nanosecond of each bar's interval, UTC."""
    known: Times
    """When each bar could first be used, UTC ns."""
    columns: Mapping[str, Floats]
    """open, high, low, close, volume."""

    def __len__(self) -> int:
        return len(self.start)

    def part(self, count: int) -> Series:
        """The first `count` bars."""
        return Series(
            self.start[:count], self.known[:count], {name: v[:count] for name, v in self.columns.items()}
        )


def steps(series: Mapping[str, Series]) -> Times:
    """The times at which at least one bar became known, ascending, each once."""
    if not series:
        return np.empty(0, np.int64)
    # Each is ascending already, which a stable sort makes use of.
    merged = np.sort(np.concatenate([one.known for one in series.values()]), kind="stable")
    return merged[np.append(True, merged[1:] != merged[:-1])] if len(merged) else merged


def values(signals: Sequence[Signal], series: Mapping[str, Series]) -> list[Floats]:
    """Each signal's value at each of `steps(series)`, shape (n,), NaN where it is not known."""
    axis = steps(series)
    # The newest row of each instrument at each step; -1 before its first.
    alone = len(series) == 1 and all(len(one) == len(axis) for one in series.values())
    rows = {
        name: np.searchsorted(one.known, axis, side="right") - 1 for name, one in series.items() if not alone
    }
    found: dict[int, Floats] = {}
    lines: dict[tuple[Any, ...], Mapping[str, Floats]] = {}

    def spread(name: str, column: Floats) -> Floats:
        if alone:
            return column
        at = rows[name]
        padded = np.append(column, NAN)
        return cast(Floats, padded[np.where(at < 0, len(column), at)])

    with np.errstate(all="ignore"):
        for one in ordered(signals):
            inputs = [found[id(each)] for each in one.inputs]
            match one:
                case Const():
                    value = np.full(len(axis), one.value)
                case Column():
                    value = spread(one.instrument, series[one.instrument].columns[one.name])
                case Line():
                    if one.key not in lines:
                        mine = series[one.instrument]
                        lines[one.key] = indicator.compute(
                            one.name, {"start": mine.start, **mine.columns}, **one.params
                        )
                    value = spread(one.instrument, lines[one.key][one.output])
                case Of():
                    value = _of(one, inputs[0])
                case Apply():
                    value = OPERATIONS[one.operation](*inputs).astype(np.float64, copy=False)
                case Shift():
                    value = np.full(len(axis), NAN)
                    value[one.steps :] = inputs[0][: max(len(axis) - one.steps, 0)]
                case Hold():
                    value = _held(inputs[0])
                case Switch():
                    on, off = inputs
                    state = np.where(_true(off), 0.0, np.where(_true(on), 1.0, NAN))
                    value = np.nan_to_num(_held(state), nan=0.0)
                case _:
                    raise TypeError(f"{type(one).__name__} is no signal that can be evaluated")
            found[id(one)] = value
    return [found[id(one)] for one in signals]


def _of(one: Of, source: Floats) -> Floats:
    bars = dict.fromkeys(COLUMNS, source) | {"start": np.arange(len(source), dtype=np.int64)}
    return indicator.compute(one.name, bars, **one.params)[one.output]


def _true(value: Floats) -> npt.NDArray[np.bool_]:
    return cast(npt.NDArray[np.bool_], ~np.isnan(value) & (value != 0))


def _held(value: Floats) -> Floats:
    at = np.where(np.isnan(value), -1, np.arange(len(value)))
    at = np.maximum.accumulate(at) if len(at) else at
    return np.where(at < 0, NAN, value[at]) if len(at) else value


@dataclass(frozen=True)
class Row:
    """One bar, as floats."""

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Live:
    """Signals that are fed step after step."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = list(signals)
        self._order = ordered(signals)
        self._values: dict[int, float] = {}
        self._streams: dict[Any, indicator.Stream] = {}
        self._lines: dict[Any, dict[str, float]] = {}
        self._past: dict[int, deque[float]] = {}
        self._step = 0
        for one in self._order:
            if isinstance(one, Line) and one.key not in self._streams:
                self._streams[one.key] = indicator.Stream(one.name, **one.params)
            elif isinstance(one, Of):
                self._streams[id(one)] = indicator.Stream(one.name, **one.params)
            elif isinstance(one, Shift):
                self._past[id(one)] = deque(maxlen=one.steps + 1)

    def step(self, bars: Mapping[str, Row | Sequence[Row]]) -> list[float]:
        """Takes the bars that became known together, by instrument (one, or several in their order); each
        signal's value."""
        together = {name: [one] if isinstance(one, Row) else one for name, one in bars.items()}
        return self._stepped({name: rows for name, rows in together.items() if rows})

    def _stepped(self, bars: Mapping[str, Sequence[Row]]) -> list[float]:
        taken: set[Any] = set()
        with np.errstate(all="ignore"):
            for one in self._order:
                self._values[id(one)] = self._value(one, bars, taken)
        self._step += 1
        return [self._values[id(one)] for one in self._signals]

    def _value(self, one: Signal, bars: Mapping[str, Sequence[Row]], taken: set[Any]) -> float:
        inputs = [self._values[id(each)] for each in one.inputs]
        last = self._values.get(id(one), NAN)
        match one:
            case Const():
                return one.value
            case Column():
                return getattr(bars[one.instrument][-1], one.name) if one.instrument in bars else last
            case Line():
                if one.instrument not in bars:
                    return last
                if one.key not in taken:
                    taken.add(one.key)
                    for bar in bars[one.instrument]:
                        self._lines[one.key] = self._streams[one.key].update(
                            bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume
                        )
                return self._lines[one.key][one.output]
            case Of():
                value = inputs[0]
                return self._streams[id(one)].update(self._step, value, value, value, value, value)[
                    one.output
                ]
            case Apply():
                return float(OPERATIONS[one.operation](*map(np.float64, inputs)))
            case Shift():
                past = self._past[id(one)]
                past.append(inputs[0])
                return past[0] if len(past) > one.steps else NAN
            case Hold():
                return last if np.isnan(inputs[0]) else inputs[0]
            case Switch():
                on, off = (not np.isnan(value) and value != 0 for value in inputs)
                return 0.0 if off else 1.0 if on else (0.0 if np.isnan(last) else last)
            case _:
                raise TypeError(f"{type(one).__name__} is no signal that can be evaluated")
