"""Whether this machine can isolate, and what happens where it cannot."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

from tidemill import address, errors
from tidemill.sandbox import command, group, seccomp
from tidemill.sandbox.limit import Limits

TRUST = "TIDEMILL_TRUST_LOCAL_CODE"
_PROBE_S = 10.0
_VERSION_MIN = (0, 8)
INSTALL = "install bubblewrap 0.8 or newer (Debian, Ubuntu: apt-get install bubblewrap)"


@dataclass(frozen=True)
class Isolation:
    """What `available` found."""

    ok: bool
    reasons: tuple[str, ...]
    """Why it cannot isolate; where it can, what holds only in part."""
    holds: tuple[str, ...] = ()
    """Protections that hold here."""
    fix: str = ""


@cache
def available() -> Isolation:
    """Whether user code can be isolated here: tried once in this process, by doing it."""
    if sys.platform != "linux":
        return Isolation(False, (f"{sys.platform} has no namespaces",), fix="run it on Linux")
    program = bwrap()
    if program is None:
        return Isolation(False, ("bubblewrap is not installed: there is no bwrap",), fix=INSTALL)
    if platform.machine() not in seccomp.AUDIT:
        return Isolation(False, (f"there is no filter of system calls for {platform.machine()}",))
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_PROBE_S, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Isolation(False, (f"{program} cannot be run: {error}",), fix=INSTALL)
    numbers = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    if numbers < _VERSION_MIN:
        return Isolation(False, (f"{said.strip() or program} is too old",), fix=INSTALL)
    why = _try()
    if why:
        return Isolation(
            False, (f"bwrap cannot isolate here: {why}",),
            fix="allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone,"
            " kernel.apparmor_restrict_unprivileged_userns; in a container its own seccomp profile",
        )  # fmt: skip
    holds = ["namespaces", "no network", "no host files", "system call filter", "sized /tmp", "wall limit"]
    made = group.make(Limits())
    if made is None:
        return Isolation(
            True,
            ("no control group can be made: memory is bounded per process, processes by RLIMIT_NPROC",),
            (*holds, "rlimits"),
            fix="run it as a unit with Delegate=yes, or as root",
        )
    made.end()
    return Isolation(True, (), (*holds, f"control group v{made.version}"))


def bwrap() -> str | None:
    """Where bubblewrap is."""
    return shutil.which("bwrap")


def required() -> bool:
    """Whether the next guest is isolated. False where a person of the local profile trusts the code.

    Raises `ConfigError` (`sandbox_missing`) where it cannot be, and in the team profile always then.
    """
    found = available()
    if found.ok:
        return True
    team = any(os.environ.get(variable) for variable in address.VARIABLES)
    why = "; ".join(found.reasons)
    if team:
        raise errors.ConfigError(
            "sandbox_missing",
            f"code of users cannot be isolated on this machine, and a team's is never run without: {why}",
            hint=found.fix or INSTALL,
        )
    if os.environ.get(TRUST) == "1":
        return False
    raise errors.ConfigError(
        "sandbox_missing",
        f"code that did not come from your own shell runs isolated only, and this machine cannot: {why}",
        hint=f"{found.fix or INSTALL}; or, where all of it is your own, --trust-local-code or {TRUST}=1",
    )


def log_of(error: BaseException) -> str:
    """What the code had printed before a run failed with this error; empty where nothing was."""
    return "\n".join(getattr(error, "__notes__", []))


def _try() -> str:
    """Starts the interpreter as guests are started; says what bwrap said where it did not work."""
    from tidemill.sandbox.process import memory

    held = memory("filter", seccomp.program(platform.machine()))
    try:
        said = subprocess.run(
            [bwrap() or "bwrap", *command.bubblewrap(Limits(), held), "--", sys.executable, "-Sc", "pass"],
            pass_fds=[held], env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_PROBE_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    finally:
        os.close(held)
    return "" if said.returncode == 0 else (said.stderr.strip()[-300:] or f"it ended with {said.returncode}")
