"""What is stored and what has just arrived, as one: the store up to a position, the journal from there.

A read takes the position first and the rows up to it after that, so that both halves meet exactly: no row
twice, no row missing, whether or not a recorder runs. `docs/lake.md` explains why that order is enough.

    view = LiveView("/path/to/home")
    view.bars("BTC-USD.kraken", "1m").bars["close"]
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake.exceptions import DeltaError

from tidemill import _native, wire
from tidemill.errors import DataQualityError, TidemillError, UsageError, unknown
from tidemill.model import calendar as calendars
from tidemill.model.bar import Bars
from tidemill.model.calendar import Hours
from tidemill.model.gap import Gap
from tidemill.model.instrument import Instrument, venue_of
from tidemill.model.interval import STANDARD, STORED, Interval
from tidemill.stores import dataset, join, series
from tidemill.stores.api import Position, Query, Store, UnavailableError
from tidemill.stores.bar_series import BarSeries, Ticks
from tidemill.stores.book_view import BookView, book_at, shown
from tidemill.stores.gap import Gaps
from tidemill.stores.joined import Joined, aligned, count_open, enough, in_interval
from tidemill.stores.lake import Lake
from tidemill.stores.newest import Newest
from tidemill.stores.opening import open_store
from tidemill.stores.raw import Raw
from tidemill.stores.revision import Revisions, position
from tidemill.stores.session import ByCalendar
from tidemill.stores.source import Names, venues
from tidemill.stores.table import (
    BARS,
    GAPS,
    INSTRUMENTS,
    LEVELS,
    QUOTES,
    TRADES,
    Table,
)
from tidemill.stores.tail import CACHE_S, Tail

DRAIN_S = 0.25
"""How often the background thread takes in what has arrived, so that no call finds a long tail."""
LOOK_FOR_VENUES_S = 2.0
FAILED_S = 10.0
"""Between two tries at a venue of which a stored file cannot be read: each reads a day of trades."""
TRIM_S = 20.0
LIST_S = 1.0
"""How old the list of stored instruments may be."""
AWAY_S = 1.0
"""Between two tries at a venue while the store is away."""
NEWEST = 5_000
"""Bars that charts ask for first."""
NEWEST_MAX = 512
"""Series of venues without a journal here whose newest bars are kept: half a megabyte each, mostly mapped."""
IDLE_S = 1.0
"""So long nobody asks for bars before others are made ahead."""
ASKED_MAX = 64
"""Instruments that wait for their intervals to be made ready; of more, the first are left to whoever asks."""
_ALWAYS = (-(2**63), 2**63 - 1)
_HELD = (TRADES, QUOTES, LEVELS, BARS)
_TROUBLE = (DataQualityError, UnavailableError)
_log = logging.getLogger(__name__)
_DESCRIBED = (
    "instrument", "venue", "symbol", "base", "quote", "tick", "lot", "price_scale", "size_scale", "status",
)  # fmt: skip
_ALONE = 1
"""The number of an instrument whose book is made from stored rows, where no registry gives it one."""


class LiveView:
    """All data of a home, stored and just arrived. Thread-safe; calls block for milliseconds."""

    def __init__(self, home: str | Path, *, follow: bool = True, store: Store | None = None) -> None:
        """`home` is the platform's folder; `store` is where its rows are, by default what the settings name
        (`opening.open_store`), and its owner closes it. One background thread follows the journals until
        `close`; without `follow` every call reads on by itself, and the first after a long pause takes
        longer."""
        self.home = Path(home)
        self.store = store if store is not None else open_store(self.home)
        self._owned = store is None
        self._raw = Raw()
        self._tails: dict[str, Tail] = {}
        self._lock = threading.Lock()
        self._revisions: dict[str, Revisions] = {}
        self._versions: dict[str, tuple[str, float]] = {}
        """Of each venue followed here, its version when it was asked for last, and since when it is that."""
        self._stored: list[dict[str, Any]] = []
        """The stored instruments as they were read last, for as long as the store is away."""
        self._stored_at = float("-inf")
        self._failed: dict[str, tuple[TidemillError, float]] = {}
        """Venues of which what is stored cannot be read, and when they are to be tried again."""
        self._asked: deque[str] = deque(maxlen=ASKED_MAX)
        """Instruments of which bars were asked for, and whose other intervals are to be made ready."""
        self._making: deque[tuple[str, str]] = deque(maxlen=ASKED_MAX * len(STANDARD))
        """Of those that are only stored, intervals that are to be made."""
        self._called = float("-inf")
        """When bars were asked for last."""
        self._ready: set[str] = set()
        self._newest: dict[tuple[str, str], tuple[str, int, Bars]] = {}
        """Of instruments without a journal here and intervals: version, count asked for, bars."""
        # The files that a lake is made of have names that never come again; counts of a database's rows may.
        self._flat = Newest(self.home / "cache" / "bars") if isinstance(self.store, Lake) else None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if follow:
            self._thread = threading.Thread(target=self._follow, name="live-view", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the background thread, and lets go of the store where it was opened here."""
        self._stopping.set()
        if self._thread:
            self._thread.join(5.0)
        if self._owned:
            self.store.close()

    def _follow(self) -> None:
        looked = trimmed = time.monotonic() - LOOK_FOR_VENUES_S
        while not self._stopping.wait(DRAIN_S):
            now = time.monotonic()
            followed = set(self._tails)
            if now - looked >= LOOK_FOR_VENUES_S:
                looked = now
                with contextlib.suppress(RuntimeError, OSError):  # the home is being made, or goes away
                    followed.update(venues(self.home))
            trim = now - trimmed >= TRIM_S
            trimmed = now if trim else trimmed
            for venue in followed:
                # What is wrong with one is no other's trouble, and calls say it to whoever makes them.
                with contextlib.suppress(RuntimeError, OSError, DeltaError, *_TROUBLE):
                    self._read_on(venue, trim)
            while self._asked and not self._stopping.is_set():
                with contextlib.suppress(RuntimeError, OSError, DeltaError, *_TROUBLE):
                    self._make_ready(self._asked.popleft())
            while self._making and self._is_idle() and time.monotonic() - now < DRAIN_S:
                made, text = self._making.popleft()
                with contextlib.suppress(RuntimeError, OSError, DeltaError, *_TROUBLE):
                    self._newest_bars(made, Interval.parse(text), NEWEST)

    def _is_idle(self) -> bool:
        """Nobody has asked for bars just now: what is made ahead is never in the way of what is wanted."""
        return time.monotonic() - self._called > IDLE_S

    def _make_ready(self, instrument: str) -> None:
        """Reads the newest bars of every stored interval, which all others are made of in a moment."""
        tail = self._tail(venue_of(instrument))
        if tail is None or not self._collected(tail, instrument):
            self._making.extend((instrument, text) for text in STANDARD)
            return
        for index in reversed(range(len(STORED))):
            with tail.lock:  # for one interval at a time: whoever asks meanwhile waits for no more than that
                tail.closed_bars(instrument, index, 0)

    def _read_on(self, venue: str, trim: bool) -> None:
        tail = self._tail(venue)
        if tail:
            tail.drain()
            if trim:
                tail.trim()

    def _tail(self, venue: str) -> Tail | None:
        """The venue as of its newest record; None without a journal. Raises `DataQualityError` and
        `UnavailableError`."""
        tail = self._tails.get(venue)
        if tail is None and join.has_journal(self.home, venue):
            with self._lock:
                tail = self._tails.get(venue) or self._made(venue)
        return tail

    def _made(self, venue: str) -> Tail | None:
        failed, again_at = self._failed.get(venue, (None, 0.0))
        if failed and time.monotonic() < again_at:
            raise failed.with_traceback(None)
        try:
            tail = Tail(self.home, self.store, venue)
        except RuntimeError:
            return None  # the folder is there, the journal not yet
        except _TROUBLE as error:
            if failed is None:
                _log.warning("%s cannot be followed; it is tried again: %s", venue, error)
            pause = AWAY_S if isinstance(error, UnavailableError) else FAILED_S
            self._failed[venue] = error, time.monotonic() + pause
            raise
        tail.drain()
        self._failed.pop(venue, None)
        self._tails[venue] = tail
        return tail

    def _gaps(self, venue: str) -> list[Gap]:
        """Gaps of a venue as far as they have been taken in. Without a journal here (the store is fed by a
        relay, or is a copy) what is stored is all there is; where other rows of a venue cannot be read, its
        gaps still can."""
        tail = None
        with contextlib.suppress(*_TROUBLE):
            tail = self._tail(venue)
        if tail is None:
            found = Gaps(venue)
            found.rows(self.read(GAPS, venue, Query())[0])
            return found.all()
        with tail.lock:
            return tail.gaps.all()

    def venues(self) -> list[str]:
        """Venues that have a journal here or are stored."""
        stored = self._stored_instruments(set())
        return sorted({*venues(self.home), *(line["venue"] for line in stored)})

    # ── versions ──────────────────────────────────────────────────────────────────────────────────

    def version(self, instrument: str, interval: str, start: int | None, end: int | None) -> tuple[str, bool]:
        """A text that changes whenever what `bars` says of this span may: with any file that reaches into it
        and, where the venue has a journal here, with any record; and whether it is sure that an answer made
        now is of that version (a tail may show stored bars of up to `CACHE_S` ago)."""
        low, high = aligned(Interval.parse(interval), start, end)
        lowest, highest = -(2**63) if low is None else low, 2**63 if high is None else high
        said = [self.store.version(GAPS), self.store.version(BARS, lowest, highest)]
        venue = venue_of(instrument)
        tail = self._tail(venue)
        if tail is not None:
            with tail.lock:
                tail.drain()
                said.append(f"{tail.position} {len(tail.gaps.all())}")
        text = hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]
        return text, tail is None or self._stands(venue, f"{self.store.version(BARS)} {said[-1]}")

    def _stands(self, venue: str, version: str) -> bool:
        now = time.monotonic()
        before, since = self._versions.get(venue, ("", now))
        if before != version:
            since = now
            self._versions[venue] = version, now
        return now - since > CACHE_S

    def list_version(self) -> str:
        """A text that changes whenever `datasets` may say something else."""
        said = [self.store.version(table) for table in (TRADES, QUOTES, LEVELS, BARS, GAPS)]
        for venue in sorted(self._tails):
            tail = self._tails[venue]
            with tail.lock:
                said.append(f"{venue} {tail.gaps.all()}")
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]

    # ── lists ─────────────────────────────────────────────────────────────────────────────────────

    def names(self) -> set[str]:
        """Every instrument of every registry, or of the store where a venue has no registry here. Reads no
        journal."""
        here = venues(self.home)
        found = {str(line["name"]) for venue in here for line in _native.instruments(str(self.home), venue)}
        return found | {line["instrument"] for line in self._stored_instruments(here)}

    def instruments(self) -> list[dict[str, Any]]:
        """Every instrument of every registry with its last trade: instrument, venue, symbol, base, quote,
        tick, lot, price_scale, size_scale, status, last {price, size, ts_event} or None. Of venues without a
        registry here, what is stored, without a last trade."""
        found: list[dict[str, Any]] = []
        here = venues(self.home)
        for venue in here:
            try:
                tail = self._tail(venue)
            except _TROUBLE:  # with what is stored; the registry is sound
                found += [{**_described(one), "last": None} for one in Names(self.home, venue).refresh()]
                continue
            if tail is None:
                continue
            with tail.lock:
                for one in tail.names.refresh():
                    found.append({**_described(one), "last": _last(tail.last.get(one.number))})
        return found + [{**line, "last": None} for line in self._stored_instruments(here)]

    def _stored_instruments(self, besides: Collection[str]) -> list[dict[str, Any]]:
        """Newest version of each stored instrument, but not of these venues. While the store is away, as it
        was read last."""
        if time.monotonic() - self._stored_at > LIST_S:
            self._read_instruments()
        return [line for line in self._stored if line["venue"] not in besides]

    def _read_instruments(self) -> None:
        with contextlib.suppress(UnavailableError):
            rows = self.store.read(INSTRUMENTS, Query(columns=_DESCRIBED))
            newest = {line["instrument"]: line for line in rows.to_pylist()}  # revisions ascend
            self._stored = list(newest.values())
        self._stored_at = time.monotonic()

    def instrument(self, name: str) -> dict[str, Any]:
        """One instrument. Raises `NotFoundError` naming the nearest."""
        known = {line["instrument"]: line for line in self.instruments()}
        if name not in known:
            raise unknown("instrument", name, known)
        return known[name]

    def gaps(
        self, venue: str | None = None, start: int | None = None, end: int | None = None
    ) -> list[dict[str, Any]]:
        """Every gap that reaches into [start, end) (ns, the venue's time) as its fields (`gap.Gap`), by
        opening."""
        found = []
        for name in self.venues() if venue is None else [venue]:
            with contextlib.suppress(*_TROUBLE):
                tail = self._tail(name)
                if tail:
                    tail.drain()
            found += [gap.as_dict() for gap in self._gaps(name) if gap.overlaps(start, end)]
        return found

    def stored_names(self) -> set[str]:
        """Every instrument that something is stored of."""
        return {held.instrument for table in _HELD for held in self.store.held(table)}

    def datasets(self) -> list[dict[str, Any]]:
        """What is stored, one line per instrument and kind (`dataset.line`)."""
        found = {
            (held.instrument, table.name): dataset.line(held, table, self._touching)
            for table in _HELD
            for held in self.store.held(table)
        }
        return [found[key] for key in sorted(found)]

    def coverage(
        self, instrument: str, kind: str, first: int | None = None, last: int | None = None
    ) -> dict[str, Any] | None:
        """Days (`ts_event` // DAY) `first` to `last` of a dataset, as far as it reaches (`dataset.by_day`).
        None where nothing of it is stored."""
        table = next(table for table in _HELD if table.name == kind)
        held = next((one for one in self.store.held(table) if one.instrument == instrument), None)
        if held is None:
            return None
        _, lost, opened = dataset.lost(held, table, self._touching)
        return dataset.by_day(held, lost, opened, first, last)

    # ── bars ──────────────────────────────────────────────────────────────────────────────────────

    def bars(
        self,
        instrument: str,
        interval: str,
        start: int | None = None,
        end: int | None = None,
        limit: int = 5_000,
        *,
        zone: str | None = None,
        calendar: str | None = None,
        hours: Hours = "regular",
    ) -> BarSeries:
        """Bars with `start` <= their start < `end` (ns): the oldest `limit` when `start` is given, else the
        newest. An interval without trades has no bar.

        Bars are cut in UTC around the clock; with `zone` (`America/New_York`) at its midnights, with
        `calendar` (`XNYS`, and `hours` regular or extended) by its sessions: `docs/bars.md`. Raises
        `UsageError` for what is no interval, zone or calendar, and `NotFoundError` for an instrument that
        neither registry nor store has."""
        parsed = Interval.parse(interval)
        self._called = time.monotonic()
        by = calendars.of(zone, calendar, hours)
        cut = ByCalendar(by, parsed) if by else None
        if limit < 1:
            raise UsageError("limit_invalid", f"limit {limit} is below 1", hint="ask for at least one bar")
        tail = self._tail(venue_of(instrument))
        current: Bars | None = None
        unsettled = 0
        base = parsed.base
        if tail is None:
            through = None
            read = functools.partial(self._stored_bars, instrument)
            bars = _read(read, cut, parsed, start, end, limit, time.time_ns())
        else:
            with tail.lock:
                tail.drain()
                if self._collected(tail, instrument):
                    joined = Joined(self.store, tail, instrument, self._raw)
                    newest = tail.newest_recv or time.time_ns()
                    bars = _read(joined.bars, cut, parsed, start, end, limit, newest)
                    base = cut.base if cut else base
                else:
                    read = functools.partial(self._stored_bars, instrument)
                    bars = _read(read, cut, parsed, start, end, limit, time.time_ns())
                through = tail.position
                if self._collected(tail, instrument):
                    unsettled = count_open(tail, instrument, base, bars)
                if unsettled:
                    bars, current = bars[:-1], bars[-1:]
        count, closed = len(bars), len(bars) - max(0, unsettled - 1)
        more = count > limit
        if more:
            bars = bars[:limit] if start is not None else bars[-limit:]
            current = None if start is not None else current
            closed = min(closed, limit) if start is not None else max(0, closed - (count - limit))
        current = bars[:0] if current is None else current
        shown = [part for part in (bars, current) if len(part)]
        if shown and self._thread and instrument not in self._ready:
            self._ready.add(instrument)
            self._asked.append(instrument)
        gaps: list[Gap] = []
        dropped = False
        if shown:
            first, last = int(shown[0]["start"][0]), int(shown[-1]["end"][-1])
            gaps = self._touching(instrument, ("trades",), first, last)
            # What was asked for begins where it says, or, where these are all bars, with the first there is.
            low = start if start is not None else first if more else -(2**63)
            dropped = tail is not None and tail.dropped(instrument, STORED.index(base), low, last)
        settling = len(bars) - closed
        return BarSeries(instrument, interval, bars, current, through, gaps, more, dropped, settling)

    @staticmethod
    def _collected(tail: Tail, instrument: str) -> bool:
        """Is it one that this home has collected, not only fetched or imported?"""
        return bool(tail.names.number(instrument))

    def _known(self, tail: Tail, instrument: str) -> None:
        if not tail.names.number(instrument):
            raise unknown("instrument", instrument, (one.name for one in tail.names.refresh()))

    def _stored_bars(
        self, instrument: str, interval: Interval, start: int | None, end: int | None, limit: int
    ) -> Bars:
        """Bars of an instrument that no journal here has: fetched, imported, or copied from elsewhere."""
        index = STORED.index(interval.base)
        low, high = aligned(interval, start, end)
        if low is None and high is None:
            bars = self._newest_bars(instrument, interval, limit)
        else:
            count = enough(interval, limit)
            query = Query(start=low, end=high, limit=count, oldest=start is not None)
            bars = in_interval(self._raw.stored(self.store, instrument, index, query).bars, interval)
        if not len(bars):
            known = self.stored_names() | self.names()
            if instrument not in known:
                raise unknown("instrument", instrument, known)
        return bars

    def _newest_bars(self, instrument: str, interval: Interval, limit: int) -> Bars:
        """The newest bars of what is only stored, more than `limit` where there are as many: kept for as long
        as the table of bars does not change, and mapped where another reader of this home has kept them."""
        key = (instrument, interval.text)
        version = self.store.version(BARS)
        kept = self._newest.get(key)
        if kept is None or kept[0] != version or kept[1] < limit:
            wanted = max(limit, NEWEST)
            files = self.store.version(BARS, *_ALWAYS) if self._flat else ""
            mapped = self._flat.get(*key, files, limit) if self._flat else None
            if mapped is None:
                query = Query(limit=enough(interval, wanted))
                found = series.stored(self.store, instrument, STORED.index(interval.base), query)
                bars = in_interval(found.bars, interval)[-(wanted + 1) :].copy()
                # Read between two versions it may be of either: the older name makes it read again.
                kept = version, wanted, bars
                if self._flat and len(bars) and self.store.version(BARS, *_ALWAYS) == files:
                    self._flat.put(*key, files, wanted, bars)
            else:
                kept = version, *mapped
            with self._lock:
                while len(self._newest) >= NEWEST_MAX:
                    self._newest.pop(next(iter(self._newest)))
                self._newest[key] = kept
        return kept[2]

    def _touching(self, instrument: str, channels: tuple[str, ...], start: int, end: int) -> list[Gap]:
        found = self._gaps(instrument.rpartition(".")[2])
        return [gap for gap in found if gap.touches(instrument, channels, start, end)]

    def revised(self, venue: str, after: Position | None, limit: int = 1_000) -> list[dict[str, Any]]:
        """Stored bars of a venue that a late trade changed, beyond a position: instrument, interval, ts
        (start, ns), revision, epoch, sequence; ascending by (epoch, sequence).

        At most about `limit`: bars of one record come together, so that the position of a page's last line
        is the next page's `after`. Each row is read once, so that asking often costs next to nothing.
        """
        with self._lock:
            known = self._revisions.setdefault(venue, Revisions())
            found = known.beyond(self.store, join.newest_epoch(self.home, venue), venue, after)
        end = limit
        while 0 < end < len(found) and position(found[end]) == position(found[end - 1]):
            end += 1
        return [dict(line) for line in found[:end]]

    # ── ticks ─────────────────────────────────────────────────────────────────────────────────────

    def trades(
        self,
        instrument: str,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
        *,
        before: tuple[int, int, int] | None = None,
        beyond: tuple[int, int, int] | None = None,
        as_of: int | None = None,
    ) -> Ticks:
        """Trades with `start` <= ts_event < `end` (ns): the oldest `limit` when `start` or `beyond` is
        given, else the newest. `before` and `beyond` are (ts_event, epoch, sequence) of a page's edge."""
        return self._ticks(TRADES, instrument, start, end, limit, before, beyond, as_of)

    def quotes(
        self,
        instrument: str,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
        *,
        before: tuple[int, int, int] | None = None,
        beyond: tuple[int, int, int] | None = None,
        as_of: int | None = None,
    ) -> Ticks:
        """As `trades`, one row per side of a quote."""
        return self._ticks(QUOTES, instrument, start, end, limit, before, beyond, as_of)

    def _ticks(
        self,
        table: Table,
        instrument: str,
        start: int | None,
        end: int | None,
        limit: int,
        before: tuple[int, int, int] | None,
        beyond: tuple[int, int, int] | None,
        as_of: int | None,
    ) -> Ticks:
        if limit < 1:
            raise UsageError("limit_invalid", f"limit {limit} is below 1", hint="ask for at least one row")
        query = Query(
            instruments=(instrument,),
            start=start,
            end=end,
            limit=limit + 1,
            oldest=start is not None or beyond is not None,
            before=before,
            beyond=beyond,
            as_of=as_of,
        )
        venue = venue_of(instrument)
        rows, through = self.read(table, venue, query)
        if not len(rows) and through is None:
            known = self.stored_names()
            if instrument not in known:
                raise unknown("instrument", instrument, known)
        more = len(rows) > limit
        if more:
            rows = rows.slice(0 if query.oldest else 1, limit)
        gaps: list[Gap] = []
        if len(rows):
            edges = (rows["ts_event"][0].as_py(), rows["ts_event"][len(rows) - 1].as_py() + 1)
            gaps = self._touching(instrument, (table.name,), *edges)
        return Ticks(instrument, rows, through, gaps, more)

    def read(self, table: Table, venue: str, query: Query) -> tuple[pa.Table, Position | None]:
        """Rows of one venue from the store and, beyond its position, from the journal; and the last record
        that was looked at. While the store is away the journal alone answers where that is the whole answer;
        else raises `UnavailableError`."""
        try:
            return join.read(self.store, self.home, table, venue, query)
        except UnavailableError:
            found = join.alone(self.home, table, venue, query)
            if found is None:
                raise
            return found

    # ── books ─────────────────────────────────────────────────────────────────────────────────────

    def book(self, instrument: str, at: int | Position | None = None, depth: int = 20) -> BookView:
        """The order book now, or as it was after the record at a position (epoch, sequence), or at an
        arrival time (ns). Raises `NotFoundError` for an unknown instrument."""
        if isinstance(at, tuple) and not (0 <= at[0] < 2**31 and 0 <= at[1] < 2**63):
            raise UsageError(
                "position_invalid",
                f"{at[0]}:{at[1]} is no position of a journal",
                hint="write EPOCH:SEQUENCE as exports and answers show them, such as 3:812",
            )
        venue = venue_of(instrument)
        tail = self._tail(venue)
        if tail is None:
            known = self.names()
            if instrument not in known:
                raise unknown("instrument", instrument, known)
            return book_at(self.read, instrument, _ALONE, at, depth)
        with tail.lock:
            self._known(tail, instrument)
            if at is None:
                tail.drain()
                book = tail.book(instrument)
                at = tail.position or (0, 0)
                if book is not None:
                    return shown(instrument, book, at, depth)
            number = tail.names.number(instrument)
        return book_at(self.read, instrument, number, at, depth)


def _read(
    read: Callable[[Interval, int | None, int | None, int], Bars],
    cut: ByCalendar | None,
    interval: Interval,
    start: int | None,
    end: int | None,
    limit: int,
    now: int,
) -> Bars:
    """What `read` gives of the interval, or of a shorter one, cut by a calendar."""
    if cut is None:
        return read(interval, start, end, limit)
    return cut.bars(
        lambda text, low, high, count: read(Interval.parse(text), low, high, count), start, end, limit, now
    )


def _described(one: Instrument) -> dict[str, Any]:
    return {name: one.name if name == "instrument" else getattr(one, name) for name in _DESCRIBED}


def _last(trade: np.void | None) -> dict[str, Any] | None:
    if trade is None:
        return None
    return {
        "price": wire.text(int(trade["price"]), int(trade["price_scale"])),
        "size": wire.text(int(trade["size"]), int(trade["size_scale"])),
        "ts_event": int(trade["ts_event"]),
    }
