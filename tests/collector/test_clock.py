"""The receive clock never runs back, and tells when it was set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.collector.clock import STEP_NS, Clock

SECOND = 1_000_000_000


@given(
    st.lists(st.tuples(st.integers(1, 30 * SECOND), st.integers(-3600 * SECOND, 3600 * SECOND)), max_size=40)
)
def test_it_never_runs_back_and_tells_each_step(moves: list[tuple[int, int]]) -> None:
    wall, mono = [1_000_000 * SECOND], [5]
    clock = Clock(lambda: wall[0], lambda: mono[0])
    before = wall[0]
    for passed, step in moves:
        mono[0] += passed
        wall[0] += passed + (step if abs(step) % 3 == 0 else 0)
        now, told = clock.now()
        moved = step if abs(step) % 3 == 0 else 0
        assert told == (moved if abs(moved) > STEP_NS else 0)
        assert now >= before + passed // 2
        assert now >= wall[0]
        before = now


def test_behind_a_step_back_time_goes_at_half_speed_until_caught_up() -> None:
    wall, mono = [10_000 * SECOND], [0]
    clock = Clock(lambda: wall[0], lambda: mono[0])
    wall[0], mono[0] = 6_401 * SECOND, SECOND
    assert clock.now() == (10_000 * SECOND + SECOND // 2, -3600 * SECOND)
    wall[0], mono[0] = 10_001 * SECOND, 3_601 * SECOND
    assert clock.now() == (11_800 * SECOND + SECOND // 2, 0)
