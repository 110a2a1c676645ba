"""Indicators of stored and live bars as one: values that do not depend on how much was asked for.

Sums of floats are rounded, so a smoothed value depends, in its last digits, on the bar that the sum began
with. Where a value's calculation begins is therefore a matter of its own bar: time is cut into blocks, and
the values of a block are those of a fresh indicator that saw `warm_up` bars before the block. A page of
history, the whole of it and a screen that follows along are equal to the bit.

Indicators that remember everything (`memory` "whole") begin with the first bar that there is, or `BARS_MAX`
bars before, or where they are told to: `Values.began` says where it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill import adjusted, indicator, talib_spec
from tidemill.errors import ResourceError, UsageError
from tidemill.indicator import TALIB, Floats, Spec
from tidemill.model.interval import Interval

if TYPE_CHECKING:
    from tidemill.model.adjust import Step
    from tidemill.stores.bar_series import BarSeries
    from tidemill.stores.live import LiveView

BLOCK = 512
"""Bars of the shortest block, where each interval has one."""
BARS_MAX = 200_000
"""Bars taken in before the first that is shown."""
_COLUMNS = ("ts", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Wanted:
    """An indicator with its parameters, checked."""

    name: str
    params: Mapping[str, float]
    """All of them, those left out with their defaults."""
    spec: Spec

    @classmethod
    def of(cls, name: str, params: Mapping[str, float] | None = None) -> Wanted:
        """Raises `UsageError` as `indicator.compute` does, and `ConfigError` without TA-Lib."""
        given = dict(params or {})
        if name.startswith(TALIB):
            spec = talib_spec.of(name, given)
        else:
            own = [one.name for one in indicator.spec(name).params]
            if strange := sorted(set(given) - set(own)):
                raise UsageError(
                    "parameter_invalid", f"{name} has no parameter {strange[0]!r}",
                    hint=f"it has: {', '.join(own) or 'none'}",
                )  # fmt: skip
            spec = indicator.spec(name, **given)
        every = {one.name: given.get(one.name, one.default) for one in spec.params}
        whole = {one.name for one in spec.params if one.kind == "int"}
        return cls(name, {key: int(v) if key in whole else float(v) for key, v in every.items()}, spec)

    @property
    def text(self) -> str:
        """`rsi(period=14)`."""
        return f"{self.name}({', '.join(f'{key}={value:g}' for key, value in self.params.items())})"

    def block(self, interval: Interval) -> int | None:
        """Length of a block in ns; None where all is one."""
        warm_up = self.spec.warm_up
        if warm_up is None:
            return None
        return min(max(BLOCK, 1 << (warm_up // 4).bit_length()) * interval.about_ns, 1 << 62)


@dataclass(frozen=True)
class Values:
    """What one indicator says of the bars that are shown."""

    wanted: Wanted
    columns: dict[str, Floats]
    """By output, float64 of shape (n,): of closed bars, then of the open one where there is one. NaN before
    the first value."""
    began: int | None
    """Start of the first bar that was taken in, ns; None where there are no bars."""


@dataclass(frozen=True)
class Calculated:
    """Bars, and what indicators say of them."""

    bars: BarSeries
    values: list[Values]

    @property
    def closed(self) -> int:
        """How many of the values are of closed bars."""
        return len(self.bars.bars)


def columns_of(parts: Sequence[Any], steps: Sequence[Step] = ()) -> dict[str, Any]:
    """Columns of bars (arrays of `model.bar.BAR`) as indicators take them, one after the other."""
    from tidemill.stores.bar_series import BarSeries

    rows = np.concatenate(list(parts))
    columns = BarSeries("", "", rows, rows[:0], None, [], False).floats()
    if steps:
        adjusted.floats(columns, columns["ts"], steps)
    # Whoever takes a slice of them takes it as it lies: copies are made once, here.
    return {name: np.ascontiguousarray(columns[name]) for name in _COLUMNS}


def calculate(
    live: LiveView,
    instrument: str,
    interval: str,
    wanted: Sequence[Wanted],
    start: int | None = None,
    end: int | None = None,
    limit: int = 5_000,
    *,
    since: int | None = None,
    steps: Sequence[Step] = (),
) -> Calculated:
    """Values of the bars that `LiveView.bars` gives of this span, which it raises for, too.

    `since` (ns) is where indicators begin that remember everything; of those before it they have NaN. Raises
    `ResourceError` `history_too_long` where more than `BARS_MAX` bars lie between that, or the bar that a
    warm-up begins with, and the first that is shown. `steps` adjust the prices.
    """
    parsed = Interval.parse(interval)
    found = live.bars(instrument, interval, start, end, limit)
    shown = len(found.bars) + len(found.current)
    if not shown:
        empty = [Values(one, {o.name: np.empty(0) for o in one.spec.outputs}, None) for one in wanted]
        return Calculated(found, empty)
    first = int((found.bars if len(found.bars) else found.current)["start"][0])
    lead, begun = before(live, instrument, parsed, wanted, first, since)
    columns = columns_of([*lead, found.bars, found.current], steps)
    at = len(columns["ts"]) - shown
    return Calculated(found, [Values(one, *over(one, columns, at, parsed, begun)) for one in wanted])


def before(
    live: LiveView,
    instrument: str,
    interval: Interval,
    wanted: Sequence[Wanted],
    first: int,
    since: int | None,
) -> tuple[list[Any], int | None]:
    """Bars before `first` (ns) that any of these have to see, ascending, in pieces; and since when those that
    remember everything do, as `over` takes it: None where it is since the first bar of these."""
    blocks = [first // length * length for one in wanted if (length := one.block(interval)) is not None]
    pieces: list[Any] = []
    low = first
    if len(blocks) < len(wanted):
        if since is None:
            read = live.bars(instrument, interval.text, None, first, BARS_MAX)
            if not read.more:
                return [read.bars], None
            # Of what is too long each half of `BARS_MAX` begins in one place: pages of it are equal.
            half = min(BARS_MAX // 2 * interval.about_ns, 1 << 62)
            since = first // half * half - half
        elif since < first:
            read = live.bars(instrument, interval.text, since, first, BARS_MAX + 1)
            _bounded(len(read.bars) > BARS_MAX, wanted, interval)
        if since < first:
            low = since
            pieces = [read.bars[read.bars["start"] >= since]]
    if blocks:
        if min(blocks) < low:
            # All of them, of a span within one block.
            read = live.bars(instrument, interval.text, min(blocks), low, BARS_MAX + 1)
            _bounded(len(read.bars) > BARS_MAX, wanted, interval)
            pieces.insert(0, read.bars)
            low = min(blocks)
        # Those before the earliest block: what is here already counts for the others.
        warm = max(one.spec.warm_up or 0 for one in wanted)
        read = live.bars(instrument, interval.text, None, low, max(1, min(warm, BARS_MAX)))
        _bounded(read.more and warm > BARS_MAX, wanted, interval)
        pieces.insert(0, read.bars)
    return pieces, since


def over(
    wanted: Wanted, columns: Mapping[str, Any], at: int, interval: Interval, since: int | None = None
) -> tuple[dict[str, Floats], int | None]:
    """Values of the bars from index `at` on, and the start of the first bar that was taken in. The columns
    hold, before that, what `before` has read."""
    starts = columns["ts"]
    count = len(starts)
    if at >= count:
        return {output.name: np.empty(0) for output in wanted.spec.outputs}, None
    length = wanted.block(interval)
    if length is None:
        begin = 0 if since is None else int(np.searchsorted(starts, since))
        if begin >= count:
            return {output.name: np.full(count - at, np.nan) for output in wanted.spec.outputs}, None
        found = _compute(wanted, columns, begin, count)
        lead = max(0, begin - at)
        return (
            {
                name: np.concatenate([np.full(lead, np.nan), values[max(0, at - begin) :]])
                for name, values in found.items()
            },
            int(starts[begin]),
        )
    warm = wanted.spec.warm_up or 0
    blocks = starts[at:] // length
    edges = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), count - at]
    made: dict[str, list[Floats]] = {output.name: [] for output in wanted.spec.outputs}
    began = None
    for low, high in itertools.pairwise(edges):
        opened = int(np.searchsorted(starts, int(blocks[low]) * length))
        begin = max(0, opened - warm)
        began = int(starts[begin]) if began is None else began
        for name, values in _compute(wanted, columns, begin, at + high).items():
            made[name].append(values[at + low - begin :])
    return {name: np.concatenate(parts) for name, parts in made.items()}, began


def _compute(wanted: Wanted, columns: Mapping[str, Any], begin: int, end: int) -> dict[str, Floats]:
    part = {name: values[begin:end] for name, values in columns.items()}
    return indicator.compute(wanted.name, part, **wanted.params)


def _bounded(beyond: bool, wanted: Sequence[Wanted], interval: Interval) -> None:
    if beyond:
        raise ResourceError(
            "history_too_long",
            f"{', '.join(one.text for one in wanted)} of {interval.text} bars would take in more than"
            f" {BARS_MAX:,} bars before the first that is shown",
            hint="ask with longer bars or smaller periods, or name a later since",
        )
