"""The breaker's three states, in made-up time."""

from __future__ import annotations

import time

import pytest

from tidemill.cache.breaker import OPEN_S, OPEN_S_MAX, PROBE_S, SLOW_MAX, SLOW_S, Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_one_failure_opens_it_and_one_success_after_a_second_closes_it(clock: Clock) -> None:
    breaker = Breaker()
    assert breaker.admit()
    breaker.failed("no answer")
    assert (breaker.state, breaker.why, breaker.opened) == ("open", "no answer", 1)
    assert not breaker.admit()
    clock.now += OPEN_S
    assert breaker.state == "half-open"
    assert breaker.admit()
    assert not breaker.admit()  # one is enough to see
    breaker.passed(0.001)
    assert (breaker.state, breaker.why) == ("closed", "")
    assert breaker.admit()


def test_each_failed_probe_doubles_the_pause_up_to_its_bound(clock: Clock) -> None:
    breaker = Breaker()
    breaker.failed("no answer")
    pauses = []
    for _ in range(6):
        started = clock.now
        while not breaker.admit():
            clock.now += 0.25
        pauses.append(clock.now - started)
        breaker.failed("still none")
    assert pauses == [1, 2, 4, OPEN_S_MAX, OPEN_S_MAX, OPEN_S_MAX]


def test_many_that_meet_the_same_fault_open_it_once_for_a_second(clock: Clock) -> None:
    breaker = Breaker()
    assert all(breaker.admit() for _ in range(8))
    for _ in range(8):
        breaker.failed("no answer")
    assert (breaker.state, breaker.opened) == ("open", 1)
    clock.now += OPEN_S
    assert breaker.admit()


def test_slow_answers_in_a_row_open_it(clock: Clock) -> None:
    breaker = Breaker()
    for spent_s in (SLOW_S * 2, SLOW_S * 2, 0.001):
        breaker.passed(spent_s)
    for _ in range(SLOW_MAX):
        assert breaker.state == "closed"
        breaker.passed(SLOW_S * 2)
    assert breaker.state == "open"


def test_a_probe_that_never_says_how_it_went_is_taken_for_lost(clock: Clock) -> None:
    breaker = Breaker()
    breaker.failed("no answer")
    clock.now += OPEN_S
    assert breaker.admit()
    clock.now += PROBE_S
    assert breaker.admit()
