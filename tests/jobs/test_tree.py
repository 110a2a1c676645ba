"""The processes of a job are found and ended wherever they went."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.jobs.conftest import until
from tidemill.jobs import tree

CODE = (
    "import subprocess, sys, time\n"
    "words = [sys.executable, '-c', 'import time; time.sleep(100)']\n"
    "subprocess.Popen(words, start_new_session=True)\n"
    "time.sleep(100)"
)


def begin(job_id: str, token: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, tree.MARK: tree.mark(job_id, token)}
    return subprocess.Popen([sys.executable, "-c", CODE], env=environment, start_new_session=True)


def test_only_the_processes_of_that_job_and_attempt_end() -> None:
    name = f"test-{os.getpid()}"
    old, new, other = begin(name, 1), begin(name, 2), begin(f"{name}0", 1)
    try:
        until(lambda: len(tree.members(name)) == 4 and len(tree.members(f"{name}0")) == 2, "all have started")
        assert tree.memory_bytes(new.pid) > 2 << 20
        assert tree.end(name, before=2) == 2
        assert old.wait(5) != 0
        assert new.poll() is None
        assert len(tree.members(name, token=2)) == 2
        assert tree.end(name) == 2
        assert tree.members(name) == []
        assert other.poll() is None
    finally:
        tree.end(name)
        tree.end(f"{name}0")
        for process in (old, new, other):
            process.wait(5)


def test_two_homes_may_have_jobs_of_one_id(tmp_path: Path) -> None:
    """What runs by the clock has the same id everywhere: `tidy` of one home must not end that of another."""
    names = [tree.named(tmp_path / home, "tidy-1") for home in ("a", "b")]
    one, other = (begin(name, 1) for name in names)
    try:
        until(lambda: all(len(tree.members(name)) == 2 for name in names), "both have started")
        assert tree.end(names[0]) == 2
        assert len(tree.members(names[1])) == 2
        assert other.poll() is None
    finally:
        for name, process in zip(names, (one, other), strict=True):
            tree.end(name)
            process.wait(5)
