"""Programs that try to get out (corpus.py): none may, and without the sandbox the harmless ones do."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.corpus import CONTROL, PROGRAMS, SOURCE, Program
from tests.sandbox.outside import Outside, children
from tidemill import errors, sandbox
from tidemill.sandbox import group, isolation
from tidemill.sandbox.process import Guest

LIMITS = sandbox.Limits(wall_s=1.5, cpu_s=1.0, memory_bytes=320 << 20, disk_bytes=16 << 20, pids=64)
# Those that load pyarrow first.
LONGER = sandbox.Limits(wall_s=8, cpu_s=8, memory_bytes=512 << 20, disk_bytes=16 << 20, pids=64)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    place = Outside(tmp_path_factory.mktemp("outside"))
    yield place
    place.close()


class Guests:
    """Programs that leave their guest as it was share one: a start apiece would take minutes in all."""

    def __init__(self, limits: sandbox.Limits) -> None:
        self.limits = limits
        self.session: sandbox.Session | None = None

    def run(self, program: Program, place: dict[str, Any], limits: sandbox.Limits) -> sandbox.Answer:
        if self.session is None or not self.session.alive:
            self.close()
            self.session = sandbox.Session("one", SOURCE, Guest(self.limits), self.limits)
        return self.session.run("call", request(program, place), {}, limits=limits)

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None


def request(program: Program, place: dict[str, Any]) -> dict[str, Any]:
    return {"source": SOURCE, "entry": f"try_{program.name}", "args": {"p": place}}


@pytest.fixture(scope="module")
def guests() -> Iterator[Guests]:
    made = Guests(LIMITS)
    yield made
    made.close()


def attempt(program: Program, outside: Outside, guests: Guests) -> tuple[object, str, str]:
    """What it got, the code of the error that came instead, and all that it said."""
    limits = LONGER if program.slow else LIMITS
    place = outside.place() | {"wait_s": 1.0}
    try:
        if program.alone:
            answer = sandbox.run("call", request(program, place), {}, limits=limits)
        else:
            answer = guests.run(program, place, limits)
    except errors.TidemillError as error:
        return None, error.code, f"{error} {sandbox.log_of(error)}"
    return answer.result["value"], "", f"{answer.result}{answer.log}"


def left() -> list[Path]:
    return [p for p in Path("/sys/fs/cgroup").glob(f"**/{group.PREFIX}{os.getpid()}-*") if p.is_dir()]


def test_there_are_sixty_and_more() -> None:
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS) >= 60


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_no_program_gets_out(
    program: Program, outside: Outside, guests: Guests, grouped: sandbox.Isolation
) -> None:
    if program.name in ("x32", "i386") and platform.machine() != "x86_64":
        pytest.skip("a call of x86")
    outside.reached.clear()
    if program.alone:
        guests.close()
    before = children(os.getpid(), deep=False)
    began = time.monotonic()
    got, code, said = attempt(program, outside, guests)
    took = time.monotonic() - began
    assert not got, f"{program.name} got {got!r}"
    if program.codes:
        assert code in program.codes, said
    else:
        assert code in ("", "code_failed"), said
    assert outside.mark not in said or program.name in ("symlink", "chroot"), said
    time.sleep(0.01)
    assert outside.reached == []
    assert outside.victim.poll() is None
    assert list(outside.written.iterdir()) == []
    assert "\x1b" not in said
    assert "\u202e" not in said
    if guests.session is None:
        assert children(os.getpid(), deep=False) <= before, "a process is left"
        assert left() == []
    limit = LONGER if program.slow else LIMITS
    assert took < limit.wall_s + 1.5 + 1.0  # over the wall by a second, and its start


@pytest.fixture(scope="module")
def trusted() -> Iterator[Guests]:
    """Guests that nothing holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation, "available", lambda: sandbox.Isolation(False, ("hidden",)))
        patch.setattr("tidemill.sandbox.process._new_group", lambda _limits: None)
        patch.setenv(isolation.TRUST, "1")
        for variable in isolation.address.VARIABLES:
            patch.delenv(variable, raising=False)
        made = Guests(sandbox.Limits(wall_s=20, cpu_s=20, pids=2000))
        yield made
        made.close()


@pytest.mark.parametrize("program", CONTROL, ids=lambda program: program.name)
def test_without_a_sandbox_it_does(program: Program, outside: Outside, trusted: Guests) -> None:
    outside.reached.clear()
    try:
        answer = trusted.run(program, outside.place() | {"wait_s": 10.0}, trusted.limits)
    except errors.TidemillError:
        if os.geteuid() == 0:
            raise
        pytest.skip("only root may, without a sandbox")
    got = answer.result["value"]
    if not got and os.geteuid() != 0:
        pytest.skip("only root may, without a sandbox")
    assert got, answer
    if program.name in ("tcp4", "tcp6", "udp", "unix", "abstract"):
        deadline = time.monotonic() + 2
        while not outside.reached and time.monotonic() < deadline:
            time.sleep(0.01)
        assert outside.reached
    if program.name == "kill_victim":
        assert outside.victim.wait(2) == -9
        outside.victim = outside.new_victim()
    for file in outside.written.iterdir():
        file.unlink()
