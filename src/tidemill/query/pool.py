"""Asks the processes in which queries run, and ends one that takes too long, too much, or is not wanted.

A process that has answered well waits for the next query: the second that its start takes is paid once.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from tidemill import errors
from tidemill.errors import CancelledError, DeadlineError, RateLimitError, ResourceError
from tidemill.query.limit import Limits

START_S = 60.0
GRACE_S = 1.0
"""How long after its time a query may take to say that it has ended."""
WAIT_S = 10.0
"""How long a query waits for its turn."""
LOOK_S = 0.05
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What came back: the facts, and the body in the format asked for (empty for a preview)."""

    facts: dict[str, Any]
    body: bytes


class Pool:
    """At most `children` queries at once. Thread-safe."""

    def __init__(self, home: Path, limits: Limits | None = None, children: int = 2) -> None:
        """Starts nothing yet. Raises `ConfigError` for limits in the environment that are no numbers."""
        self.home = home
        self.limits = limits or Limits.of_environment()
        self._turns = threading.BoundedSemaphore(children)
        self._idle: list[_Child] = []
        self._lock = threading.Lock()

    def ask(
        self,
        sql: str,
        *,
        limit: int,
        form: str = "arrow",
        time_form: str = "ns",
        preview: bool = False,
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> Answer:
        """The answer to one SELECT. Raises what `session.Session.run` raises, `RateLimitError` `query_busy`
        when no turn comes, and `CancelledError` `query_cancelled` once `cancel` is set."""
        if not self._turns.acquire(timeout=WAIT_S):
            raise RateLimitError(
                "query_busy",
                "other queries are running, as many as may at once",
                hint="try again",
                retry_after_s=5,
            )
        try:
            limits = asdict(self.limits)
            limits["timeout_s"] = min(timeout_s or self.limits.timeout_s, self.limits.timeout_s)
            order = {
                "home": str(self.home), "sql": sql, "limit": min(limit, self.limits.rows), "format": form,
                "time": time_form, "preview": preview, "limits": limits,
            }  # fmt: skip
            return self._ask(order, Limits(**limits), cancel or threading.Event())
        finally:
            self._turns.release()

    def check(self, sql: str) -> dict[str, Any]:
        """Names and types of the columns that a SELECT has; raises what is wrong with it. No row is read."""
        return self.ask(sql, limit=1, form="none").facts

    def _ask(self, order: dict[str, Any], limits: Limits, cancel: threading.Event) -> Answer:
        child = self._child()
        well = False
        try:
            header, body = child.ask(order, limits, cancel)
            well = True
        finally:
            if well:
                with self._lock:
                    self._idle.append(child)
            else:
                child.close()
        if "error" in header:
            raise _raised(header)
        return Answer(header["facts"], body)

    def _child(self) -> _Child:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.alive:
                    return child
                child.close()
        return _Child()

    def close(self) -> None:
        """Ends the processes that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()


def _raised(header: dict[str, Any]) -> errors.TidemillError:
    error = errors.from_dict(header["error"])
    error.http_status = int(header["status"])
    return error


class _Child:
    """One process."""

    def __init__(self) -> None:
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - its last words, read if it dies
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tidemill.query.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            bufsize=0,
            start_new_session=True,
        )
        self._left = b""
        self._ready = False

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(
        self, order: dict[str, Any], limits: Limits, cancel: threading.Event
    ) -> tuple[dict[str, Any], bytes]:
        """Sends an order and waits for its answer. The process is of no more use after an error."""
        if not self._ready:
            self._header(time.monotonic() + START_S, limits, cancel)
            self._ready = True
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        data = memoryview(json.dumps(order).encode() + b"\n")
        try:
            while data:
                data = data[os.write(self._process.stdin.fileno(), data) :]
        except OSError as error:
            raise self._died() from error
        # The count of a preview is a second query.
        until = time.monotonic() + limits.timeout_s * (2 if order["preview"] else 1) + GRACE_S
        header = self._header(until, limits, cancel)
        size = int(header["bytes"])
        while len(self._left) < size:
            self._read(until + limits.timeout_s, limits, cancel)
        body, self._left = self._left[:size], self._left[size:]
        return header, body

    def _header(self, until: float, limits: Limits, cancel: threading.Event) -> dict[str, Any]:
        while b"\n" not in self._left:
            self._read(until, limits, cancel)
        line, _, self._left = self._left.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _read(self, until: float, limits: Limits, cancel: threading.Event) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        pipe = self._process.stdout.fileno()
        while not select.select([pipe], [], [], LOOK_S)[0]:
            if cancel.is_set():
                raise CancelledError("query_cancelled", "the query was cancelled")
            if time.monotonic() > until:
                raise DeadlineError(
                    "query_timeout",
                    f"the query took longer than {limits.timeout_s:g} s, and its process was ended",
                    hint="ask for less: filter by venue, instrument and date; or run it as a job",
                    retryable=False,
                )
            if _held_bytes(self._process.pid) > limits.process_bytes:
                raise _too_much(limits)
        read = os.read(pipe, _READ_BYTES)
        if not read:
            raise self._died()
        self._left += read

    def _died(self) -> errors.TidemillError:
        code = self._process.wait()
        self._words.seek(0)
        said = self._words.read()[-2_000:].decode("utf-8", "replace").strip()
        if code < 0 or "bad_alloc" in said or "MemoryError" in said:
            return ResourceError(
                "query_died",
                f"the query ended its process (signal {-code}), most likely for want of memory",
                hint="ask for fewer rows or shorter texts",
                http_status=507,
            )
        return errors.InternalError("internal", f"the process of queries ended with {code}: {said[-500:]}")

    def close(self) -> None:
        """Ends the process, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._words):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _too_much(limits: Limits) -> ResourceError:
    return ResourceError(
        "query_memory",
        f"the query held more than {limits.process_bytes >> 20} MiB of memory, and its process was ended",
        hint="ask for fewer rows or columns, aggregate more, or sort less",
        http_status=507,
    )


def _held_bytes(pid: int) -> int:
    """Memory that a process holds now; 0 where this system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
