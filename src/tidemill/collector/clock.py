"""The receive clock: wall time that never runs back. The twin of `crates/feed/src/clock.rs`, without slewing:
what is asked every few seconds needs no microseconds."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_NS = 100_000_000
"""A larger difference than this between the wall and what is reckoned is a step."""


class Clock:
    """Arrival times of one process."""

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, mono: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._mono = wall, mono
        self._anchor = wall() - mono()
        self._last, self._last_mono = wall(), mono()

    def now(self) -> tuple[int, int]:
        """ns UTC, never before an earlier answer, and the size of the clock's step since then, 0 for none.

        A step forward counts at once; behind one backward the time goes at half speed until it has caught
        up, so that bars go on closing.
        """
        mono = self._mono()
        step = self._wall() - mono - self._anchor
        self._anchor += step
        self._last = max(self._anchor + mono, self._last + (mono - self._last_mono) // 2)
        self._last_mono = mono
        return self._last, step if abs(step) > STEP_NS else 0
