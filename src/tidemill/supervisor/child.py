"""One part of the platform as a process of ours: started by exec, restarted with backoff, stopped in time.

A running collector takes other instruments by `configure` on its control socket: no restart for them. One
that ends because a key is missing or refused is not started again before somebody asks: no number of tries
gives it a key. What the configuration is at fault for may heal by itself (a disk that takes writes again, a
port that is given up), and is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidemill import control
from tidemill.errors import AuthError, ConfigError
from tidemill.log import Level, line

BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# A part that ran this long and then died starts its backoff anew.
STABLE_S = 30.0
LOG_BYTES_MAX = 8 << 20
LOGS_KEPT = 3
INSTRUMENTS = "--instruments"
# So much of a log's end is searched for why its part ended.
LAST_WORDS_BYTES = 64 << 10


@dataclass
class Child:
    """A part's process. `wanted_argv` None means it should not run."""

    name: str
    log: Path
    wanted_argv: list[str] | None = None
    env: dict[str, str] = field(default_factory=dict)
    control: Path | None = None
    # What the process was started with, and has acknowledged since: other instruments.
    argv: list[str] | None = None
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    restarts: int = 0
    last_exit: int | None = None
    # Why it ended, where it is its configuration or its key: as `TidemillError.as_dict` says it.
    error: dict[str, Any] | None = None
    # The process that has answered on its control socket, and how often in a row it has not since.
    heard_pid: int | None = None
    misses: int = 0
    # One change at a time: a stop that waits for a drain must not meet a second one.
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    @property
    def state(self) -> str:
        if self.pid:
            return "running" if self.wanted_argv else "draining"
        if self.wanted_argv is None:
            return "stopped"
        return "failed" if self.failures or self.is_refused else "starting"

    @property
    def is_refused(self) -> bool:
        """It ended for want of a key, and is not started again by itself."""
        return self.error is not None and self.last_exit == AuthError.exit_code

    def describe(self) -> dict[str, Any]:
        return {
            "part": self.name,
            "pid": self.pid,
            "state": self.state,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "error": self.error,
            "retry_in_s": round(max(0.0, self.retry_at - time.monotonic()), 1)
            if self.failures and not self.pid and not self.is_refused
            else None,
            "since": time.time() - (time.monotonic() - self.started_at) if self.pid else None,
            "log": str(self.log),
        }

    async def reconcile(self, drain_s: float) -> None:
        """Brings the process to what is wanted: starts, restarts or stops it as needed."""
        if self._busy.locked():
            return
        async with self._busy:
            self._reap()
            if self.is_refused and self.argv != self.wanted_argv:
                self.retry()
            if not self.pid and self.is_refused:
                return
            if self.pid and not same_process(self.argv, self.wanted_argv):
                await self._stop(drain_s)
            if self.pid and self.argv != self.wanted_argv:
                await self._configure()
            if not self.pid and self.wanted_argv and time.monotonic() >= self.retry_at:
                try:
                    await self._start()
                except OSError as error:
                    self._delay(f"{self.name} cannot be started: {error}")

    async def stop(self, drain_s: float) -> bool:
        """Asks the process to drain, and kills it when the time is over. Whether it ended in order, now or,
        where it does not run, the last time."""
        self.wanted_argv = None
        async with self._busy:
            self._reap()
            await self._stop(drain_s)
        return not self.last_exit

    def retry(self) -> None:
        """Lets one that was refused start again: its key may be there now."""
        if self.is_refused:
            self.error, self.failures, self.retry_at = None, 0, 0.0

    def heard(self) -> None:
        """It answered on its control socket."""
        self.heard_pid, self.misses = self.pid, 0

    def missed(self, misses_max: int, hung_s: float) -> None:
        """It gave no answer. One that answered before and misses too often in a row hangs: nothing short of
        its end helps, and what it keeps is safe at any moment. One that is still starting is left alone."""
        if self.process is None or self.pid is None or self.pid != self.heard_pid:
            return
        self.misses += 1
        if self.misses >= misses_max:
            self.misses = 0
            self._note("error", f"{self.name} has not answered for {hung_s:g} s and was killed")
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    def _reap(self) -> None:
        if self.process is None or self.process.returncode is None:
            return
        self.last_exit = self.process.returncode
        self.process = None
        if self.wanted_argv is None:
            return
        if time.monotonic() - self.started_at > STABLE_S:
            self.failures = 0
        self.error = self._last_words(self.last_exit)
        if self.is_refused:
            why = (self.error or {}).get("message", "")
            self._note("error", f"{self.name} is not started again before somebody asks for it: {why}")
            return
        self.restarts += 1
        self._delay(f"{self.name} ended with {_exit_text(self.last_exit)}")

    def _delay(self, why: str) -> None:
        """Puts the next start off, longer at each failure in a row."""
        self.failures += 1
        wait_s = BACKOFF_S[min(self.failures, len(BACKOFF_S)) - 1]
        self.retry_at = time.monotonic() + wait_s
        self._note("warning", f"{why}; next start in {wait_s:g} s")

    def _last_words(self, code: int) -> dict[str, Any] | None:
        """Why it ended, of those reasons that somebody must do something about."""
        kind = {ConfigError.exit_code: ConfigError, AuthError.exit_code: AuthError}.get(code)
        if kind is None:
            return None
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            for text in reversed(log.read().splitlines()):
                with contextlib.suppress(ValueError, AttributeError):
                    said = json.loads(text).get("error")
                    if isinstance(said, dict) and said.get("category") == kind.category:
                        return said
        return kind(
            "part_refused",
            f"{self.name} ended with {_exit_text(code)}",
            hint=f"its last words are in {self.log}",
        ).as_dict()

    async def _start(self) -> None:
        assert self.wanted_argv is not None  # noqa: S101 - the caller checked
        self.argv = list(self.wanted_argv)
        log = self._open_log()
        try:
            # The write end of stdin stays with us: when we die, however we die, the part reads
            # end-of-file and leaves. A session of its own keeps the terminal's Ctrl-C for us.
            self.process = await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.env},
            )
        finally:
            os.close(log)
        self.started_at = time.monotonic()
        self.error = None

    async def _configure(self) -> None:
        """Tells the process which instruments are wanted. One that does not answer, as while it starts, is
        told again at the next round; one that refuses some of them has heard."""
        pid, wanted = self.pid, self.wanted_argv
        if self.control is None or wanted is None:
            return
        with contextlib.suppress(control.Unreachable):
            answer = await control.ask(self.control, "configure", instruments=instruments(wanted))
            error = answer.get("error")
            if self.pid == pid and not (isinstance(error, dict) and error.get("retryable")):
                self.argv = list(wanted)

    async def _stop(self, drain_s: float) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(drain_s):
                await process.wait()
        except TimeoutError:
            self._note("error", f"{self.name} did not end within {drain_s:g} s and was killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self.last_exit = process.returncode
        self.process = None
        self.failures = 0
        self.retry_at = 0.0
        self.error = None

    def _note(self, level: Level, message: str) -> None:
        """Said on our own stderr, and where whoever looks for the part's last words will look."""
        text = line(level, "supervisor", message)
        # Either may be on a disk that is full, and neither is worth a part.
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError), self.log.open("a") as log:
            log.write(text + "\n")

    def _open_log(self) -> int:
        """Where the part's output goes. A disk that takes no log is no reason to have no part."""
        try:
            self._rotate_log()
            return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:
            return os.open(os.devnull, os.O_WRONLY)

    def _rotate_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size < LOG_BYTES_MAX:
                return
            for i in range(LOGS_KEPT - 1, 0, -1):
                older = self.log.with_suffix(f".jsonl.{i}")
                if older.exists():
                    older.rename(self.log.with_suffix(f".jsonl.{i + 1}"))
            self.log.rename(self.log.with_suffix(".jsonl.1"))


