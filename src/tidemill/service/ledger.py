"""Copies gap records from journal and lake into the gap ledger, so that listing them touches one table."""

from __future__ import annotations

from tidemill.metadata import Metadata, gap
from tidemill.model.gap import Gap
from tidemill.service.view import View

READ_S = 2.0


class Ledger:
    """Knows which gaps it has written already."""

    def __init__(self, metadata: Metadata, view: View) -> None:
        self._metadata = metadata
        self._view = view
        self._merged: set[Gap] = set()

    def read(self) -> int:
        """One round; returns how many rows of the ledger changed."""
        found = {Gap(**row) for row in self._view.call(lambda live: live.gaps())}
        new = found - self._merged
        if not new:
            return 0
        with self._metadata.write() as connection:
            changed = gap.merge(connection, sorted(new, key=lambda row: row.opened_at))
        self._merged = found
        return changed
