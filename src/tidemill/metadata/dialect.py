"""What SQLite and PostgreSQL do differently; everything else of this package runs on both as it is.

    SQLite                                    PostgreSQL
    a file of the home, WAL, fsync            schema `tidemill_metadata` of a database
    BEGIN IMMEDIATE: one writer at a time     an advisory lock at the start of each write: the same
    migrations hold a lock beside the file    migrations hold an advisory lock
    followers look every half second          followers are told by NOTIFY, and look all the same

One writer at a time is what makes event ids become visible in their order, so that who asks for `id > last`
misses none, and what keeps a change that reads before it writes from racing with another.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tidemill import address
from tidemill.errors import (
    ConfigError,
    DeadlineError,
    ResourceError,
    TidemillError,
    UpstreamError,
    UsageError,
)

if TYPE_CHECKING:
    import psycopg

BUSY_S = 10.0
"""How long a writer waits for the others."""
CONNECT_S = 3
STATEMENT_S = 30
STUCK_S = 30
"""A transaction that does nothing for so long is ended by PostgreSQL: its process may be stopped."""
MIGRATE_LOCK_S = 0.5
"""How long a migration waits for a table, and keeps others waiting behind it, before it tries again."""
MIGRATE_S = 60.0
# Not the name of a likely user: the store's tables go where "$user" leads, and both have a table `gaps`.
SCHEMA = "tidemill_metadata"
_CHANNEL = "tidemill_event"
# The first number of our advisory locks: the letters `meta`.
_LOCKS = 0x6D657461
_WRITE, _MIGRATE = 1, 2
# Extended codes of SQLite have one of these in their low byte.
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
_NO_SPACE = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
# SQLSTATEs and their classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_BUSY = ("40001", "40P01", "55P03", "57014", "25P03", "25P04", "53300")
_REFUSED = ("28", "3D", "42501")
# A failed connection has no state, only words.
_REFUSALS = ("authentication failed", "no password supplied", "pg_hba.conf", "does not exist")
_UNWRITABLE = ("53100", "53200", "25006")
_UNFIT = ("22", "21")


class Dialect(Protocol):
    """One kind of database at one place."""

    @property
    def shown(self) -> str:
        """Where it is, without a password."""

    def engine(self) -> Engine:
        """Connections with JSON and time limits as this package wants them."""

    def version(self) -> str | None:
        """The version of its tables; None where there are none yet. Needs no migration tool."""

    def prepare(self) -> None:
        """Makes what holds the tables."""

    def migrating(self) -> contextlib.AbstractContextManager[None]:
        """Held by the one process that migrates."""

    def begin_migration(self, connection: Connection) -> None:
        """Called in the migration's transaction before its first statement."""

    def listen(self, heard: Callable[[], None], stopping: threading.Event) -> bool:
        """Calls `heard` at each new event until `stopping`; False at once where nobody tells."""


