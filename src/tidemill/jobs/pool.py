"""The pool of one worker: jobs from the table, each run in a process of its own.

Locally by a thread per slot; with Celery the slots are Celery's processes, and this one looks after them.
Either way it puts jobs back whose worker is gone, and submits what runs by the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from tidemill.home import Home
from tidemill.jobs import broker, metric, period
from tidemill.jobs.run import Bounds, Run, holder
from tidemill.jobs.seed import Seed
from tidemill.log import Log
from tidemill.metadata import Metadata, job
from tidemill.metadata.database import failure

LOOK_S = 5.0
"""So long a slot sleeps when nobody wakes it; the sweep looks for all of them."""
SWEEP_S = 1.0
BEAT_S = 30.0


class Pool:
    """Runs jobs until `stopping` is set."""

    def __init__(
        self, home: Home, arguments: argparse.Namespace, log: Log, stopping: threading.Event
    ) -> None:
        """Raises `ConfigError` where Celery is asked for and cannot be had."""
        self.home = home
        self.log = log
        self.stopping = stopping
        self.slots = max(1, arguments.slots)
        self.metadata = Metadata.of(home)
        self._beat_s = arguments.beat_s
        self._bounds = Bounds.of_environment()
        self._work = threading.Condition()
        self._running: dict[int, str] = {}
        self._outcomes: Counter[str] = Counter()
        self._seed = None if arguments.seed is None else Seed(home, arguments.seed)
        self._failed = ""
        celery = arguments.celery or broker.url() is not None
        self._backend: Backend = Celery(self, arguments.name) if celery else Local(self)

    def run(self) -> None:
        """Works until told to stop; then every job stops at a checkpoint or goes back."""
        self._backend.start()
        try:
            self._watch()
        finally:
            # Slots are threads that hold the process: they end with this one, however it ends.
            self.stopping.set()
            self._backend.stop()
            self.metadata.close()

    def _watch(self) -> None:
        next_beat = time.monotonic() + self._beat_s
        while not self.stopping.is_set():
            self._try(self._reap)
            self._try(self._look_for_history)
            self._try(self._backend.sweep)
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + min(BEAT_S, max(SWEEP_S, self._beat_s))
                self._try(self._beat)
            self.stopping.wait(SWEEP_S)

    def wake(self) -> None:
        """Says that there is work."""
        with self._work:
            self._work.notify_all()

    def serve(self, slot: int) -> None:
        """One slot's life: the next job, and the next."""
        while not self.stopping.is_set():
            claimed = self._next()
            if claimed is not None:
                self._do(claimed, slot)
                continue
            with self._work:
                if not self.stopping.is_set():
                    self._work.wait(LOOK_S)

    def ready(self, most: int = 1) -> int:
        """How many jobs could start now, counted up to `most`."""
        with self.metadata.read() as connection:
            return job.ready(connection, most)

    def _next(self) -> job.Job | None:
        try:
            if not self.ready():
                return None
            return take(self.metadata, holder(), self.slots, self._bounds)
        except Exception as error:  # a slot that ended unseen would never work again
            self._trouble(error)
            return None

    def _do(self, claimed: job.Job, slot: int) -> None:
        self._running[slot] = claimed.id
        try:
            run = Run(self.home, self.metadata, claimed, self._bounds, self.stopping, self.log)
            self._outcomes[run.run()] += 1
        except Exception as error:
            # Its lease runs out, and the attempt counts as any other whose worker was gone.
            cause = "".join(traceback.format_exception(error))[-2000:]
            self.log.error("an attempt could not be seen to its end", job=claimed.id, cause=cause)
            self._outcomes["died"] += 1
        finally:
            del self._running[slot]

    # ── the table ─────────────────────────────────────────────────────────────────────────────────

    def _reap(self) -> None:
        with self.metadata.read() as connection:
            if not job.expired(connection):
                return
        with self.metadata.write() as connection:
            gone = job.reap(connection)
        if gone:
            self.log.warn("jobs of a worker that is gone go on", jobs=gone)
            self.wake()

    def _look_for_history(self) -> None:
        if self._seed is not None and self._seed.look(self.metadata):
            self.wake()

    def _beat(self) -> None:
        with self.metadata.read() as connection:
            if not period.due(connection):
                return
        with self.metadata.write() as connection:
            period.beat(connection)
        self.wake()

    def _try(self, work: Callable[[], object]) -> None:
        """Background work that comes again: a failure is logged once."""
        try:
            work()
        except Exception as error:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        told = failure(error, self.metadata.place) if isinstance(error, SQLAlchemyError) else error
        text = f"{type(told).__name__}: {told}"[:300]
        if text != self._failed:
            self._failed = text
            self.log.warn("the job table cannot be used; it is tried again", cause=text)

    # ── answers ───────────────────────────────────────────────────────────────────────────────────

    def status(self) -> dict[str, Any]:
        """The pool's part of the answer to `status`."""
        state = "draining" if self.stopping.is_set() else "live"
        said = {
            "state": "starting" if state == "live" and self._seed and self._seed.pending else state,
            "backend": self._backend.name,
            "slots": self.slots,
            "running": sorted(self._running.values()),
            "outcomes": dict(self._outcomes),
        }
        try:
            with self.metadata.read() as connection:
                depth, waited_s = job.depth(connection), job.oldest_waiting_s(connection)
        except SQLAlchemyError as error:
            shape = failure(error, self.metadata.place)
            return said | {"state": "failed", "error": shape.as_dict()}
        queue = Counter(dict.fromkeys(job.STATES, 0))
        for (_kind, state), count in depth.items():
            queue[state] += count
        return said | {"queue": dict(queue), "oldest_waiting_s": round(waited_s, 3)}

    def metrics(self) -> str:
        """The answer to `metrics`."""
        return metric.of_worker(self.slots, len(self._running), self._outcomes)


def take(metadata: Metadata, mine: str, slots: int, bounds: Bounds) -> job.Job | None:
    """Claims the next job for a worker of `slots` slots and one more. No owner gets that last one besides
    all others, so that nobody waits because another has filled the worker."""
    with metadata.write() as connection:
        return job.claim(
            connection, mine, lease_s=bounds.lease_s, running_max=bounds.running_max, share=(mine, slots)
        )


class Backend(Protocol):
    """Who runs the slots."""

    name: str

    def start(self) -> None:
        """Begins to take jobs."""

    def sweep(self) -> None:
        """Sees, every second, that no ready job is forgotten."""

    def stop(self) -> None:
        """Returns once every job has stopped or gone back."""


class Local:
    """Threads of this process, one per slot and one more that no owner gets besides all others."""

    name = "local"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._threads = [
            threading.Thread(target=pool.serve, args=(slot,), name=f"slot-{slot}")
            for slot in range(pool.slots + 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def sweep(self) -> None:
        """One look for all slots: an idle worker costs the same however many it has."""
        if self._pool.ready():
            self._pool.wake()

    def stop(self) -> None:
        self._pool.wake()
        for thread in self._threads:
            thread.join()


class Celery:
    """A Celery worker as a process below this one. A message only says that there is work."""

    name = "celery"

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool = pool
        self._child = broker.Child(pool.home, name, pool.slots, pool.log)

    def start(self) -> None:
        self._child.start()

    def sweep(self) -> None:
        """Sends again what the broker has lost, and starts Celery again where it died."""
        if self._child.ended():
            self._child.start()
        wanted = self._pool.ready(self._pool.slots + 1)
        if wanted and (waiting := broker.waiting()) is not None and waiting < wanted:
            broker.send("sweep", wanted - waiting)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._child.stop()
