"""Background work in rounds, each in a worker thread, for as long as the service serves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import anyio

from tidemill.service import log


class Round:
    """Does `work` every `pause_s`. A round that fails is logged once, as `failure`, and tried again."""

    def __init__(self, work: Callable[[], object], pause_s: float, failure: str) -> None:
        self._work = work
        self._pause_s = pause_s
        self._failure = failure
        self._failed = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(self._work)
                self._failed = ""
            except Exception as error:
                if str(error) != self._failed:
                    self._failed = str(error)
                    log.logger.warning("%s: %s", self._failure, error)
            await asyncio.sleep(self._pause_s)
