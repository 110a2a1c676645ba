"""Opening the metadata database: one engine, transactions that cannot deadlock, migrations at the start.

SQLite in WAL mode: readers never wait, writers wait up to `BUSY_S` for each other. A write begins with
BEGIN IMMEDIATE, because a transaction that starts by reading and then writes may be refused at once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from tidemill.errors import ConfigError, DeadlineError, ResourceError, TidemillError

BUSY_S = 10.0
# Extended codes have one of these in their low byte.
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
_NO_SPACE = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
MIGRATIONS = Path(__file__).parent / "migrations"


class Metadata:
    """The metadata of one home. Thread-safe; every use is one transaction."""

    def __init__(self, path: Path) -> None:
        """Opens the file at `path` as it is; `Metadata.open` also brings it to the newest version."""
        self.path = path
        self.engine = _engine(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The database at `path` (`Home.database`), made or brought to the newest version.

        Raises `ConfigError` when the file was written by a newer Tidemill or cannot be opened,
        `ResourceError` when it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            migrate(path)
        except (OSError, sqlite3.DatabaseError, DatabaseError) as error:
            raise failure(error, path) from error
        return cls(path)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view. Never waits for a writer."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that changes something, and its event, together or not at all."""
        with self.engine.connect() as connection:
            connection.execution_options(tidemill_write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        self.engine.dispose()


def failure(error: Exception, path: Path | str = "DIR/tidemill.db") -> TidemillError:
    """What SQLite or the system said of the database, as an error for people: the disk, or the file."""
    cause = getattr(error, "orig", None) or error
    what = f"the metadata database {path} cannot be used: {cause}"
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return DeadlineError("database_busy", what, hint="another process holds it: try again")
    if code in _DISK or getattr(cause, "errno", None) in _NO_SPACE:
        return ResourceError(
            "database_unwritable",
            what,
            hint="free some space, or mount the disk so that it can be written",
            http_status=507,
        )
    return ConfigError(
        "database_unreadable",
        what,
        hint="restore it from a backup, or move it away: journal and lake do not depend on it",
    )


def migrate(path: Path, revision: str = "head") -> None:
    """Brings the file to `revision` in one transaction, so that a kill leaves the old version or the new.

    A lock beside the file lets several processes start at once.
    """
    wanted = newest() if revision == "head" else revision
    if version(path) == wanted:
        return
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = version(path)
        if found == wanted:
            return
        known = revisions()
        if found is not None and found not in known:
            raise ConfigError(
                "database_newer",
                f"{path} is at version {found}; this Tidemill knows {known[0]} to {known[-1]}",
                hint="install the newer Tidemill again, or restore the database from a backup",
            )
        _alembic(path, found, wanted)
        path.chmod(0o600)


def revisions() -> list[str]:
    """All versions, oldest first: the first four characters of the migrations' file names."""
    return sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def newest() -> str:
    """The version that this Tidemill writes."""
    return revisions()[-1]


def version(path: Path) -> str | None:
    """The version of the file; None where there is none yet. Cheap: a start needs no migration tool."""
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
    return str(row[0]) if row else None


def _alembic(path: Path, found: str | None, wanted: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = _engine(path)
    try:
        with engine.connect() as connection:
            connection.execution_options(tidemill_write=True)
            with connection.begin():
                config.attributes["connection"] = connection
                if found is not None and found > wanted:
                    command.downgrade(config, wanted)
                else:
                    command.upgrade(config, wanted)
    finally:
        engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
        json_serializer=_dumps,
        pool_size=8,
        max_overflow=24,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        # Python's driver would begin transactions by its own rules (not for DDL); `_begin` does it instead.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("tidemill_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def now_ns() -> int:
    """Wall clock, ns since the epoch."""
    return time.time_ns()
