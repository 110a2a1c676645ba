"""One-use keys and browser sessions. A key is stored as its SHA-256: reading the database gives no entry."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.table import keys, sessions

KEY_S = 600
SESSION_S = 7 * 24 * 3600
_S = 1_000_000_000


@dataclass(frozen=True)
class Session:
    """A browser that was let in. Times in ns UTC."""

    id: str
    subject: str
    created: int
    expires: int
    revoked: int | None

    def holds(self, now: int) -> bool:
        """Whether it still lets anyone in at `now` (ns UTC)."""
        return self.revoked is None and now < self.expires


def issue_key(connection: Connection, *, actor: str, subject: str = "owner", purpose: str = "session") -> str:
    """A new one-use key, good for ten minutes. Its text is nowhere else: print it or lose it."""
    key = secrets.token_urlsafe(24)
    now = now_ns()
    connection.execute(
        insert(keys).values(
            hash=_hash(key), purpose=purpose, subject=subject, created=now, expires=now + KEY_S * _S
        )
    )
    event.append(connection, "key_issued", subject, actor=actor, data={"purpose": purpose})
    return key


def redeem_key(connection: Connection, key: str, *, cause: str | None = None) -> Session | None:
    """Exchanges a key for a session; None when it is unknown, used or too old. Works once."""
    now = now_ns()
    used = connection.execute(
        update(keys)
        .where(
            keys.c.hash == _hash(key),
            keys.c.purpose == "session",
            keys.c.used.is_(None),
            keys.c.expires > now,
        )
        .values(used=now)
        .returning(keys.c.subject)
    ).scalar()
    return None if used is None else open_session(connection, str(used), cause=cause)


def open_session(connection: Connection, subject: str, *, cause: str | None = None) -> Session:
    """A new session for a subject who has proved who they are."""
    now = now_ns()
    session = Session(secrets.token_hex(8), subject, now, now + SESSION_S * _S, None)
    connection.execute(insert(sessions).values(**session.__dict__))
    event.append(connection, "session_opened", session.id, actor=subject, cause=cause)
    return session


def session(connection: Connection, session_id: str) -> Session | None:
    """The session of that id, ended or not; None when there is none."""
    row = connection.execute(select(sessions).where(sessions.c.id == session_id)).one_or_none()
    return None if row is None else Session(*row)


def end_session(connection: Connection, session_id: str, *, actor: str, cause: str | None = None) -> bool:
    """Ends a session; False when it had ended already."""
    ended = connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.revoked.is_(None))
        .values(revoked=now_ns())
    ).rowcount
    if ended:
        event.append(connection, "session_closed", session_id, actor=actor, cause=cause)
    return bool(ended)


def trim_keys(connection: Connection) -> int:
    """Deletes keys that have been of no use for a day; returns how many."""
    return connection.execute(delete(keys).where(keys.c.expires < now_ns() - 24 * 3600 * _S)).rowcount


def trim_sessions(connection: Connection) -> int:
    """Deletes sessions that are over; returns how many."""
    return connection.execute(delete(sessions).where(sessions.c.expires < now_ns())).rowcount


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
