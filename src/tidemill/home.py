"""One home: the folder that holds everything a platform knows, and the names of what lies in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tidemill.errors import ConfigError, ConflictError

# A unix socket's path has 108 bytes at most (104 on macOS); a longer one moves to a short folder.
SOCKET_PATH_BYTES = 100
TOKEN_CHARS_MIN = 16
SECRET_BYTES_MIN = 32
LOCK_TRIES = 5
LOCK_PAUSE_S = 0.02


def default_path() -> Path:
    """`TIDEMILL_HOME`, else this user's data folder for Tidemill."""
    named = os.environ.get("TIDEMILL_HOME")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("tidemill")


@dataclass(frozen=True)
class Home:
    """Paths below one home. Making the object touches nothing; `create` makes the folders and secrets."""

    path: Path

    @classmethod
    def at(cls, path: str | Path | None) -> Home:
        return cls((Path(path).expanduser() if path else default_path()).absolute())

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as the platform runs."""
        return self.run / "supervisor.lock"

    @property
    def revoked(self) -> Path:
        """Sessions ended before their time, a line `<expiry, unix s> <subject>` each, for the bridge."""
        return self.run / "revoked"

    @property
    def lake(self) -> Path:
        return self.path / "lake"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def database(self) -> Path:
        return self.path / "tidemill.db"

    @property
    def runs(self) -> Path:
        """Results of backtests: what they are in `runs.db`, their tables as files."""
        return self.path / "runs"

    @property
    def config(self) -> Path:
        return self.path / "tidemill.toml"

    @property
    def token(self) -> Path:
        return self.path / "token"

    @property
    def secret(self) -> Path:
        return self.path / "secret"

    def generated(self, protocol: str) -> Path:
        """Stands where the simulated venue of this protocol has its generated history."""
        return self.path / "sim" / f"{protocol}.generated"

    def log(self, part: str) -> Path:
        """The log of a part, JSON lines."""
        return self.logs / f"{part}.jsonl"

    def control(self, part: str) -> Path:
        """The control socket of a part."""
        return self.socket(f"{part}.ctl")

    def socket(self, name: str) -> Path:
        """Where the socket `name` is: `run/<name>`, or where that is too long for a unix socket a short
        folder of this user, which `run/sockets.json` names."""
        path = self.run / name
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
            return path
        from tidemill import _native

        return Path(_native.socket_path(str(self.path), name))

    def sockets(self) -> set[str]:
        """Names of the sockets that lie in this home, of running parts and of killed ones."""
        found: set[str] = set()
        with contextlib.suppress(OSError):
            found |= {path.name for path in self.run.iterdir() if path.suffix in (".ctl", ".sock")}
        with contextlib.suppress(OSError, ValueError):
            found |= set(json.loads((self.run / "sockets.json").read_text()))
        return found

    def running(self) -> dict[str, Any] | None:
        """What the supervisor of the platform that runs here wrote at its start: pid, host, port, started;
        None when none runs or it was killed."""
        holder = Lock.holder(self.lock)
        try:
            state = json.loads((self.run / "supervisor.json").read_text())
        except (OSError, ValueError):
            return None
        # A state of a killed supervisor stays behind; its pid, and the lock's, may belong to anyone by now.
        return (
            state if isinstance(state, dict) and holder is not None and state.get("pid") == holder else None
        )

    def create(self) -> None:
        """Makes the folders and, where they are missing, the owner's token and the signing secret.

        Raises `ConfigError` when the place cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.run, self.logs, self.lake, self.journal, self.path / "registry"):
                folder.mkdir(exist_ok=True, mode=0o700)
            for file in (self.token, self.secret):
                _write_secret(file)
        except OSError as error:
            raise ConfigError(
                "home_unwritable",
                f"home {self.path} cannot be used: {_why(error)}",
                hint="name another folder with --home DIR or TIDEMILL_HOME",
            ) from error

    def read_token(self) -> str:
        """The owner's token. Raises `ConfigError` when it is missing, too short to keep anyone out, or
        others can read it."""
        text = _read_private(self.token, unreadable="token_missing", exposed="token_exposed")
        if len(text) < TOKEN_CHARS_MIN:
            raise ConfigError(
                "token_short",
                f"{self.token} holds {len(text)} characters; it must hold at least {TOKEN_CHARS_MIN}",
                hint=f"remove {self.token}; the next start writes a new one",
            )
        return text

    def read_secret(self) -> bytes:
        """The key that signs cookies and tickets. Raises `ConfigError` as `read_token` does."""
        text = _read_private(self.secret, unreadable="secret_unreadable", exposed="secret_exposed")
        try:
            key = bytes.fromhex(text)
        except ValueError as error:
            raise ConfigError(
                "secret_unreadable",
                f"{self.secret} cannot be read as hexadecimal: {error}",
                hint=f"remove {self.secret}; the next start writes a new one and signs every browser out",
            ) from error
        if len(key) < SECRET_BYTES_MIN:
            raise ConfigError(
                "secret_short",
                f"{self.secret} holds {len(key)} bytes; it must hold at least {SECRET_BYTES_MIN}",
                hint=f"remove {self.secret}; the next start writes a new one",
            )
        return key


def _why(error: OSError) -> str:
    """What the system says, with the file it is about; a file where a folder should be, plainly."""
    what = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror or str(error)
    return f"{what} ({error.filename})" if error.filename else what


def _read_private(path: Path, *, unreadable: str, exposed: str) -> str:
    """The text of a file that is this user's alone. Raises `ConfigError` with one of the two codes."""
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            unreadable,
            f"{path} cannot be read: {error}",
            hint=f"remove {path} where it is damaged; `tidemill up` makes a new one",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            exposed,
            f"{path} can be read by other users (mode {stat.S_IMODE(mode):o})",
            hint=f"chmod 600 {path}",
        )
    return text


def _write_secret(path: Path) -> None:
    """Makes the file with a new secret where there is none: whole or not at all, as an empty one would let
    anyone in. Of two processes that start at once, one's stands and the other reads it."""
    if path.exists():
        return
    descriptor, written = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES_MIN) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(written)
    finally:
        Path(written).unlink()


class Lock:
    """An exclusive lock on a file for as long as this process lives; the file names the holder's pid."""

    def __init__(self, path: Path, what: str) -> None:
        """Raises `ConflictError` naming the holder when another process has it."""
        self._file = path.open("a+")
        if not _take(self._file):
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise ConflictError(
                "home_held",
                f"{what} is held by process {holder}",
                hint="`tidemill open` shows it, `tidemill down` ends it, --home DIR uses another",
            )
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        os.set_inheritable(self._file.fileno(), False)

    @staticmethod
    def holder(path: Path) -> int | None:
        """Pid of the living process that has the lock; the one in the file alone may be anybody's by now."""
        with contextlib.suppress(OSError, ValueError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
        return None

    def close(self) -> None:
        self._file.close()


def _take(file: TextIO) -> bool:
    """Whether the lock is ours now. Whoever only looks whether it is held has it for a moment."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return True
    return False
