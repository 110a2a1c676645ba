"""Kinds of alerts as functions of what they see: nothing here has a clock or a database."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.alerts.kind.api import Facts, Occurrence, Terms, crossed
from tidemill.alerts.kind.gap import GapAlert
from tidemill.alerts.kind.job import JobAlert
from tidemill.alerts.kind.lag import LagAlert
from tidemill.alerts.kind.part import PartAlert
from tidemill.alerts.kind.price import PriceAlert
from tidemill.alerts.kind.queue import QueueAlert
from tidemill.alerts.kind.stale import StaleAlert
from tidemill.alerts.kind.volume import VolumeAlert
from tidemill.metadata.event import Event
from tidemill.model.bar import BAR
from tidemill.stores.bar_series import BarSeries

S = 1_000_000_000
T0 = 1_795_000_000 * S
BTC = "BTC-USD.sim-kraken"


@dataclass
class Given:
    """What one look sees; `bars` are (second, high, low, close, closed)."""

    now: int = T0
    events: list[Event] = field(default_factory=list)
    collectors: list[dict[str, Any]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    queues: dict[str, float] = field(default_factory=dict)
    bars: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    def resolve(self, asked: str) -> str:
        return asked

    def live(self, ask: Callable[[Any], Any]) -> Any:
        return ask(self)

    def bars_of(self, start: int | None, limit: int) -> BarSeries:
        rows = np.zeros(len(self.bars), BAR)
        for row, (second, high, low, close, volume) in zip(rows, self.bars, strict=True):
            row["start"] = T0 + second * S
            row["high"], row["low"], row["close"], row["open"] = high, low, close, close
            row["price_scale"], row["volume_low"] = 1, volume
        closed, current = rows[:-1], rows[-1:]
        if start is not None:
            closed, current = closed[closed["start"] >= start], current[current["start"] >= start]
        more = len(closed) > limit
        closed = closed[:limit] if start is not None else closed[-limit:]
        return BarSeries(BTC, "1s", closed, current, None, [], more)


class _Live:
    """The view of a `Given`."""

    def __init__(self, seen: Given) -> None:
        self._seen = seen

    def bars(self, _instrument: str, _interval: str, start: int | None, _end: None, limit: int) -> BarSeries:
        return self._seen.bars_of(start, limit)


class Looks:
    """One rule, looked at again and again."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.state: dict[str, Any] = {}

    def __call__(self, seen: Given) -> list[Occurrence]:
        facts: Facts = _facts(seen)
        self.state, happened = self.terms.look(facts, dict(self.state))
        return happened


def _facts(seen: Given) -> Facts:
    facts = Given(**vars(seen))
    facts.live = lambda ask: ask(_Live(seen))  # type: ignore[method-assign]
    return facts


# ── levels ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "now", "direction", "told"),
    [
        (99, 101, "above", True),
        (99, 100, "above", True),
        (100, 101, "above", False),
        (101, 99, "above", False),
        (101, 99, "below", True),
        (101, 100, "below", True),
        (100, 99, "below", False),
        (99, 101, "either", True),
        (101, 99, "either", True),
        (math.nan, 101, "either", False),
        (99, math.nan, "either", False),
    ],
)
def test_a_level_is_gone_through_once(before: float, now: float, direction: Any, told: bool) -> None:
    assert crossed(before, now, 100, 100, direction) is told


def test_a_price_fires_when_a_trade_goes_through_the_level_and_not_again() -> None:
    look = Looks(PriceAlert(instrument=BTC, direction="above", level="100.5"))
    assert look(Given(bars=[(0, 1000, 1000, 1000, 1)])) == []  # where it stands
    quiet = [(0, 1000, 1000, 1000, 1), (1, 1004, 990, 1001, 1)]
    assert look(Given(bars=quiet)) == []
    # A trade at the level within a second that closes below it counts.
    touch = [*quiet, (2, 1005, 1000, 1002, 1)]
    (one,) = look(Given(bars=touch))
    assert (one.ts, one.value, one.subject) == (T0 + 2 * S, "100.5", BTC)
    assert look(Given(bars=touch)) == []
    over = [*touch, (3, 1010, 1001, 1009, 1)]
    assert len(look(Given(bars=over))) == 1  # it was below again, and went through again
    assert look(Given(bars=[*over, (4, 1020, 1010, 1015, 1)])) == []
    back = [*over, (4, 1020, 1010, 1015, 1), (5, 1015, 990, 990, 1), (6, 990, 980, 985, 1)]
    assert look(Given(bars=back)) == []  # downwards is not asked for


def test_a_price_that_is_beyond_the_level_already_is_no_crossing() -> None:
    look = Looks(PriceAlert(instrument=BTC, direction="above", level="50"))
    bars = [(0, 1000, 1000, 1000, 1), (1, 1001, 1000, 1001, 1)]
    assert look(Given(bars=bars)) == []
    assert look(Given(bars=[*bars, (2, 1002, 999, 1002, 1)])) == []


def test_after_a_long_sleep_a_price_begins_where_it_is() -> None:
    look = Looks(PriceAlert(instrument=BTC, level="100"))
    look(Given(bars=[(0, 990, 990, 990, 1), (1, 990, 990, 990, 1)]))
    later = [(at, 1010, 1010, 1010, 1) for at in range(6_000)]
    assert look(Given(bars=later)) == []
    assert look.state == {}


