"""What the watchdog decides, without a clock."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tidemill.iqfeed.admin import Stats
from tidemill.iqfeed.watch import Action, Budget, Timing, Watch

UP = Stats(True, "6.2", "1", 0, 500, 1, 0, 0, 0, 0.0, 0.0)
DOWN = Stats(False, "6.2", "1", 0, 500, 1, 0, 0, 0, 0.0, 0.0)
TIMING = Timing()


def test_three_failures_start_it_and_the_start_has_its_time() -> None:
    watch = Watch(TIMING)
    for _ in range(2):
        watch.failed()
        assert watch.due(100.0) is None
    watch.failed()
    assert watch.due(100.0) is Action.START
    watch.started(100.0)
    for _ in range(10):
        watch.failed()
    assert watch.due(100.0 + TIMING.ready_s - 1) is None
    assert watch.due(100.0 + TIMING.ready_s) is Action.START


def test_a_program_that_ended_is_not_waited_for() -> None:
    watch = Watch(TIMING)
    watch.started(0.0)
    for _ in range(3):
        watch.failed()
    watch.ended()
    assert watch.due(1.0) is Action.START


def test_one_word_of_it_forgives_all_failures() -> None:
    watch = Watch(TIMING)
    for _ in range(2):
        watch.failed()
    watch.heard(UP, 0.0)
    watch.failed()
    watch.failed()
    assert watch.due(1.0) is None


def test_without_dtn_it_logs_in_then_connects_then_starts_anew() -> None:
    watch = Watch(TIMING)
    watch.heard(DOWN, 0.0)
    assert watch.due(0.0) is Action.LOG_IN
    done = []
    for second in range(1, 125):
        watch.heard(DOWN, float(second))
        if (action := watch.due(float(second))) is not None:
            done.append((second, action))
            if action is Action.START:
                break
    assert done == [(31, Action.CONNECT), (62, Action.CONNECT), (93, Action.CONNECT), (121, Action.START)]


def test_a_connection_to_dtn_ends_the_impatience() -> None:
    watch = Watch(TIMING)
    watch.heard(DOWN, 0.0)
    watch.due(0.0)
    watch.heard(UP, 119.0)
    assert watch.due(500.0) is None
    watch.heard(DOWN, 501.0)
    assert watch.due(502.0) is None
    assert watch.due(532.0) is Action.CONNECT


def test_a_refused_login_is_never_a_reason_to_start_again() -> None:
    watch = Watch(TIMING)
    watch.heard(DOWN, 0.0)
    watch.due(0.0)
    watch.refused()
    actions = set()
    for second in range(1, 3_600):
        watch.heard(DOWN, float(second))
        actions.add(watch.due(float(second)))
    assert actions == {None, Action.CONNECT}
    watch.heard(UP, 3_601.0)
    assert not watch.login_refused


def test_pauses_double_and_the_window_is_kept() -> None:
    budget = Budget(TIMING, [])
    now, starts = 1_000.0, []
    for _ in range(TIMING.starts):
        now += budget.wait_s(now)
        budget.spend(now)
        starts.append(now)
    assert [b - a for a, b in itertools.pairwise(starts)] == [1.0, 2.0, 4.0, 8.0]
    assert budget.is_exhausted(now)
    assert now + budget.wait_s(now) == starts[0] + TIMING.window_s
    assert budget.wait_s(starts[0] + TIMING.window_s) == 0.0


@given(st.lists(st.floats(0, 400), max_size=60))
def test_never_more_starts_in_any_window(pauses: list[float]) -> None:
    budget = Budget(TIMING, [])
    now, starts = 0.0, []
    for pause in pauses:
        now += pause
        if budget.wait_s(now) == 0.0:
            budget.spend(now)
            starts.append(now)
    for first, later in zip(starts, starts[TIMING.starts :], strict=False):
        assert later - first >= TIMING.window_s


def test_a_clock_that_was_set_back_does_not_lock_out() -> None:
    budget = Budget(TIMING, [5_000.0])
    assert budget.wait_s(100.0) == 0.0
