"""A strategy over the last bars, as a chart shows it: what it wants at each close, and where that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tidemill.research import backtest
from tidemill.research.history import History, Ints, Track
from tidemill.strategies.api import Strategy
from tidemill.strategies.evaluation import steps, values
from tidemill.strategies.signal import Bars, Floats, Signal, warm_up


@dataclass(frozen=True)
class Marker:
    """A decision of a signal, or a fill of an order."""

    ts: int
    """Start of the bar that it belongs to on a chart, UTC ns."""
    instrument: str
    side: Literal["buy", "sell"]
    target: float | None
    """Wanted share of equity; None for a fill."""
    price: float
    """The close at which it was decided, or the price of the fill."""


@dataclass(frozen=True)
class Applied:
    """What there is to show."""

    targets: dict[str, tuple[Ints, Floats]]
    """By instrument: starts of bars and the wanted share at their close, of one by signal."""
    markers: list[Marker]
    """Ascending."""
    warm_up: int | None


def apply(strategy: Strategy, history: History) -> Applied:
    """Raises `UsageError` as `backtest.run`."""
    return _signalled(strategy, history) if strategy.by_signal() else _filled(strategy, history)


def _signalled(strategy: Strategy, history: History) -> Applied:
    wanted = strategy.signals({name: Bars(name) for name in history.tracks})
    backtest.checked(strategy, wanted, list(history.tracks))
    shares = values(list(wanted.values()), history.series)
    axis = steps(history.series)
    targets: dict[str, tuple[Ints, Floats]] = {}
    markers: list[Marker] = []
    for name, share in zip(wanted, shares, strict=True):
        track = history.tracks[name]
        at_close = share[np.searchsorted(axis, track.known)]
        targets[name] = (track.start, at_close)
        markers += _changes(name, track, at_close)
    return Applied(targets, sorted(markers, key=lambda one: one.ts), warm_up(wanted.values()))


def _changes(name: str, track: Track, target: Floats) -> list[Marker]:
    told = np.flatnonzero(~np.isnan(target))
    before = np.append(0.0, target[told][:-1])
    close = track.series.columns["close"]
    return [
        Marker(
            int(track.start[at]),
            name,
            "buy" if target[at] > last else "sell",
            float(target[at]),
            float(close[at]),
        )
        for at, last in zip(told, before, strict=True)
        if target[at] != last
    ]


def _filled(strategy: Strategy, history: History) -> Applied:
    outcome = backtest.run(strategy, history)
    markers = []
    for fill in outcome.fills.to_pylist():
        track = history.tracks[fill["instrument"]]
        bar = max(int(np.searchsorted(track.start, fill["ts"], side="right")) - 1, 0)
        markers.append(
            Marker(int(track.start[bar]), fill["instrument"], fill["side"], None, float(fill["price"]))
        )
    return Applied({}, markers, _watched(strategy))


def _watched(strategy: Strategy) -> int | None:
    watched: list[Signal] = [one.signal for one in strategy.watches]
    return warm_up(watched)
