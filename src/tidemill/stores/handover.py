"""A day's rows on their way from the hot store to the lake, and the proof that they have arrived.

Rows are compared by identity, so that a day may be handed over again, in part or as a whole, whoever was
killed where: what the lake has already is not appended again. The hot store lets go of a day only when a lake
that was opened anew has shown every row of it, and only if not one row has come meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import DataQualityError
from tidemill.model.interval import DAY
from tidemill.stores.api import (
    FencedError,
    Position,
    Query,
    Store,
    journal_application,
    retention_application,
)
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, COMMITTED, INSTRUMENTS, Table

Digest = tuple[int, int]
"""How many rows, and a checksum of them in any order. Digests of parts add up, the checksum modulo 2^64."""

REACH = "window/reach"
"""Application id under which the hot store says up to which `ts_event` the lake may hold rows."""
WINDOW = "window"
"""Application id of the lake's bars: odd while newer rows lie in a hot store, even once they were handed
back."""

_WRAP = 1 << 64
_PIECE_ROWS = 50_000
"""About as many rows are handed over at once: measured, larger pieces are no quicker, cost ten times their
size in memory, and keep the recorder from its commits. One that turns out larger than `_PIECE_ROWS_MAX` is
cut."""
_PIECE_ROWS_MAX = 200_000
_TRIES = 5
_LIVE: Position = (0, 2**63 - 1)
"""Rows of journals lie beyond this position, rows that came another way before it."""
_EPOCH_MAX = 2**31 - 1


class Hot(Store, Protocol):
    """A store that keeps recent rows and can let go of whole days of them, safely."""

    def days(self, table: Table) -> list[int]:
        """Days (`ts_event` // DAY) that have rows, ascending."""

    def digest(self, table: Table, day: int) -> Digest:
        """Of all rows of a day."""

    def digest_of(self, table: Table, rows: pa.Table) -> Digest:
        """The same of rows in memory."""

    def let_go(self, table: Table, day: int, expected: Digest) -> bool:
        """Drops a day whose digest is the expected one, in one step. False when it is another."""

    def let_go_venue(self, table: Table, venue: str, before_ns: int) -> int:
        """Deletes a venue's rows before this `ts_event` and says so by `retention_application`, in one step.
        Returns how many went."""


def identity(table: Table) -> list[str]:
    """The columns that tell one row of a journal from every other."""
    if table is BARS:
        return ["instrument", "interval", "ts_event", "epoch", "revision", "sequence"]
    return ["venue", "epoch", "sequence"]


def without(table: Table, rows: pa.Table, others: pa.Table) -> pa.Table:
    """Those of `rows` that are not among `others`."""
    return _joined(table, rows, others, "left anti")


def within(table: Table, rows: pa.Table, others: pa.Table) -> pa.Table:
    """Those of `rows` that are among `others`."""
    return _joined(table, rows, others, "left semi")


def _joined(table: Table, rows: pa.Table, others: pa.Table, how: str) -> pa.Table:
    if not len(rows) or not len(others):
        return rows if how == "left anti" else rows.slice(0, 0)
    keys = identity(table)
    numbered = rows.select(keys).append_column("row", pa.array(np.arange(len(rows))))
    found = numbered.join(others.select(keys), keys=keys, join_type=how)
    return rows.take(found["row"].sort())


def handed_over(hot: Hot, lake: Lake, table: Table, day: int) -> Generator[int, None, bool]:
    """Hands a day over to the lake and lets go of it; yields after each piece how many rows were new there.

    Rows that come meanwhile begin it anew; returns False when they came again and again. Raises
    `DataQualityError` when the lake does not show what it was given: then nothing is let go of.
    """
    for _ in range(_TRIES):
        count, checksum = 0, 0
        spans = _spans(day, hot.digest(table, day)[0])
        while spans:
            low, high = spans.pop()
            rows = hot.read(
                table, Query(start=low, end=high, revisions=True, limit=_PIECE_ROWS_MAX + 1, oldest=True)
            )
            if len(rows) > _PIECE_ROWS_MAX:
                # What is older than the last of them is whole; a single moment is not cut.
                cut = max(rows["ts_event"][-1].as_py(), low + 1)
                spans.append((cut, high))
                high = cut
                rows = hot.read(table, Query(start=low, end=high, revisions=True))
            span = Query(start=low, end=high, revisions=True)
            if not len(rows):
                continue
            added = _keep(hot, lake, table, day, span, rows)
            there = _proven(hot, lake, table, span, rows)
            count, checksum = count + there[0], (checksum + there[1]) % _WRAP
            del rows  # not held until the next piece, which may be long after
            pa.default_memory_pool().release_unused()
            yield added
        if hot.let_go(table, day, (count, checksum)):
            return True
    return False


def _spans(day: int, rows: int) -> list[tuple[int, int]]:
    """A day in as many parts as its rows need, the first one last."""
    parts = max(1, -(-rows // _PIECE_ROWS))
    edges = [day * DAY + DAY * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))[::-1]


def _keep(hot: Hot, lake: Lake, table: Table, day: int, span: Query, rows: pa.Table) -> int:
    """Appends to the lake what it lacks of these rows; returns how many those were."""
    application = f"window/{table.name}/{day}"
    # Whoever finds rows gone from the hot store must know by then that the lake has them.
    extend(hot, table, rows)
    for _ in range(_TRIES):
        number = lake.offset(table, application)
        known = lake.read(table, span.with_(after=_LIVE, columns=tuple(identity(table))))
        missing = without(table, rows, known)
        if not len(missing):
            return 0
        try:
            if lake.append(table, missing, {application: (number or 0) + 1}, {application: number}):
                return len(missing)
        except FencedError:
            continue  # somebody else hands over the same day: look again at what is there
    raise FencedError(f"{table.name}: another process hands over day {day} all the time")


def extend(hot: Hot, table: Table, rows: pa.Table) -> None:
    """Notes in the hot store that the lake may hold rows as new as these."""
    newest = pc.max(rows["ts_event"]).as_py()
    if newest is not None and newest > (hot.offset(table, REACH) or -(2**63)):
        hot.append(table, table.empty(), {REACH: newest})


def _proven(hot: Hot, lake: Lake, table: Table, span: Query, rows: pa.Table) -> Digest:
    """The digest of these rows as a lake that is opened anew gives them."""
    fresh = Lake(lake.path)
    there = within(table, fresh.read(table, span.with_(after=_LIVE)), rows)
    found, expected = hot.digest_of(table, there), hot.digest_of(table, rows)
    if found != expected or _bounds(there) != _bounds(rows):
        raise DataQualityError(
            "handover_unproven",
            f"{table.name} between {span.start} and {span.end}: the hot store has {expected[0]} rows with"
            f" checksum {expected[1]}, the lake shows {found[0]} with {found[1]}; nothing was let go of",
            hint="`tidemill data verify` looks for damaged files in the lake; the rows stay in the hot store",
        )
    return found


def _bounds(rows: pa.Table) -> list[object]:
    return [pc.min_max(rows[column]).as_py() for column in ("ts_event", "ts_recv", "epoch", "sequence")]


def hand_back(hot: Hot, lake: Lake, venues: Sequence[str]) -> None:
    """Makes the lake say what the hot store said: up to where journals are stored and what was let go of.
    Bars, the last table of every batch, are the last here too, in one commit with the mark `WINDOW`."""
    for table in COMMITTED:
        offsets = {
            application: number
            for application, number in _told(hot, table, venues).items()
            if number > _or(lake.offset(table, application), -(2**63))
        }
        mark = lake.offset(table, WINDOW)
        if table is BARS and mark is not None and mark % 2:
            offsets[WINDOW] = mark + 1
        if offsets:
            lake.append(table, table.empty(), offsets)


def _told(hot: Hot, table: Table, venues: Sequence[str]) -> dict[str, int]:
    """Offsets of journals and retention in the hot store."""
    told: dict[str, int] = {}
    for venue in venues:
        names = [retention_application(venue)]
        epoch = _EPOCH_MAX
        while (position := hot.position(table, venue, epoch)) is not None:
            told[journal_application(venue, position[0])] = position[1]
            names.append(retention_application(venue, position[0]))
            epoch = position[0] - 1
        for name in names:
            number = hot.offset(table, name)
            if number is not None:
                told[name] = number
    return told


def venues_of(hot: Hot, lake: Lake) -> list[str]:
    """Every venue that either has rows of."""
    found = set(lake.read(INSTRUMENTS, Query(columns=("venue",)))["venue"].to_pylist())
    for table in COMMITTED:
        found |= {held.instrument.rpartition(".")[2] for held in hot.held(table)}
        snapshot = lake.snapshot(table)
        found |= {file.partition.get("venue", "") for file in (snapshot.files if snapshot else ())}
    return sorted(found - {""})


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
