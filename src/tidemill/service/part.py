"""What the parts of the platform say of themselves, asked once a second, and what they cost."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidemill import control
from tidemill.home import Home

ASK_S = 0.3
ROUND_S = 1.0
# A part that is merely busy answers again within this; until then its last word stands.
SILENT_S = 3.0
HISTORY_S = 300
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Cost:
    """CPU and memory of one process, from /proc; None where the system has none."""

    pid: int = 0
    cpu_s: float = 0.0
    read_at: float = 0.0
    cpu_percent: float | None = None
    rss_bytes: int | None = None

    def read(self, pid: int) -> None:
        """Measures again. The first look at a process has no CPU share yet."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            self.pid, self.cpu_percent, self.rss_bytes = 0, None, None
            return
        # The command's name is in parentheses and may hold anything; fields count from after it.
        fields = stat[stat.rindex(")") + 2 :].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        now = time.monotonic()
        if pid == self.pid and now > self.read_at:
            self.cpu_percent = round(100 * (cpu_s - self.cpu_s) / (now - self.read_at), 1)
        else:
            self.cpu_percent = None
        self.pid, self.cpu_s, self.read_at = pid, cpu_s, now
        self.rss_bytes = int(fields[21]) * _PAGE_BYTES


@dataclass
class Part:
    """One part as last seen. `said` is None while it does not answer; `why` then tells what was tried, and
    `hung_pid` which process holds its socket all the same."""

    name: str
    said: dict[str, Any] | None = None
    why: str = ""
    hung_pid: int | None = None
    heard_at: float = 0.0
    cost: Cost = field(default_factory=Cost)
    history: collections.deque[tuple[int, float]] = field(
        default_factory=lambda: collections.deque(maxlen=int(HISTORY_S / ROUND_S))
    )

    @property
    def state(self) -> str:
        if self.said is not None:
            return str(self.said.get("state", "live"))
        return "stopped" if self.hung_pid is None else "stale"

    @property
    def pid(self) -> int | None:
        pid = self.said.get("pid") if self.said else self.hung_pid
        return pid if isinstance(pid, int) else None

    def take(self, answer: dict[str, Any] | control.Unreachable) -> None:
        """What it answered just now, or why it did not."""
        now = time.monotonic()
        if isinstance(answer, dict):
            self.said, self.why, self.hung_pid, self.heard_at = answer, "", None, now
        elif not isinstance(answer, control.Silent) or not self.heard_at:
            self.said, self.why, self.hung_pid = None, str(answer), None
        elif now - self.heard_at > SILENT_S:
            if self.said is not None:
                self.hung_pid = self.pid
            self.said = None
            self.why = f"its process runs and has not answered for {now - self.heard_at:.0f} s"


class Watch:
    """Keeps what every part with a control socket last said."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._parts: dict[str, Part] = {}
        self._task: asyncio.Task[None] | None = None
        self._round = asyncio.Lock()
        self._round_at = float("-inf")
        self.changed = asyncio.Condition()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="watch")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def parts(self, *, age_s: float = ROUND_S) -> dict[str, Part]:
        """All parts by name, asked at most `age_s` ago."""
        if time.monotonic() - self._round_at > age_s:
            await self._ask_all()
        return dict(self._parts)

    async def ask(self, part: str, op: str, **fields: Any) -> control.Answer:
        """One answer of a part. Raises `control.Unreachable`."""
        return await control.ask(self._home.control(part), op, timeout_s=ASK_S, **fields)

    def names(self) -> list[str]:
        """Parts that have or had a control socket in this home."""
        found = {name.removesuffix(".ctl") for name in self._home.sockets() if name.endswith(".ctl")}
        return sorted(found - {"service"})

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            await self._ask_all()
            async with self.changed:
                self.changed.notify_all()
            await asyncio.sleep(max(0.05, ROUND_S - (time.monotonic() - started)))

    async def _ask_all(self) -> None:
        async with self._round:
            if time.monotonic() - self._round_at < ASK_S / 2:
                return
            names = self.names()
            answers = await asyncio.gather(*(self._ask_one(name) for name in names))
            now = time.time_ns()
            for gone in self._parts.keys() - set(names):
                self._parts[gone].take(control.Unreachable("it is not running"))
            for name, said in zip(names, answers, strict=True):
                part = self._parts.setdefault(name, Part(name))
                part.take(said)
                part.cost.read(part.pid or 0)
                rate = part.said.get("messages_per_s") if part.said else 0.0
                if isinstance(rate, int | float):
                    part.history.append((now, float(rate)))
            self._round_at = time.monotonic()

    async def _ask_one(self, name: str) -> dict[str, Any] | control.Unreachable:
        try:
            return await self.ask(name, "status")
        except control.Unreachable as error:
            return error
