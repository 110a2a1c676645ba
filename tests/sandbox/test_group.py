"""Control groups: version 2 in a folder that looks like one, the real ones of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tidemill import sandbox
from tidemill.sandbox import group

LIMITS = sandbox.Limits(memory_bytes=100 << 20, pids=7, cores=0.5)


def version_two(tmp_path: Path, controllers: str, shared: str) -> tuple[Path, Path]:
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    own = root / "system.slice" / "tidemill.service"
    own.mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("0::/system.slice/tidemill.service\n")
    (own / "cgroup.controllers").write_text(controllers)
    (own / "cgroup.subtree_control").write_text(shared)
    return root, proc


def test_version_two_is_bounded_below_our_own(tmp_path: Path) -> None:
    root, proc = version_two(tmp_path, "cpu memory pids", "memory pids")
    made = group.make(LIMITS, root, proc)
    assert made is not None
    assert made.version == 2
    [place] = (root / "system.slice" / "tidemill.service").glob(f"{group.PREFIX}*")
    read = {file.name: file.read_text() for file in place.iterdir()}
    assert read["memory.max"] == str(100 << 20)
    assert (read["memory.swap.max"], read["pids.max"], read["cpu.max"]) == ("0", "7", "50000 100000")
    (place / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert made.cpu_s() == 2.5
    assert not made.ran_out()
    (place / "memory.events").write_text("oom 1\noom_kill 2\n")
    assert made.ran_out()


def test_without_controllers_there_is_none(tmp_path: Path) -> None:
    root, proc = version_two(tmp_path, "cpu", "")
    assert group.make(LIMITS, root, proc) is None
    assert group.make(LIMITS, root, tmp_path / "nowhere") is None


def test_groups_of_the_dead_are_swept(grouped: sandbox.Isolation) -> None:
    made = group.make(LIMITS)
    assert made is not None
    gone = group.make(LIMITS)
    assert gone is not None
    pid = subprocess.run(
        [sys.executable, "-S", "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    for place in gone._places:
        place.rename(place.with_name(f"{group.PREFIX}{int(pid.stdout)}-123-0"))
    own = list(made._places)
    assert group.sweep() >= len(gone._places)
    assert all(place.exists() for place in own)
    made.end()
    assert not any(place.exists() for place in own)


def test_its_end_is_the_end_of_all_in_it(grouped: sandbox.Isolation) -> None:
    made = group.make(LIMITS)
    assert made is not None
    children = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(3)]
    for child in children:
        made.add(child.pid)
    assert set(made.members()) == {child.pid for child in children}
    made.end()
    assert [child.wait(5) for child in children] == [-9] * 3
    made.end()
    assert made.members() == []
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{group.PREFIX}{os.getpid()}-*"))
