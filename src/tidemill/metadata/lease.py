"""Leases on cached answers: begun, renewed by a heartbeat every minute, over after half an hour without."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, insert, select, update

from tidemill.metadata.database import now_ns
from tidemill.metadata.table import leases

HEARTBEAT_S = 60
EXPIRES_S = 30 * 60
_S = 1_000_000_000


def begin(connection: Connection, subject: str) -> str:
    """A new lease's id."""
    lease = secrets.token_hex(16)
    now = now_ns()
    connection.execute(insert(leases).values(id=lease, subject=subject, created=now, seen=now))
    return lease


def beat(connection: Connection, lease: str, subject: str) -> bool:
    """Renews a lease; False where the subject has none of that id, or it is over."""
    alive = (leases.c.id == lease, leases.c.subject == subject, leases.c.seen >= now_ns() - EXPIRES_S * _S)
    return bool(connection.execute(update(leases).where(*alive).values(seen=now_ns())).rowcount)


def alive(connection: Connection, lease: str, subject: str) -> bool:
    """Whether the subject has that lease, and it is not over."""
    seen = connection.execute(
        select(leases.c.seen).where(leases.c.id == lease, leases.c.subject == subject)
    ).scalar()
    return seen is not None and int(seen) >= now_ns() - EXPIRES_S * _S


def trim(connection: Connection) -> int:
    """Deletes leases that are over; returns how many."""
    return connection.execute(delete(leases).where(leases.c.seen < now_ns() - EXPIRES_S * _S)).rowcount
