"""The command that starts a guest: bubblewrap with all that it is told, or the bare interpreter."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

from tidemill.sandbox.limit import Limits

LIBRARY = "/tidemill"
"""Where the package is inside: nothing else of the place that it comes from is seen."""
SHOWN = "/shown"
"""Where the folder is that a lease shows to its guest."""
_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/lib32")
_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_SHM_BYTES = 16 << 20
# One thread each: a guest shares the machine, and threads count as processes.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "HOME": "/tmp",  # noqa: S108 - the guest's own
    "TMPDIR": "/tmp",  # noqa: S108
    "PATH": "/nowhere",
    "TZ": "UTC",
    # The order of a set must not change from run to run: the same code and data give the same answer.
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "NUMBA_CACHE_DIR": "/tmp/numba",  # noqa: S108
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
}


def python(results: int, library: str, words: tuple[str, ...]) -> list[str]:
    """The interpreter with the guest's program; `library` is where the package lies."""
    start = f"import sys; sys.path.insert(0, {library!r}); from tidemill.sandbox.guest import main; main()"
    # As -I, but for the environment: it is ours, and it holds the seed of hashes.
    return [sys.executable, "-P", "-s", "-B", "-c", start, str(results), *words]


def bubblewrap(limits: Limits, seccomp: int, shown: Path | None = None) -> list[str]:
    """What bubblewrap is told, in its order; `seccomp` is a descriptor that holds the filter, `shown` a
    folder that the guest may read.

    The guest is process 1 of its namespace: no other stands in there, and all that it started ends with it.
    """
    said = [
        "--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-net", "--unshare-ipc",
        "--unshare-uts", "--unshare-cgroup", "--hostname", "sandbox", "--uid", "65534", "--gid", "65534",
        "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv", "--as-pid-1",
        "--seccomp", str(seccomp),
    ]  # fmt: skip
    for name, value in ENVIRONMENT.items():
        said += ["--setenv", name, value]
    # First, for an environment that lies below /tmp itself.
    said += ["--perms", "0700", "--size", str(limits.disk_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    said += binds()
    said += ["--ro-bind", str(package()), f"{LIBRARY}/tidemill"]
    if shown is not None:
        said += ["--ro-bind", str(shown.resolve()), SHOWN]
    # Read-only as a whole: to the kernel root is root in /proc/sys, whatever its capabilities and namespaces.
    said += ["--proc", "/proc", "--remount-ro", "/proc", "--dir", "/dev"]
    for device in _DEVICES:
        said += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    said += ["--symlink", "/proc/self/fd", "/dev/fd"]
    said += ["--perms", "1777", "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108
    # The root itself is a file system in memory without a bound: nobody writes there.
    return [*said, "--chdir", "/tmp", "--remount-ro", "/"]  # noqa: S108


@cache
def binds() -> list[str]:
    """Read-only mounts of what the interpreter needs: libraries, its own, those of its environment."""
    said: list[str] = []
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            said += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            said += ["--ro-bind", name, name]
    for name in _FILES:
        if Path(name).exists():
            said += ["--ro-bind", str(Path(name).resolve()), name]
    for prefix in dict.fromkeys((sys.base_prefix, sys.exec_prefix, sys.prefix)):
        for part in ("lib", "lib64"):
            path = Path(prefix) / part
            if str(path) in _SYSTEM:
                continue
            if path.is_symlink():
                said += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                said += ["--ro-bind", str(path), str(path)]
        note = Path(prefix) / "pyvenv.cfg"
        if note.exists():
            said += ["--ro-bind", str(note), str(note)]
    return said + _executable()


def _executable() -> list[str]:
    """The interpreter and the links that lead to it: an environment is found by the name it is started by."""
    real = os.path.realpath(sys.executable)
    said = ["--ro-bind", real, real]
    at = Path(sys.executable)
    while at.is_symlink():
        said += ["--symlink", str(at.readlink()), str(at)]
        at = at.parent / at.readlink()
    if str(at) != real:
        said += ["--ro-bind", real, str(at)]
    return said


def package() -> Path:
    """The folder of this package."""
    import tidemill

    return Path(next(iter(tidemill.__path__))).resolve()
