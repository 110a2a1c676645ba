"""The venue's own ids at the edges of a gap: what a backfill asks the venue for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NAMES = ("venue_sequence_open", "venue_sequence_end")


def upgrade() -> None:
    for name in _NAMES:
        op.add_column("gaps", sa.Column(name, sa.BigInteger))


def downgrade() -> None:
    for name in _NAMES:
        op.drop_column("gaps", name)
