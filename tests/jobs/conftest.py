"""A home with kinds of the tests' own, and real workers on it: local ones, and Celery's on a real Redis."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.kinds import KINDS
from tests.servers.redis import Redis
from tests.service.conftest import short_home
from tidemill.home import Home
from tidemill.jobs import broker, submit, tree
from tidemill.metadata import Metadata, job

ROOT = Path(__file__).parents[2]
LEASE_S = 2


def until(what: Callable[[], Any], told: str, seconds: float = 90.0) -> Any:
    """What `what` gives once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {told}")


class Office:
    """A home, its job table, and workers that end with the test."""

    def __init__(self, home: Home, environment: dict[str, str]) -> None:
        self.home = home
        self.environment = environment
        self.metadata = Metadata.open(home.database)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.celery = "TIDEMILL_BROKER_URL" in environment

    def start(self, *words: str, slots: int = 2, lease_s: int = 15) -> subprocess.Popen[bytes]:
        """A worker; several of one home need names. A short lease may lapse on a busy machine: it is for
        tests in which that is no harm."""
        with (self.home.path / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidemill", "worker", "--home", str(self.home.path), "--supervised",
                 "--slots", str(slots), "--beat-s", "3600", *words],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.environment, "TIDEMILL_JOB_LEASE_S": str(lease_s)},
            )  # fmt: skip
        self.workers.append(process)
        return process

    def submit(self, kind: str, owner: str = "owner", **rest: Any) -> str:
        """Enters a job and says so, as service and command line do."""
        attempts_max = rest.pop("attempts_max", None)
        with self.metadata.write() as connection:
            entered, _ = submit.enter(connection, kind, owner=owner, **rest)
            if attempts_max is not None:
                table = job.jobs
                connection.execute(
                    table.update().where(table.c.id == entered.id).values(attempts_max=attempts_max)
                )
        submit.nudge(self.home, entered.id)
        return entered.id

    def job(self, job_id: str) -> job.Job:
        with self.metadata.read() as connection:
            found = job.one(connection, job_id)
        assert found is not None
        return found

    def logs(self, job_id: str) -> list[str]:
        with self.metadata.read() as connection:
            return [line.text for line in job.logs(connection, job_id, limit=5000)]

    def cancel(self, job_id: str) -> None:
        with self.metadata.write() as connection:
            job.ask_cancel(connection, job_id, actor="owner")

    def ended(self, job_id: str, seconds: float = 120.0) -> job.Job:
        """The job once it has ended."""

        def look() -> job.Job | None:
            found = self.job(job_id)
            return found if found.ended else None

        try:
            found: job.Job = until(look, f"job {job_id} ends", seconds)
        except AssertionError:
            tail = (self.home.path / "worker.log").read_text()[-3000:]
            raise AssertionError(f"{self.job(job_id)}\n{self.logs(job_id)}\n{tail}") from None
        return found

    def members(self, job_id: str) -> list[int]:
        """Processes of the job on this machine."""
        return tree.members(tree.named(self.home.path, job_id))

    def running(self, job_id: str) -> job.Job:
        """The job once it runs and has said something."""

        def look() -> job.Job | None:
            found = self.job(job_id)
            return found if found.state == "running" and self.members(job_id) else None

        found: job.Job = until(look, f"job {job_id} runs")
        return found

    def close(self) -> None:
        for process in self.workers:
            kill_worker(process)
        self.metadata.close()


def descent(pid: int) -> list[int]:
    """A process and all below it."""
    found, at = [pid], 0
    while at < len(found):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{found[at]}/task").iterdir():
                found += [int(one) for one in (task / "children").read_text().split()]
        at += 1
    return found


def kill_worker(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a worker alone: what it started has to end by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


@pytest.fixture
def home() -> Iterator[Home]:
    place = short_home()
    yield place
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment in which the tests' kinds and provider exist: a distribution of entry points alone."""
    folder, path = plugins(tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    return {"PYTHONPATH": path}


def plugins(place: Path) -> tuple[Path, str]:
    """A folder that is such a distribution, and the PYTHONPATH of a process that knows it."""
    folder = place / "plugins"
    info = folder / "tidemill_tests-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tidemill-tests\nVersion: 1\n")
    lines = [f"{name} = tests.jobs.kinds:{kind.__name__}" for name, kind in KINDS.items()]
    lines = ["[tidemill.jobs]", *lines, "[tidemill.providers]", "made = tests.jobs.fetch.made:Made"]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder, os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])


@pytest.fixture
def local(home: Home, kinds: dict[str, str]) -> Iterator[Office]:
    """Local workers only."""
    office = Office(home, kinds)
    yield office
    office.close()


_database = iter(range(1, 1000))


@pytest.fixture(params=["local", "celery"])
def office(
    request: pytest.FixtureRequest, home: Home, kinds: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Office]:
    """The same table and the same kinds, once with each back end."""
    if request.param == "celery":
        server: Redis = request.getfixturevalue("redis")
        # Databases of a Redis are few: a test empties its own, and nobody else's, before it begins.
        url = server.url(10 + next(_database) % 6)
        import redis as client

        with client.Redis.from_url(url) as connection:
            connection.flushdb()
        kinds["TIDEMILL_BROKER_URL"] = url
        monkeypatch.setenv("TIDEMILL_BROKER_URL", url)
        broker.app.cache_clear()
    office = Office(home, kinds)
    yield office
    office.close()
    broker.app.cache_clear()
