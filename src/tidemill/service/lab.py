"""The lab as a service has it: a process that ends with the service, and the shapes of what is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Annotated, Any, Literal

from pydantic import Field

from tidemill import errors
from tidemill.home import Home, Lock
from tidemill.lab import gallery, server, state
from tidemill.lab.gallery import Kind
from tidemill.service.schema import Answer, Error, Text64

STOP_S = 20.0
LOG_BYTES = 64 << 10

LabKind = Literal["jupyter", "marimo"]
LabState = Literal["stopped", "starting", "running", "failed", "missing", "refused"]


class LabNotebook(Answer):
    """A notebook that comes with Tidemill."""

    name: Annotated[str, Field(description="its file below `folder`")]
    kind: LabKind
    title: str
    line: Annotated[str, Field(description="what one learns from it")]
    needs: Annotated[str, Field(description="what must be there before it runs")]
    url: Annotated[
        str | None, Field(description="where it opens, while a lab of its kind runs; holds the token")
    ]


class LabTold(Answer):
    """What there is, and where it answers. An address holds a token: it opens a Python of the owner's."""

    state: Annotated[
        LabState,
        Field(description="missing: the extra is not installed; refused: not in the team profile"),
    ]
    kind: Annotated[LabKind | None, Field(description="which of the two runs")]
    kinds: Annotated[list[LabKind], Field(description="which of them are installed")]
    by: Annotated[Literal["platform", "terminal"] | None, Field(description="who started it")]
    url: str | None
    port: int | None
    pid: int | None
    since: Annotated[Text64 | None, Field(description="ns since the epoch")]
    folder: str
    error: Annotated[Error | None, Field(description="why there is none, or why the last one ended")]
    notebooks: list[LabNotebook]


class LabStart(Answer):
    kind: LabKind = "jupyter"


class Lab:
    """Starts, finds and ends the lab of one home. Thread-safe; its calls may block."""

    def __init__(self, home: Home, profile: str) -> None:
        self._home = home
        self._profile = profile
        self._process: subprocess.Popen[bytes] | None = None
        self._kind: Kind = "jupyter"
        self._log_begins = 0
        self._lock = threading.Lock()

    def told(self) -> dict[str, Any]:
        """All that is known now, as `LabTold`."""
        running = None if self._profile == "team" else state.read(self._home)
        ready = running if running is not None and running.ready else None
        kinds = [kind for kind in server.PACKAGES if _installed(kind)]
        error = None
        now: LabState
        if self._profile == "team":
            now, error = "refused", _refused()
        elif running is not None:
            now = "running" if running.ready else "starting"
        elif self._starts():
            now = "starting"
        elif not kinds:
            now, error = "missing", _why_not("jupyter")
        elif (error := self._failure()) is not None:
            now = "failed"
        else:
            now = "stopped"
        return {
            "state": now,
            "kind": running.kind if running else self._kind if now == "starting" else None,
            "kinds": kinds,
            "by": running.by if running else "platform" if now == "starting" else None,
            "url": ready.url() if ready else None,
            "port": running.port if running else None,
            "pid": running.pid if running else None,
            "since": str(running.started_ns) if running else None,
            "folder": running.folder if running else str(server.folder(self._home)),
            "error": error.as_dict() if error else None,
            "notebooks": [
                {
                    "name": one.name, "kind": one.kind, "title": one.title, "line": one.line,
                    "needs": one.needs,
                    "url": ready.url(one.name) if ready and ready.kind == one.kind else None,
                }
                for one in gallery.notebooks()
            ],
        }  # fmt: skip

    def start(self, kind: Kind) -> None:
        """Starts one, unless it runs already. Raises `AuthError` `lab_refused` in the team profile,
        `ConfigError` `extra_missing`, and `ConflictError` `lab_running` where one of the other kind runs."""
        if self._profile == "team":
            raise _refused()
        with self._lock:
            running = state.read(self._home)
            if running is not None or self._starts():
                found = running.kind if running else self._kind
                if found != kind:
                    raise errors.ConflictError(
                        "lab_running",
                        f"{kind} cannot start while {found} runs on this home",
                        hint="end it first: DELETE /api/v1/lab",
                    )
                return
            server.require(kind)
            self._spawn(kind)

    def stop(self) -> None:
        """Ends the lab, whoever started it, with its kernels. One that does not run is no error."""
        with self._lock:
            running = state.read(self._home)
            if self._process is not None:
                self._end(self._process)
                self._process = None
            elif running is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGTERM)
                deadline = time.monotonic() + STOP_S
                while Lock.holder(self._home.run / "lab.lock") == running.pid and time.monotonic() < deadline:
                    time.sleep(0.05)

    def close(self) -> None:
        """Ends the one that this service started; one of a terminal stays."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)
                self._process = None

    def _spawn(self, kind: Kind) -> None:
        path = self._home.logs / "lab.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        words = ["lab", "--home", str(self._home.path), "--no-browser", "--json", "--supervised"]
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self._log_begins = log.tell()
            # It reads the end of its standard input when we are gone, however we went.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tidemill", *words, *(["--marimo"] if kind == "marimo" else [])],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._kind = kind

    def _starts(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _failure(self) -> errors.TidemillError | None:
        """Why the one that we started is gone; None where none was, or it ended in order."""
        process = self._process
        if process is None or process.poll() in (None, 0, -signal.SIGTERM):
            return None
        path = self._home.logs / "lab.log"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with path.open("rb") as log:
                log.seek(self._log_begins)
                lines = log.read(LOG_BYTES).splitlines()
            for line in reversed(lines):
                if line.startswith(b'{"error"'):
                    return errors.from_dict(json.loads(line)["error"])
        return errors.InternalError(
            "lab_ended", f"the lab ended with exit code {process.returncode}", hint=f"its log is {path}"
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _installed(kind: Kind) -> bool:
    return _why_not(kind) is None


def _why_not(kind: Kind) -> errors.TidemillError | None:
    try:
        server.require(kind)
    except errors.ConfigError as error:
        return error
    return None


def _refused() -> errors.TidemillError:
    return errors.AuthError(
        "lab_refused",
        "a platform of the team profile starts no lab: a notebook runs as the platform, not as who opened it",
        hint="run `tidemill lab` as yourself, with TIDEMILL_URL and TIDEMILL_TOKEN set",
        http_status=403,
    )
