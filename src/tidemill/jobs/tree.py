"""The processes of one job: found wherever they went, measured, and ended together.

Every process of a job carries `TIDEMILL_JOB=<home>-<id>.<token>` in its environment, from the first to its
last grandchild, in whatever session. Where the system has no /proc, the process group has to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from pathlib import Path

MARK = "TIDEMILL_JOB"
_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ROUNDS = 50


def named(home: Path, job_id: str) -> str:
    """What a job is called among the processes of a machine: two homes may have jobs of one id."""
    return f"{hashlib.sha256(str(home).encode()).hexdigest()[:12]}-{job_id}"


def mark(job_id: str, token: int) -> str:
    """What the environment of one attempt's processes holds."""
    return f"{job_id}.{token}"


def members(job_id: str, *, token: int | None = None, before: int | None = None) -> list[int]:
    """Pids of a job's processes; only those of the attempt `token`, or of attempts before `before`."""
    found = []
    needle = f"{MARK}={job_id}.".encode()
    for folder in _PROC.iterdir() if _PROC.is_dir() else ():
        if not folder.name.isdigit():
            continue
        try:
            said = (folder / "environ").read_bytes()
        except OSError:
            continue
        at = said.find(needle)
        if at < 0 or (at and said[at - 1]):
            continue
        number = said[at + len(needle) :].split(b"\0", 1)[0]
        theirs = int(number) if number.isdigit() else 0
        if (token is None or theirs == token) and (before is None or theirs < before):
            found.append(int(folder.name))
    return found


def end(job_id: str, *, token: int | None = None, before: int | None = None, spare: int | None = None) -> int:
    """Kills them all and those they start meanwhile, but for the pid `spare`; returns how many there were."""
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        alive = [pid for pid in members(job_id, token=token, before=before) if pid != spare]
        if not alive:
            break
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended.update(alive)
        time.sleep(0.005)
    return len(ended)


def end_group(leader: int) -> None:
    """Kills the process group that `leader` leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def memory_bytes(root: int) -> int:
    """What a process and those below it hold in memory (RSS); 0 where the system does not tell."""
    total = 0
    waiting = [root]
    while waiting:
        folder = _PROC / str(waiting.pop())
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES
            for task in (folder / "task").iterdir():
                waiting += [int(pid) for pid in (task / "children").read_text().split()]
    return total
