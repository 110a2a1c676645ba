"""Keeps calls away from a server that does not answer in time, and lets one through now and then to see.

closed      calls go through; one that fails, or three in a row that are slow, open it
open        none goes through for a second, then longer, at most five
half-open   one goes through: when it succeeds the breaker closes, else it opens for twice as long
"""

from __future__ import annotations

import threading
import time
from typing import Literal

OPEN_S = 1.0
OPEN_S_MAX = 5.0
SLOW_S = 0.05
SLOW_MAX = 3
PROBE_S = 2.0
"""A probe that has not said by then how it went is taken for lost."""
State = Literal["closed", "open", "half-open"]


class Breaker:
    """Ask `admit` before each call; when it says yes, say `passed` or `failed` afterwards. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_s = OPEN_S
        self._until: float | None = None
        self._probing = False
        self._slow = 0
        self.opened = 0
        """How often it opened."""
        self.why = ""
        """What went wrong last; empty while it is closed."""

    @property
    def state(self) -> State:
        with self._lock:
            if self._until is None:
                return "closed"
            return "open" if time.monotonic() < self._until else "half-open"

    def admit(self, *, probe: bool = True) -> bool:
        """Whether a call may go through now; with `probe` it may be the one that goes to see."""
        with self._lock:
            if self._until is None:
                return True
            now = time.monotonic()
            if now < self._until or not probe:
                return False
            self._until = now + PROBE_S  # this one; the others wait for what it says
            self._probing = True
            return True

    def passed(self, spent_s: float) -> None:
        """A call was answered after `spent_s`."""
        with self._lock:
            self._slow = self._slow + 1 if spent_s > SLOW_S else 0
            if self._slow >= SLOW_MAX:
                self._open(f"its answers take more than {SLOW_S * 1000:.0f} ms")
            elif self._slow == 0:
                self._until, self._open_s, self.why = None, OPEN_S, ""
                self._probing = False

    def failed(self, why: str) -> None:
        """A call was not answered, or with an error."""
        with self._lock:
            self._open(why)

    def _open(self, why: str) -> None:
        self.why = why
        self._slow = 0
        if self._until is None:
            self.opened += 1
        elif self._probing:
            self._open_s = min(2 * self._open_s, OPEN_S_MAX)
        else:
            return  # one of those that were under way when it opened: they have all met the same fault
        self._probing = False
        self._until = time.monotonic() + self._open_s
