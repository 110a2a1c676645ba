"""`tidemill worker`: takes jobs from the table and runs each in a process of its own.

Locally by a thread per slot; with Celery the slots are Celery's processes, and this one looks after them.
Either way it answers `status`, `metrics`, `wake` and `drain` on its control socket, puts jobs back whose
worker is gone, and submits what runs by the clock. On SIGTERM jobs are asked to stop at a checkpoint and go
back into the queue, uncounted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tidemill import errors
from tidemill.home import Home, Lock
from tidemill.jobs import broker, metric, period, seed
from tidemill.jobs.run import Bounds, Run
from tidemill.jobs.submit import number
from tidemill.log import Log
from tidemill.metadata import Metadata, job

LOOK_S = 0.5
SWEEP_S = 1.0
BEAT_S = 30.0
PART = "worker"


def main(argv: list[str]) -> int:
    """Runs until SIGTERM or SIGINT, or end-of-file on stdin with --supervised; returns the exit code."""
    arguments = _parser().parse_args(argv)
    log = Log(arguments.name)
    try:
        home = Home.at(arguments.home)
        home.create()
        lock = Lock(home.run / f"{arguments.name}.lock", f"the {arguments.name} of {home.path}")
    except errors.TidemillError as error:
        log.error(error.message, error=error.as_dict())
        return error.exit_code
    try:
        return Worker(home, arguments, log).run()
    except errors.TidemillError as error:
        log.error(error.message, error=error.as_dict())
        return error.exit_code
    finally:
        lock.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tidemill worker", description="Runs jobs.")
    parser.add_argument("--home", help="the platform's folder (TIDEMILL_HOME)")
    parser.add_argument("--name", default=PART, help="name of this worker, where a home has several")
    parser.add_argument(
        "--slots", type=int, default=os.cpu_count() or 1, help="jobs at once (default: cores)"
    )
    parser.add_argument("--celery", action="store_true", help="jobs come by Celery (TIDEMILL_BROKER_URL)")
    parser.add_argument("--seed", type=int, help="make the history of wanted simulated venues, of this seed")
    parser.add_argument("--beat-s", type=float, default=BEAT_S, help=argparse.SUPPRESS)
    parser.add_argument("--supervised", action="store_true", help="end at end-of-file on stdin")
    return parser


class Worker:
    """One worker process."""

    def __init__(self, home: Home, arguments: argparse.Namespace, log: Log) -> None:
        self.home = home
        self.log = log
        self.stopping = threading.Event()
        self.bounds = Bounds.of_environment()
        self._arguments = arguments
        self._slots = max(1, arguments.slots)
        self._running_max = number("TIDEMILL_JOBS_RUNNING_MAX", 0) or None
        self._celery = arguments.celery or broker.url() is not None
        self._metadata = Metadata.open(home.database)
        self._work = threading.Condition()
        self._running: dict[int, str] = {}
        self._outcomes: dict[str, int] = {}
        self._since_ns = time.time_ns()
        self._state = "live"
        self._seed = None if arguments.seed is None else seed.Seed(home, arguments.seed)
        self._failed = ""

    # ── life ──────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> int:
        """Works until told to stop."""
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, lambda *_: self.stop())
        if self._arguments.supervised:
            threading.Thread(target=self._watch_stdin, daemon=True).start()
        control = threading.Thread(target=self._serve_control, daemon=True)
        control.start()
        self.log.info("worker starts", home=str(self.home.path), pid=os.getpid(), slots=self._slots)
        pool: LocalPool | CeleryPool = CeleryPool(self) if self._celery else LocalPool(self)
        pool.start()
        next_beat = time.monotonic() + self._arguments.beat_s
        while not self.stopping.is_set():
            self._sweep(pool)
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + min(BEAT_S, max(1.0, self._arguments.beat_s))
                self._try(self._beat)
            self.stopping.wait(SWEEP_S)
        self._enter("draining")
        pool.join()
        control.join(1.0)
        self._metadata.close()
        self.log.info("worker ends")
        return 0

    def stop(self) -> None:
        """Asks everything to end in order. Safe in a signal handler."""
        self.stopping.set()

    def _watch_stdin(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        self.stop()

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()

    # ── the table ─────────────────────────────────────────────────────────────────────────────────

    def next_job(self, slot: int) -> job.Job | None:
        """The next job for a slot. The slot after the last takes only jobs of who has none running, so that
        nobody waits because another has filled all slots."""
        running_max = 1 if slot == self._slots else self._running_max
        try:
            with self._metadata.read() as connection:
                if not job.ready(connection):
                    return None
            with self._metadata.write() as connection:
                return job.claim(
                    connection, holder(slot), lease_s=self.bounds.lease_s, running_max=running_max
                )
        except SQLAlchemyError as error:
            self._trouble(error)
            return None

    def do(self, claimed: job.Job, slot: int) -> None:
        """Runs one claimed job to its end."""
        self._running[slot] = claimed.id
        try:
            run = Run(self.home, self._metadata, claimed, self.bounds, self.stopping, self.log)
            outcome = run.run()
        finally:
            del self._running[slot]
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    def wait(self, seconds: float) -> None:
        """Sleeps until somebody says that there is work, `seconds` at most."""
        with self._work:
            if not self.stopping.is_set():
                self._work.wait(seconds)

    def wake(self) -> None:
        """Says that there is work."""
        with self._work:
            self._work.notify_all()

    def _sweep(self, pool: LocalPool | CeleryPool) -> None:
        self._try(self._reap)
        if self._seed is not None:
            self._try(self._look_for_history)
        self._try(pool.sweep)

    def _reap(self) -> None:
        with self._metadata.read() as connection:
            if not job.expired(connection):
                return
        with self._metadata.write() as connection:
            gone = job.reap(connection)
        if gone:
            self.log.warn("jobs of a worker that is gone go on", jobs=gone)
            self.wake()

    def _beat(self) -> None:
        with self._metadata.read() as connection:
            if not period.due(connection):
                return
        with self._metadata.write() as connection:
            period.beat(connection)
        self.wake()

    def _look_for_history(self) -> None:
        assert self._seed is not None  # noqa: S101 - only asked where there is one
        if self._seed.look(self._metadata):
            self.wake()
        self._enter("starting" if self._seed.pending else "live")

    def ready(self) -> int:
        """How many jobs could start now."""
        with self._metadata.read() as connection:
            return job.ready(connection)

    def _try(self, work: Any) -> None:
        """Background work that comes again: a failure is logged once."""
        try:
            work()
            self._failed = ""
        except (SQLAlchemyError, OSError, errors.TidemillError) as error:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"[:300]
        if text != self._failed:
            self._failed = text
            self.log.warn("the job table cannot be used; it is tried again", cause=text)

    # ── answers ───────────────────────────────────────────────────────────────────────────────────

    def _serve_control(self) -> None:
        from tidemill.control import Server

        async def serve() -> None:
            server = Server(
                self.home.control(self._arguments.name),
                {
                    "status": self._answer_status,
                    "metrics": self._answer_metrics,
                    "wake": self._answer_wake,
                    "drain": self._answer_drain,
                },
            )
            await server.start()
            while self._state != "draining" or self._running:
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.2)  # the answer to a drain is on its way
            await server.close()

        asyncio.run(serve())

    def status(self) -> dict[str, Any]:
        """The answer to `status`."""
        with self._metadata.read() as connection:
            depth, waited_s = job.depth(connection), job.oldest_waiting_s(connection)
        queue: dict[str, int] = dict.fromkeys(job.STATES, 0)
        for (_kind, state), count in depth.items():
            queue[state] += count
        return {
            "part": self._arguments.name,
            "pid": os.getpid(),
            "state": self._state,
            "since_ns": self._since_ns,
            "backend": "celery" if self._celery else "local",
            "slots": self._slots,
            "running": sorted(self._running.values()),
            "outcomes": dict(self._outcomes),
            "queue": queue,
            "oldest_waiting_s": round(waited_s, 3),
        }

    async def _answer_status(self, _: dict[str, Any]) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(self.status)
        except SQLAlchemyError as error:
            shape = errors.UpstreamError("database_down", f"the job table cannot be read: {error}"[:300])
            return {
                "part": self._arguments.name, "pid": os.getpid(), "state": "failed",
                "since_ns": self._since_ns, "error": shape.as_dict(),
            }  # fmt: skip

    async def _answer_metrics(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"text": metric.of_worker(self._slots, len(self._running), self._outcomes)}

    async def _answer_wake(self, _: dict[str, Any]) -> dict[str, Any]:
        self.wake()
        return {"ok": True}

    async def _answer_drain(self, _: dict[str, Any]) -> dict[str, Any]:
        self.stop()
        return {"ok": True}


class LocalPool:
    """Threads of this process, one per slot and one more for who has nothing running."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        count = worker._slots + 1
        self._threads = [threading.Thread(target=self._serve, args=(slot,)) for slot in range(count)]

    def start(self) -> None:
        """Begins to take jobs."""
        for thread in self._threads:
            thread.start()

    def sweep(self) -> None:
        """Nothing is lost on the way: the slots look into the table themselves."""

    def join(self) -> None:
        """Returns once every job has stopped or gone back."""
        self._worker.wake()
        for thread in self._threads:
            thread.join()

    def _serve(self, slot: int) -> None:
        worker = self._worker
        while not worker.stopping.is_set():
            claimed = worker.next_job(slot)
            if claimed is None:
                worker.wait(LOOK_S)
            else:
                worker.do(claimed, slot)


class CeleryPool:
    """A Celery worker as a process below this one. A message only says that there is work."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._child = broker.Child(worker.home, worker._arguments.name, worker._slots + 1, worker.log)

    def start(self) -> None:
        """Begins to take jobs."""
        self._child.start()

    def sweep(self) -> None:
        """Sends again what the broker has lost, and starts Celery again where it died."""
        if self._child.ended():
            self._child.start()
        ready = self._worker.ready()
        if ready:
            waiting = broker.waiting()
            slots = self._worker._slots + 1
            if waiting is not None and waiting < min(ready, slots):
                broker.send("sweep", min(ready, slots) - waiting)

    def join(self) -> None:
        """Returns once every job has stopped or gone back."""
        self._child.stop()


def holder(slot: int) -> str:
    """Who holds a job, for people: host:pid:slot."""
    return f"{socket.gethostname()}:{os.getpid()}:{slot}"
