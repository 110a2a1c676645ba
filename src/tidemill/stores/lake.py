"""The lake: Delta tables of Parquet below `DIR/lake` or on S3, one per kind of row. See `docs/lake.md`."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction

from tidemill.address import named
from tidemill.errors import DataQualityError
from tidemill.model.interval import DAY, STORED
from tidemill.stores import completeness, delta, imported, select
from tidemill.stores import place as places
from tidemill.stores.api import FencedError, Held, Position, Query, UnavailableError, journal_application
from tidemill.stores.memory import covered
from tidemill.stores.place import Bucket, Place
from tidemill.stores.table import Table

if TYPE_CHECKING:
    from deltalake import DeltaTable

_EPOCHS_LOOKED_BACK = 100_000
_APPEND_TRIES = 8
_Count = tuple[int, int, int, tuple[str, ...], Mapping[int, int]]
"""Rows, first and last `ts_event`, sources, and how many rows each day has."""
_INTERVAL = re.compile(r"(?:^|/)interval=([^/]+)/")
MAINTENANCE = "maintenance"
"""Application id of compaction and retention."""


_PARQUET = ds.ParquetFileFormat(
    # A bit that flipped in a page would else be another price.
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)


class StaleError(RuntimeError):
    """Somebody else has changed the same files."""


@dataclass(frozen=True)
class Snapshot:
    """A version of a table, and the offsets of exactly that version."""

    version: int
    files: tuple[delta.DataFile, ...]
    offsets: Mapping[str, int | None]


class _Held:
    """One table's handle. A handle may be used by one thread at a time."""

    def __init__(self, root: Place, table: Table) -> None:
        self.root = root
        self.table = table
        self.lock = threading.Lock()
        self.handle: DeltaTable | None = None
        self.offsets = delta.Offsets(root)
        self._files: tuple[int, tuple[delta.DataFile, ...]] = (-1, ())

    @contextmanager
    def newest(self) -> Iterator[DeltaTable | None]:
        """The handle at the newest version, for one thread at a time; None where there is no table yet.
        Raises `UnavailableError` when S3 does not answer."""
        with self.lock, _reached(self.root):
            yield self.refreshed()

    def refreshed(self) -> DeltaTable | None:
        """The handle at the newest version; the caller holds the lock."""
        if self.handle is None:
            self.handle = delta.open_table(self.root)
        else:
            self.handle.update_incremental()
        return self.handle

    def files(self, handle: DeltaTable) -> tuple[delta.DataFile, ...]:
        version = handle.version()
        if self._files[0] != version:
            self._files = (version, tuple(delta.files(handle)))
        return self._files[1]


@contextmanager
def _reached(where: Place) -> Iterator[None]:
    """Tells a server that is away from a file that is."""
    try:
        yield
    except OSError as error:
        if places.away(where, error):
            raise UnavailableError(f"{where} cannot be reached: {error}") from error
        raise


