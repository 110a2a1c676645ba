"""The processes of a job are found and ended wherever they went."""

from __future__ import annotations

import os
import subprocess
import sys

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
