"""What holds for every test. In CI nothing may be skipped, because a skipped test proves nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

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


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and os.environ.get("CI") == "true":
        reporter.write_line(f"{skipped} skipped: in CI that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