@given(
    st.lists(st.integers(990, 1010), min_size=2, max_size=60),
    st.lists(st.integers(1, 5), max_size=60),
    st.sampled_from(["above", "below", "either"]),
)
def test_a_price_fires_the_same_however_often_it_is_looked_at(
    path: list[int], steps: list[int], direction: Any
) -> None:
    bars = [(at, price, price, price, 1) for at, price in enumerate(path)]
    every = Looks(PriceAlert(instrument=BTC, direction=direction, level="100"))
    seldom = Looks(PriceAlert(instrument=BTC, direction=direction, level="100"))
    begin = bars[:1]
    every(Given(bars=begin))
    seldom(Given(bars=begin))
    one = [hit for at in range(2, len(bars) + 1) for hit in every(Given(bars=bars[:at]))]
    cuts = list(dict.fromkeys([*(min(len(bars), 1 + sum(steps[:k])) for k in range(len(steps))), len(bars)]))
    other = [hit for at in cuts if at > 1 for hit in seldom(Given(bars=bars[:at]))]
    # Told by their second: a look in between sees the second while it is open, with the trades so far.
    assert [hit.ts for hit in one] == [hit.ts for hit in other]


def test_volume_is_measured_against_the_median_before() -> None:
    look = Looks(VolumeAlert(instrument=BTC, interval="1s", factor=3, bars=4))
    usual = [(at, 1000, 1000, 1000, 10) for at in range(6)]
    look(Given(bars=[*usual, (6, 1000, 1000, 1000, 1)]))
    spike = [*usual, (6, 1000, 1000, 1000, 29), (7, 1000, 1000, 1000, 30), (8, 1, 1, 1, 1)]
    (one,) = look(Given(bars=spike))
    assert one.ts == T0 + 7 * S
    assert "3.0 times" in one.message
    assert look(Given(bars=spike)) == []


# ── the platform ──────────────────────────────────────────────────────────────────────────────────


def row(venue: str, state: str = "live", last_s: float = 0.0, now: int = T0, **more: Any) -> dict[str, Any]:
    return {
        "venue": venue, "wanted": True, "state": state, "last_message_ns": str(now - int(last_s * S)),
        "error": None, "lag_p99_ns": None, "gaps_today": 0, "gaps_open": 0, **more,
    }  # fmt: skip


def test_a_venue_is_stale_once_until_it_speaks() -> None:
    look = Looks(StaleAlert(after_s=30))
    assert look(Given(collectors=[row("kraken"), row("binance")])) == []
    (one,) = look(Given(collectors=[row("kraken", last_s=31), row("binance")]))
    assert one.subject == "kraken"
    assert look(Given(collectors=[row("kraken", last_s=60), row("binance")])) == []
    assert look(Given(collectors=[row("kraken"), row("binance")])) == []
    assert len(look(Given(collectors=[row("kraken", last_s=31)]))) == 1


def test_a_collector_that_is_not_live_counts_from_then_on() -> None:
    look = Looks(StaleAlert(venue="kraken", after_s=30))
    down = {"state": "reconnecting", "error": {"message": "refused: 401"}}
    assert look(Given(now=T0, collectors=[row("kraken", **down), row("binance", "failed")])) == []
    assert look(Given(now=T0 + 29 * S, collectors=[row("kraken", **down)])) == []
    (one,) = look(Given(now=T0 + 30 * S, collectors=[row("kraken", **down)]))
    assert "refused: 401" in one.message
    assert look(Given(now=T0 + 90 * S, collectors=[row("kraken", **down)])) == []
    unwanted = row("kraken", "stopped", last_s=900, wanted=False)
    assert Looks(StaleAlert(after_s=30))(Given(collectors=[unwanted])) == []


def test_new_gaps_are_told_and_those_of_before_are_not() -> None:
    look = Looks(GapAlert())
    assert look(Given(collectors=[row("kraken", gaps_today=3)])) == []
    (one,) = look(Given(collectors=[row("kraken", gaps_today=5, gaps_open=1)]))
    assert one.message == "2 gaps opened at kraken; 1 go on"
    assert look(Given(collectors=[row("kraken", gaps_today=0)])) == []  # midnight
    assert len(look(Given(collectors=[row("kraken", gaps_today=1)]))) == 1


def test_lag_queue_and_parts_must_last() -> None:
    late = row("kraken", lag_p99_ns=2e9)
    look = Looks(LagAlert(above_ms=1_000, for_s=10))
    assert look(Given(now=T0, collectors=[late])) == []
    assert look(Given(now=T0 + 5 * S, collectors=[row("kraken", lag_p99_ns=1e6)])) == []
    assert look(Given(now=T0 + 10 * S, collectors=[late])) == []  # it began anew
    (one,) = look(Given(now=T0 + 20 * S, collectors=[late]))
    assert one.value == "2000 ms"

    look = Looks(QueueAlert(part="jobs", above=10, for_s=1))
    assert look(Given(now=T0, queues={"jobs": 11})) == []
    assert len(look(Given(now=T0 + S, queues={"jobs": 11}))) == 1

    look = Looks(PartAlert(for_s=5))
    bad = {"part": "recorder", "ready": False, "state": "failed", "detail": "the disk is full"}
    assert look(Given(now=T0, parts=[bad])) == []
    (one,) = look(Given(now=T0 + 5 * S, parts=[bad]))
    assert one.message == "recorder is failed: the disk is full"


def test_a_failed_job_is_told_once_and_by_its_kind() -> None:
    def failed(kind: str) -> Event:
        return Event(1, T0, "owner", "job_failed", "j1", None, {"kind": kind, "error": {"message": "no"}})

    look, other = Looks(JobAlert()), Looks(JobAlert(job_kind="study"))
    for one in (look, other):
        assert one(Given(events=[failed("fetch")])) == []  # of before
    assert [hit.message for hit in look(Given(events=[failed("fetch")]))] == ["the job j1 (fetch) failed: no"]
    assert other(Given(events=[failed("fetch")])) == []
    assert look(Given()) == []
