"""Tells followers that there are new application events, whoever wrote them: this process or another."""

from __future__ import annotations

import asyncio
import contextlib

import anyio

from tidemill.metadata import Metadata, event
from tidemill.service import log

LOOK_S = 0.5


class Follow:
    """Watches the newest event id; followers wait for it to pass the one they have."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._newest = 0
        self._look = asyncio.Event()
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="follow")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Looks now instead of at the next half second."""
        self._look.set()

    async def beyond(self, event_id: int) -> None:
        """Returns once there is an event after `event_id`."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._newest > event_id)

    async def page(self, event_id: int, limit: int) -> list[event.Event]:
        """Events after `event_id`, oldest first."""
        return await anyio.to_thread.run_sync(self._page, event_id, limit)

    async def _run(self) -> None:
        while True:
            try:
                newest = await anyio.to_thread.run_sync(self._read_newest)
            except Exception as error:
                log.logger.warning("the newest event cannot be read: %s", error)
                newest = self._newest
            if newest > self._newest:
                self._newest = newest
                async with self._moved:
                    self._moved.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()
            self._look.clear()

    def _read_newest(self) -> int:
        with self._metadata.read() as connection:
            return event.newest_id(connection)

    def _page(self, event_id: int, limit: int) -> list[event.Event]:
        with self._metadata.read() as connection:
            return event.after(connection, event_id, limit)
