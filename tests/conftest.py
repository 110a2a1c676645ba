"""What holds for every test. In CI nothing may be skipped, because a skipped test proves nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import iqfeed as iqfeed_server
from tests.servers import kafka as kafka_server
from tests.servers import postgres as postgres_server
from tests.servers import redis as redis_server
from tests.servers import s3 as s3_server

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("tidemill", deadline=None)
settings.load_profile("tidemill")


FREE_BYTES_MIN = 6 << 30
"""A journal reserves its segments, so a full disk would make a hundred tests fail, none saying why."""


def pytest_sessionstart() -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_MIN:
        pytest.exit(
            f"{free / (1 << 30):.1f} GiB are free in {folder}, the tests need {FREE_BYTES_MIN >> 30}: "
            "make room, or name another folder with TMPDIR",
            returncode=1,
        )


@pytest.fixture(scope="module")
def module_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As `tmp_path`, for what a whole module shares: gone with it, unless one of its tests failed."""
    path = tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])
    before = request.session.testsfailed
    yield path
    if request.session.testsfailed == before:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Postgres]:
    """A plain PostgreSQL that tests share: each makes a database of its own, and none stops it."""
    programs = postgres_server.plain()
    if programs is None:
        pytest.skip("no PostgreSQL here: install Debian's postgresql")
    with postgres_server.Postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def timescale() -> Iterator[postgres_server.Postgres]:
    """A PostgreSQL with TimescaleDB that tests share."""
    programs = postgres_server.with_timescale()
    if programs is None:
        pytest.skip(
            "TimescaleDB could not be unpacked (.cache/timescaledb.log), or nobody may enter this folder"
            " (TIDEMILL_CACHE names another)"
        )
    with postgres_server.Postgres(programs, timescale=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[redis_server.Redis]:
    """A Redis that tests share: each uses keys of its own, and none flushes or stops it."""
    program = redis_server.program()
    if program is None:
        pytest.skip("no Redis here: install Debian's redis-server")
    with redis_server.Redis(program) as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[kafka_server.Kafka]:
    """A Kafka broker that tests share: each uses topics of its own."""
    libraries = kafka_server.libraries()
    if libraries is None:
        pytest.skip(
            "Kafka could not be fetched: it needs java 17, mvn and a repository; see .cache/kafka.log"
        )
    with kafka_server.Kafka(libraries) as server:
        yield server


@pytest.fixture(scope="session")
def iqfeed_server_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[iqfeed_server.IQFeed]:
    with iqfeed_server.IQFeed(tmp_path_factory.mktemp("iqfeed") / "home") as server:
        yield server


@pytest.fixture
def iqfeed_sim(iqfeed_server_shared: iqfeed_server.IQFeed) -> Iterator[iqfeed_server.IQFeed]:
    """A simulated IQConnect that tests share: the faults of one test end with it, and none stops it."""
    yield iqfeed_server_shared
    iqfeed_server_shared.clear()


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_server.S3]:
    """An S3 server that tests share: each makes a bucket of its own."""
    with s3_server.S3() as server:
        yield server


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and os.environ.get("CI") == "true":
        reporter.write_line(f"{skipped} skipped: in CI that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
