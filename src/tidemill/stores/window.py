"""One answer from two stores: recent rows from a hot one (PostgreSQL, seven days), older ones from the lake.

Rows of journals go to the hot store, rows that came another way (epoch 0) to the lake. `handover` moves
closed days on. A read looks at the hot store first and at the lake after it, so that a row on its way is seen
twice at most, and one of the two is dropped; never not at all. See `docs/stores.md`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import DataQualityError, UsageError
from tidemill.log import Log
from tidemill.model.interval import DAY, HOUR
from tidemill.stores import completeness, handover, restore, select
from tidemill.stores.api import (
    Dated,
    FencedError,
    Held,
    Position,
    Query,
    UnavailableError,
)
from tidemill.stores.delta import SyncError
from tidemill.stores.handover import REACH, WINDOW, Hot
from tidemill.stores.lake import Lake
from tidemill.stores.memory import covered
from tidemill.stores.table import (
    BARS,
    COMMITTED,
    DETAILS,
    LEVELS,
    QUOTES,
    TRADES,
    Table,
)

_K = TypeVar("_K")
_V = TypeVar("_V")

WINDOW_DAYS = 7
LAKE_SEEN_S = 30.0
"""So long it is taken for granted how far the lake reaches, and what its journals' offsets are. Windows tell
each other through the hot store at once; this is for what is written to the lake alone."""
_NEVER = -(2**63)


def in_use(lake: Lake) -> bool:
    """True while the newest rows of this lake's journals lie in a hot store: a recorder that wrote to the
    lake alone would begin where that one has long been. `Window.drain` ends it."""
    mark = lake.offset(BARS, WINDOW)
    return mark is not None and mark % 2 == 1


class Window:
    """A `Store` over both. Any number may read; rows of one application id have one writer."""

    def __init__(self, hot: Hot, lake: Lake) -> None:
        self.hot = hot
        self.lake = lake
        self._lock = threading.Lock()
        self._reaches: dict[str, tuple[float, int]] = {}
        self._offsets: dict[tuple[str, str], tuple[float, int | None]] = {}
        self._positions: dict[tuple[str, str, int], tuple[float, Position | None]] = {}
        self._marked = False

    # ── writing ───────────────────────────────────────────────────────────────────────────────────

    def append(
        self,
        table: Table,
        rows: pa.Table,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None = None,
    ) -> bool:
        """As `Store.append`. Raises `UsageError` for rows of journals and others in one batch."""
        if self._is_live(table, rows, offsets):
            return self._append_hot(table, rows, offsets, after)
        if len(rows):
            handover.extend(self.hot, table, rows)
        return self.lake.append(table, rows, offsets, after)

    def _is_live(self, table: Table, rows: pa.Table, offsets: Mapping[str, int]) -> bool:
        if not len(rows):
            return all(
                application.startswith("journal/") or self.hot.offset(table, application) is not None
                for application in offsets
            )
        epochs = pc.min_max(rows["epoch"]).as_py()
        if epochs["min"] == 0 < epochs["max"]:
            raise UsageError(
                "batch_mixed",
                f"{table.name}: a batch has rows of a journal and rows that came another way (epoch 0)",
                hint="append them apart, each under its own application id",
            )
        return bool(epochs["max"])

    def _append_hot(
        self,
        table: Table,
        rows: pa.Table,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None,
    ) -> bool:
        self._mark()
        before = {name: self._lake_offset(table, name) for name in offsets}
        if any(before.values()):
            # The lake was the only store once, or is again what was handed back: its offsets count too.
            here = {name: self.hot.offset(table, name) for name in offsets}
            if covered(table, {name: _greater(here[name], before[name]) for name in offsets}, offsets, after):
                return False
            after = None if after is None else {name: here[name] for name in after}
        return self.hot.append(table, rows, offsets, after)

    def _mark(self) -> None:
        """Says in the lake, before the first row comes here, that newer rows lie elsewhere."""
        while not self._marked:
            mark = self.lake.offset(BARS, WINDOW)
            if mark is None or mark % 2 == 0:
                try:
                    self.lake.append(BARS, BARS.empty(), {WINDOW: (mark or 0) + 1}, {WINDOW: mark})
                except FencedError:
                    continue
            self._marked = True

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def offset(self, table: Table, application: str) -> int | None:
        recent = self.hot.offset(table, application)
        if application.startswith("journal/"):
            return _greater(recent, self._lake_offset(table, application))
        return _greater(recent, self.lake.offset(table, application))

    def position(self, table: Table, venue: str, epoch: int) -> Position | None:
        recent = self.hot.position(table, venue, epoch)
        older = self._seen(
            self._positions, (table.name, venue, epoch), lambda: self.lake.position(table, venue, epoch)
        )
        return max((one for one in (recent, older) if one is not None), default=None)

    def read(self, table: Table, query: Query = Query()) -> pa.Table:  # noqa: B008 - frozen
        # Which revision of a bar counts is known once both have been asked.
        asked = query.with_(columns=None, revisions=query.revisions or table is BARS)
        recent = self.hot.read(table, asked)
        start = self._from(table, query, recent)
        if start is not None and self._reach(table) < start:
            return select.finish(table, recent, query)
        older = self.lake.read(table, asked.with_(start=start))
        return select.finish(table, _one(table, recent, older), query)

    def _from(self, table: Table, query: Query, recent: pa.Table) -> int | None:
        """The least `ts_event` that rows of the lake must have to belong to the answer."""
        edges = [edge for edge in (query.start, query.beyond and query.beyond[0]) if edge is not None]
        if query.limit and not query.oldest:
            # Enough rows of the hot store are newer than whatever is older than all of these.
            enough = select.finish(table, recent, query.with_(columns=("ts_event",)))
            if select.count(table, enough, query) >= query.limit:
                edges.append(enough["ts_event"][0].as_py())
        return max(edges, default=None)

    def _reach(self, table: Table) -> int:
        """The greatest `ts_event` that the lake may hold. Asked after the hot store was read: whatever that
        had let go of by then, this knows of."""
        snapshot_max = self._seen(self._reaches, table.name, lambda: self._lake_reach(table))
        return max(snapshot_max, _or(self.hot.offset(table, REACH)))

    def _lake_reach(self, table: Table) -> int:
        snapshot = self.lake.snapshot(table)
        return max(
            (file.ts_max for file in (snapshot.files if snapshot else ()) if file.rows), default=_NEVER
        )

    def held(self, table: Table) -> list[Held]:
        found = {one.instrument: one for one in self.hot.held(table)}
        for one in self.lake.held(table):
            recent = found.get(one.instrument, Held(one.instrument, 0, one.start, one.end, 0, ()))
            found[one.instrument] = Held(
                one.instrument,
                one.rows + recent.rows,
                min(one.start, recent.start),
                max(one.end, recent.end),
                one.bytes + recent.bytes,
                tuple(sorted({*one.sources, *recent.sources})),
                _days(one, recent) if recent.rows else one.days,
                _daily(one, recent) if recent.rows else one.daily,
                one.intervals,
            )
        return [found[name] for name in sorted(found)]

    def dated(self, table: Table, query: Query) -> dict[int, int]:
        """Days (`ts_event` // DAY) that may have rows which answer the query, and about how many. Only
        `venues`, `instruments`, `start` and `end` of the query count."""
        if isinstance(self.hot, Dated):
            found = Counter(self.hot.dated(table, query))
        else:
            days = self.hot.days(table)
            each = sum(one.rows for one in self.hot.held(table)) // max(len(days), 1) + 1
            found = Counter(dict.fromkeys(days, each))
        snapshot = self.lake.snapshot(table)
        for file in self.lake.pruned(table, snapshot.files if snapshot else (), query):
            first, last = file.ts_min // DAY, file.ts_max // DAY
            for day in range(first, last + 1):
                found[day] += file.rows // (last - first + 1) + 1
        low = _NEVER if query.start is None else query.start // DAY
        high = 2**63 if query.end is None else query.end // DAY
        return {day: rows for day, rows in found.items() if low <= day <= high}

    def dead(self, table: Table) -> int:
        """How many rows the hot store would not take, where it counts them."""
        count = getattr(self.hot, "dead", None)
        return count(table) if count else 0

    def version(self, table: Table, start: int | None = None, end: int | None = None) -> str:
        return f"{self.hot.version(table, start, end)} {self.lake.version(table, start, end)}"

    def close(self) -> None:
        self.hot.close()
        self.lake.close()

    def _lake_offset(self, table: Table, application: str) -> int | None:
        key = table.name, application
        return self._seen(self._offsets, key, lambda: self.lake.offset(table, application))

    def _seen(self, known: dict[_K, tuple[float, _V]], key: _K, look: Callable[[], _V]) -> _V:
        """What the lake said a short while ago, or says now; for as long as it is away, what it said last."""
        now = time.monotonic()
        with self._lock:
            found = known.get(key)
        if found is None or now - found[0] > LAKE_SEEN_S:
            try:
                found = now, look()
            except UnavailableError:
                if found is None:
                    raise
                return found[1]
            with self._lock:
                known[key] = found
        return found[1]

    # ── moving on ─────────────────────────────────────────────────────────────────────────────────

    def closed(self, now_ns: int, window_days: float = WINDOW_DAYS) -> Iterator[tuple[Table, int]]:
        """Days that the hot store has and that are older than the window, the oldest of each table first."""
        edge = now_ns - int(window_days * DAY)
        for table in COMMITTED:
            for day in self.hot.days(table):
                if (day + 1) * DAY <= edge:
                    yield table, day

    def hand_over(self, table: Table, day: int) -> int:
        """Moves a day to the lake, as `handover.handed_over`; returns how many rows were new there."""
        return sum(handover.handed_over(self.hot, self.lake, table, day))

    def drain(self, venues: Sequence[str] = ()) -> int:
        """Moves everything to the lake, today as well, so that it can be the only store again; returns how
        many rows were new there. No recorder may run. `venues` are some that may have an offset and no row.
        """
        rows = 0
        told = {*venues, *handover.venues_of(self.hot, self.lake)}
        for table in COMMITTED:
            for day in self.hot.days(table):
                rows += self.hand_over(table, day)
            if left := self.hot.days(table):
                raise FencedError(f"{table.name}: rows of {len(left)} days came while they were handed over")
        handover.hand_back(self.hot, self.lake, sorted(told))
        self._marked = False
        return rows


def _one(table: Table, recent: pa.Table, older: pa.Table) -> pa.Table:
    """Rows of both stores, each once."""
    if not len(recent) or not len(older):
        return recent if len(recent) else older
    if pc.max(older["ts_event"]).as_py() >= pc.min(recent["ts_event"]).as_py():
        older = handover.without(table, older, recent)
    return pa.concat_tables([recent, older])


def _greater(one: int | None, other: int | None) -> int | None:
    return max(one, other) if one is not None and other is not None else other if one is None else one


def _or(value: int | None) -> int:
    return _NEVER if value is None else value


# ── housekeeping ──────────────────────────────────────────────────────────────────────────────────

RETENTION_S = 600.0
LOOK_S = 60.0
LET_GO = (DETAILS, LEVELS, QUOTES, TRADES)
"""Tables that rows are let go of, as in the lake: `recorder.housekeeping`."""


class Keeping:
    """What the hot side of a window needs between commits; one small piece a step, in the writer's thread."""

    def __init__(
        self,
        window: Window,
        log: Log,
        *,
        levels_hours: float,
        sim_hours: float,
        window_days: float = WINDOW_DAYS,
    ) -> None:
        self._window = window
        self._log = log
        self._levels_ns = int(levels_hours * HOUR)
        self._sim_ns = int(sim_hours * HOUR)
        self._window_days = window_days
        self._moving: tuple[Table, int, Generator[int, None, bool]] | None = None
        self._failed: dict[tuple[str, int], float] = {}
        """Days that could not be handed over, and when: the others go on."""
        self._moved = 0
        now = time.monotonic()
        self._next_look = now + 5.0
        self._next_retention = now + 30.0
        self._sizes: dict[str, dict[str, int]] = {}

    def sizes(self) -> dict[str, dict[str, int]]:
        """Rows, bytes and days of every table of the hot store, as of the last look."""
        return self._sizes

    def step(self, now_ns: int | None = None) -> None:
        """Does what is due. A failure is logged and tried again when it is due next: no row depends on it."""
        now, wall = time.monotonic(), time.time_ns() if now_ns is None else now_ns
        if now >= self._next_retention:
            self._next_retention = now + RETENTION_S
            self._try(lambda: self.retain(wall))
        if self._moving is not None:
            self._try(self._move)
        elif now >= self._next_look:
            self._try(lambda: self._look(wall))
            if self._moving is None:
                self._next_look = now + LOOK_S

    def _try(self, what: Callable[[], object]) -> None:
        try:
            what()
        except SyncError:
            raise
        except Exception as error:  # whatever a disk, a server or a library says
            if self._moving is not None:
                self._failed[self._moving[0].name, self._moving[1]] = time.monotonic()
                self._moving = None
            self._log.warn("housekeeping failed; it comes again", cause=f"{type(error).__name__}: {error}")

    def _look(self, now_ns: int) -> None:
        window = self._window
        self._sizes = {}
        for table in COMMITTED:
            held = window.hot.held(table)
            self._sizes[table.name] = {
                "rows": sum(one.rows for one in held),
                "bytes": sum(one.bytes for one in held),
                "days": len(window.hot.days(table)),
            }
        for table, day in window.closed(now_ns, self._window_days):
            if time.monotonic() - self._failed.get((table.name, day), -RETENTION_S) < RETENTION_S:
                continue
            self._moving = table, day, handover.handed_over(window.hot, window.lake, table, day)
            self._moved = 0
            return

    def _move(self) -> None:
        """The next piece of the day that is under way."""
        if self._moving is None:
            return
        table, day, pieces = self._moving
        try:
            self._moved += next(pieces)
        except StopIteration as end:
            self._moving = None
            if end.value:
                self._log.info(
                    "a day was handed over to the lake", table=table.name, day=day, rows=self._moved
                )
            else:
                self._failed[table.name, day] = time.monotonic()
                self._log.warn("rows of a day come while it is handed over", table=table.name, day=day)

    # ── retention ─────────────────────────────────────────────────────────────────────────────────

    def retain(self, now_ns: int) -> None:
        """Lets go of what is older than is kept: book levels, and ticks of simulated venues."""
        hot = self._window.hot
        for table in LET_GO:
            first: dict[str, int] = {}
            for held in hot.held(table):
                venue = held.instrument.rpartition(".")[2]
                first[venue] = min(held.start, first.get(venue, held.start))
            for venue, start in first.items():
                kept = self._kept_ns(table, venue)
                if not kept or not venue:
                    continue
                before = now_ns - kept
                if table is TRADES:
                    # Bars that are open after a restart are made of them.
                    before = min(before, self._needed_from(venue))
                before -= before % HOUR
                if start < before and (gone := hot.let_go_venue(table, venue, before)):
                    self._log.info("rows let go", table=table.name, venue=venue, rows=gone)

    def _kept_ns(self, table: Table, venue: str) -> int:
        """How long rows are kept; 0 for ever."""
        simulated = self._sim_ns if venue.startswith("sim-") else 0
        levels = self._levels_ns if table is LEVELS else 0
        return min(simulated, levels) if simulated and levels else simulated or levels

    def _needed_from(self, venue: str) -> int:
        try:
            return restore.needed_from(self._window, venue)
        except DataQualityError:  # unreadable: which ones are needed is not known
            return _NEVER


def _daily(lake: Held, hot: Held) -> dict[int, int] | None:
    """Rows of each day of both. A day lies in one of them alone but for the moment in which it moves."""
    if lake.daily is None or hot.daily is None:
        return None
    return dict(Counter(lake.daily) + Counter(hot.daily))


def _days(lake: Held, hot: Held) -> tuple[tuple[int, int], ...]:
    """Days of both; of the hot store, which is a week at most, all from its first row on."""
    every = [*(lake.days or ()), (hot.start // DAY, hot.end // DAY)]
    return completeness.runs({day for low, high in every for day in range(low, high + 1)})
