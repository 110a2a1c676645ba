"""Alert rules, and what has fired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("terms", sa.JSON, nullable=False),
        sa.Column("channels", sa.JSON, nullable=False),
        sa.Column("cooldown_s", sa.Integer, nullable=False),
        sa.Column("once", sa.Boolean, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("fired", sa.BigInteger),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("trouble", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_table(
        "firings",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("alert", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("noticed", sa.BigInteger, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("message", sa.String, nullable=False),
        sa.Column("test", sa.Boolean, nullable=False),
        sa.Column("channels", sa.JSON, nullable=False),
        sa.Column("deliveries", sa.JSON, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_firings"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_firings_alert", "firings", ["alert", "id"])
    op.create_index("ix_firings_waiting", "firings", ["waiting", "id"])


def downgrade() -> None:
    op.drop_index("ix_firings_waiting", "firings")
    op.drop_index("ix_firings_alert", "firings")
    op.drop_table("firings")
    op.drop_table("alerts")
