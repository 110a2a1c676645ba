"""`tidemill worker` as a process: a control socket that answers at once, signals, and behind it the pool.

What the pool needs is imported once the socket answers. On SIGTERM jobs are asked to stop at a checkpoint and
go back into the queue, uncounted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from tidemill import control
from tidemill.errors import TidemillError
from tidemill.home import Home, Lock
from tidemill.log import Log

if TYPE_CHECKING:
    from tidemill.jobs.pool import Pool

PART = "worker"


def main(argv: list[str]) -> int:
    """Runs until SIGTERM or SIGINT, or end-of-file on stdin with --supervised; returns the exit code."""
    arguments = _parser().parse_args(argv)
    log = Log(arguments.name)
    try:
        home = Home.at(arguments.home)
        home.create()
        lock = Lock(home.run / f"{arguments.name}.lock", f"the {arguments.name} of {home.path}")
    except TidemillError as error:
        log.error(error.message, error=error.as_dict())
        return error.exit_code
    try:
        return Process(home, arguments, log).run()
    except TidemillError as error:
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
    parser.add_argument("--beat-s", type=float, default=30.0, help=argparse.SUPPRESS)
    parser.add_argument("--supervised", action="store_true", help="end at end-of-file on stdin")
    return parser


class Process:
    """One worker process."""

    def __init__(self, home: Home, arguments: argparse.Namespace, log: Log) -> None:
        self._home = home
        self._arguments = arguments
        self._log = log
        self._stopping = threading.Event()
        self._since_ns = time.time_ns()
        self._pool: Pool | None = None

    def run(self) -> int:
        """Works until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        if self._arguments.supervised:
            threading.Thread(target=self._watch_stdin, daemon=True).start()
        ended = threading.Event()
        control_thread = threading.Thread(target=self._serve_control, args=(ended,), daemon=True)
        control_thread.start()
        self._log.info("worker starts", home=str(self._home.path), pid=os.getpid())
        try:
            from tidemill.jobs.pool import Pool

            self._pool = Pool(self._home, self._arguments, self._log, self._stopping)
            self._pool.run()
        finally:
            ended.set()
            control_thread.join(1.0)
        self._log.info("worker ends")
        return 0

    def _watch_stdin(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        self._stopping.set()

    def _serve_control(self, ended: threading.Event) -> None:
        async def serve() -> None:
            server = control.Server(
                self._home.control(self._arguments.name),
                {"status": self._status, "metrics": self._metrics, "wake": self._wake, "drain": self._drain},
            )
            await server.start()
            while not ended.is_set():
                await asyncio.sleep(0.2)
            await server.close()

        asyncio.run(serve())

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        said = {
            "part": self._arguments.name,
            "pid": os.getpid(),
            "state": "starting",
            "since_ns": self._since_ns,
        }
        pool = self._pool
        return said if pool is None else said | await asyncio.to_thread(pool.status)

    async def _metrics(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"text": self._pool.metrics() if self._pool else ""}

    async def _wake(self, _: dict[str, Any]) -> dict[str, Any]:
        if self._pool:
            self._pool.wake()
        return {"ok": True}

    async def _drain(self, _: dict[str, Any]) -> dict[str, Any]:
        self._stopping.set()
        return {"ok": True}
