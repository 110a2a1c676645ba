"""A store on ArcticDB, in an LMDB folder or in S3. See `docs/stores.md`.

ArcticDB keeps versions of symbols, and a write of one symbol is all it does at once. So the rows of a table
lie in one symbol per partition (`trades/venue=kraken/date=2026-11-20`), which only ever grow, and a small
symbol per table, the head, is written last: it names the version of each partition that counts, and the
offsets. A reader follows the head; what a killed writer appended beyond it is nobody's, and the next writer
takes it back.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import pyarrow as pa
import pyarrow.compute as pc

from tidemill import address
from tidemill.errors import ConfigError
from tidemill.model.interval import DAY
from tidemill.stores import column, delta, select
from tidemill.stores.api import Held, Position, Query, UnavailableError, journal_application
from tidemill.stores.memory import covered
from tidemill.stores.table import INSTRUMENTS, Table

LIBRARY = "tidemill"
COMPACT_EVERY = 16
"""Appends to one partition until its small segments are merged and old versions are let go."""
LOCK_S = 60.0
_TRIES = 20
"""Looks at a head whose versions were let go of meanwhile: each time, a writer has committed in between."""
_INT64 = (-(2**63), 2**63 - 1)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class _Part:
    """A partition as the head names it. Bounds hold nothing outside; not everything between is there."""

    version: int
    rows: int
    ts_min: int
    ts_max: int
    first: Position
    last: Position

    def as_list(self) -> list[int]:
        return [self.version, self.rows, self.ts_min, self.ts_max, *self.first, *self.last]

    @classmethod
    def of_list(cls, line: list[int]) -> _Part:
        version, rows, low, high, *ends = line
        return cls(version, rows, low, high, (ends[0], ends[1]), (ends[2], ends[3]))

    def grown(self, more: _Part) -> _Part:
        return _Part(
            more.version,
            self.rows + more.rows,
            min(self.ts_min, more.ts_min),
            max(self.ts_max, more.ts_max),
            min(self.first, more.first),
            max(self.last, more.last),
        )


@dataclass(frozen=True)
class _Head:
    offsets: Mapping[str, int]
    parts: Mapping[str, _Part]


class Arctic:
    """A `Store` on ArcticDB. Any number may read; writers of one machine take turns."""

    def __init__(self, url: str) -> None:
        """`url` is `arctic://lmdb/<folder>`, from the root, or `arctic://s3/<host[:port]>/<bucket>`, s3s
        for TLS. Nothing is touched until something is read or kept. Raises `ConfigError`: `extra_missing`
        without ArcticDB, `address_invalid` for another address."""
        self._uri, self._folder = _uri(url)
        self._shown = address.shown(url)
        self._arctic = _module()
        self._made: Any = None
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], dict[str, tuple[int, int, int]]] = {}

    # ── writing ───────────────────────────────────────────────────────────────────────────────────

    def append(
        self,
        table: Table,
        rows: pa.Table,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None = None,
    ) -> bool:
        with self._lock, self._alone(), self._translated():
            library = self._library()
            head = self._head(table)
            if covered(table, {name: head.offsets.get(name) for name in offsets}, offsets, after):
                return False
            parts = dict(head.parts)
            for partition, part in delta.parts(table, rows):
                if len(part):
                    symbol = _symbol(table, partition)
                    parts[symbol] = self._grown(library, symbol, parts.get(symbol), part)
            library.write_metadata(
                _head_symbol(table),
                {
                    "offsets": {**head.offsets, **offsets},
                    "parts": {symbol: part.as_list() for symbol, part in parts.items()},
                },
                prune_previous_versions=True,
            )
            return True

    def _grown(self, library: Any, symbol: str, before: _Part | None, rows: pa.Table) -> _Part:
        """Appends to a partition exactly as the head has it: what lies beyond was never committed."""
        versions = sorted(one.version for one in library.list_versions(symbol))
        known = -1 if before is None else before.version
        beyond = [version for version in versions if version > known]
        if beyond:
            library.delete(symbol, versions=beyond)
        compact = before is not None and len(versions) - len(beyond) >= COMPACT_EVERY
        if compact:
            # The version that the head names stays, and the one before for whoever reads it right now.
            library.delete(symbol, versions=[version for version in versions if version < known - 1])
        written = library.append(
            symbol,
            column.frame(rows),
            prune_previous_versions=False,
            validate_index=False,
            compact_data=compact,
        )
        more = _Part(
            written.version,
            len(rows),
            *_bounds(rows["ts_event"]),
            *_positions(rows),
        )
        return more if before is None else before.grown(more)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the writers' lock, a file beside the LMDB folder. S3 has none: see the documentation."""
        if self._folder is None:
            yield
            return
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        with self._folder.with_name(self._folder.name + ".lock").open("w") as file:
            give_up = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up:
                        raise UnavailableError(
                            f"{self._shown}: another writer has held it for {LOCK_S:.0f} s"
                        ) from None
                    time.sleep(0.005)
            yield

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def offset(self, table: Table, application: str) -> int | None:
        with self._translated():
            return self._head(table).offsets.get(application)

    def position(self, table: Table, venue: str, epoch: int) -> Position | None:
        prefix = journal_application(venue, 0).removesuffix("0")
        with self._translated():
            offsets = self._head(table).offsets
        found = (
            (int(name.removeprefix(prefix)), sequence)
            for name, sequence in offsets.items()
            if name.startswith(prefix)
        )
        return max((position for position in found if position[0] <= epoch), default=None)

    def read(self, table: Table, query: Query = Query()) -> pa.Table:  # noqa: B008 - frozen
        return self._whole(table, lambda head: self._answer(table, head, query))

    def held(self, table: Table) -> list[Held]:
        return self._whole(table, lambda head: self._count(table, head))

    def dated(self, table: Table, query: Query) -> dict[int, int]:
        """As `api.Dated`: a partition that reaches over several days counts for each of them."""
        with self._translated():
            parts = self._head(table).parts
        found: dict[int, int] = {}
        for symbol, part in parts.items():
            if _reaches(table, symbol, part, query):
                for day in range(part.ts_min // DAY, part.ts_max // DAY + 1):
                    found[day] = found.get(day, 0) + part.rows
        return found

    def version(self, table: Table, start: int | None = None, end: int | None = None) -> str:
        low, high = _or(start, _INT64[0]), _or(end, _INT64[1])
        with self._translated():
            parts = self._head(table).parts
        within = sorted(
            f"{symbol} {part.version}"
            for symbol, part in parts.items()
            if part.ts_min < high and part.ts_max >= low
        )
        return " ".join(within)

    def close(self) -> None:
        self._made = None

    def _whole(self, table: Table, answer: Callable[[_Head], _Answer]) -> _Answer:
        """An answer from one head. A version that it names may be let go of meanwhile: then a newer head
        has the same rows, and more."""
        missing = self._arctic.exceptions.NoDataFoundException
        with self._translated():
            for _ in range(_TRIES):
                try:
                    return answer(self._head(table))
                except missing as error:
                    last = error
            raise last

    def _answer(self, table: Table, head: _Head, query: Query) -> pa.Table:
        wanted = [symbol for symbol, part in head.parts.items() if _reaches(table, symbol, part, query)]
        if query.limit is None or table is INSTRUMENTS:
            found = [self._rows(table, symbol, head.parts[symbol], query) for symbol in wanted]
            return select.finish(table, pa.concat_tables([table.empty(), *found]), query)
        rows = table.empty()
        # Partitions of one day, or month, share no time with another's: the newest are read alone first.
        for period in sorted({_period(symbol) for symbol in wanted}, reverse=not query.oldest):
            found = [
                self._rows(table, symbol, head.parts[symbol], query)
                for symbol in wanted
                if _period(symbol) == period
            ]
            rows = pa.concat_tables([rows, *found])
            if len(rows) >= query.limit:
                answer = select.finish(table, rows, query.with_(columns=None))
                if select.count(table, answer, query) >= query.limit:
                    break
        return select.finish(table, rows, query)

    def _rows(self, table: Table, symbol: str, part: _Part, query: Query) -> pa.Table:
        """Rows of a partition that answer the query, with the table's schema."""
        found = self._library().read(
            symbol, as_of=part.version, query_builder=self._condition(query), output_format="pyarrow"
        )
        rows = column.table(table, _partition(symbol), found.data)
        condition = select.condition(table, query)
        return rows if condition is None else rows.filter(condition)

    def _condition(self, query: Query) -> Any:
        """What ArcticDB filters itself, before a row becomes ours: time and names."""
        builder = self._arctic.QueryBuilder()
        tests = []
        low = max(_or(query.start, _INT64[0]), query.beyond[0] if query.beyond else _INT64[0])
        high = min(_or(query.end, _INT64[1]), query.before[0] + 1 if query.before else _INT64[1])
        if low > _INT64[0]:
            tests.append(builder["ts_event"] >= low)
        if high < _INT64[1]:
            tests.append(builder["ts_event"] < high)
        if query.as_of is not None:
            tests.append(builder["ts_recv"] <= query.as_of)
        if query.instruments:
            tests.append(builder["instrument"].isin(list(query.instruments)))
        if not tests:
            return None
        whole = tests[0]
        for test in tests[1:]:
            whole = whole & test
        return builder[whole]

    def _count(self, table: Table, head: _Head) -> list[Held]:
        found: dict[str, Held] = {}
        each = sum(_bytes(field.type) for field in table.schema)
        for symbol, part in head.parts.items():
            for instrument, (rows, start, end) in self._counted(table, symbol, part).items():
                before = found.get(instrument, Held(instrument, 0, start, end, 0))
                found[instrument] = Held(
                    instrument,
                    before.rows + rows,
                    min(before.start, start),
                    max(before.end, end),
                    before.bytes + rows * each,
                )
        return [found[name] for name in sorted(found)]

    def _counted(self, table: Table, symbol: str, part: _Part) -> dict[str, tuple[int, int, int]]:
        """Rows, first and last `ts_event` per instrument. A version never changes."""
        key = symbol, part.version
        counts = self._counts.get(key)
        if counts is None:
            rows = self._library().read(
                symbol, as_of=part.version, columns=["instrument", "ts_event"], output_format="pyarrow"
            )
            names = rows.data.set_column(
                rows.data.schema.get_field_index("instrument"),
                "instrument",
                rows.data["instrument"].cast(pa.string()),
            )
            grouped = names.group_by("instrument").aggregate(
                [("ts_event", "count"), ("ts_event", "min"), ("ts_event", "max")]
            )
            counts = {
                line["instrument"]: (line["ts_event_count"], line["ts_event_min"], line["ts_event_max"])
                for line in grouped.to_pylist()
            }
            for old in [one for one in self._counts if one[0] == symbol]:
                self._counts.pop(old, None)
            self._counts[key] = counts
        return counts

    # ── ArcticDB ──────────────────────────────────────────────────────────────────────────────────

    def _library(self) -> Any:
        made = self._made
        if made is None:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            made = self._made = _opened(self._arctic, self._uri).get_library(LIBRARY, create_if_missing=True)
        return made

    def _head(self, table: Table) -> _Head:
        try:
            kept = self._library().read_metadata(_head_symbol(table)).metadata
        except self._arctic.exceptions.NoDataFoundException:
            return _Head({}, {})
        return _Head(kept["offsets"], {name: _Part.of_list(line) for name, line in kept["parts"].items()})

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What the storage refuses, or what is away, as the error that every store has for it."""
        errors = self._arctic.exceptions
        try:
            yield
        except (
            errors.StorageException,
            errors.PermissionException,
            errors.LmdbMapFullError,
            OSError,
        ) as error:
            raise UnavailableError(f"{self._shown}: {error}") from error


_OPEN: WeakValueDictionary[str, Any] = WeakValueDictionary()
_OPENING = threading.Lock()


def _opened(module: ModuleType, uri: str) -> Any:
    """One process must not open an LMDB folder twice, so its stores share it."""
    with _OPENING:
        found = _OPEN.get(uri)
        if found is None:
            found = _OPEN[uri] = module.Arctic(uri)
        return found


def _module() -> ModuleType:
    try:
        module = importlib.import_module("arcticdb")
        importlib.import_module("arcticdb.exceptions")
    except ImportError as error:
        raise ConfigError(
            "extra_missing",
            f"a store on ArcticDB needs the package arcticdb: {error}",
            hint="pip install 'tidemill[arctic]'; ArcticDB is under the Business Source License 1.1, not "
            "Tidemill's: production use as a database service needs an agreement with its owner",
        ) from error
    # Else a process sees what another one has committed up to two seconds later.
    importlib.import_module("arcticdb.config").set_config_int("VersionMap.ReloadInterval", 0)
    return module


def _uri(url: str) -> tuple[str, Path | None]:
    """ArcticDB's own address, and the folder where it is LMDB's."""
    parts = urlsplit(url)
    path = parts.path.strip("/")
    if parts.scheme == "arctic" and parts.netloc == "lmdb" and path:
        folder = Path(f"/{path}")
        query = f"?{parts.query}" if parts.query else ""
        return f"lmdb://{folder}{query}", folder
    host, _, bucket = path.partition("/")
    if parts.scheme == "arctic" and parts.netloc in ("s3", "s3s") and host and bucket:
        host, _, port = host.partition(":")
        words = [word for word in (parts.query, f"port={port}" if port else "") if word]
        if "access=" not in parts.query and "aws_auth=" not in parts.query:
            words.append("aws_auth=true")
        bucket, _, prefix = bucket.strip("/").partition("/")
        if prefix:
            words.append(f"path_prefix={prefix}")
        return f"{parts.netloc}://{host}:{bucket}?{'&'.join(words)}", None
    raise ConfigError(
        "address_invalid",
        f"{address.shown(url)!r} is no address of an ArcticDB store",
        hint="arctic://lmdb/srv/tidemill/arctic, or arctic://s3s/s3.eu-west-1.amazonaws.com/bucket",
    )


def _head_symbol(table: Table) -> str:
    return f"{table.name}/head"


def _symbol(table: Table, partition: Mapping[str, str]) -> str:
    return "/".join([table.name, *(f"{column}={partition[column]}" for column in table.partition)])


def _partition(symbol: str) -> dict[str, str]:
    return {word.partition("=")[0]: word.partition("=")[2] for word in symbol.split("/")[1:]}


def _period(symbol: str) -> str:
    partition = _partition(symbol)
    return partition.get("date") or partition.get("month", "")


def _reaches(table: Table, symbol: str, part: _Part, query: Query) -> bool:
    """Whether a partition may hold rows that answer the query."""
    partition = _partition(symbol)
    if query.start is not None and part.ts_max < query.start:
        return False
    if query.end is not None and part.ts_min >= query.end:
        return False
    if query.before is not None and part.ts_min > query.before[0]:
        return False
    if query.beyond is not None and part.ts_max < query.beyond[0]:
        return False
    if query.after is not None and part.last <= query.after:
        return False
    if query.through is not None and part.first > query.through:
        return False
    if query.interval is not None and partition.get("interval", query.interval) != query.interval:
        return False
    venue = partition.get("venue")
    if venue is not None and query.venues is not None and venue not in query.venues:
        return False
    return (
        venue is None
        or query.instruments is None
        or any(name.rpartition(".")[2] == venue for name in query.instruments)
    )


def _bounds(values: pa.ChunkedArray) -> tuple[int, int]:
    ends = pc.min_max(values)
    return ends["min"].as_py(), ends["max"].as_py()


def _positions(rows: pa.Table) -> tuple[Position, Position]:
    epochs, sequences = rows["epoch"].to_numpy(), rows["sequence"].to_numpy()
    low, high = int(epochs.min()), int(epochs.max())
    return (low, int(sequences[epochs == low].min())), (high, int(sequences[epochs == high].max()))


def _bytes(kind: pa.DataType) -> int:
    """About what a value takes up before it is packed."""
    try:
        return int(kind.bit_width) // 8
    except ValueError:
        return 8


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
