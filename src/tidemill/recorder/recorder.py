"""The recorder's heart: batches in, commits out. No threads, no clock, no sockets.

A flush takes what has come since the last one and commits it table by table, in the order of
`table.COMMITTED`. The bars table comes last and is committed every time: its offset says that every
record up to there is in every table. After a crash reading begins behind that offset, and each table
skips what its own offset covers already.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill import wire
from tidemill.errors import DataQualityError
from tidemill.model.bar import BAR, Bars
from tidemill.model.instrument import Instrument
from tidemill.stores import delta, restore
from tidemill.stores.api import (
    FencedError,
    Position,
    Query,
    Store,
    UnavailableError,
    journal_application,
)
from tidemill.stores.gap import hole_row
from tidemill.stores.source import Batch, Hole, Names
from tidemill.stores.table import (
    BARS,
    COMMITTED,
    GAPS,
    INSTRUMENTS,
    LIVE,
    Table,
    bar_rows,
    rows_of,
)


@dataclass
class Venue:
    """What the recorder knows of one venue."""

    name: str
    names: Names
    stored: dict[str, Position | None]
    """Per table: the last position in it."""
    builder: restore.Builder
    newest_epoch: int
    """Of its journal."""
    pending: list[Batch] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    built: Position = (0, 0)
    """Last position that the builder has taken in."""
    unsaved: list[tuple[int, Bars]] = field(default_factory=list)
    """Bars that are not committed yet, with the epoch that closed them."""
    late: dict[tuple[int, int, int, int], None] = field(default_factory=dict)
    """Bars that a trade came for after the builder had forgotten them: (number, interval, start, end)."""
    attempted: list[Position] = field(default_factory=list)
    """Where commits were to lead of which it is not known whether they were kept."""
    instruments: dict[str, Instrument] = field(default_factory=dict)
    """What the instruments table holds of this venue."""
    position: Position | None = None
    """Last position that every table covers."""
    taken: Position | None = None
    """Last position that was handed over: stored, or pending."""
    newest_recv: int = 0
    """`ts_recv` of the last record taken in, ns."""
    newest_event: int = 0
    records: int = 0
    """Records stored since this process began."""
    refused: int = 0
    """Trades that no bar could count (a price that does not fit), since this process began."""
    lost: int = 0
    """Records that the journal itself lost, since this process began."""

    @property
    def pending_records(self) -> int:
        return sum(len(batch.records) for batch in self.pending)


class Recorder:
    """Keeps the records of any number of venues in one store."""

    def __init__(
        self,
        home: Path,
        store: Store,
        warn: Callable[..., None] = lambda *_, **__: None,
        *,
        frees_journal: bool = True,
    ) -> None:
        """`frees_journal` False leaves the journals of this home alone: what is stored came another way."""
        self._home = home
        self._frees_journal = frees_journal
        self._store = store
        self._warn = warn
        self.venues: dict[str, Venue] = {}

    # ── start ─────────────────────────────────────────────────────────────────────────────────────

    def add(self, name: str, newest_epoch: int, names: Names | None = None) -> Venue:
        """Takes on a venue, in the state that its offsets name. Its source is to begin behind
        `venue.position`. Without `names` the home's own registry says what its instruments are called.
        Raises `DataQualityError` when what is stored of it cannot be read, `UnavailableError` while the store
        is away."""
        names = names or Names(self._home, name)
        stored = {table.name: self._store.position(table, name, newest_epoch) for table in COMMITTED}
        position = stored[BARS.name]
        builder = restore.restore(self._store, name, position, names.number)
        venue = Venue(
            name,
            names,
            stored,
            builder,
            newest_epoch,
            position=position,
            taken=position,
            built=position or (0, 0),
        )
        self._write_offset(venue)
        self._instruments(venue)
        self.venues[name] = venue
        return venue

    # ── intake ────────────────────────────────────────────────────────────────────────────────────

    def take(self, venue: Venue, batch: Batch) -> None:
        """Adds a batch to what the next flush commits."""
        venue.pending.append(batch)
        venue.taken = (batch.epoch, batch.last)
        venue.newest_epoch = max(venue.newest_epoch, batch.epoch)
        venue.newest_recv = max(venue.newest_recv, batch.arrived or 0)

    def lose(self, venue: Venue, hole: Hole) -> None:
        """Notes records that the journal lost: they become a row of the gaps table."""
        venue.holes.append(hole)
        venue.lost += hole.end - hole.first
        self._warn(
            "the journal lost records",
            venue=venue.name, epoch=hole.epoch, first=hole.first, end=hole.end, cause=hole.cause,
        )  # fmt: skip

    @property
    def pending_records(self) -> int:
        return sum(venue.pending_records for venue in self.venues.values())

    def look(self) -> None:
        """A cheap question to the store: raises `UnavailableError` while it is away."""
        self._store.offset(BARS, journal_application("", 0))

    # ── flush ─────────────────────────────────────────────────────────────────────────────────────

    def flush(self) -> int:
        """Commits everything taken in; returns how many records that was.

        After an error nothing is forgotten: the next flush commits the same again, and tables that had
        got it skip it. Raises `FencedError` where another writer has moved an offset: nothing of this one's
        may be kept from then on.
        """
        self._look_again()
        work = [_Work(venue) for venue in self.venues.values() if venue.pending or venue.holes]
        if not work:
            return 0
        for item in work:
            if item.last not in item.venue.attempted:
                item.venue.attempted.append(item.last)
        try:
            for table in COMMITTED[:-1]:
                self._commit(table, work)
            self._commit_bars(work)
        except FencedError as error:
            # Where the answer to a commit was lost, the server may keep it after we have looked: then the
            # other writer was this one.
            self._look_again()
            raise UnavailableError(f"a commit of before was kept after all: {error}") from error
        except BaseException as error:
            # A store that is away is asked when it is back.
            if not isinstance(error, UnavailableError):
                self._look_again()
            raise
        for item in work:
            item.done()
            self._write_offset(item.venue)
            item.venue.builder.forget()
        for item in work:
            try:
                self._instruments(item.venue)
            except DataQualityError as error:
                self._warn("instruments are not kept up", venue=item.venue.name, cause=str(error))
        return sum(item.records for item in work)

    def _look_again(self) -> None:
        """After an error only the tables themselves know what they hold: what they held before it, or what
        was on its way. Anything else is another writer's."""
        for venue in self.venues.values():
            if not venue.attempted:
                continue
            for table in COMMITTED:
                before = venue.stored[table.name]
                found = self._store.position(table, venue.name, venue.newest_epoch)
                if found not in (before, *venue.attempted):
                    raise FencedError(
                        f"{table.name} of {venue.name} has come to {found}; this writer had brought it to"
                        f" {before} and was on the way to {venue.attempted}"
                    )
                venue.stored[table.name] = found
            if (venue.stored[BARS.name] or (0, 0)) >= venue.built:
                venue.unsaved.clear()

    def _commit(self, table: Table, work: Sequence[_Work]) -> None:
        parts: list[pa.Table] = []
        offsets: dict[str, int] = {}
        after: dict[str, int | None] = {}
        for item in work:
            venue = item.venue
            stored = venue.stored[table.name]
            found = [
                rows
                for run in item.beyond(stored)
                if len(
                    rows := rows_of(
                        table, run.records, run.sequences, run.epoch, venue.name, venue.names.name
                    )
                )
            ]
            if table is GAPS:
                found += [
                    hole_row(venue.name, hole, venue.newest_recv or time.time_ns())
                    for hole in venue.holes
                    if (hole.epoch, hole.end - 1) > (stored or (0, 0))
                ]
            if found:
                parts += found
                offsets |= item.offsets(stored)
                after |= item.follows(stored)
        if not offsets:
            return
        self._store.append(table, pa.concat_tables(parts, promote_options="permissive"), offsets, after)
        for item in work:
            if any(name in offsets for name in item.applications):
                item.venue.stored[table.name] = item.last

    def _commit_bars(self, work: Sequence[_Work]) -> None:
        parts: list[pa.Table] = []
        offsets: dict[str, int] = {}
        after: dict[str, int | None] = {}
        for item in work:
            venue = item.venue
            self._build(item)
            for epoch, bars in venue.unsaved:
                parts.append(bar_rows(bars, venue.name, epoch, venue.names.name))
            offsets |= item.offsets(venue.stored[BARS.name])
            after |= item.follows(venue.stored[BARS.name])
        rows = pa.concat_tables(parts, promote_options="permissive") if parts else BARS.empty()
        if offsets:
            self._store.append(BARS, rows, offsets, after)
        for item in work:
            item.venue.stored[BARS.name] = item.last
            item.venue.unsaved.clear()

    def _build(self, item: _Work) -> None:
        """Pushes what the builder has not seen yet, and adds the bars that it closes to `unsaved`."""
        venue = item.venue
        for run in item.beyond(venue.built):
            closed = venue.builder.push(run.records, int(run.sequences[0]))
            venue.built = (run.epoch, int(run.sequences[-1]))
            if len(closed):
                venue.unsaved.append((run.epoch, closed))
            for sequence, why in venue.builder.native.take_refused():
                venue.refused += 1
                self._warn("a trade fits no bar", venue=venue.name, sequence=sequence, why=why)
            for sequence in venue.builder.native.take_forgotten():
                record = run.records[sequence - int(run.sequences[0])]
                for index, start, end in venue.builder.missed(int(record["ts_event"])):
                    venue.late[int(record["instrument"]), index, start, end] = None
        epoch, sequence = item.last
        for number, index, start, end in list(venue.late):
            name = venue.names.name(number)
            try:
                bars = restore.rebuilt(self._store, name, index, start, end, item.last)
            except DataQualityError as error:
                # Waiting for the file would stop every venue; `data verify` names it and the bar.
                self._warn("a late trade changes no bar", venue=venue.name, instrument=name, cause=str(error))
                bars = np.zeros(0, BAR)
            del venue.late[number, index, start, end]
            if len(bars):
                bars["instrument"], bars["sequence"] = number, sequence
                bars["ts_recv"] = venue.newest_recv
                venue.unsaved.append((epoch, bars))

    def _write_offset(self, venue: Venue) -> None:
        """Tells the journal what it may let go of. Also at the start: a store that was put back from an older
        copy needs again what a newer one had."""
        if not self._frees_journal:
            return
        folder = self._home / "run" / "offsets"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{venue.name}.json"
        if venue.position is None:
            path.unlink(missing_ok=True)
            return
        epoch, sequence = venue.position
        temporary = path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump({"epoch": epoch, "sequence": sequence}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        delta.sync(folder)

    # ── instruments ───────────────────────────────────────────────────────────────────────────────

    def _instruments(self, venue: Venue) -> None:
        """Keeps the registry's instruments, a new revision for each that has changed."""
        wanted = {instrument.name: instrument for instrument in venue.names.refresh()}
        if wanted == venue.instruments:
            return
        rows = self._store.read(INSTRUMENTS, Query(venues=(venue.name,)))
        newest = {line["instrument"]: line for line in rows.to_pylist()}
        fields = ("symbol", "base", "quote", "tick", "lot", "price_scale", "size_scale", "status")
        changed: list[dict[str, Any]] = []
        now = time.time_ns()
        for name, instrument in wanted.items():
            before = newest.get(name)
            if before and all(before[field] == getattr(instrument, field) for field in fields):
                continue
            changed.append(
                {
                    "venue": venue.name,
                    "instrument": name,
                    "source": LIVE,
                    "epoch": 0,
                    "sequence": len(rows) + len(changed) + 1,
                    "ts_event": now,
                    "ts_recv": now,
                    "ts_known": now,
                    "revision": before["revision"] + 1 if before else 0,
                    **{field: getattr(instrument, field) for field in fields},
                }
            )
        if changed:
            kept = pa.Table.from_pylist(changed, INSTRUMENTS.schema)
            self._store.append(INSTRUMENTS, kept, {f"registry/{venue.name}": len(rows) + len(changed)})
        venue.instruments = wanted


@dataclass
class _Run:
    """Records of one epoch, sequences ascending and nearly always dense."""

    epoch: int
    records: wire.Records
    sequences: np.ndarray


class _Work:
    """What one venue brings to a flush. It holds still while more comes in."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._batches = list(venue.pending)
        self._holes = list(venue.holes)
        self.records = sum(len(batch.records) for batch in self._batches)
        self.runs = list(_joined(self._batches))
        ends = [(run.epoch, int(run.sequences[-1])) for run in self.runs]
        ends += [(hole.epoch, hole.end - 1) for hole in self._holes]
        self.last: Position = max(ends)
        self._epochs: dict[int, int] = {}
        for epoch, sequence in sorted(ends):
            self._epochs[epoch] = sequence

    @property
    def applications(self) -> list[str]:
        return [journal_application(self.venue.name, epoch) for epoch in self._epochs]

    def offsets(self, stored: Position | None) -> dict[str, int]:
        """What a table that has come to `stored` will have come to, by application id."""
        return {
            journal_application(self.venue.name, epoch): sequence
            for epoch, sequence in self._epochs.items()
            if stored is None or (epoch, sequence) > stored
        }

    def follows(self, stored: Position | None) -> dict[str, int | None]:
        """What must be stored for those offsets to be the next ones, by application id."""
        return {
            journal_application(self.venue.name, epoch): stored[1] if stored and epoch == stored[0] else None
            for epoch, sequence in self._epochs.items()
            if stored is None or (epoch, sequence) > stored
        }

    def beyond(self, position: Position | None) -> Iterable[_Run]:
        """Runs without what lies at or before `position`."""
        for run in self.runs:
            if position is None or run.epoch > position[0]:
                yield run
            elif run.epoch == position[0] and run.sequences[-1] > position[1]:
                first = int(np.searchsorted(run.sequences, position[1], side="right"))
                yield _Run(run.epoch, run.records[first:], run.sequences[first:])

    def done(self) -> None:
        venue = self.venue
        del venue.pending[: len(self._batches)]
        del venue.holes[: len(self._holes)]
        venue.position = self.last
        venue.attempted.clear()
        venue.records += self.records


def _joined(batches: Sequence[Batch]) -> Iterable[_Run]:
    """Batches that follow each other in one epoch without a hole, as one run each."""
    at = 0
    while at < len(batches):
        to = at + 1
        while (
            to < len(batches)
            and batches[to].epoch == batches[at].epoch
            and batches[to].sequence == batches[to - 1].last + 1
        ):
            to += 1
        group = batches[at:to]
        records = group[0].records if len(group) == 1 else np.concatenate([b.records for b in group])
        first = group[0].sequence
        yield _Run(group[0].epoch, records, np.arange(first, first + len(records), dtype=np.int64))
        at = to
