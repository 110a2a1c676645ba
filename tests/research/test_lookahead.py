"""Strategies that cheat are found out, with the first bar that differs; honest ones are not accused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tidemill.errors import UsageError
from tidemill.home import Home
from tidemill.research import lookahead
from tidemill.research.history import History
from tidemill.strategies import library, template
from tidemill.strategy import Bar, Bars, Market, Param, Signal, Strategy, when

BARS = 600
MARKETS = {count: lookahead.made_up(["A.up", "B.up", "C.up"][:count], BARS) for count in (1, 2)}
ONE = MARKETS[1]
CLOSES = ONE.series["A.up"].columns["close"]
STARTS = ONE.tracks["A.up"].start


@pytest.mark.parametrize("name", library.ours())
def test_ours_decide_by_what_they_are_told(name: str) -> None:
    kind = library.load(library.find(Home(Path("/nonexistent")), name))
    report = lookahead.check(kind, MARKETS[2])
    assert report.findings == ()
    assert report.decisions > 10
    assert (report.bars, report.runs) == (2 * BARS, 9)


@pytest.mark.parametrize("event", [False, True])
def test_a_new_one_is_honest_and_trades(tmp_path: Path, event: bool) -> None:
    path = tmp_path / "mine.py"
    path.write_text(template.text("mine", event=event))
    report = lookahead.check(library.load(library.file(path)), ONE)
    assert report.findings == ()
    assert report.decisions > 5
    assert report.warm_up == 50


class Remembers(Strategy):
    """Keeps what it saw in the run before, and buys ahead of what rises."""

    seen: ClassVar[dict[int, float]] = {}

    def on_bar(self, bar: Bar) -> None:
        # As one that reads a list of all bars: what comes is known, but only while the list goes on.
        later = self.seen.get(bar.start + 60_000_000_000)
        self.seen[bar.start] = bar.close
        self.trade(bar, later)

    def trade(self, bar: Bar, later: float | None) -> None:
        held = self.position(bar.instrument)
        if later is not None and later > bar.close and not held:
            self.buy(bar.instrument, 1)
        elif later is not None and later < bar.close and held:
            self.sell(bar.instrument, held)


class Reads(Remembers):
    """Reads prices to come from a file, by their time."""

    path: ClassVar[Path]

    def start(self, market: Market) -> None:
        self.future = {int(ts): price for ts, price in json.loads(self.path.read_text()).items()}

    def on_bar(self, bar: Bar) -> None:
        self.trade(bar, self.future.get(bar.start + 60_000_000_000))


class Global(Remembers):
    """Looks into the history that the run is made of, as far as it reaches."""

    history: ClassVar[History]

    def on_bar(self, bar: Bar) -> None:
        track = self.history.tracks[bar.instrument]
        at = int(np.searchsorted(track.start, bar.start)) + 1
        self.trade(bar, float(track.close[at]) / 100 if at < len(track) else None)


class Grows(Strategy):
    """A signal that is another at each run."""

    runs: ClassVar[list[int]] = []

    def signal(self, bars: Bars) -> Signal:
        self.runs.append(1)
        return when(bars.close > bars.sma(5 + len(self.runs)), 1.0, 0.0)


def test_a_global_of_all_bars_is_found_where_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lookahead.decisions

    def played(strategy: Strategy, history: History) -> list[lookahead.Decision]:
        # As a module's list of the bars that the platform gave this run.
        Global.history = history
        return whole(strategy, history)

    monkeypatch.setattr(lookahead, "decisions", played)
    found = list(lookahead.check(Global, ONE).findings)
    assert {one.way for one in found} == {"cut"}
    assert len(found) == lookahead.CUTS
    error = found[0].error
    assert error.code == "lookahead_found"
    assert "A.up" in error.message
    assert "looks ahead" in error.message


def test_state_that_runs_share_is_found(tmp_path: Path) -> None:
    Remembers.seen.clear()
    report = lookahead.check(Remembers, ONE)
    assert report.findings[0].way == "again"
    # The first run knew nothing: the second bought at the first close that rises.
    rising = int(np.flatnonzero(CLOSES[1:] > CLOSES[:-1])[0])
    assert report.findings[0].ts == STARTS[rising] + 60_000_000_000
    assert report.findings[0].whole == "nothing"
    assert "buy 1" in report.findings[0].other
    assert lookahead.check(Grows, ONE).findings[0].way == "again"


def test_a_file_of_prices_is_found_where_the_bars_are_moved(tmp_path: Path) -> None:
    Reads.path = tmp_path / "future.json"
    Reads.path.write_text(json.dumps(dict(zip(STARTS.tolist(), CLOSES.tolist(), strict=True))))
    (finding,) = lookahead.check(Reads, ONE).findings
    assert (finding.way, finding.instrument) == ("moved", "A.up")
    rising = int(np.flatnonzero(CLOSES[1:] > CLOSES[:-1])[0])
    assert finding.ts == STARTS[rising] + 60_000_000_000
    assert "buy 1" in finding.whole
    assert finding.other == "nothing"
    assert "2023" in finding.error.message


class Fails(Strategy):
    at = Param(3)

    def on_bar(self, bar: Bar) -> None:
        if bar.start >= STARTS[self.at]:
            raise ZeroDivisionError("by hand")


class FailsElsewhere(Strategy):
    def signals(self, market: Market) -> Mapping[str, Signal]:
        self.calls.append(1)
        if len(self.calls) > 1:
            raise ValueError("only once")
        return {name: bars.close * 0 for name, bars in market.items()}

    calls: ClassVar[list[int]] = []


def test_code_that_fails_says_where() -> None:
    with pytest.raises(UsageError) as failed:
        lookahead.check(Fails, ONE)
    assert failed.value.code == "strategy_failed"
    assert "test_lookahead.py: ZeroDivisionError: by hand" in failed.value.message


def test_one_that_fails_only_in_another_run_is_found() -> None:
    FailsElsewhere.calls.clear()

    def make() -> Strategy:
        return FailsElsewhere()

    try:
        report = lookahead.check(make, ONE)
    except ValueError:
        return
    assert "fails" in report.findings[0].other


def test_made_up_bars_are_bars_and_always_the_same() -> None:
    track = ONE.tracks["A.up"]
    assert (track.high >= np.maximum(track.open, track.close)).all()
    assert (track.low <= np.minimum(track.open, track.close)).all()
    assert track.low.min() > 0
    assert lookahead.made_up(["A.up"], BARS).digest == ONE.digest
    moved = lookahead.moved(ONE, -lookahead.MOVED_NS)
    assert (moved.tracks["A.up"].start - track.start == -lookahead.MOVED_NS).all()
    assert math.isclose(lookahead.MOVED_NS / 86_400e9 % 7, 0)
