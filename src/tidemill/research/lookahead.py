"""Whether a strategy decides by what it is told and by nothing else: it is run again on less.

    again    on the same bars, by another instance: state that runs share, or chance
    cut      on the bars up to some time: what was decided before must be the same
    moved    on the same bars, twenty years earlier: a file or a list of prices to come is of no use there

After the look-ahead analysis of freqtrade (https://www.freqtrade.io/en/stable/lookahead-analysis/). A signal
cannot look ahead, as it is a formula; what is found of one is state. Not found is what is read by a bar's
number in a file of the very same bars: only the sandbox, which has no files, keeps that away.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

import numpy as np

from tidemill.errors import TidemillError, UsageError
from tidemill.model import time as times
from tidemill.model.order import Fill, Order
from tidemill.research import backtest
from tidemill.research.history import History, Terms, Track
from tidemill.strategies.api import Bar, Broker, Strategy
from tidemill.strategies.evaluation import steps, values
from tidemill.strategies.signal import Bars, warm_up

Way = Literal["again", "cut", "moved"]
CUTS: Final = 6
_DAY: Final = 86_400_000_000_000
MOVED_NS: Final = 20 * 364 * _DAY
"""Whole weeks, so that days of the week and hours stay."""


@dataclass(frozen=True)
class Decision:
    """What a strategy wanted, when it was told of a bar."""

    ts: int
    """When that was, UTC ns."""
    instrument: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.wanted} of {self.instrument} at {times.iso(self.ts)[:19]}"


@dataclass(frozen=True)
class Finding:
    """The first decision that another run does not make."""

    way: Way
    ts: int
    """When the bar was known after which they differ, UTC ns."""
    instrument: str
    whole: str
    """What it did in the first run."""
    other: str
    """What it did in the other one."""

    @property
    def error(self) -> UsageError:
        """As it is told."""
        known = times.iso(self.ts)[:19]
        why = {
            "again": "in a second run on the same bars: it keeps something from run to run, or throws dice",
            "cut": "where the bars after that are not there: it looks ahead",
            "moved": "where the same bars are moved by twenty years: it knows more than it is told",
        }[self.way]
        return UsageError(
            "lookahead_found",
            f"at the bar of {self.instrument} known at {known} it decides otherwise {why} (first {self.whole}"
            f", then {self.other})"[:600],
            hint="decide by `bars` and `watch` alone; docs/strategies.md#check",
        )


@dataclass(frozen=True)
class Report:
    """What came of a check."""

    bars: int
    decisions: int
    runs: int
    warm_up: int | None
    """Bars after which its signals do not depend on where they began; None: they always do."""
    findings: tuple[Finding, ...]


def check(make: Callable[[], Strategy], history: History, *, cuts: int = CUTS) -> Report:
    """Runs it whole, again, cut and moved. `make` gives a new instance each time.

    Raises `UsageError` `strategy_failed` where its own code fails on the whole history, and what it raises
    itself."""
    history = on_time(history)
    try:
        whole = decisions(make(), history)
    except TidemillError:
        raise
    except Exception as error:
        raise failed(error) from error
    findings = [*_other("again", whole, make, history)]
    places = _places(whole, steps(history.series).tolist(), cuts)
    for cut in places:
        findings += _other("cut", whole, make, _until(history, cut), until=cut)
    findings += _other("moved", whole, make, moved(history, -MOVED_NS), moved_by=-MOVED_NS)
    return Report(
        bars=history.rows,
        decisions=len(whole),
        runs=len(places) + 3,
        warm_up=_warm_up(make(), history),
        findings=tuple(sorted(findings, key=lambda one: one.ts)),
    )


def _places(whole: list[Decision], axis: list[int], count: int) -> list[int]:
    """Where to cut: right after bars at which it changed its mind, since who looks one bar ahead decides
    otherwise there alone; else anywhere. Spread evenly."""
    last: dict[str, str] = {}
    changed = set()
    for one in whole:
        if last.get(one.instrument) != one.wanted and one.ts < axis[-1]:
            changed.add(one.ts)
        last[one.instrument] = one.wanted
    found = sorted(changed) if len(changed) >= count else axis[:-1]
    at = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
    return sorted({found[each] for each in at})


def decisions(strategy: Strategy, history: History) -> list[Decision]:
    """All that it wanted, in order: shares of equity by signal, else what it asked of its broker."""
    if strategy.by_signal():
        return _shares(strategy, history)
    log: list[Decision] = []
    on_bar, on_fill = strategy.on_bar, strategy.on_fill

    def told(bar: Bar) -> None:
        _recorded(strategy, log).now = bar.known
        on_bar(bar)

    def filled(fill: Fill) -> None:
        _recorded(strategy, log).now = fill.ts
        on_fill(fill)

    strategy.on_bar, strategy.on_fill = told, filled  # type: ignore[method-assign]
    backtest.run(strategy, history)
    return log


def _recorded(strategy: Strategy, log: list[Decision]) -> _Recorder:
    """The recorder between a strategy and its broker, put there when it is first told of something."""
    broker = strategy.broker
    if not isinstance(broker, _Recorder):
        broker = strategy._broker = _Recorder(broker, log)
    return broker


class _Recorder:
    """A broker that keeps what it is asked for, and passes it on."""

    def __init__(self, broker: Broker, log: list[Decision]) -> None:
        self._broker, self._log, self.now = broker, log, 0

    def submit(self, order: Order) -> int:
        prices = "".join(
            f" {name} {value}" for name, value in (("limit", order.limit), ("stop", order.stop)) if value
        )
        self._log.append(Decision(self.now, order.instrument, f"{order.side} {order.size}{prices}"))
        return self._broker.submit(order)

    def target(self, instrument: str, share: float) -> None:
        self._log.append(Decision(self.now, instrument, f"a share of {share!r}"))
        self._broker.target(instrument, share)

    def cancel(self, order: int) -> bool:
        self._log.append(Decision(self.now, "", f"cancel {order}"))
        return self._broker.cancel(order)

    def orders(self) -> Mapping[int, Order]:
        return self._broker.orders()

    def position(self, instrument: str) -> Decimal:
        return self._broker.position(instrument)

    def equity(self) -> Decimal:
        return self._broker.equity()

    def cash(self) -> Decimal:
        return self._broker.cash()

    def price(self, instrument: str, value: float) -> Decimal:
        return self._broker.price(instrument, value)

    def size(self, instrument: str, value: float) -> Decimal:
        return self._broker.size(instrument, value)


def _shares(strategy: Strategy, history: History) -> list[Decision]:
    wanted = strategy.signals({name: Bars(name) for name in history.tracks})
    backtest.checked(strategy, wanted, list(history.tracks))
    axis = steps(history.series)
    found = []
    for name, share in zip(wanted, values(list(wanted.values()), history.series), strict=True):
        known = history.tracks[name].known
        for ts, value in zip(known.tolist(), share[np.searchsorted(axis, known)].tolist(), strict=True):
            if value == value:  # NaN leaves things as they are
                found.append(Decision(ts, name, f"a share of {value!r}"))
    return sorted(found, key=lambda one: one.ts)


def _other(
    way: Way,
    whole: list[Decision],
    make: Callable[[], Strategy],
    history: History,
    *,
    until: int | None = None,
    moved_by: int = 0,
) -> list[Finding]:
    """The first difference from the whole run, among what was decided until a time (ns)."""
    try:
        other = decisions(make(), history)
    except Exception as error:
        first = whole[0] if whole else Decision(int(steps(history.series)[0]) - moved_by, "", "nothing")
        return [Finding(way, first.ts, first.instrument, str(first), f"it fails: {error}"[:200])]
    back = [replace(one, ts=one.ts - moved_by) for one in other]
    before = [one for one in whole if until is None or one.ts <= until]
    for one, two in itertools.zip_longest(before, back):
        if one != two:
            at = min((each for each in (one, two) if each is not None), key=lambda each: each.ts)
            return [Finding(way, at.ts, at.instrument, str(one or "nothing"), str(two or "nothing"))]
    return []


def on_time(history: History) -> History:
    """The same bars, each known at its end: how late they came is no matter of look-ahead."""
    return replace(
        history, tracks={name: replace(one, known=one.end) for name, one in history.tracks.items()}
    )


def _until(history: History, known: int) -> History:
    part = history.until(known)
    return replace(part, tracks={name: one for name, one in part.tracks.items() if len(one)} or part.tracks)


def moved(history: History, by: int) -> History:
    """The same bars, `by` ns later."""
    return replace(
        history,
        tracks={
            name: replace(one, start=one.start + by, end=one.end + by, known=one.known + by)
            for name, one in history.tracks.items()
        },
    )


def _warm_up(strategy: Strategy, history: History) -> int | None:
    market = {name: Bars(name) for name in history.tracks}
    if strategy.by_signal():
        return warm_up(strategy.signals(market).values())
    strategy.start(market)
    return warm_up(one.signal for one in strategy.watches)


def failed(error: BaseException) -> UsageError:
    """The error to tell where a strategy's own code fails, with the place in it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if "/tidemill/" not in one.filename] or frames
    place = f" in line {own[-1].lineno} of {own[-1].filename}" if own else ""
    return UsageError(
        "strategy_failed",
        f"its code fails{place}: {type(error).__name__}: {error}"[:500],
        hint="mend it, then check again",
    )


def made_up(names: list[str], bars: int = 1_500, *, seed: int = 7) -> History:
    """Random walks to check a strategy on where there is no history: one-minute bars at two decimals."""
    minute = 60_000_000_000
    tracks = {}
    for at, name in enumerate(names):
        random = np.random.default_rng(seed + at)
        start = 1_700_000_000_000_000_000 // minute * minute + np.arange(bars, dtype=np.int64) * minute
        # Waves on a walk, so that what waits for extremes and what follows trends both trade.
        wave = 0.05 * np.sin(np.arange(bars) * 2 * np.pi / (90 + 17 * at))
        close = np.round(10_000 * np.exp(random.normal(0, 0.004, bars).cumsum() + wave)).astype(np.int64)
        opened = np.concatenate([close[:1], close[:-1]])
        wicks = random.integers(0, 30, (2, bars))
        tracks[name] = Track(
            Terms(name, 2, 4),
            start,
            start + minute,
            start + minute,
            opened,
            np.maximum(opened, close) + wicks[0],
            np.maximum(np.minimum(opened, close) - wicks[1], 1),
            close,
            random.exponential(10, bars),
        )
    return History("1m", tracks)
