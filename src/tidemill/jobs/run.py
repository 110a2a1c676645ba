"""One attempt at one job: its process is started, listened to, bounded, and ended with all it started.

The worker holds the lease, not the job: it renews while it lives, tells the process until when, and writes
what that says under the attempt's token. Once that is no longer the newest, it kills and writes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from tidemill.home import Home
from tidemill.jobs import kind, tree
from tidemill.jobs.child import OUT_OF_MEMORY
from tidemill.jobs.submit import number
from tidemill.log import Log
from tidemill.metadata import Metadata, job

T = TypeVar("T")
LOOK_S = 0.2
TELL_S = 0.5
CANCEL_S = 1.0
LAST_WORDS_S = 1.0
RATE_S = 10.0
RETRY_S_MAX = 60.0
LEASE_S = 15
MEMORY_MB = 2048
LINE_BYTES_MAX = 16 << 20


@dataclass(frozen=True)
class Bounds:
    """What holds for every job of a worker."""

    lease_s: float = LEASE_S
    memory_bytes: int = MEMORY_MB << 20
    drain_s: float = 7.0
    running_max: int | None = None
    """Jobs of one owner that may run at once, on all workers together."""

    @classmethod
    def of_environment(cls) -> Bounds:
        return cls(
            lease_s=max(1, number("TIDEMILL_JOB_LEASE_S", LEASE_S)),
            memory_bytes=number("TIDEMILL_JOB_MEMORY_MB", MEMORY_MB) << 20,
            running_max=number("TIDEMILL_JOBS_RUNNING_MAX", 0) or None,
        )


def holder(worker_pid: int | None = None) -> str:
    """Who holds a job: host:pid of the worker, and the process below it that runs the slot."""
    return f"{socket.gethostname()}:{worker_pid or os.getpid()}:"


def _plain(text: str, chars: int) -> str:
    """Text that every database takes: no NUL, no half of a pair, not too long."""
    return text[:chars].replace("\0", "").encode("utf-8", "replace").decode()


def _bounded(number: Any) -> int:
    """A whole number that a column holds."""
    return max(-(2**63), min(int(number), 2**63 - 1))


class Run:
    """Does a claimed job. `run` returns how it went: done, failed, cancelled, died, stopped or lost."""

    def __init__(
        self,
        home: Home,
        metadata: Metadata,
        claimed: job.Job,
        bounds: Bounds,
        stopping: threading.Event,
        log: Log,
        *,
        own: bool = False,
    ) -> None:
        """`own` says that the person who asked for the job runs this process."""
        self._own = own
        self._home = home
        self._metadata = metadata
        self._job = claimed
        self._mark = tree.named(home.path, claimed.id)
        self._bounds = bounds
        self._stopping = stopping
        self._log = log
        self._process: subprocess.Popen[bytes]
        self._memory_bytes = bounds.memory_bytes
        self._lines: list[tuple[int, str, str]] = []
        self._line_count = 0
        self._progress: job.Progress | None = None
        self._pace: deque[tuple[float, int]] = deque()
        self._last: dict[str, Any] | None = None
        self._why = ""
        self._trouble = ""
        self._asked_to_end = 0.0
        self._cancel = False
        self._stop = False
        self._lost = False

    def run(self) -> str:
        claimed = self._job
        # An attempt whose worker died or stands still may have left processes on this machine.
        tree.end(self._mark, before=claimed.token)
        try:
            self._start()
        except OSError as error:
            why = f"it cannot be started: {error}"
            return self._write_end("died", lambda c: job.died(c, claimed.id, claimed.token, why))
        try:
            self._attend()
        finally:
            tree.end_group(self._process.pid)
            self._process.wait()
            tree.end(self._mark, token=claimed.token)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
        return self._end()

    # ── the process ───────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        claimed = self._job
        with contextlib.suppress(Exception):  # an unknown kind is told by the process itself
            self._memory_bytes = kind.load(claimed.kind).memory_bytes or self._memory_bytes
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tidemill", "job"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            start_new_session=True, env={**os.environ, tree.MARK: tree.mark(self._mark, claimed.token)},
        )  # fmt: skip
        order = {
            "id": claimed.id, "mark": self._mark, "token": claimed.token, "kind": claimed.kind,
            "detail": claimed.detail, "checkpoint": claimed.checkpoint, "home": str(self._home.path),
            "memory_bytes": self._memory_bytes, "until": self._until(claimed.lease_until or 0),
            "own": self._own,
        }  # fmt: skip
        self._say(order)

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        data = memoryview(json.dumps(message).encode() + b"\n")
        with contextlib.suppress(OSError):  # it is gone; its end is read elsewhere
            while data:
                data = data[os.write(self._process.stdin.fileno(), data) :]

    def _until(self, lease_until: int) -> float:
        """When the process must be gone, on the machine's monotonic clock: before the lease is over."""
        left_s = (lease_until - time.time_ns()) / 1e9
        return time.monotonic() + left_s - min(1.0, self._bounds.lease_s / 4)

    def _attend(self) -> None:
        """Until the process has said its last word, or is gone, or must go."""
        process = self._process
        now = time.monotonic()
        next_look, next_tell, next_lease = now, now + TELL_S, now + self._bounds.lease_s / 3
        left = {"out": b"", "err": b""}
        gone = False
        with selectors.DefaultSelector() as ready:
            for pipe, name in ((process.stdout, "out"), (process.stderr, "err")):
                assert pipe is not None  # noqa: S101 - it was opened as a pipe
                ready.register(pipe, selectors.EVENT_READ, name)
            while self._last is None and not self._lost and not self._why:
                for key, _ in ready.select(0.05):
                    read = os.read(key.fd, 1 << 16)
                    if not read:
                        ready.unregister(key.fileobj)
                    left[key.data] = self._take(key.data, left[key.data] + read, ended=not read)
                now = time.monotonic()
                if now >= next_look:
                    # What it started may hold its pipes open: its own end is what counts.
                    if gone and self._last is None:
                        self._why = self._exit_text()
                    gone = process.poll() is not None
                    next_look = now + LOOK_S
                    self._look(now)
                if now >= next_lease:
                    next_lease = now + self._bounds.lease_s / 3
                    self._renew()
                if now >= next_tell:
                    next_tell = now + TELL_S
                    self._tell()
            # What it still had to say before it went.
            # What it left behind may talk on and on.
            until = time.monotonic() + LAST_WORDS_S
            while time.monotonic() < until and self._line_count < job.LOG_LINES_MAX and ready.get_map():
                found = [key for key, _ in ready.select(0) if key.data == "err"]
                if not found or not (read := os.read(found[0].fd, 1 << 16)):
                    break
                left["err"] = self._take("err", left["err"] + read)
        if left["err"]:
            self._take("err", left["err"], ended=True)
        self._tell()

    def _exit_text(self) -> str:
        """How a process that said no last word ended."""
        code = self._process.wait()
        if code == OUT_OF_MEMORY:
            return f"it ran out of memory (bound {self._memory_bytes >> 20} MiB)"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with exit code {code} before its work"

    # ── what is looked at while it runs ───────────────────────────────────────────────────────────

    def _look(self, now: float) -> None:
        found = self._try(lambda c: job.one(c, self._job.id), write=False)
        if found is not None:
            self._lost = found.token != self._job.token or found.state != "running"
            if found.cancel_asked and not self._cancel:
                self._cancel, self._asked_to_end = True, now
                self._say({"op": "cancel"})
        if self._stopping.is_set() and not self._stop:
            self._stop = True
            self._asked_to_end = self._asked_to_end or now
            self._say({"op": "stop"})
        if self._cancel and now - self._asked_to_end > CANCEL_S:
            self._why = "cancelled"
        elif self._stop and now - self._asked_to_end > self._bounds.drain_s:
            self._why = "stopped"
        elif self._memory_bytes:
            held = tree.memory_bytes(self._process.pid)
            if held > self._memory_bytes:
                self._why = f"it held {held >> 20} MiB of memory; {self._memory_bytes >> 20} MiB may be"

    def _renew(self) -> None:
        claimed, lease_s = self._job, self._bounds.lease_s
        until = self._try(lambda c: job.renew(c, claimed.id, claimed.token, lease_s=lease_s) or 0)
        self._lost = self._lost or until == 0
        if until:
            self._say({"op": "lease", "until": self._until(until)})

    def _tell(self) -> None:
        """Writes progress and log lines, both or neither."""
        if self._lost or (self._progress is None and not self._lines):
            return
        progress, lines, claimed = self._progress, self._lines, self._job

        def write(connection: Connection) -> bool:
            mine = progress is None or job.advance(connection, claimed.id, claimed.token, progress)
            return mine and (not lines or job.log(connection, claimed.id, claimed.token, lines))

        mine = self._try(write)
        if mine is not None:
            self._lost = self._lost or not mine
            self._progress, self._lines = None, []

    def _try(self, use: Callable[[Connection], T], *, write: bool = True) -> T | None:
        """What the database says; None where it cannot be used now. It is asked again soon, and where it
        stays away the lease runs out."""
        try:
            with self._metadata.write() if write else self._metadata.read() as connection:
                return use(connection)
        except (SQLAlchemyError, OSError) as error:
            text = str(error)[:300]
            if text != self._trouble:  # once, not five times a second for as long as it is away
                self._trouble = text
                self._log.warn("the job table cannot be used", job=self._job.id, cause=text)
            return None

    # ── what it says ──────────────────────────────────────────────────────────────────────────────

    def _take(self, pipe: str, data: bytes, *, ended: bool = False) -> bytes:
        """Takes whole lines; returns the rest."""
        *lines, rest = data.split(b"\n")
        if ended and rest and pipe == "err":
            lines, rest = [*lines, rest], b""
        if len(rest) > (LINE_BYTES_MAX if pipe == "out" else job.LOG_CHARS_MAX):
            if pipe == "out":
                self._why = f"it said a line of more than {LINE_BYTES_MAX >> 20} MiB"
                return b""
            lines, rest = [*lines, rest], b""
        for line in lines:
            if pipe == "out":
                try:
                    self._hear(json.loads(line))
                except (ValueError, KeyError, TypeError, OverflowError):
                    self._why = f"it said what is no message: {line[:100]!r}"
            elif line.strip():
                self._note("output", line.decode("utf-8", "replace"))
        return rest

    def _hear(self, said: dict[str, Any]) -> None:
        match said["op"]:
            case "progress":
                self._move(said)
            case "checkpoint":
                self._keep(said)
            case "log":
                self._note(_plain(str(said["level"]), 20), str(said["text"]))
            case _:
                self._last = said

    def _note(self, level: str, text: str) -> None:
        # The table keeps so many and says so; what is more need not be held here.
        self._line_count += 1
        if self._line_count <= job.LOG_LINES_MAX:
            self._lines.append((time.time_ns(), level, _plain(text, job.LOG_CHARS_MAX)))

    def _move(self, said: dict[str, Any]) -> None:
        now, done = time.monotonic(), _bounded(said["done"])
        total = None if said["total"] is None else _bounded(said["total"])
        unit, note = (
            None if said[name] is None else _plain(str(said[name]), 200) for name in ("unit", "note")
        )
        if not self._pace or now - self._pace[-1][0] >= LOOK_S:
            self._pace.append((now, done))
        while len(self._pace) > 2 and now - self._pace[0][0] > RATE_S:
            self._pace.popleft()
        since, before = self._pace[0]
        rate = (done - before) / (now - since) if now > since and done > before else None
        eta_s = (total - done) / rate if rate and total is not None and total >= done else None
        self._progress = job.Progress(done, total, unit, rate, eta_s, note)

    def _keep(self, said: dict[str, Any]) -> None:
        """A checkpoint is acknowledged once it is kept, and not at all when the job is another's."""
        claimed = self._job
        until = time.monotonic() + self._bounds.lease_s
        while not self._lost and time.monotonic() < until:
            kept = self._try(lambda c: job.keep(c, claimed.id, claimed.token, said["value"]))
            if kept is not None:
                self._lost = self._lost or not kept
                break
            time.sleep(LOOK_S)
        else:
            self._lost = True
        if not self._lost:
            self._say({"op": "kept", "number": said["number"]})

    # ── how it ended ──────────────────────────────────────────────────────────────────────────────

    def _end(self) -> str:
        claimed, last = self._job, self._last or {}
        name, token = claimed.id, claimed.token
        if self._lost:
            self._log.warn("a job went on elsewhere; what was done here counts for nothing", job=name)
            return "lost"
        if last.get("op") == "done":
            return self._write_end("done", lambda c: job.end(c, name, token, "done", result=last["result"]))
        if last.get("op") == "failed":
            return self._write_end("failed", lambda c: self._failed(c, last["error"]))
        if last.get("op") == "cancelled" or self._cancel:
            return self._write_end("cancelled", lambda c: job.end(c, name, token, "cancelled"))
        if self._stop:
            return self._write_end("stopped", lambda c: job.release(c, name, token))
        why = self._why or "it stopped without being asked to"
        return self._write_end("died", lambda c: job.died(c, name, token, why))

    def _failed(self, connection: Connection, error: dict[str, Any]) -> bool:
        claimed = self._job
        if self._cancel:
            return job.end(connection, claimed.id, claimed.token, "cancelled")
        if not error.get("retryable"):
            return job.end(connection, claimed.id, claimed.token, "failed", error=error)
        wait_s = min(RETRY_S_MAX, 2.0 ** (claimed.attempts - 1))
        return job.retry(connection, claimed.id, claimed.token, wait_s=wait_s, error=error)

    def _write_end(self, outcome: str, write: Callable[[Connection], bool]) -> str:
        """Tries for as long as the lease lasts: after that another sees to the job."""
        until = time.monotonic() + self._bounds.lease_s
        while time.monotonic() < until:
            written = self._try(write)
            if written is not None:
                return outcome if written else "lost"
            time.sleep(LOOK_S)
        return "lost"
