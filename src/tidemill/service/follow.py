"""Tells followers that there are new application events, whoever wrote them: this process or another."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import anyio

from tidemill.cache import Shared
from tidemill.metadata import Metadata, event
from tidemill.service import log

LOOK_S = 0.5
EVENT = "event"
"""The topic on which processes tell each other that one was written."""


class Follow:
    """Watches the newest event id; followers wait for it to pass the one they have.

    It looks when somebody says that there is one (the channel, PostgreSQL), and every half second all the
    same: who writes past the service tells nobody.
    """

    def __init__(self, metadata: Metadata, cache: Shared) -> None:
        self._metadata = metadata
        self._cache = cache
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newest = 0
        self._look = asyncio.Event()
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._cache.subscribe(EVENT, lambda _message: self.wake())
        self._task = asyncio.create_task(self._run(), name="follow")
        threading.Thread(
            target=self._metadata.listen, args=(self.wake, self._stopping), name="listen", daemon=True
        ).start()

    async def close(self) -> None:
        self._stopping.set()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Looks now instead of at the next half second. For any thread."""
        if self._loop is not None and not self._stopping.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._look.set)

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
