"""Background work in rounds, each in a worker thread, for as long as the service serves."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import anyio

from tidemill.service import log


class Turn:
    """Which of the service processes of one home does the rounds: the one that holds a lock, from its first
    round until it ends. However it ends, the next round is another's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: TextIO | None = None

    def mine(self) -> bool:
        """Whether this process holds the lock, or can have it now."""
        with self._lock:
            if self._held is None:
                file = self._path.open("a")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                    return False
                self._held = file
            return True

    def release(self) -> None:
        """Lets another have it."""
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None


class Round:
    """Does `work` every `pause_s`, where it is this process's turn. A round that fails is logged once, as
    `failure`, and tried again."""

    def __init__(
        self, work: Callable[[], object], pause_s: float, failure: str, turn: Turn | None = None
    ) -> None:
        self._work = work
        self._pause_s = pause_s
        self._failure = failure
        self._turn = turn
        self._failed = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._turn:
            self._turn.release()

    async def _run(self) -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(self._round)
                self._failed = ""
            except Exception as error:
                if str(error) != self._failed:
                    self._failed = str(error)
                    log.logger.warning("%s: %s", self._failure, error)
            await asyncio.sleep(self._pause_s)

    def _round(self) -> None:
        if self._turn is None or self._turn.mine():
            self._work()
