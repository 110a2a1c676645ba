"""The native parts as processes of the one command."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidemill import control
from tidemill.home import Home

READY_S = 30.0


@pytest.mark.parametrize("part", ["sim", "relay", "bridge"])
def test_a_part_answers_in_a_home_of_any_name_and_logs_in_lines(part: str, tmp_path: Path) -> None:
    """A unix socket's path has 108 bytes at most; a home's may have more."""
    home = Home.at(tmp_path / ("a home ü" * 15))
    home.create()
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", part, "--home", str(home.path), "--supervised"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + READY_S
        said: dict[str, object] = {}
        while not said:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            with contextlib.suppress(control.Unreachable):
                said = control.ask_now(home.control(part), "status")
            time.sleep(0.02)
        assert (said["part"], said["pid"]) == (part, process.pid)
        refused = control.ask_now(home.control(part), "dance")["error"]
        assert (refused["code"], refused["category"]) == ("op_unknown", "usage")
    finally:
        _, err = process.communicate(timeout=READY_S)
    assert process.returncode == 0
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines
    assert all(isinstance(line["ts"], int) and line["part"] == part for line in lines)
