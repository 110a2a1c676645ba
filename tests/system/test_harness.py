"""What other tests stand on: nothing is left behind, and who waits in vain is told why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import harness, solo
from tests.system.harness import Platform, children, is_alive, until

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""


def platform(path: Path, code: str) -> Platform:
    """A platform whose supervisor is this code, which says when it is ready."""
    made = Platform(path / "home")
    made.home.create()
    made.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert made.process.stdout
    assert made.process.stdout.readline() == b"ready\n"
    return made


def test_a_platform_that_does_not_stop_is_told_of_and_ended_with_all_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "STOP_S", 0.2)
    made = platform(tmp_path, STUBBORN)
    assert made.process
    try:
        made.home.log("relay").write_text('{"level":"error","message":"no room"}\n{"level":"info"}\n')
        with pytest.raises(AssertionError, match=r"did not end within 0.2 s\n.*\n  relay: .*no room"):
            made.stop()
        [part] = children(made.process.pid)
    finally:
        made.end()
    until(lambda: not is_alive(part), "its part is dead", 5)
    assert made.process.returncode == -9


@pytest.mark.parametrize("words", ["Fatal Python error: stdin", "thread 'main' panicked at src/lib.rs:1"])
def test_a_part_that_crashed_at_the_stop_is_found_whatever_the_exit_code(tmp_path: Path, words: str) -> None:
    made = platform(tmp_path, "print('ready')")
    assert made.process
    made.process.wait()
    assert made.stop() == 0
    made.home.log("service").write_text(f'{{"level":"info"}}\n{words}\n')
    with pytest.raises(AssertionError, match=f"service crashed: {words[:12]}"):
        made.stop()


def test_who_waits_in_vain_is_told_what_the_platform_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Platform(tmp_path / "home")
    made.log.write_text("the port is taken\n")
    monkeypatch.setattr(harness, "_running", [made])
    with pytest.raises(AssertionError, match=r"a wonder: not within 0 s\n.*home:\n  up: the port is taken"):
        until(lambda: False, "a wonder", 0)


@pytest.mark.timeout(60)
def test_a_simulator_is_not_taken_for_one_that_was_killed_before(tmp_path: Path) -> None:
    where = tmp_path / "home" / "run" / "sim.json"
    where.parent.mkdir(parents=True)
    where.write_text(json.dumps({"pid": 1, "venues": {}, "control": "http://127.0.0.1:1"}))
    with solo.simulator(tmp_path / "home", "--venues", "kraken") as said:
        assert said["venues"].keys() == {"sim-kraken"}
