"""Connections to PostgreSQL: a few, each used by one thread at a time, and what their errors mean."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from tidemill.address import shown
from tidemill.errors import ConfigError
from tidemill.stores.api import UnavailableError

CONNECT_S = 5
STATEMENT_S = 60
LOCK_S = 15
IDLE_IN_TRANSACTION_S = 20
"""A writer that was stopped in the middle holds its locks no longer than this."""
KEPT = 4
"""Connections that wait for their next use."""

_DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "application_name": "tidemill",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # Unsent data to a host that is gone, in ms.
    "tcp_user_timeout": 20_000,
}
_SETTINGS = {
    "statement_timeout": f"{STATEMENT_S}s",
    "lock_timeout": f"{LOCK_S}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    # Compiling a query takes longer than any of ours should.
    "jit": "off",
}

_AWAY = ("08", "40", "53", "57", "58")
"""Classes of SQLSTATE that pass: connection, rollback (serialization, deadlock), resources, operator,
system."""
_AWAY_STATES = frozenset({"55P03", "25006", "25P03", "25P02"})
"""A lock was not to be had; a standby answers; we were idle in a transaction for too long."""
_DATA = ("22", "23", "54")
"""Classes that a row is guilty of: its values, a constraint, a limit."""
_REFUSED = ("28", "3D", "3F", "42501")
"""Who we are, a database or schema that is not there, what we may not do."""


class Connections:
    """A small pool. Connections are opened where none waits, and closed after any error."""

    def __init__(self, url: str, search_path: str | None = None) -> None:
        self._settings = _SETTINGS if search_path is None else {**_SETTINGS, "search_path": search_path}
        self.shown = shown(url)
        scheme, _, rest = url.partition(":")
        try:
            asked = conninfo_to_dict(f"{scheme.partition('+')[0]}:{rest}")
        except psycopg.ProgrammingError as error:
            raise ConfigError(
                "address_invalid",
                f"{self.shown!r} is no address of a PostgreSQL database",
                hint="postgresql://user:password@host:5432/database",
            ) from error
        self._words = {**_DEFAULTS, **asked}
        self._lock = threading.Lock()
        self._idle: list[Connection[Any]] = []

    @contextmanager
    def use(self) -> Iterator[Connection[Any]]:
        """A connection in autocommit. Raises `UnavailableError` and `ConfigError` as `meaning` says; after an
        error the connection is closed, so that nothing of it comes back."""
        connection = self._waiting()
        whole = False
        try:
            if connection is None:
                connection = self._open()
            yield connection
            whole = True
        except psycopg.Error as error:
            raise self.meaning(error) from error
        finally:
            if connection is not None:
                if whole and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                    with self._lock:
                        keep = len(self._idle) < KEPT
                        if keep:
                            self._idle.append(connection)
                    if not keep:
                        connection.close()
                else:
                    connection.close()

    def _waiting(self) -> Connection[Any] | None:
        """A connection that waits and that the server has not ended, such as by a restart, meanwhile."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or _stands(connection):
                return connection
            connection.close()

    def _open(self) -> Connection[Any]:
        # Never prepared: a plan must see the times asked for, to leave out the other days.
        connection = psycopg.connect(autocommit=True, prepare_threshold=None, **self._words)
        connection.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)",
            (list(self._settings), list(self._settings.values())),
        )
        return connection

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def meaning(self, error: psycopg.Error) -> Exception:
        """What an error of the driver is to our callers."""
        state = error.sqlstate or ""
        told = str(error).strip().partition("\n")[0]
        if state.startswith(_REFUSED) or (not state and _refused(told)):
            return ConfigError(
                "store_refused",
                f"the database at {self.shown} refuses: {told}",
                hint="check user, password, database and rights in TIDEMILL_STORE_URL",
            )
        if is_away(error):
            return UnavailableError(f"the database at {self.shown} is away: {told}")
        return error


def _stands(connection: Connection[Any]) -> bool:
    """False when the other end has closed, or said anything: nobody has asked. Costs no round trip."""
    if connection.closed:
        return False
    poll = select.poll()  # not select(), which knows no descriptor above 1,023
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)


def _refused(told: str) -> bool:
    """While connecting, libpq gives words instead of an SQLSTATE."""
    return (
        any(
            words in told
            for words in (
                "authentication failed",
                "does not exist",
                "no password supplied",
                "no pg_hba.conf entry",
            )
        )
        and "socket" not in told
    )


def is_away(error: psycopg.Error) -> bool:
    """True when the same may go well later."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state.startswith(_AWAY) or state in _AWAY_STATES


def is_data(error: psycopg.Error) -> bool:
    """True when some row is at fault, and the others are not."""
    return (error.sqlstate or "").startswith(_DATA) or (
        error.sqlstate is None and isinstance(error, psycopg.DataError)
    )
