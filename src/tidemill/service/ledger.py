"""Copies gap records from journal and lake into the gap ledger, so that listing them touches one table."""

from __future__ import annotations

import asyncio
import contextlib

import anyio

from tidemill.metadata import Metadata, gap
from tidemill.model.gap import Gap
from tidemill.service import log
from tidemill.service.view import View

READ_S = 2.0


class Ledger:
    """A background task; a round that fails is logged once and tried again."""

    def __init__(self, metadata: Metadata, view: View) -> None:
        self._metadata = metadata
        self._view = view
        self._task: asyncio.Task[None] | None = None
        self._failed = ""
        self._merged: set[Gap] = set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(self.read)
                self._failed = ""
            except Exception as error:
                if str(error) != self._failed:
                    self._failed = str(error)
                    log.logger.warning("gap records cannot be read: %s", error)
            await asyncio.sleep(READ_S)

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
