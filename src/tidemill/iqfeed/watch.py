"""What to do about IQConnect, from what is seen of it: pure, so that every case can be tried in an instant.

Times are seconds of one clock that only goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tidemill.iqfeed.admin import Stats


@dataclass(frozen=True)
class Timing:
    """When to lose patience. Seconds."""

    silence_s: float = 5.0
    """The admin port speaks every second; after so long without a word its connection counts as failed."""
    retry_s: float = 1.0
    """Between two tries to reach the admin port."""
    failures: int = 3
    """So many tries in a row that failed, and IQConnect is started."""
    ready_s: float = 20.0
    """What a start may take before failures count again."""
    connect_after_s: float = 30.0
    """Without a connection to DTN for so long, IQConnect is told to make one, and again after as long."""
    restart_after_s: float = 120.0
    """Without one for so long it is started anew."""
    starts: int = 5
    """Starts within the window; then it takes a person, or time."""
    window_s: float = 600.0
    pause_s: float = 1.0
    """Between the first two starts in a window; then twice as long each time."""


class Action(Enum):
    """What is due."""

    LOG_IN = "log in"
    CONNECT = "connect"
    START = "start"
    """Start IQConnect, ending one of ours that hangs."""


class Watch:
    """One IQConnect, as its admin port shows it."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.failures = 0
        """Tries to hear from the admin port that failed in a row."""
        self.stats: Stats | None = None
        """Its last word; None while there is no connection to the admin port."""
        self.login_refused = False
        self._patience_until = 0.0
        self._unconnected_since: float | None = None
        self._told_at = 0.0
        self._logged_in = False

    @property
    def connected(self) -> bool:
        """Whether it says that it is connected to DTN."""
        return self.stats is not None and self.stats.connected

    def heard(self, stats: Stats, now: float) -> None:
        """A line of STATS."""
        self.failures = 0
        self.stats = stats
        if stats.connected:
            self._unconnected_since = None
            self.login_refused = False
        elif self._unconnected_since is None:
            self._unconnected_since = self._told_at = now

    def failed(self) -> None:
        """The admin port refused, or was silent too long, or closed."""
        self.failures += 1
        self.stats = None
        self._unconnected_since = None
        self._logged_in = False

    def refused(self) -> None:
        """DTN does not take the login. Starting again would only try the same login again, until the account
        is locked."""
        self.login_refused = True

    def started(self, now: float) -> None:
        """IQConnect was started."""
        self.failed()
        self.failures = 0
        self._patience_until = now + self.timing.ready_s

    def ended(self) -> None:
        """The process that was started is gone: nothing is left to wait for."""
        self._patience_until = 0.0

    def due(self, now: float) -> Action | None:
        """What has to be done now, if anything. Asking for LOG_IN or CONNECT counts as having done it."""
        timing = self.timing
        if self.stats is None:
            impatient = self.failures >= timing.failures and now >= self._patience_until
            return Action.START if impatient else None
        if self._unconnected_since is None:
            return None
        if self.login_refused:
            # Each try is one more with the same login; now and then it may have been put right at DTN.
            patience_s = timing.window_s
        elif now - self._unconnected_since > timing.restart_after_s:
            return Action.START
        else:
            patience_s = timing.connect_after_s
        if not self._logged_in and not self.login_refused:
            self._logged_in = True
            self._told_at = now
            return Action.LOG_IN
        if now - self._told_at > patience_s:
            self._told_at = now
            return Action.CONNECT
        return None


class Budget:
    """How often IQConnect may be started: so many times within a window, with pauses that double.

    Times are seconds of the wall clock, as they outlive the process that keeps them.
    """

    def __init__(self, timing: Timing, spent: list[float]) -> None:
        self._timing = timing
        self.spent = spent
        """When it was started, ascending."""

    def wait_s(self, now: float) -> float:
        """Seconds until the next start is allowed; 0 is now."""
        self._forget(now)
        if not self.spent:
            return 0.0
        pause = self._timing.pause_s * 2.0 ** (len(self.spent) - 1)
        allowed = self.spent[-1] + pause
        if self.is_exhausted(now):
            allowed = max(allowed, self.spent[-self._timing.starts] + self._timing.window_s)
        return max(0.0, allowed - now)

    def is_exhausted(self, now: float) -> bool:
        """Whether the window has as many starts as it may have."""
        self._forget(now)
        return len(self.spent) >= self._timing.starts

    def spend(self, now: float) -> None:
        """IQConnect is being started."""
        self.spent.append(now)

    def _forget(self, now: float) -> None:
        # A clock that was set back must not lock it out for long.
        self.spent[:] = [at for at in self.spent if now - self._timing.window_s < at <= now]
