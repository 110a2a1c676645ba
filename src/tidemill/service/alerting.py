"""Alerts while the service serves: the facts are gathered, the rules looked at, the channels told.

Of several service processes of one home one does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tidemill.metadata import event
from tidemill.service import log
from tidemill.service.round import Round, Turn

if TYPE_CHECKING:
    from tidemill.alerts.post import Post
    from tidemill.alerts.watcher import Watcher
    from tidemill.metadata.alert import Rule
    from tidemill.metadata.event import Event
    from tidemill.service.platform import Platform
    from tidemill.service.view import View
    from tidemill.stores.live import LiveView

T = TypeVar("T")
LOOK_S = 0.5
POST_S = 0.5
EVENTS_MAX = 1_000
"""Of one look; what is more is seen at the next."""


@dataclass
class Seen:
    """What one look sees (`alerts.kind.api.Facts`)."""

    view: View
    now: int = field(default_factory=time.time_ns)
    events: list[Event] = field(default_factory=list)
    collectors: list[dict[str, Any]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    queues: Mapping[str, float] = field(default_factory=dict)

    def resolve(self, asked: str) -> str:
        return self.view.resolve(asked)

    def live(self, ask: Callable[[LiveView], T]) -> T:
        return self.view.call(ask)


class Alerts:
    """The looks and the post of one service process."""

    def __init__(self, service: Platform) -> None:
        self._service = service
        self._turn = Turn(service.home.run / "alerts.lock")
        self._made: tuple[Watcher, Post] | None = None
        self._post = Round(self._tell, POST_S, "what has fired cannot be told", self._turn)
        self._task: asyncio.Task[None] | None = None
        self._position: int | None = None
        self._rules: list[Rule] = []
        self._failed = ""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="alerts")
        self._post.start()

    async def close(self) -> None:
        """Ends the looks, and writes what the rules keep."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._made and self._rules:
            try:
                await self._service.run(self._made[0].flush, self._rules)
            except Exception as error:
                log.logger.warning("what alerts keep cannot be written: %s", error)
        await self._post.close()

    async def _run(self) -> None:
        while True:
            try:
                if await self._service.run(self._turn.mine):
                    await self._look()
                self._failed = ""
            except Exception as error:
                if str(error) != self._failed:
                    self._failed = str(error)
                    log.logger.warning("alerts cannot be looked at: %s", error)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        watcher, _ = await self._service.run(self._parts)
        if self._position is None:
            self._position = await self._service.read(event.newest_id)
        self._rules = await self._service.run(watcher.rules)
        if self._rules:
            seen = await self._seen(watcher.sees())
            if await self._service.run(watcher.look, self._rules, seen):
                self._service.follow.wake()
            if seen.events:
                self._position = seen.events[-1].id
        else:
            self._position = None  # what happens while nothing is watched is no news to the next rule

    async def _seen(self, wanted: frozenset[str]) -> Seen:
        from tidemill.service import collecting, health

        service = self._service
        seen = Seen(service.view)
        # Read on even when no rule wants them, so that the next rule does not begin with what is long over.
        seen.events = await service.follow.page(self._position or 0, EVENTS_MAX)
        if "collectors" in wanted:
            seen.collectors = (await collecting.status(service))["collectors"]
        if "parts" in wanted:
            seen.parts = await health.survey(service)
        if "queues" in wanted:
            seen.queues = await self._queues()
        return seen

    async def _queues(self) -> dict[str, float]:
        from tidemill.metadata import job

        recorder = (await self._service.watch.parts()).get("recorder")
        venues = ((recorder.said or {}).get("venues") or {}) if recorder else {}
        behind = sum(int(one.get("lag_records", 0)) for one in venues.values())
        depth = await self._service.read(job.depth)
        waiting = sum(count for (_, state), count in depth.items() if state == "queued")
        return {"recorder": float(behind), "jobs": float(waiting)}

    def _parts(self) -> tuple[Watcher, Post]:
        """Made at the first look: at the start of the service their imports would cost its first answer."""
        if self._made is None:
            from tidemill.alerts.post import Post
            from tidemill.alerts.watcher import Watcher

            self._made = Watcher(self._service.metadata), Post(self._service.metadata)
        return self._made

    def _tell(self) -> int:
        return self._parts()[1].read()
