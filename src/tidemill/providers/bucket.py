"""The token bucket of one key of one provider: every worker of every process that shares it waits here.

A bucket is two moments on a clock: when it will be full again, and until when the provider said to wait.
Nobody reserves anything: whoever may go takes its tokens and goes, whoever may not sleeps and asks again. So
a process that is killed holds nothing, and a pause that comes while others sleep is seen by all of them.

The generic cell rate algorithm: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import random
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidemill.errors import RateLimitError
from tidemill.providers.api import Limits

WAIT_S_MAX = 900.0
"""A longer pause is told to the asker instead of waited for."""
_POLL_S = 5.0
"""Nobody sleeps longer without another look: the state may have changed."""


@dataclass(frozen=True)
class State:
    """All that a bucket is, in seconds of one clock."""

    full_at: float = 0.0
    """When all tokens will be back."""
    paused_until: float = 0.0
    seen: float = 0.0
    """When this was written: a clock that shows less has been set back or begun anew."""
    clock: int = 0
    """Which clock: another one's moments mean nothing here."""


def rebased(state: State, now: float, clock: int) -> State:
    """The same state on the clock of now. Where the clock began anew, what was left to wait is left still."""
    if state.clock == clock and state.seen <= now:
        return state
    left = max(0.0, state.full_at - state.seen)
    paused = max(0.0, state.paused_until - state.seen)
    return State(now + left, now + paused, now, clock)


def taken(state: State, limits: Limits, cost: int, now: float) -> tuple[State, float]:
    """The state after taking `cost` tokens, and 0; or the same one, and the seconds to wait for them."""
    if state.paused_until > now:
        return state, state.paused_until - now
    # A request that costs more than the bucket holds goes when it is full, and is paid for afterwards.
    room = (limits.burst - min(cost, limits.burst)) / limits.per_s
    wait = max(state.full_at, now) - now - room
    if wait > 1e-9:
        return state, wait
    return State(max(state.full_at, now) + cost / limits.per_s, state.paused_until, now, state.clock), 0.0


def paused(state: State, limits: Limits, seconds: float, now: float) -> State:
    """The state where nobody goes for that long, and no crowd afterwards: the bucket holds one token then."""
    until = max(state.paused_until, now + max(0.0, seconds))
    return State(max(state.full_at, until + (limits.burst - 1) / limits.per_s), until, now, state.clock)


class Keeper(Protocol):
    """Where a bucket's state is kept."""

    def take(self, cost: int) -> float:
        """0 where the tokens were taken, else the seconds to wait."""

    def pause(self, seconds: float) -> None: ...


class Memory:
    """In this process alone."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock, self._state = limits, clock, State()

    def take(self, cost: int) -> float:
        self._state, wait = taken(self._state, self._limits, cost, self._clock())
        return wait

    def pause(self, seconds: float) -> None:
        self._state = paused(self._state, self._limits, seconds, self._clock())


class File:
    """In a small file under a lock, for all processes of a machine.

    The clock is the machine's time since it was started, which no setting of the time moves and all processes
    share. A write is one `pwrite` of a checked record: one that was cut reads as no state, which waits a full
    bucket's time.
    """

    _RECORD = struct.Struct("<dddqQ")

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits

    def take(self, cost: int) -> float:
        with self._locked() as descriptor:
            state, now = self._read(descriptor)
            after, wait = taken(state, self._limits, cost, now)
            if after is not state:
                self._write(descriptor, after)
            return wait

    def pause(self, seconds: float) -> None:
        with self._locked() as descriptor:
            state, now = self._read(descriptor)
            self._write(descriptor, paused(state, self._limits, seconds, now))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # The system lets go of it when its holder dies; nobody keeps it longer than one read and write.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> tuple[State, float]:
        now, clock = uptime(), boot()
        raw = os.pread(descriptor, self._RECORD.size, 0)
        if not raw:
            return State(seen=now, clock=clock), now
        if len(raw) == self._RECORD.size:
            *moments, of, check = self._RECORD.unpack(raw)
            if check == _check(raw[:-8]) and all(map(math.isfinite, moments)):
                return rebased(State(moments[0], moments[1], moments[2], of), now, clock), now
        return State(now + self._limits.burst / self._limits.per_s, now, now, clock), now

    def _write(self, descriptor: int, state: State) -> None:
        raw = self._RECORD.pack(state.full_at, state.paused_until, state.seen, state.clock, 0)[:-8]
        os.pwrite(descriptor, raw + struct.pack("<Q", _check(raw)), 0)


class Bucket:
    """The gate in front of a keeper: waits for it, first come first served within a process."""

    def __init__(self, keeper: Keeper, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._keeper, self._sleep = keeper, sleep
        self._turn = asyncio.Lock()

    async def enter(self, cost: int = 1) -> None:
        """Returns when the request may be sent. Raises `RateLimitError` for a pause over `WAIT_S_MAX`."""
        async with self._turn:
            while (wait := self._keeper.take(cost)) > 0:
                if wait > WAIT_S_MAX:
                    raise RateLimitError(
                        "provider_paused",
                        f"the provider lets this key go on in {wait:.0f} s, not before",
                        hint="ask again then",
                        retry_after_s=wait,
                    )
                # A little more, each its own: processes that wait for the same moment do not all come at
                # once.
                await self._sleep(min(wait, _POLL_S) + random.uniform(0.0005, 0.005))  # noqa: S311

    def pause(self, seconds: float) -> None:
        """Nobody who shares the key goes on before that many seconds from now."""
        self._keeper.pause(seconds)


def uptime() -> float:
    """Seconds since the machine was started, sleep included where the system counts it."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def boot() -> int:
    """A number for this start of the machine; 0 where the system has none."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:15], 16)
    return 0


def _check(raw: bytes) -> int:
    import zlib

    return zlib.crc32(raw)
