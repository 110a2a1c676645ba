"""Celery as the way to workers on other machines: a message per job, which says only that there is work.

The table stays the only truth. A message that is lost is sent again by the sweep of any worker; one that
comes twice finds nothing to claim. So no result backend, no acknowledgement and no order of Celery's matters.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tidemill import address
from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.log import Log

QUEUE = "tidemill.jobs"
TASK = "tidemill.run"
CONNECT_S = 2.0
STOP_S = 9.0
DRAINING = "TIDEMILL_WORKER_DRAINING"
SLOTS = "TIDEMILL_WORKER_SLOTS"
WORKER = "TIDEMILL_WORKER_PID"


def url() -> str | None:
    """The broker's address (TIDEMILL_BROKER_URL); None where jobs stay with the local workers."""
    return address.named("TIDEMILL_BROKER_URL")


@functools.cache
def app() -> Any:
    """The Celery application. Raises `ConfigError` where Celery is not installed or no broker is named."""
    try:
        from celery import Celery
    except ModuleNotFoundError as error:
        raise ConfigError(
            "extra_missing",
            "TIDEMILL_BROKER_URL asks for Celery, which is not installed",
            hint="pip install 'tidemill[celery]'",
        ) from error
    found = url()
    if found is None:
        raise ConfigError(
            "broker_missing",
            "a Celery worker was asked for and no broker is named",
            hint="set TIDEMILL_BROKER_URL=redis://host:6379/0",
        )
    made = Celery("tidemill", broker=found)
    made.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_transport_options={"socket_timeout": 5.0, "socket_connect_timeout": CONNECT_S},
        task_acks_late=True,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        task_store_errors_even_if_ignored=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
    )
    return made


def send(job_id: str, count: int = 1) -> bool:
    """Sends the word that there is work, `count` times; False where the broker cannot be reached: the sweep
    of the workers finds the job without it."""
    from kombu.exceptions import OperationalError

    try:
        with app().connection_for_write() as connection, connection.Producer() as producer:
            for _ in range(count):
                app().send_task(TASK, (job_id,), producer=producer, retry=False)
    except (OperationalError, OSError):
        return False
    return True


def waiting() -> int | None:
    """Messages that no worker has taken yet; None where the broker cannot be reached."""
    from kombu.exceptions import OperationalError

    try:
        with app().connection_for_read() as connection, connection.channel() as channel:
            return int(channel._size(QUEUE))
    except (OperationalError, OSError):
        return None


# ── the worker's side ─────────────────────────────────────────────────────────────────────────────


class Child:
    """Celery's own processes below a worker: started, stopped in order, started again when they die."""

    def __init__(self, home: Home, name: str, slots: int, log: Log) -> None:
        self._slots = slots
        self._log = log
        self._draining = home.run / f"{name}.draining"
        self._process: subprocess.Popen[bytes] | None = None
        self._name = name
        self._environment = {
            "TIDEMILL_HOME": str(home.path),
            DRAINING: str(self._draining),
            SLOTS: str(slots),
            WORKER: str(os.getpid()),
        }
        app()

    def start(self) -> None:
        """Starts Celery's worker. Its stdin ends with us, however we end, and it ends with its stdin."""
        self._draining.unlink(missing_ok=True)
        # Celery warns of root, because it may be told to take pickles. Ours takes nothing but JSON.
        words = [sys.executable, "-W", "ignore:You're running the worker with superuser"]
        words += ["-m", "celery", "-q", "-A", f"{__name__}:served", "worker"]
        words += ["--pool", "prefork", "--concurrency", str(self._slots + 1), "--loglevel", "WARNING"]
        words += ["--hostname", f"{self._name}.{os.getpid()}@%h", "--queues", QUEUE]
        words += ["--without-gossip", "--without-mingle"]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **self._environment},
        )

    def ended(self) -> bool:
        """Whether it is gone although nobody stopped it."""
        if self._process is None or self._process.poll() is None:
            return False
        self._log.error("Celery ended; it is started again", exit_code=self._process.returncode)
        return True

    def stop(self) -> None:
        """Asks the jobs to stop at a checkpoint, then Celery to end."""
        process = self._process
        if process is None:
            return
        self._draining.touch()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._draining.unlink(missing_ok=True)


class _Draining(threading.Event):
    """Set once the worker above leaves."""

    def is_set(self) -> bool:
        return Path(os.environ[DRAINING]).exists()


def _served() -> Any:
    """The application with its task: what `celery -A` loads."""
    from celery.signals import celeryd_init

    made = app()
    made.task(name=TASK, bind=False)(_work)
    celeryd_init.connect(_end_with_stdin, weak=False)
    return made


def _end_with_stdin(**_: Any) -> None:
    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os.killpg(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _work(_job_id: str) -> None:
    """Does the next job, whoever's word came: fairness is the table's, not the order of messages."""
    from tidemill.jobs.pool import take
    from tidemill.jobs.run import Bounds, Run, holder
    from tidemill.metadata import Metadata, job

    draining = _Draining()
    if draining.is_set():
        return
    home, bounds = Home.at(None), Bounds.of_environment()
    mine = holder(int(os.environ[WORKER]))
    metadata = Metadata.of(home)
    try:
        with metadata.read() as connection:
            if not job.ready(connection):
                return
        claimed = take(metadata, mine, int(os.environ[SLOTS]), bounds)
        if claimed is None:
            return
        Run(home, metadata, claimed, bounds, draining, Log("worker")).run()
        with metadata.read() as connection:
            more = job.ready(connection, int(os.environ[SLOTS]) + 1)
    finally:
        metadata.close()
    # One word that found nothing to claim, because another's turn was first, is made good here.
    waits = waiting()
    if more and waits is not None and waits < more:
        send("more")


def __getattr__(name: str) -> Any:
    if name == "served":
        return _served()
    raise AttributeError(name)
