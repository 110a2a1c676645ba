"""The table of jobs becomes a queue: attempts, lease and token, progress in units, checkpoint, logs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempts_max", sa.Integer, nullable=False, server_default="3"),
        sa.Column("token", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("holder", sa.String),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("run_after", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cancel_asked", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("done", sa.BigInteger),
        sa.Column("total", sa.BigInteger),
        sa.Column("unit", sa.String),
        sa.Column("rate", sa.Float),
        sa.Column("eta_s", sa.Float),
        sa.Column("note", sa.String),
        sa.Column("result", sa.JSON),
        sa.Column("checkpoint", sa.JSON),
        sa.Column("key", sa.String),
    )


def upgrade() -> None:
    for column in _columns():
        op.add_column("jobs", column)
    # Nobody holds what ran under the old rules; its lease is over, so that the first worker sees to it.
    op.execute("UPDATE jobs SET lease_until = 0, attempts = 1 WHERE state = 'running'")
    op.create_index("ix_jobs_queue", "jobs", ["state", "owner", "priority", "created"])
    op.create_index("ix_jobs_owner_started", "jobs", ["owner", "started"])
    open_ones = sa.text("ended IS NULL")
    op.create_index(
        "uq_jobs_owner_key",
        "jobs",
        ["owner", "key"],
        unique=True,
        sqlite_where=open_ones,
        postgresql_where=open_ones,
    )
    op.create_table(
        "job_logs",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("level", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_logs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_logs_job", "job_logs", ["job_id", "id"])


def downgrade() -> None:
    op.drop_table("job_logs")
    for name in ("uq_jobs_owner_key", "ix_jobs_owner_started", "ix_jobs_queue"):
        op.drop_index(name, "jobs")
    if op.get_bind().dialect.name == "sqlite":
        _copy_back()
        return
    for column in reversed(_columns()):
        op.drop_column("jobs", column.name)


def _copy_back() -> None:
    """SQLite writes the whole table anew for each column that it drops: here once for all of them."""
    names = ("id", "kind", "state", "progress", "owner", "created", "started", "ended", "detail", "error")
    op.drop_index("ix_jobs_created", "jobs")
    op.rename_table("jobs", "jobs_0003")
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("started", sa.BigInteger),
        sa.Column("ended", sa.BigInteger),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("error", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    old, new = (sa.table(table, *map(sa.column, names)) for table in ("jobs_0003", "jobs"))
    op.execute(sa.insert(new).from_select(names, sa.select(old)))
    op.drop_table("jobs_0003")
    op.create_index("ix_jobs_created", "jobs", ["created", "id"])
