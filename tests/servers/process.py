"""A server as a child process: started, waited for, stopped, killed, paused."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CACHE = Path(os.environ.get("TIDEMILL_CACHE") or Path(__file__).parents[2] / ".cache")
"""Where servers are unpacked; not the checkout's own folder where that is closed to the user whom PostgreSQL
runs as."""
READY_S = 60.0


PORTS = range(10_000, 32_768)
"""Below those that the system itself gives to connections and to whoever asks for any: none of these is taken
between the moment it was found free and the start of its server, or while that server is down."""
_given: set[int] = set()


def free_port() -> int:
    """A port of loopback that nothing listens on now, and that was not given before."""
    for _ in range(1_000):
        port = random.SystemRandom().choice(
            PORTS
        )  # a seed of the tests' would give all of them the same ones
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError(f"no free port in {PORTS}")


def found(*names: str) -> Path | None:
    """The first of these programs that is on PATH."""
    for name in names:
        where = shutil.which(name)
        if where:
            return Path(where)
    return None


class Process:
    """One server. `start` may be called again after it stopped: its data is where it was."""

    def __init__(
        self,
        words: Sequence[str],
        log: Path,
        ready: Callable[[], bool],
        *,
        as_nobody: bool = False,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """`as_nobody`: PostgreSQL refuses to run as root."""
        self._words = [*_guard(as_nobody), *words]
        self._log = log
        self._ready = ready
        self._environment = {**os.environ, **(environment or {})}
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, "the server was never started"
        return self._child.pid

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._log.parent,
                start_new_session=True,
            )
        until = time.monotonic() + READY_S
        while not self._ready():
            if self._child.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(
                    f"{self._words[-1]} did not start: {self._log.read_text(errors='replace')[-3000:]}"
                )
            time.sleep(0.05)

    def stop(self, timeout: float = 30.0) -> None:
        """Ends it in order."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGCONT)
            self._child.send_signal(self._stop_signal)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9 of it and of its children."""
        if self._child is not None:
            try:
                os.killpg(self._child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._child.wait()
            # Its children end a little later, and a server does not begin anew beside those of the old one.
            until = time.monotonic() + READY_S
            with contextlib.suppress(ProcessLookupError, PermissionError):
                while time.monotonic() < until:
                    os.killpg(self._child.pid, 0)
                    time.sleep(0.02)

    def pause(self) -> None:
        """Stops it from running (SIGSTOP): connections stay open, nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)


def _guard(as_nobody: bool) -> list[str]:
    """What makes a server end with its tests, and run as somebody who is not root."""
    if not sys.platform.startswith("linux") or not shutil.which("setpriv"):
        return []
    words = ["setpriv", "--pdeathsig", "KILL"]
    if as_nobody and os.getuid() == 0:
        words += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    return [*words, "--"]
