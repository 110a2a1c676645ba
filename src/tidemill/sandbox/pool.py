"""Guests that are ready before anyone asks, and what is asked of them.

A guest serves one owner and one source, and dies with its lease: nobody meets what another left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import pyarrow as pa

from tidemill import errors
from tidemill.sandbox import command, frame
from tidemill.sandbox.answer import Answer
from tidemill.sandbox.limit import Limits
from tidemill.sandbox.process import Guest, Progress, seal

SIZE_MAX = 64
# pandas is here for pyarrow, which looks for it when it first makes an array of Python's values.
MODULES = ("numpy", "pyarrow", "pyarrow.compute", "pandas", "tidemill._native")


def run(
    task: str,
    request: dict[str, Any],
    tables: Mapping[str, pa.Table],
    *,
    limits: Limits | None = None,
    cancel: Callable[[], bool] | None = None,
    progress: Progress | None = None,
) -> Answer:
    """The answer of a task to one request, from a guest of its own that is gone when this returns.

    `cancel` is asked some twenty times a second. Raises `ConfigError` (`sandbox_missing`, `sandbox_failed`),
    `UsageError` (`code_invalid`, `code_failed`, `sandbox_died`), `DeadlineError` (`sandbox_timeout`),
    `ResourceError` (`sandbox_memory`, `sandbox_output`), `CancelledError`; `sandbox.log_of(error)` is what
    the code printed.
    """
    bounds = limits or Limits()
    session = Session("", "", Guest(bounds), bounds, once=True)
    try:
        return session.run(task, request, tables, cancel=cancel, progress=progress)
    finally:
        session.close()


def lease(
    owner: str,
    source: str,
    *,
    limits: Limits | None = None,
    modules: tuple[str, ...] = (),
    shown: Path | None = None,
) -> Session:
    """A new guest for this owner's source alone, with modules to import at once, and a folder of which it may
    read everything, what comes later included: what lies there is mapped by many guests and held once
    (`Session.place`). Raises `ConfigError` (`sandbox_missing`); close it when done."""
    bounds = limits or Limits()
    return Session(owner, source, Guest(bounds, modules, shown), bounds, shown=shown)


class Session:
    """One guest, for one owner and one source, as often as they ask: what the code keeps in its module is
    there the next time. Not for several threads at once."""

    def __init__(
        self,
        owner: str,
        source: str,
        guest: Guest,
        limits: Limits,
        *,
        once: bool = False,
        shown: Path | None = None,
    ) -> None:
        self.owner = owner
        self._shown = shown
        self.digest = _digest(source)
        self._guest = guest
        self._limits = limits
        self._once = once
        # Tables that the guest has mapped, each with its key: the same object is not handed over again.
        self._sent: dict[str, pa.Table] = {}
        self._keys = itertools.count()

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._guest.alive

    @property
    def pid(self) -> int:
        """Of the process that holds the guest."""
        return self._guest.pid

    def place(self, path: Path) -> str:
        """Where the guest sees a file or folder of the one that it is shown. Raises `ValueError` for any
        other."""
        if self._shown is None:
            raise ValueError("this guest is shown nothing")
        within = path.relative_to(self._shown)
        return str(PurePosixPath(command.SHOWN) / within if self._guest.isolated else path)

    def run(
        self,
        task: str,
        request: dict[str, Any],
        tables: Mapping[str, pa.Table],
        *,
        limits: Limits | None = None,
        cancel: Callable[[], bool] | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """As `sandbox.run`. Tables are handed over once: give the same objects again, and nothing is copied.

        Raises `ConflictError` (`sandbox_foreign`) for the source of another lease. Only after errors of the
        code itself can it be asked again (`alive`).
        """
        source = request.get("source")
        if not self._once and isinstance(source, str) and _digest(source) != self.digest:
            raise errors.ConflictError(
                "sandbox_foreign",
                "this guest was leased for another source",
                hint="lease one for this source: what the other left behind must not be met",
            )
        if len(tables) > frame.TABLES_MAX:
            raise errors.UsageError(
                "sandbox_tables", f"{len(tables)} tables for one run; at most {frame.TABLES_MAX}"
            )
        named, fds = self._hand_over(tables)
        order = {"task": task, "request": request, "tables": named, "once": self._once}
        try:
            return self._guest.exchange(order, fds, limits or self._limits, cancel=cancel, progress=progress)
        finally:
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        """Ends the guest and all that it started."""
        self._guest.end()
        self._sent.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hand_over(self, tables: Mapping[str, pa.Table]) -> tuple[list[tuple[str, str, bool]], list[int]]:
        """Name, key and whether it is fresh for each table, and descriptors of the fresh ones."""
        known = {id(table): key for key, table in self._sent.items()}
        named: list[tuple[str, str, bool]] = []
        fds: list[int] = []
        sent: dict[str, pa.Table] = {}
        for name, table in tables.items():
            key = known.get(id(table))
            fresh = key is None
            if key is None:
                key = known[id(table)] = str(next(self._keys))
                fds.append(_table_memory(table))
            sent[key] = table
            named.append((name, key, fresh))
        self._sent = sent
        return named, fds


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _table_memory(table: pa.Table) -> int:
    """Sealed memory that holds the table as an Arrow stream."""
    fd = os.memfd_create("table", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    seal(fd)
    return fd


class Pool:
    """So many guests that have imported what user code imports, and wait. A leased one is replaced behind."""

    def __init__(
        self, size: int = 1, *, limits: Limits | None = None, modules: tuple[str, ...] = MODULES
    ) -> None:
        """Starts filling; returns at once. `limits` are those of every lease that names no other, `modules`
        what guests import before they wait, where it is installed."""
        if not 0 <= size <= SIZE_MAX:
            raise errors.UsageError("sandbox_pool", f"a pool of {size} guests; 0 to {SIZE_MAX}")
        self._size = size
        self._limits = limits or Limits()
        self._modules = modules
        self._ready: deque[Guest] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._failure: BaseException | None = None
        self._filler = threading.Thread(target=self._fill, daemon=True, name="sandbox-pool")
        self._filler.start()

    def lease(self, owner: str, source: str, *, limits: Limits | None = None) -> Session:
        """A guest for this owner's source alone; a new one where none is ready yet. Close it when done."""
        guest = self._take()
        return Session(owner, source, guest or Guest(self._limits, self._modules), limits or self._limits)

    def wait(self, timeout_s: float = 30.0) -> bool:
        """Whether all guests are ready, after at most so long; raises what their start raised."""
        with self._news:
            self._news.wait_for(lambda: len(self._ready) >= self._size or self._failure, timeout_s)
            if self._failure is not None:
                raise self._failure
            return len(self._ready) >= self._size

    def close(self) -> None:
        """Ends the guests that wait; leases go on until they are closed."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._filler.join()
        while self._ready:
            self._ready.popleft().end()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> Guest | None:
        with self._news:
            while self._ready:
                guest = self._ready.popleft()
                self._news.notify_all()
                if guest.alive:
                    return guest
                guest.end()
            self._failure = None
            self._news.notify_all()
        return None

    def _fill(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(
                    lambda: self._closed or (len(self._ready) < self._size and self._failure is None)
                )
                if self._closed:
                    return
            guest = None
            try:
                guest = Guest(self._limits, self._modules)
                guest.wait_ready()
            except BaseException as error:
                if guest is not None:
                    with contextlib.suppress(OSError):
                        guest.end()
                with self._news:
                    self._failure = error
                    self._news.notify_all()
                continue
            with self._news:
                self._ready.append(guest)
                self._news.notify_all()
