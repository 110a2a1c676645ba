"""Files that people bring: recipes of their columns, imports that were made, dated facts of instruments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "recipes",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_recipes"),
    )
    op.create_table(
        "imports",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("result", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
    )
    op.create_index("ix_imports_created", "imports", ["created", "id"])
    op.create_table(
        "facts",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("instrument", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("date", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("ts_known", sa.BigInteger, nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("void", sa.Boolean, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_facts"),
        sa.UniqueConstraint("instrument", "kind", "date", "source", "ts_known", name="uq_facts_instrument"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_facts_instrument", "facts", ["instrument", "date"])


def downgrade() -> None:
    op.drop_index("ix_facts_instrument", "facts")
    op.drop_table("facts")
    op.drop_index("ix_imports_created", "imports")
    op.drop_table("imports")
    op.drop_table("recipes")
