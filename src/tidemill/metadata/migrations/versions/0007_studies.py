"""Studies, their trials, and the ledger of every trial ever made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("family", sa.String, nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("data", sa.String),
        sa.Column("source", sa.String),
        sa.Column("job", sa.String),
        sa.Column("error", sa.JSON),
        sa.Column("result", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
    )
    op.create_index("ix_studies_created", "studies", ["created", "id"])
    op.create_table(
        "study_trials",
        sa.Column("study", sa.String, nullable=False),
        sa.Column("part", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("vals", sa.JSON, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("returns", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.String),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("study", "part", "number", name="pk_study_trials"),
    )
    op.create_table(
        "trials",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("family", sa.String, nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("sharpe", sa.Float),
        sa.Column("periods", sa.Integer, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
        sa.UniqueConstraint("family", "dataset", "fingerprint", name="uq_trials_family"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("trials")
    op.drop_table("study_trials")
    op.drop_index("ix_studies_created", "studies")
    op.drop_table("studies")
