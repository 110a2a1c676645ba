"""What people say of datasets, who follows them, leases on answers, and rows that are projected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("description", sa.String),
        sa.Column("category", sa.String),
        sa.Column("licence", sa.String),
        sa.Column("retention_days", sa.Integer),
        sa.Column("accessed", sa.BigInteger),
        sa.Column("changed", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("dataset", "subject", name="pk_subscriptions"),
    )
    op.create_table(
        "leases",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
    )
    op.create_table(
        "projections",
        sa.Column("instrument", sa.String, nullable=False),
        sa.Column("interval", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("row", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("instrument", "interval", "source", "ts", name="pk_projections"),
    )


def downgrade() -> None:
    for name in ("projections", "leases", "subscriptions", "datasets"):
        op.drop_table(name)
