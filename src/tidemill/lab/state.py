"""Which lab runs on a home: `DIR/run/lab.json`, true for as long as its process holds `DIR/run/lab.lock`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from tidemill.errors import ConflictError
from tidemill.home import Home, Lock
from tidemill.lab.gallery import Kind


@dataclass(frozen=True)
class State:
    """A lab that runs. The file is this user's alone, because it holds the key to a Python of theirs."""

    pid: int
    kind: Kind
    port: int
    token: str
    folder: str
    """Where its notebooks are."""
    started_ns: int
    by: str
    """`terminal`, or `platform` where the service began it."""
    ready: bool = False
    """Whether it answers."""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, notebook: str | None = None) -> str:
        """Where a browser is let in, at one notebook or at all of them. Holds the token."""
        if self.kind == "marimo":
            file = f"file={quote(notebook)}&" if notebook else ""
            return f"{self.origin}/?{file}access_token={self.token}"
        path = f"/lab/tree/{quote(notebook)}" if notebook else "/lab"
        return f"{self.origin}{path}?token={self.token}"


def _path(home: Home) -> Path:
    return home.run / "lab.json"


def _lock(home: Home) -> Path:
    return home.run / "lab.lock"


def hold(home: Home) -> Lock:
    """The right to be the lab of this home. Raises `ConflictError` `lab_running` naming the one that is."""
    try:
        return Lock(_lock(home), "the lab")
    except ConflictError as error:
        running = read(home)
        where = (
            f"{running.origin} (process {running.pid})" if running else "another process, which is starting"
        )
        raise ConflictError(
            "lab_running",
            f"a lab of {home.path} runs already: {where}",
            hint=f"`tidemill lab --show` prints its address; `kill {running.pid}` ends it"
            if running
            else "ask again in a moment",
        ) from error


def write(home: Home, state: State) -> None:
    """Tells it to whoever may know: the file is made private before the token is in it."""
    new = home.run / "lab.json.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(state), file)
    new.replace(_path(home))


def remove(home: Home) -> None:
    _path(home).unlink(missing_ok=True)


def read(home: Home) -> State | None:
    """The lab that runs on this home; None where none does, or it has not said where yet."""
    holder = Lock.holder(_lock(home))
    try:
        found = State(**json.loads(_path(home).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    # What a killed one left behind names a pid that may be anybody's by now.
    return found if holder is not None and found.pid == holder else None
