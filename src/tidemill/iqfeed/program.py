"""IQConnect as a process: how it is started here, and how one of ours is ended, whoever of us started it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import signal
import tempfile
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.home import Home

VARIABLE = "TIDEMILL_IQCONNECT"
SECRETS = ("DTN_PRODUCT_ID", "DTN_LOGIN", "DTN_PASSWORD")
INSTALLED = "drive_c/Program Files*/DTN/IQFeed/[iI][qQ][cC]onnect.exe"
END_S = 3.0
LOOK_S = 0.05
HINT = (
    f"name the whole command with --command or {VARIABLE}; on Linux IQConnect needs wine and xvfb "
    "(docs/iqfeed.md)"
)


def command(given: str | None) -> list[str]:
    """The words that start IQConnect: `given`, else `TIDEMILL_IQCONNECT`, else the program where wine has it.

    None of them is ever a login or a password: those go over the admin port. Raises `ConfigError` for text
    that is no command line.
    """
    text = given or os.environ.get(VARIABLE)
    if text:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ConfigError(
                "iqconnect_missing", f"{text[:80]!r} is no command line: {error}", hint=HINT
            ) from None
        if words:
            return words
    prefix = Path(os.environ.get("WINEPREFIX") or Path.home() / ".wine")
    found = sorted(prefix.glob(INSTALLED))
    program = found[0] if found else prefix / "drive_c/Program Files/DTN/IQFeed/iqconnect.exe"
    return ["xvfb-run", "-a", "wine", str(program)]


def require(words: list[str]) -> None:
    """Raises `ConfigError` (`iqconnect_missing`) naming what the command needs and is not here."""
    programs = words[:1] + [word for word in words[1:4] if word in ("wine", "wine64")]
    for program in programs:
        if shutil.which(program) is None:
            raise ConfigError(
                "iqconnect_missing",
                f"IQConnect cannot be started: there is no program {program!r}",
                hint=HINT,
            )
    for word in words:
        if word.lower().endswith(".exe") and not Path(word).is_file():
            raise ConfigError(
                "iqconnect_missing", f"IQConnect cannot be started: there is no file {word!r}", hint=HINT
            )


class Program:
    """The process of IQConnect, remembered in `DIR/run/iqfeed.json` so that the next keeper knows it too."""

    def __init__(self, home: Home, words: list[str]) -> None:
        self.words = words
        self.starts: list[float] = []
        """When it was started, unix seconds; kept in the file as well."""
        self._file = home.run / "iqfeed.json"
        self._log = home.logs / "iqconnect.log"
        self._process: asyncio.subprocess.Process | None = None
        self._pid: int | None = None
        self._born = ""
        self._recall()

    @property
    def pid(self) -> int | None:
        """Of the process that runs, ours or that of the keeper before us."""
        if self._process:
            return self._process.pid if self._process.returncode is None else None
        return self._pid if self._pid and self._born and _born(self._pid) == self._born else None

    async def start(self) -> int:
        """Starts it, after the end of one that still runs, and returns its pid. Raises `ConfigError` for what
        is missing, or cannot be written."""
        try:
            self.remember()
            require(self.words)
            return await self._start()
        except OSError as error:
            raise ConfigError(
                "home_unwritable",
                f"IQConnect cannot be started: {error.strerror or error} ({error.filename})",
                hint="make room in the home, or name another with --home",
            ) from error

    async def _start(self) -> int:
        await self.end()
        # What it writes is for people who look for a reason; the run before is kept.
        with contextlib.suppress(FileNotFoundError):
            self._log.replace(self._log.with_suffix(".log.1"))
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        environment.setdefault("WINEDEBUG", "-all")
        with self._log.open("ab") as log:
            try:
                # A session of its own: it outlives us when we are killed, and can be ended as a whole.
                self._process = await asyncio.create_subprocess_exec(
                    *self.words,
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, env=environment,
                )  # fmt: skip
            except OSError as error:
                raise ConfigError(
                    "iqconnect_missing",
                    f"IQConnect cannot be started: {error.strerror or error}: {self.words[0]!r}",
                    hint=HINT,
                ) from error
        self._pid, self._born = self._process.pid, _born(self._process.pid)
        self.remember()
        return self._process.pid

    async def end(self) -> None:
        """Ends what runs, politely, then at once. Nothing where nothing runs."""
        pid = self.pid
        if pid is None:
            return
        for number, patience_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
            # Gone, or not its group's leader: then there is nothing of ours.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)
            for _ in range(round(patience_s / LOOK_S)):
                if self.pid is None:
                    return
                await asyncio.sleep(LOOK_S)

    def remember(self) -> None:
        """Writes the file, whole or not at all."""
        said = json.dumps({"pid": self._pid, "born": self._born, "starts": self.starts})
        descriptor, written = tempfile.mkstemp(prefix=".iqfeed-", dir=self._file.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(said)
        Path(written).replace(self._file)

    def _recall(self) -> None:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            said = json.loads(self._file.read_text())
            self.starts = [float(at) for at in said["starts"]]
            self._pid, self._born = int(said["pid"] or 0) or None, str(said["born"])


def _born(pid: int) -> str:
    """Something that no two processes with this pid share; empty where the system does not tell, or there
    is no such process any more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return (
        ""
        if fields[0] == "Z"
        else f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}-{fields[19]}"
    )
