"""Opening the metadata database: one engine, transactions that cannot deadlock, migrations at the start.

It is a file of the home, or the PostgreSQL database that `TIDEMILL_DATABASE_URL` names; `dialect` knows what
differs. A write waits for the one before it, a read waits for nobody.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from tidemill import address
from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.metadata import dialect
from tidemill.metadata.dialect import failure

__all__ = ["Metadata", "failure", "migrate", "newest", "now_ns", "place", "revisions", "version"]
MIGRATIONS = Path(__file__).parent / "migrations"
_PAUSE_S = 0.5


def place(home: Home) -> Path | str:
    """Where the metadata of a home is: `TIDEMILL_DATABASE_URL`, else its own file."""
    return address.named("TIDEMILL_DATABASE_URL") or home.database


class Metadata:
    """The metadata of one home. Thread-safe; every use is one transaction."""

    def __init__(self, place: Path | str) -> None:
        """Opens the file or URL as it is; `Metadata.open` also brings it to the newest version."""
        self.place = place
        self._dialect = dialect.of(place)
        self.engine = self._dialect.engine()

    @classmethod
    def of(cls, home: Home) -> Self:
        """The database of a home, wherever the settings say it is. Raises as `open`."""
        return cls.open(place(home))

    @classmethod
    def open(cls, place: Path | str) -> Self:
        """The database at a path or URL, made or brought to the newest version.

        Raises `ConfigError` when it was written by a newer Tidemill, cannot be opened or refuses us,
        `ResourceError` when it cannot be written, `UpstreamError` when its server cannot be reached.
        """
        try:
            migrate(place)
        except (OSError, sqlite3.DatabaseError, SQLAlchemyError) as error:
            raise failure(error, place) from error
        except Exception as error:
            if not type(error).__module__.startswith("psycopg"):
                raise
            raise failure(error, place) from error
        return cls(place)

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

    def listen(self, heard: Callable[[], None], stopping: threading.Event) -> bool:
        """Calls `heard` soon after each new event until `stopping` is set; returns False at once where the
        database tells nobody. For a thread of its own."""
        return self._dialect.listen(heard, stopping)

    def close(self) -> None:
        self.engine.dispose()


def migrate(place: Path | str, revision: str = "head") -> None:
    """Brings the database to `revision` in one transaction, so that a kill leaves the old version or the new.

    Several processes may start at once: one migrates, the others wait for it.
    """
    wanted = newest() if revision == "head" else revision
    target = dialect.of(place)
    target.prepare()
    if target.version() == wanted:
        return
    with target.migrating():
        found = target.version()
        if found == wanted:
            return
        known = revisions()
        if found is not None and found not in known:
            raise ConfigError(
                "database_newer",
                f"{target.shown} is at version {found}; this Tidemill knows {known[0]} to {known[-1]}",
                hint="install the newer Tidemill again, or restore the database from a backup",
            )
        give_up = time.monotonic() + dialect.MIGRATE_S
        while True:
            try:
                _alembic(target, found, wanted)
                break
            except SQLAlchemyError as error:
                # A table that others use all the time is asked for again and again, never for long.
                busy = failure(error, place).code == "database_busy"
                if not busy or time.monotonic() > give_up:
                    raise
                time.sleep(_PAUSE_S)


def revisions() -> list[str]:
    """All versions, oldest first: the first four characters of the migrations' file names."""
    return sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def newest() -> str:
    """The version that this Tidemill writes."""
    return revisions()[-1]


def version(place: Path | str) -> str | None:
    """The version of the database; None where there is none yet. Cheap: a start needs no migration tool."""
    return dialect.of(place).version()


def _alembic(target: dialect.Dialect, found: str | None, wanted: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = target.engine()
    try:
        with engine.connect() as connection:
            connection.execution_options(tidemill_write=True)
            with connection.begin():
                target.begin_migration(connection)
                config.attributes["connection"] = connection
                if found is not None and found > wanted:
                    command.downgrade(config, wanted)
                else:
                    command.upgrade(config, wanted)
    finally:
        engine.dispose()


def now_ns() -> int:
    """Wall clock, ns since the epoch."""
    return time.time_ns()