def same_process(running: list[str] | None, wanted: list[str] | None) -> bool:
    """Whether a running part can stay. A collector takes other instruments by `configure`, so they do not
    count; it cannot be told to go back to its venue's default set."""
    if instruments(wanted) is None and instruments(running) is not None:
        return False
    return _without_instruments(running) == _without_instruments(wanted)


def instruments(argv: list[str] | None) -> list[str] | None:
    """The instruments that a command line names; None where it names none."""
    if argv is None or INSTRUMENTS not in argv:
        return None
    return argv[argv.index(INSTRUMENTS) + 1].split(",")


def _without_instruments(argv: list[str] | None) -> list[str] | None:
    if argv is None or INSTRUMENTS not in argv:
        return argv
    at = argv.index(INSTRUMENTS)
    return argv[:at] + argv[at + 2 :]


def trim_log(log: Path) -> None:
    """Keeps a running part's log within its bound: the old half is copied aside, then cut off.

    The part holds the file open for appending, so the file itself must stay; lines written between
    copy and cut (microseconds) are the price. On a disk that takes no copy it stays as it is: there it
    cannot grow either.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size < LOG_BYTES_MAX:
            return
        log.with_suffix(".jsonl.1").write_bytes(log.read_bytes())
        os.truncate(log, 0)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
