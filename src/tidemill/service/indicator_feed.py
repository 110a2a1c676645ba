"""Indicators as their bars move: one reading of an instrument's bars for everyone who follows it.

A feed looks at the bars of one instrument and interval four times a second and keeps as many as its
followers' indicators have to see. Values are computed for whoever asks, by the code of REST, so a bar that
has closed has the same value here and there. Followers take what they do not have yet: nothing waits for
them, and who is slow gets fewer provisional values, not old ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill.errors import ResourceError, TidemillError
from tidemill.service import log

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tidemill.calculated import Wanted
    from tidemill.service.platform import Platform

LOOK_S = 0.25
"""Between two looks at the bars: provisional values come at most this often."""
AGAIN = 8
"""Closed bars that are read again with each look: a late trade may have changed them."""
NEW_MAX = 1_000
"""Bars of one look; after a longer sleep everything is read anew."""
GROWN_MAX = 4_096
"""Bars taken in before those that are no longer needed are let go."""
ROWS_MAX = 4_000_000
"""Bars that all feeds of this process hold."""
CHANGES = 256
"""Changes of closed bars that are kept in mind."""


@dataclass(frozen=True)
class Need:
    """An indicator that is followed, and where it begins if it remembers everything."""

    wanted: Wanted
    since: int | None

    @property
    def key(self) -> tuple[str, int | None]:
        return self.wanted.text, self.since


@dataclass(frozen=True)
class Fresh:
    """What a follower does not have yet."""

    ts: list[int]
    """Starts of bars that have closed, ns."""
    values: dict[str, npt.NDArray[np.float64]]
    current_ts: int | None
    current: dict[str, float]


class Feed:
    """Bars of one instrument and interval. Its methods but `follow` run in worker threads."""

    def __init__(self, service: Platform, instrument: str, interval: str) -> None:
        self.instrument = instrument
        self.interval = interval
        self.tick = 0
        """Goes up with every change that followers may want to see."""
        self.version = 0
        """Goes up when a closed bar was changed."""
        self.trouble: TidemillError | None = None
        """Why the bars cannot be read now."""
        self.needs: dict[tuple[str, int | None], tuple[Need, int]] = {}
        """What is followed, and by how many."""
        self.joining = 0
        """Followers that are about to be added."""
        self._service = service
        self._lock = threading.Lock()
        self._columns: dict[str, Any] = {}
        """Of closed bars, then of the open one where there is one."""
        self._closed = 0
        self._begun: dict[tuple[str, int | None], int | None] = {}
        self._floor = 0
        """Start of the first bar of which values can be computed."""
        self._loaded = 0
        self._changes: deque[tuple[int, int]] = deque(maxlen=CHANGES)
        """Versions, and the first bar that each changed."""

    @property
    def rows(self) -> int:
        """Bars that are held."""
        return len(self._columns["ts"]) if self._columns else 0

    def add(self, need: Need) -> None:
        """Begins to hold what this one has to see. Raises as `calculated.calculate`."""
        with self._lock:
            _, count = self.needs.get(need.key, (need, 0))
            self.needs[need.key] = need, count + 1
            if count == 0:
                try:
                    self._load()
                except BaseException:
                    del self.needs[need.key]
                    raise

    def drop(self, need: Need) -> None:
        """One follower fewer."""
        with self._lock:
            _, count = self.needs[need.key]
            if count > 1:
                self.needs[need.key] = need, count - 1
            else:
                del self.needs[need.key]

    def look(self) -> bool:
        """Reads what is new; whether there is anything."""
        with self._lock:
            if not self.needs:
                return False
            try:
                changed = self._read()
            except TidemillError as error:
                changed = self.trouble is None or self.trouble.code != error.code
                self.trouble = error
            else:
                changed = changed or self.trouble is not None
                self.trouble = None
            self.tick += changed
            return changed

    def revised(self, ts: int) -> None:
        """A stored bar that holds `ts` was changed by a late trade: everything is read anew."""
        from tidemill.model.interval import Interval

        with self._lock:
            if self.needs:
                with contextlib.suppress(TidemillError):
                    self._load()
                self._change(Interval.parse(self.interval).start(ts))
                self.tick += 1

    def fresh(self, need: Need, through: int | None, version: int) -> Fresh | int | None:
        """What is new to a follower that has the bars up to `through` and saw `version`; or a time from which
        on it must read everything again, None where that is all."""
        with self._lock:
            changed = [ts for at, ts in self._changes if at > version]
            if version < self.version and len(changed) < self.version - version:
                return None  # more has changed than is kept in mind
            if changed:
                return min(changed)
            newest = int(self._columns["ts"][self._closed - 1]) if self._closed else None
            if through is None:
                return self._values(need, 0) if newest is None else None
            if newest is not None and through < min(newest, self._floor):
                return through + 1
            return self._values(need, through + 1)

    def _values(self, need: Need, after: int) -> Fresh:
        import numpy as np

        from tidemill.calculated import over
        from tidemill.model.interval import Interval

        starts = self._columns["ts"]
        at = int(np.searchsorted(starts, max(after, self._floor)))
        at = min(at, self._closed)
        begun = self._begun.get(need.key, need.since)
        columns, _ = over(need.wanted, self._columns, at, Interval.parse(self.interval), begun)
        count = self._closed - at
        moving = len(starts) > self._closed
        return Fresh(
            starts[at : self._closed].tolist(),
            {name: values[:count] for name, values in columns.items()},
            int(starts[self._closed]) if moving else None,
            {name: float(values[count]) for name, values in columns.items()} if moving else {},
        )

    def _load(self) -> None:
        from tidemill import calculated
        from tidemill.model.interval import Interval

        parsed = Interval.parse(self.interval)
        needs = [need for need, _ in self.needs.values()]
        found = self._bars(None, AGAIN)
        shown = found.bars if len(found.bars) else found.current
        self._begun = {need.key: need.since for need in needs}
        parts: list[Any] = []
        if len(shown):
            first = int(shown["start"][0])
            # Indicators that begin at different times are read for one after the other: the longest is kept.
            sinces = {need.since for need in needs}
            best: tuple[int, list[Any]] = (first, [])
            for since in sinces:
                group = [need for need in needs if need.since == since]
                wanted = [need.wanted for need in group]
                lead, begun = self._service.view.call(
                    functools.partial(
                        calculated.before, instrument=self.instrument, interval=parsed, wanted=wanted,
                        first=first, since=since,
                    )
                )  # fmt: skip
                for need in group:
                    self._begun[need.key] = begun
                low = next((int(part["start"][0]) for part in lead if len(part)), first)
                if low < best[0]:
                    best = low, lead
            parts = best[1]
            self._floor = first
        self._columns = calculated.columns_of([*parts, found.bars, found.current])
        self._closed = self.rows - len(found.current)
        self._loaded = self.rows

    def _read(self) -> bool:
        """Takes in the bars since the last look; whether anything is other than it was."""
        import numpy as np

        from tidemill import calculated

        starts = self._columns["ts"]
        if not self._closed or self.rows > self._loaded + GROWN_MAX:
            before = self._columns
            self._load()
            return not _same(before, self._columns)
        since = int(starts[max(0, self._closed - AGAIN)])
        found = self._bars(since, NEW_MAX)
        if found.more:
            self._load()
            return True
        keep = int(np.searchsorted(starts, since))
        new = calculated.columns_of([found.bars, found.current])
        old = {name: column[keep:] for name, column in self._columns.items()}
        if _same(old, new):
            closed = keep + len(found.bars)
            changed, self._closed = closed != self._closed, closed
            return changed
        # Only bars that had closed: what becomes of the open one is no change of what was said.
        had = self._closed - keep
        for at in range(had):
            if at >= len(found.bars) or any(new[name][at] != old[name][at] for name in new):
                self._change(int(old["ts"][at]))
                break
        self._columns = {
            name: np.concatenate([column[:keep], new[name]]) for name, column in self._columns.items()
        }
        self._closed = keep + len(found.bars)
        return True

    def _change(self, ts: int) -> None:
        self.version += 1
        self._changes.append((self.version, ts))

    def _bars(self, start: int | None, limit: int) -> Any:
        return self._service.view.call(
            lambda live: live.bars(self.instrument, self.interval, start, None, limit)
        )


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(
        len(one[name]) == len(other[name]) and bool((one[name] == other[name]).all()) for name in other
    )


class Feeds:
    """All feeds of one service process: each runs while somebody follows it."""

    def __init__(self, service: Platform) -> None:
        self._service = service
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.moved = asyncio.Condition()
        """Told whenever any of them has something new."""
        self._revisions: asyncio.Task[None] | None = None

    async def join(self, instrument: str, interval: str, need: Need) -> Feed:
        """The feed of this series, which holds what the indicator has to see. Raises `ResourceError`
        `follow_full`, and as `calculated.calculate`."""
        key = instrument, interval
        feed = self._feeds.setdefault(key, Feed(self._service, instrument, interval))
        feed.joining += 1
        adding = asyncio.ensure_future(self._service.run(feed.add, need))
        try:
            await asyncio.shield(adding)
            if sum(each.rows for each in self._feeds.values()) > ROWS_MAX:
                raise ResourceError(
                    "follow_full",
                    f"the indicators that are followed here hold {ROWS_MAX:,} bars already",
                    hint="unsubscribe from others, or ask with longer bars or smaller periods",
                    http_status=507,
                )
        except BaseException:
            # Who leaves while it is added is dropped once it is.
            (failed,) = await asyncio.gather(adding, return_exceptions=True)
            if failed is None:
                await self._service.run(feed.drop, need)
            feed.joining -= 1
            self._leave(key, feed)
            raise
        feed.joining -= 1
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._run(feed), name=f"indicators {instrument}")
        if self._revisions is None:
            self._revisions = asyncio.create_task(self._revise(), name="indicators revised")
        return feed

    async def leave(self, feed: Feed, need: Need) -> None:
        """The follower that joined for this need has gone."""
        await self._service.run(feed.drop, need)
        self._leave((feed.instrument, feed.interval), feed)

    async def close(self) -> None:
        """Ends all of them."""
        tasks = [*self._tasks.values(), *filter(None, [self._revisions])]
        self._tasks, self._revisions = {}, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave(self, key: tuple[str, str], feed: Feed) -> None:
        if feed.needs or feed.joining or self._feeds.get(key) is not feed:
            return
        del self._feeds[key]
        if (task := self._tasks.pop(key, None)) is not None:
            task.cancel()

    async def _run(self, feed: Feed) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                changed = await self._service.run(feed.look)
            except Exception as error:
                log.logger.warning("indicators of %s cannot be followed: %s", feed.instrument, error)
                continue
            if changed:
                async with self.moved:
                    self.moved.notify_all()

    async def _revise(self) -> None:
        """Follows the events of stored bars that late trades have changed."""
        from tidemill.metadata import event

        position = await self._service.read(event.newest_id)
        while True:
            await self._service.follow.beyond(position)
            rows = await self._service.follow.page(position, 500)
            position = rows[-1].id if rows else position
            first: dict[str, int] = {}
            for row in rows:
                if row.kind == "bar_revised":
                    ts = int(row.data["ts"])
                    first[row.subject] = min(ts, first.get(row.subject, ts))
            touched = [feed for feed in self._feeds.values() if feed.instrument in first]
            for feed in touched:
                await self._service.run(feed.revised, first[feed.instrument])
            if touched:
                async with self.moved:
                    self.moved.notify_all()
