"""Strategies that came over HTTP, with every version of their code."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "strategies",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("metrics", sa.JSON),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.BigInteger),
        sa.PrimaryKeyConstraint("name", name="pk_strategies"),
    )
    op.create_table(
        "strategy_versions",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_strategy_versions"),
    )


def downgrade() -> None:
    for name in ("strategy_versions", "strategies"):
        op.drop_table(name)
