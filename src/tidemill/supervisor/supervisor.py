"""The supervisor: reconciles the processes of one home with what is wanted, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tidemill import control
from tidemill.errors import TidemillError
from tidemill.home import Home
from tidemill.log import Log
from tidemill.model.collector import Collector
from tidemill.supervisor import plan
from tidemill.supervisor.child import Child, trim_log

RECONCILE_S = 0.5
LOG_CHECK_S = 30.0
DRAIN_S = 10.0
# A hung part is one that gives no answer to so many asks in a row, spread over `hung_s`.
MISSES_MAX = 3
# Who keeps what is collected.
KEEPERS = ("collector", "recorder")


class Steady:
    """The collectors that should run, as last read: a database that fails meanwhile changes nothing."""

    def __init__(self, read: Callable[[], list[Collector]], log: Log) -> None:
        """Raises what the first reading raises: without it nobody knows what should run."""
        self._read = read
        self._log = log
        self._last = read()
        self._failed = ""

    def __call__(self) -> list[Collector]:
        try:
            self._last = self._read()
            failed = ""
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
        if failed and failed != self._failed:
            self._log.error("what is wanted cannot be read, and stays as it was", cause=failed)
        self._failed = failed
        return self._last


class Supervisor:
    """Runs the parts of one home. The caller holds the home's lock."""

    def __init__(
        self,
        home: Home,
        settings: plan.Settings,
        open_wanted: Callable[[], Callable[[], list[Collector]]],
    ) -> None:
        """`open_wanted` is called once, in a thread, while the first parts start already: opening the
        database takes as long as they do. What it returns reads the collectors that should run and is
        called about twice a second; what either raises the first time ends the run."""
        self._home = home
        self._settings = settings
        self._open_wanted = open_wanted
        self._children: dict[str, Child] = {}
        self._simulated: set[str] = set()
        self._played: set[str] = set()
        self._sim_said: dict[str, Any] | None = None
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._started_at = time.time()
        self._control = control.Server(
            home.control("supervisor"),
            {
                "status": self._status,
                "metrics": self._metrics,
                "reconcile": self._reconcile_now,
                "lacks": self._lacks,
                "drain": self._drain,
            },
        )

    async def run(self) -> list[str]:
        """Runs until SIGTERM, SIGINT or `stop`; then drains every part. Returns those of `KEEPERS` that did
        not end in order: what they had not stored yet is in the journal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        (self._home.run / "sim.json").unlink(missing_ok=True)
        await self._control.start()
        self._write_state()
        watch = asyncio.create_task(self._watch(), name="watch")
        try:
            await self._loop()
        finally:
            watch.cancel()
            unfinished = await self._stop_all()
            await self._control.close()
            (self._home.run / "supervisor.json").unlink(missing_ok=True)
        return unfinished

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    async def _loop(self) -> None:
        next_log_check = 0.0
        pending: set[asyncio.Task[None]] = set()
        opening = asyncio.create_task(
            asyncio.to_thread(lambda: Steady(self._open_wanted(), Log("supervisor")))
        )
        opening.add_done_callback(lambda _task: self._wake.set())
        try:
            while not self._stopping.is_set():
                planned = self._plan(opening.result()() if opening.done() else None)
                for name in planned.keys() - self._children.keys():
                    self._children[name] = Child(
                        name,
                        self._home.log(name),
                        control=self._home.control(name),
                    )
                for name, child in self._children.items():
                    child.wanted_argv = planned.get(name)
                self._hold_worker()
                # Each child on its own: one that drains slowly must not hold up the others.
                for child in sorted(self._children.values(), key=lambda c: plan.order(c.name)):
                    task = asyncio.create_task(child.reconcile(DRAIN_S))
                    pending.add(task)
                    task.add_done_callback(pending.discard)
                if time.monotonic() >= next_log_check:
                    next_log_check = time.monotonic() + LOG_CHECK_S
                    for child in self._children.values():
                        trim_log(child.log)
                fast = any(child.wanted_argv and not child.pid for child in self._children.values())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05 if fast else RECONCILE_S):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _plan(self, wanted: list[Collector] | None) -> dict[str, list[str]]:
        """What should run now. While `wanted` is not known yet: the service alone, which people wait for."""
        self._simulated |= plan.simulated_protocols(wanted or [])
        self._played |= plan.simulated_providers(wanted or [])
        planned = plan.parts(self._settings, wanted or [], self._sim(), self._simulated, self._played)
        return planned if wanted is not None else {"service": planned["service"]}

    def _hold_worker(self) -> None:
        """Nobody waits for jobs before the page is there: at a start every process less brings it sooner."""
        worker = self._children.get("worker")
        if worker is not None and worker.argv is None:
            worker.retry_at = 0.0 if self._serves() else time.monotonic() + RECONCILE_S

    def _serves(self) -> bool:
        """Whether the service has begun to answer; a socket of an earlier start does not count."""
        with contextlib.suppress(OSError):
            return self._home.control("service").stat().st_mtime >= self._started_at
        return False

    async def _watch(self) -> None:
        """Asks every part for its state, and has those killed that hang."""
        ask_s = self._settings.hung_s / MISSES_MAX / 2
        while ask_s > 0:
            await asyncio.sleep(ask_s)
            await asyncio.gather(*(self._check(child, ask_s) for child in self._children.values()))

    async def _check(self, child: Child, ask_s: float) -> None:
        try:
            await control.ask(self._home.control(child.name), "status", timeout_s=ask_s)
        except control.Silent:
            child.missed(MISSES_MAX, self._settings.hung_s)
        except control.Unreachable:
            pass  # it has no socket, not yet or not any more: whether it runs is another question
        else:
            child.heard()

    async def _stop_all(self) -> list[str]:
        """Collectors first, then what reads their journals, so that everything collected is stored; returns
        who of these did not end in order."""
        groups: tuple[tuple[str, ...], ...] = (
            ("service", "worker"),
            ("collector", "sim"),
            ("bridge", "relay"),
            ("recorder",),
        )
        unfinished: list[str] = []
        for group in groups:
            children = [c for c in self._children.values() if _kind(c) in group]
            ended = await asyncio.gather(*(child.stop(DRAIN_S) for child in children))
            pairs = zip(children, ended, strict=True)
            unfinished += [c.name for c, in_order in pairs if not in_order and _kind(c) in KEEPERS]
        return unfinished

    def _sim(self) -> dict[str, Any] | None:
        """Where the simulator's venues are; None before it has said it. Its ports are ours to choose
        and stay the same over a restart, so its collectors go on trying while it is away."""
        with contextlib.suppress(OSError, ValueError):
            self._sim_said = json.loads((self._home.run / "sim.json").read_text())
        return self._sim_said

    def _write_state(self) -> None:
        state = {
            "pid": os.getpid(),
            "host": self._settings.host,
            "port": self._settings.port,
            "started": self._started_at,
        }
        temporary = self._home.run / "supervisor.json.new"
        temporary.write_text(json.dumps(state))
        temporary.rename(self._home.run / "supervisor.json")

    async def _status(self, _request: control.Answer) -> control.Answer:
        return {
            "part": "supervisor",
            "pid": os.getpid(),
            "state": "draining" if self._stopping.is_set() else "live",
            "port": self._settings.port,
            "host": self._settings.host,
            "started": self._started_at,
            "since_ns": int(self._started_at * 1e9),
            "parts": [
                child.describe()
                for child in sorted(self._children.values(), key=lambda c: plan.order(c.name))
            ],
        }

    async def _metrics(self, _request: control.Answer) -> control.Answer:
        rows = [(name, child) for name, child in sorted(self._children.items())]
        lines = [
            "# HELP tidemill_supervisor_restarts_total Times a part was started again after it had died.",
            "# TYPE tidemill_supervisor_restarts_total counter",
            *(f'tidemill_supervisor_restarts_total{{child="{name}"}} {c.restarts}' for name, c in rows),
            "# HELP tidemill_supervisor_running Whether a part that should run has a process.",
            "# TYPE tidemill_supervisor_running gauge",
            *(
                f'tidemill_supervisor_running{{child="{name}"}} {int(c.pid is not None)}'
                for name, c in rows
                if c.wanted_argv is not None
            ),
        ]
        return {"text": "\n".join(lines) + "\n"}

    async def _reconcile_now(self, _request: control.Answer) -> control.Answer:
        """Looks at once at what is wanted; what was refused for want of a key is tried once more."""
        for child in self._children.values():
            child.retry()
        self._wake.set()
        return {"ok": True}

    async def _lacks(self, request: control.Answer) -> control.Answer:
        """What the parts, which are given this process's environment, lack of a provider's key: `error` as
        `TidemillError.as_dict` says it, None where nothing is lacking."""
        return {"error": await asyncio.to_thread(_lacking, str(request.get("provider")))}

    async def _drain(self, _request: control.Answer) -> control.Answer:
        self.stop()
        return {"ok": True}


def _lacking(provider: str) -> dict[str, Any] | None:
    from tidemill.providers import credential, load

    try:
        credential.of(load(provider))
    except TidemillError as error:
        return error.as_dict()
    return None


def _kind(child: Child) -> str:
    return child.name.split("-", 1)[0]


def read_state(home: Home) -> dict[str, Any] | None:
    """What the supervisor of a home wrote at its start; None when none runs or it was killed."""
    return home.running()
