"""Control groups: memory, processes and processor time of one guest and all that it starts, together.

Version 2 where its controllers can be had below our own group or beside it, version 1 below our own groups;
None where neither can be written, as in most containers. Groups are named by who made them, so that those of
a runner that was killed are swept away by the next.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path

from tidemill.sandbox.limit import Limits

PREFIX = "tidemill-sandbox-"
ROOT = Path("/sys/fs/cgroup")
_V1 = ("memory", "pids", "cpuacct", "cpu")
_QUOTA_US = 100_000
_SETTLE_TRIES = 50

_number = itertools.count()


class Group:
    """One group, in as many folders as this system has it in."""

    def __init__(self, folders: dict[str, Path], version: int) -> None:
        self.version = version
        self._folders = folders
        self._places = sorted(set(folders.values()))

    def bound(self, limits: Limits) -> None:
        """Sets what its members may use, now and as often as it changes."""
        quota = int(limits.cores * _QUOTA_US)
        if self.version == 2:
            place = self._places[0]
            _set(place / "memory.max", limits.memory_bytes)
            _try(place / "memory.swap.max", 0)
            _try(place / "memory.oom.group", 1)
            _set(place / "pids.max", limits.pids)
            _try(place / "cpu.max", f"{quota} {_QUOTA_US}")
            return
        _set(self._folders["memory"] / "memory.limit_in_bytes", limits.memory_bytes)
        _try(self._folders["memory"] / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        _set(self._folders["pids"] / "pids.max", limits.pids)
        if "cpu" in self._folders:
            _try(self._folders["cpu"] / "cpu.cfs_quota_us", quota)

    def add(self, pid: int) -> None:
        """Takes a process in; what it starts later is in as well."""
        for place in self._places:
            (place / "cgroup.procs").write_text(str(pid))

    def cpu_s(self) -> float:
        """Processor time of its members so far, those gone included; 0 where it is not counted."""
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            if self.version == 2:
                return int((self._places[0] / "cpu.stat").read_text().split()[1]) / 1e6
            return int((self._folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
        return 0.0

    def ran_out(self) -> bool:
        """Whether the kernel ended a member for memory."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            if self.version == 2:
                text = (self._places[0] / "memory.events").read_text()
            else:
                text = (self._folders["memory"] / "memory.oom_control").read_text()
            return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in text.splitlines())
        return False

    def members(self) -> list[int]:
        """Pids in it now."""
        with contextlib.suppress(OSError, IndexError):
            return [int(pid) for pid in (self._places[0] / "cgroup.procs").read_text().split()]
        return []

    def end(self) -> None:
        """Kills all members and removes the group; what does not go in time is left to the next sweep."""
        for _ in range(_SETTLE_TRIES):
            for pid in self.members():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for place in list(self._places):
                with contextlib.suppress(FileNotFoundError):
                    try:
                        place.rmdir()
                    except OSError:
                        continue
                self._places.remove(place)
            if not self._places:
                return
            time.sleep(0.004)


def make(limits: Limits, root: Path = ROOT, proc: Path = Path("/proc/self")) -> Group | None:
    """A new group under these limits; None where this process can make none that bounds memory and pids."""
    for version, parents in _parents(root, proc):
        name = f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-{next(_number)}"
        made: dict[str, Path] = {}
        try:
            for controller, parent in parents.items():
                place = parent / name
                place.mkdir(exist_ok=True)
                made[controller] = place
            group = Group(made, version)
            group.bound(limits)
            return group
        except OSError:
            for place in set(made.values()):
                with contextlib.suppress(OSError):
                    place.rmdir()
    return None


def sweep(root: Path = ROOT, proc: Path = Path("/proc/self")) -> int:
    """Removes groups whose maker is gone; returns how many folders went."""
    gone = 0
    for version, parents in _parents(root, proc):
        for parent in set(parents.values()):
            for place in parent.glob(f"{PREFIX}*"):
                pid, _, rest = place.name.removeprefix(PREFIX).partition("-")
                if pid.isdigit() and _started(int(pid)) == rest.partition("-")[0]:
                    continue
                Group({"memory": place}, version).end()
                gone += not place.exists()
    return gone


def _parents(root: Path, proc: Path) -> list[tuple[int, dict[str, Path]]]:
    """Where groups can be made: each way with a folder per controller."""
    found: list[tuple[int, dict[str, Path]]] = []
    with contextlib.suppress(OSError):
        lines = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        own = {name: path.lstrip("/") for _, names, path in lines for name in names.split(",")}
        for base in (root / own[""], (root / own[""]).parent) if "" in own else ():
            if (base == root or root in base.parents) and _shares(base):
                found.append((2, {"memory": base}))
        named = {one: root / one / own[one] for one in _V1 if one in own and (root / one / own[one]).is_dir()}
        if "memory" in named and "pids" in named:
            found.append((1, named))
    return found


def _shares(base: Path) -> bool:
    """Whether groups below this one can have memory and pids bounded (version 2)."""
    wanted = {"memory", "pids"}
    try:
        if not wanted <= set((base / "cgroup.controllers").read_text().split()):
            return False
        shared = base / "cgroup.subtree_control"
        if not wanted <= set(shared.read_text().split()):
            _set(shared, "+memory +pids")
        _try(shared, "+cpu")
    except OSError:
        return False
    return os.access(base, os.W_OK)


def _started(pid: int) -> str:
    """When a process began, in ticks; empty where there is none. Pids come again, this with them does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _set(file: Path, value: int | str) -> None:
    file.write_text(str(value))


def _try(file: Path, value: int | str) -> None:
    with contextlib.suppress(OSError):
        _set(file, value)