def of(place: Path | str, schema: str = SCHEMA) -> Dialect:
    """The dialect of a file's path or a URL. A server has the tables in `schema`."""
    return Sqlite(place) if isinstance(place, Path) else Postgres(place, schema)


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def tell(connection: Connection) -> None:
    """Wakes who follows the events, once the caller's transaction is committed."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")


class Sqlite:
    """A file: readers never wait, writers wait up to `BUSY_S` for each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = str(path)

    def engine(self) -> Engine:
        engine = create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": BUSY_S, "check_same_thread": False},
            json_serializer=_dumps,
            pool_size=8,
            max_overflow=24,
        )

        @event.listens_for(engine, "connect")
        def _connected(connection: sqlite3.Connection, _record: object) -> None:
            # Python's driver would begin transactions by its own rules (not for DDL): `_begin` does it.
            connection.isolation_level = None
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # A transaction that starts by reading and then writes may be refused at once.
            write = connection.get_execution_options().get("tidemill_write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        return engine

    def version(self) -> str | None:
        if not self.path.exists():
            return None
        with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_S)) as connection:
            try:
                row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return None
                raise
        return str(row[0]) if row else None

    def prepare(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextlib.contextmanager
    def migrating(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
            self.path.chmod(0o600)

    def begin_migration(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE has done it."""

    def listen(self, heard: Callable[[], None], stopping: threading.Event) -> bool:
        return False


class Postgres:
    """A database on a server, by psycopg 3."""

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        """Raises `ConfigError` for a URL that is none, and where psycopg is not installed."""
        self.shown = address.shown(url)
        self.schema = schema
        self._url = url
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(
                "extra_missing",
                f"{self.shown} needs psycopg, which is not installed",
                hint="pip install 'tidemill[postgres]'",
            ) from error
        try:
            given = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error as error:
            raise ConfigError(
                "address_invalid",
                f"{self.shown} is no address of a PostgreSQL database",
                hint="docs/config.md has an example",
            ) from error
        limits = {
            "search_path": schema,
            "lock_timeout": f"{BUSY_S * 1000:.0f}",
            "statement_timeout": f"{STATEMENT_S * 1000}",
            "idle_in_transaction_session_timeout": f"{STUCK_S * 1000}",
            "timezone": "UTC",
        }
        options = " ".join(f"-c {name}={value}" for name, value in limits.items())
        self._arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_S,
            "application_name": "tidemill",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            **given,
            "options": f"{options} {given.get('options', '')}".strip(),
        }

    def engine(self) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            json_serializer=_dumps,
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=12,
            pool_timeout=BUSY_S,
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            if connection.get_execution_options().get("tidemill_write", False):
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCKS}, {_WRITE})")
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

        return engine

    def version(self) -> str | None:
        with contextlib.closing(self._connect()) as connection:
            there = connection.execute(
                "SELECT to_regclass(%s)", [f"{self.schema}.alembic_version"]
            ).fetchone()
            if there is None or there[0] is None:
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None

    def prepare(self) -> None:
        """By `begin_migration`: together with the tables or not at all."""

    @contextlib.contextmanager
    def migrating(self) -> Iterator[None]:
        """A lock of a session: it ends with its process."""
        with contextlib.closing(self._connect()) as connection:
            connection.autocommit = True
            connection.execute(f"SET lock_timeout = {MIGRATE_S * 1000:.0f}")
            connection.execute(f"SET statement_timeout = {MIGRATE_S * 1000:.0f}")
            connection.execute(f"SELECT pg_advisory_lock({_LOCKS}, {_MIGRATE})")
            yield

    def begin_migration(self, connection: Connection) -> None:
        # Whoever waits for a table makes everybody wait who comes later: so never for long.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {MIGRATE_LOCK_S * 1000:.0f}")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {MIGRATE_S * 1000:.0f}")
        there = connection.exec_driver_sql(f"SELECT to_regnamespace('{self.schema}')").scalar()
        if there is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {self.schema}")

    def listen(self, heard: Callable[[], None], stopping: threading.Event) -> bool:
        import psycopg

        while not stopping.is_set():
            with contextlib.suppress(psycopg.Error), contextlib.closing(self._connect()) as connection:
                connection.autocommit = True
                connection.execute(f"LISTEN {_CHANNEL}")
                heard()  # of what came while nobody listened
                while not stopping.is_set():
                    for _ in connection.notifies(timeout=1.0, stop_after=1):
                        heard()
            stopping.wait(1.0)
        return True

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg

        return psycopg.connect(**self._arguments)


def failure(
    error: Exception, place: Path | str = "DIR/tidemill.db", name: str = "metadata database"
) -> TidemillError:
    """What the database or the system said, as an error for people: busy, full, away, refused, damaged."""
    cause = getattr(error, "orig", None) or error
    shown = place if isinstance(place, Path) else address.shown(place)
    what = f"the {name} {shown} cannot be used: {_first_line(cause)}"
    if isinstance(error, PoolTimeout):
        return DeadlineError("database_busy", what, hint="all its connections are in use: try again")
    if type(cause).__module__.startswith("psycopg"):
        return _of_postgres(cause, getattr(cause, "sqlstate", None) or "", what)
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


def _of_postgres(cause: Exception, state: str, what: str) -> TidemillError:
    import psycopg

    if state in _BUSY:
        return DeadlineError("database_busy", what, hint="others hold it: try again")
    if state in _UNWRITABLE:
        return ResourceError(
            "database_unwritable",
            what,
            hint="free some space on its server, or name the server that takes writes",
            http_status=507,
        )
    if state.startswith(_REFUSED) or (not state and any(text in str(cause) for text in _REFUSALS)):
        return ConfigError(
            "database_refused",
            what,
            hint="set user, password and database in TIDEMILL_DATABASE_URL; the user makes its own tables",
        )
    # Without a state it is the driver itself that refuses a value, such as a text with a NUL.
    if state.startswith(_UNFIT) or (not state and isinstance(cause, psycopg.DataError)):
        return UsageError(
            "value_unfit",
            "a value that was sent cannot be stored or compared",
            hint="leave out control characters",
        )
    if state and not state.startswith(("08", "57")):
        return ConfigError(
            "database_unreadable", what, hint="restore it from a backup: journal and lake do not depend on it"
        )
    return UpstreamError(
        "database_down",
        what,
        hint="start its server, or correct TIDEMILL_DATABASE_URL; it is asked again at the next try",
        http_status=503,
    )


def _first_line(cause: Exception) -> str:
    return str(cause).strip().partition("\n")[0]


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