class Lake:
    """A `Store` of files. Any number may read; rows of one application id have one writer."""

    def __init__(self, path: str | Path | Bucket) -> None:
        """`path` is the lake's folder, `DIR/lake`, or `s3://BUCKET/PREFIX`. Nothing is touched until
        something is read or kept."""
        self.path = places.place(path)
        self._tables: dict[str, _Held] = {}
        self._counts: dict[str, dict[str, _Count]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, home: Path) -> Lake:
        """The lake of a home: where TIDEMILL_LAKE_URL says, `DIR/lake` where it says nothing."""
        return cls(named("TIDEMILL_LAKE_URL") or home / "lake")

    def _held(self, table: Table) -> _Held:
        with self._lock:
            held = self._tables.get(table.name)
            if held is None:
                held = self._tables[table.name] = _Held(self.path / table.name, table)
            return held

    # ── writing ───────────────────────────────────────────────────────────────────────────────────

    def mend(self, tables: Sequence[Table]) -> list[str]:
        """Takes torn log ends aside before anything is opened. For the one writer of these tables."""
        return [line for table in tables for line in delta.mend(self.path / table.name)]

    def append(
        self,
        table: Table,
        rows: pa.Table,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None = None,
    ) -> bool:
        held = self._held(table)
        actions: list[AddAction | RemoveAction] | None = None
        with held.lock, _reached(held.root):
            for _ in range(_APPEND_TRIES):
                handle = held.refreshed() or delta.create(held.root, table)
                held.handle = handle
                stored = held.offsets.of(handle, offsets)
                if covered(table, stored, offsets, after):
                    return False
                if actions is None:
                    actions = [
                        delta.write_file(held.root, table, partition, part)
                        for partition, part in delta.parts(table, rows)
                        if len(part)
                    ]
                try:
                    held.handle = delta.commit(held.root, handle, table, actions, offsets, "append", stored)
                except delta.MovedError:
                    held.handle = None  # what is stored by now says whether this batch still counts
                    continue
                return True
        raise FencedError(f"{table.name}: other writers move {dict(offsets)} all the time")

    def maintain(
        self,
        table: Table,
        actions: Sequence[AddAction | RemoveAction],
        what: str,
        let_go: Mapping[str, int] | None = None,
        forgotten: Sequence[str] = (),
    ) -> None:
        """Commits a change of files that is not an append, under the next number of "maintenance"; one that
        lets rows go also says which, by `retention_application`, and may forget that some application ids
        ever brought any. Raises `StaleError` when a file to remove is gone already: its rows are in another
        file then."""
        held = self._held(table)
        with held.newest() as handle:
            if handle is None:
                return
            there = {file.path for file in held.files(handle)}
            gone = [a.path for a in actions if isinstance(a, RemoveAction) and a.path not in there]
            if gone:
                raise StaleError(f"{table.name}: {len(gone)} of the files to {what} were replaced meanwhile")
            numbers = {MAINTENANCE: (handle.transaction_version(MAINTENANCE) or 0) + 1}
            for name, number in (let_go or {}).items():
                numbers[name] = max(number, handle.transaction_version(name) or number)
            numbers |= dict.fromkeys(forgotten, 0)
            try:
                held.handle = delta.commit(held.root, handle, table, actions, numbers, what)
            except delta.MovedError as error:
                held.handle = None
                raise StaleError(str(error)) from error

    def log_version(self, table: Table) -> int | None:
        """The newest version of a table's log; None where there is no table."""
        held = self._held(table)
        with held.newest() as handle:
            return None if handle is None else handle.version()

    def checkpoint(self, table: Table) -> None:
        """Writes a durable checkpoint and lets go of log entries that are older than is kept."""
        held = self._held(table)
        with held.newest() as handle:
            if handle is not None:
                handle.create_checkpoint()
                log = held.root / "_delta_log"
                if isinstance(log, Path):
                    for file in log.glob(f"{handle.version():020d}.checkpoint*"):
                        delta.sync(file)
                    delta.sync(log / "_last_checkpoint")
                    delta.sync(log)
                handle.cleanup_metadata()

    def vacuum(self, table: Table) -> int:
        """Deletes files that no recent version names; returns how many."""
        held = self._held(table)
        with held.newest() as handle:
            if handle is None:
                return 0
            hooks = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
            gone = handle.vacuum(dry_run=False, full=True, post_commithook_properties=hooks)
            handle.update_incremental()
            return len(gone)

    def import_bars(
        self,
        instrument: str,
        interval: str,
        columns: Mapping[str, Any],
        *,
        source: str,
        chunk: str,
        ts_recv: int,
    ) -> bool:
        """As `imported.keep`."""
        return imported.keep(self, instrument, interval, columns, source=source, chunk=chunk, ts_recv=ts_recv)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def offset(self, table: Table, application: str) -> int | None:
        held = self._held(table)
        with held.newest() as handle:
            return None if handle is None else handle.transaction_version(application)

    def position(self, table: Table, venue: str, epoch: int) -> Position | None:
        held = self._held(table)
        with held.newest() as handle:
            if handle is None:
                return None
            for one in range(epoch, max(0, epoch - _EPOCHS_LOOKED_BACK), -1):
                sequence = handle.transaction_version(journal_application(venue, one))
                if sequence is not None:
                    return one, sequence
            return None

    def version(self, table: Table, start: int | None = None, end: int | None = None) -> str:
        snapshot = self.snapshot(table)
        if snapshot is None:
            return ""
        if start is None and end is None:
            return str(snapshot.version)
        low, high = _or(start, -(2**63)), _or(end, 2**63 - 1)
        within = sorted(file.path for file in snapshot.files if file.ts_min < high and file.ts_max >= low)
        return hashlib.sha256("\n".join(within).encode()).hexdigest()

    def held(self, table: Table) -> list[Held]:
        snapshot = self.snapshot(table)
        found: dict[str, Held] = {}
        every: dict[str, Counter[int]] = {}
        intervals: dict[str, set[str]] = {}
        for file in snapshot.files if snapshot else ():
            counts = self._counted(table, file.path)
            total = sum(count[0] for count in counts.values()) or 1
            of_bars = _INTERVAL.search(file.path)
            for instrument, (rows, start, end, sources, days) in counts.items():
                every.setdefault(instrument, Counter()).update(days)
                if of_bars:
                    intervals.setdefault(instrument, set()).add(of_bars[1])
                before = found.get(instrument, Held(instrument, 0, start, end, 0, ()))
                found[instrument] = Held(
                    instrument,
                    before.rows + rows,
                    min(before.start, start),
                    max(before.end, end),
                    before.bytes + file.bytes * rows // total,
                    tuple(sorted({*before.sources, *sources})),
                )
        return [
            replace(
                found[name],
                days=completeness.runs(set(every[name])),
                daily=every[name],
                intervals=tuple(one for one in STORED if one in intervals.get(name, ())),
            )
            for name in sorted(found)
        ]

    def _counted(self, table: Table, path: str) -> dict[str, _Count]:
        """What a file has per instrument. Files never change."""
        key = f"{table.name}/{path}"
        counts = self._counts.get(key)
        if counts is None:
            file = self.path / table.name / path
            try:
                with delta.open_file(file) as opened:
                    counts = _counts(opened)
            except FileNotFoundError:
                return {}  # compacted and vacuumed between the two looks
            except (OSError, pa.ArrowException) as error:
                raise _fault(file, error) from error
            self._counts[key] = counts
        return counts

    def dated(self, table: Table, query: Query) -> dict[int, int]:
        """As `api.Dated`: a file that reaches over several days counts for each of them."""
        snapshot = self.snapshot(table)
        found: dict[int, int] = {}
        for file in self.pruned(table, snapshot.files, query) if snapshot else ():
            for day in range(file.ts_min // DAY, file.ts_max // DAY + 1):
                found[day] = found.get(day, 0) + file.rows
        return found

    def close(self) -> None:
        pass

    def snapshot(self, table: Table, applications: Sequence[str] = ()) -> Snapshot | None:
        """The newest version with its offsets, all from one handle; None where there is no table."""
        held = self._held(table)
        with held.newest() as handle:
            if handle is None:
                return None
            return Snapshot(
                handle.version(),
                held.files(handle),
                held.offsets.of(handle, applications),
            )

    def read(
        self,
        table: Table,
        query: Query = Query(),  # noqa: B008 - frozen
        snapshot: Snapshot | None = None,
    ) -> pa.Table:
        """As `Store.read`; with `snapshot`, exactly the rows of that version."""
        if snapshot is None:
            snapshot = self.snapshot(table)
        if snapshot is None:
            return select.finish(table, table.empty(), query)
        wanted = self.pruned(table, snapshot.files, query)
        if query.through is not None and all(file.last <= query.through for file in wanted):
            query = query.with_(through=None)  # no row needs to be asked
        if query.limit is None:
            return select.finish(table, self.rows(table, wanted, select.condition(table, query)), query)
        found = table.empty()
        for span, files in _steps(wanted, query):
            more = select.condition(table, query.with_(start=span[0], end=span[1]))
            found = pa.concat_tables([found, self.rows(table, files, more)])
            if len(found) >= query.limit:
                answer = select.finish(table, found, query.with_(columns=None))
                if select.count(table, answer, query) >= query.limit:
                    break
        return select.finish(table, found, query)

    def pruned(self, table: Table, files: Sequence[delta.DataFile], query: Query) -> list[delta.DataFile]:
        """Those files that may have rows which answer a query."""
        low = query.start if query.start is not None else -(2**63)
        high = query.end if query.end is not None else 2**63 - 1
        if query.before is not None:
            high = min(high, query.before[0] + 1)
        if query.beyond is not None:
            low = max(low, query.beyond[0])
        venues = set(query.venues) if query.venues is not None else None
        if query.instruments is not None:
            of_names = {name.rpartition(".")[2] for name in query.instruments}
            venues = of_names if venues is None else venues & of_names
        wanted = []
        for file in files:
            partition = file.partition
            if file.ts_max < low or file.ts_min >= high:
                continue
            if query.after is not None and file.last <= query.after:
                continue
            if query.through is not None and file.first > query.through:
                continue
            if venues is not None and partition.get("venue", None) not in {*venues, None}:
                continue
            if query.interval is not None and partition.get("interval", query.interval) != query.interval:
                continue
            wanted.append(file)
        return wanted

    def rows(
        self, table: Table, files: Sequence[delta.DataFile], condition: pc.Expression | None = None
    ) -> pa.Table:
        """Rows of these files, in no order. Raises `DataQualityError` naming a file that cannot be read."""
        if not files:
            return table.empty()
        root = self.path / table.name
        try:
            dataset = ds.dataset(
                [places.arrow_path(root / file.path) for file in files],
                schema=table.schema,
                format=_PARQUET,
                filesystem=places.filesystem(root),
                partitioning=ds.partitioning(
                    pa.schema([table.schema.field(name) for name in table.partition]), flavor="hive"
                ),
                partition_base_dir=places.arrow_path(root),
            )
            rows: pa.Table = dataset.to_table(filter=condition)
        except (OSError, pa.ArrowException) as error:
            # Arrow does not always say which one it was.
            fault = _fault(root / files[0].path, error)
            for file in files if len(files) > 1 and isinstance(fault, DataQualityError) else ():
                self.rows(table, [file], condition)
            raise fault from error
        return rows

    def tables(self) -> dict[str, list[delta.DataFile]]:
        """Files of every table there is, by its name."""
        from tidemill.stores.table import TABLES

        found = {}
        for table in TABLES.values():
            snapshot = self.snapshot(table)
            if snapshot is not None:
                found[table.name] = list(snapshot.files)
        return found


def _counts(file: pq.ParquetFile) -> dict[str, _Count]:
    """What a file has per instrument. Files are sorted by instrument, so that most groups of rows hold one
    alone, and their own statistics say all there is to know."""
    columns = {name: at for at, name in enumerate(file.schema_arrow.names)}
    parts: dict[str, list[_Count]] = {}
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        known = [facts.column(columns[name]).statistics for name in ("instrument", "source", "ts_event")]
        if all(one is not None and one.has_min_max and not one.null_count for one in known):
            (name, last), (source, other), (low, high) = ((one.min, one.max) for one in known)
            if (name, source) == (last, other) and high // DAY - low // DAY < 1:
                mine: _Count = (facts.num_rows, low, high, (source,), {low // DAY: facts.num_rows})
                parts.setdefault(name, []).append(mine)
                continue
        for name, count in _counted_rows(file.read_row_group(group, ["instrument", "ts_event", "source"])):
            parts.setdefault(name, []).append(count)
    return {name: _added(counts) for name, counts in parts.items()}


def _added(counts: Sequence[_Count]) -> _Count:
    return (
        sum(count[0] for count in counts),
        min(count[1] for count in counts),
        max(count[2] for count in counts),
        tuple(sorted({source for count in counts for source in count[3]})),
        sum((Counter(count[4]) for count in counts), Counter()),
    )


def _counted_rows(rows: pa.Table) -> Iterator[tuple[str, _Count]]:
    rows = rows.append_column("day", pa.array(rows["ts_event"].to_numpy() // DAY))
    aggregates = [("ts_event", "count"), ("ts_event", "min"), ("ts_event", "max"), ("source", "distinct")]
    for line in rows.group_by(["instrument", "day"]).aggregate(aggregates).to_pylist():
        yield line["instrument"], (
            line["ts_event_count"], line["ts_event_min"], line["ts_event_max"],
            tuple(line["source_distinct"]), {line["day"]: line["ts_event_count"]},
        )  # fmt: skip


def _fault(path: Place, error: Exception) -> Exception:
    """What is raised for a file that could not be read: it is damaged, or its server is away."""
    if isinstance(error, OSError) and places.away(path, error):
        return UnavailableError(f"{path} cannot be reached: {error}")
    return delta.unreadable(path, error)


def _steps(
    files: Sequence[delta.DataFile], query: Query
) -> Iterator[tuple[tuple[int | None, int | None], list[delta.DataFile]]]:
    """Spans of `ts_event` that follow each other away from the newest (or oldest) end, each larger than
    the one before, with the files that reach into them; the last span has no far bound.

    Rows of the newest span are newer than all others, so a reader stops as soon as it has enough.
    """
    if not files or query.limit is None:
        return
    first, beyond = min(file.ts_min for file in files), max(file.ts_max for file in files) + 1
    low, high = max(first, _or(query.start, -(2**63))), min(beyond, _or(query.end, 2**63 - 1))
    rows = sum(file.rows for file in files)
    # As if the wanted rows were a tenth of all and evenly spread; too small a guess costs one more look.
    width = max(1_000_000_000, (beyond - first) * query.limit * 10 // max(rows, 1))
    while True:
        last = width >= high - low or rows < 20_000
        span: tuple[int | None, int | None]
        if query.oldest:
            edge = None if last else low + width
            span = (low, query.end if edge is None else edge)
        else:
            edge = None if last else high - width
            span = (query.start if edge is None else edge, high)
        inside = [
            file
            for file in files
            if (span[0] is None or file.ts_max >= span[0]) and (span[1] is None or file.ts_min < span[1])
        ]
        if inside:
            yield span, inside
        if edge is None:
            return
        low, high = (edge, high) if query.oldest else (low, edge)
        width *= 8


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
