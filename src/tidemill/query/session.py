"""One query: a DuckDB of its own, that sees the files of one version of each table and nothing else.

The connection is locked before the statement is bound: no file but those, no network, no extension, no
setting, no Python variable. The lake is read, on disk or on S3; a database in front of it is not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from tidemill.errors import (
    CancelledError,
    DataQualityError,
    DeadlineError,
    ResourceError,
    TidemillError,
    UsageError,
)
from tidemill.model.gap import Gap
from tidemill.query import statement, view
from tidemill.query.limit import Limits
from tidemill.query.statement import Statement
from tidemill.stores import place as places
from tidemill.stores.api import Query
from tidemill.stores.gap import Gaps
from tidemill.stores.lake import Lake, Snapshot
from tidemill.stores.opening import is_lake, place
from tidemill.stores.table import GAPS, TABLES, Table

BATCH_ROWS = 20_000
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}
_GLOB = "*?[{"


class PlacesError(UsageError):
    """A number has more decimal places than its column."""


@dataclass(frozen=True)
class Result:
    """Rows of an answer as they come."""

    schema: pa.Schema
    types: list[str]
    """DuckDB's name of each column's type."""
    batches: Iterator[pa.RecordBatch]
    reads: dict[str, Any]


class Session:
    """Queries over one home. One at a time; `interrupt` may come from any thread."""

    def __init__(self, home: Path, limits: Limits) -> None:
        self.home = home
        self.limits = limits
        self._lake = Lake.of(home)
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._why: TidemillError | None = None

    def interrupt(self, why: TidemillError | None = None) -> None:
        """Ends what runs; it raises `why`, `query_cancelled` where nothing is said."""
        self._why = why or CancelledError("query_cancelled", "the query was cancelled")
        connection = self._connection
        if connection is not None:
            with suppress(duckdb.Error):
                connection.interrupt()

    def fetch(self, sql: str, limit: int) -> tuple[pa.Table, bool, Result]:
        """At most `limit` rows of the answer, whether there are more, and what it was made of. Raises
        `ResourceError` `query_too_large` where they pass the bound of bytes; else as `run`."""
        try:
            return self._fetch(sql, limit, wide=False)
        except PlacesError:
            return self._fetch(sql, limit, wide=True)

    def _fetch(self, sql: str, limit: int, *, wide: bool) -> tuple[pa.Table, bool, Result]:
        held: list[pa.RecordBatch] = []
        size = 0
        with self.run(sql, limit + 1, wide=wide) as result:
            for batch in result.batches:
                held.append(batch)
                size += batch.nbytes
                if size > self.limits.bytes:
                    raise ResourceError(
                        "query_too_large",
                        f"the answer passes {self.limits.bytes >> 20} MiB",
                        hint="ask for fewer rows or columns, or run it as a job, which writes a file",
                    )
        table = pa.Table.from_batches(held, result.schema)
        return table.slice(0, limit), len(table) > limit, result

    @contextmanager
    def run(self, sql: str, limit: int | None, *, wide: bool = False) -> Iterator[Result]:
        """The answer to one SELECT, at most `limit` rows of it. Raises `UsageError` `query_invalid`,
        `DeadlineError` `query_timeout`, `ResourceError` `query_memory`, `DataQualityError`
        `data_unreadable`, and `PlacesError` where prices need `wide` columns; while rows are read, too."""
        asked = statement.read(sql, view.KNOWN)
        reads = self.snapshots(asked)
        timer = threading.Timer(self.limits.timeout_s, self.interrupt, [_late(self.limits.timeout_s)])
        timer.daemon = True
        self._why = None
        timer.start()
        try:
            digits = view.PLACES_WIDE if wide else view.PLACES
            with self._open(asked, reads, digits, limit) as result:
                yield result
        finally:
            timer.cancel()

    @contextmanager
    def _open(
        self, asked: Statement, reads: dict[str, Snapshot | None], digits: int, limit: int | None
    ) -> Iterator[Result]:
        try:
            with self._bound(asked, reads, digits) as connection:
                self._connection = connection
                relation = self._relation(connection, asked, limit)
                names = _distinct(relation.columns)
                types = [str(one) for one in relation.types]
                reader = relation.to_arrow_reader(BATCH_ROWS)
                schema = pa.schema(
                    [field.with_name(n) for field, n in zip(reader.schema, names, strict=True)]
                )
                yield Result(schema, types, _renamed(reader, schema), self._told(reads))
        except TidemillError:
            raise
        except Exception as error:
            raise self._ours(error, asked) from error
        finally:
            self._connection = None

    @contextmanager
    def _bound(
        self, asked: Statement, reads: dict[str, Snapshot | None], digits: int
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A locked connection with the views that the statement needs."""
        limits = self.limits
        config = {
            **_CONFIG, "memory_limit": f"{limits.memory_bytes >> 20}MiB", "threads": limits.threads,
        }  # fmt: skip
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            self._views(connection, asked, reads, digits)
            connection.execute("SET lock_configuration = true")
            yield connection

    def _views(
        self,
        connection: duckdb.DuckDBPyConnection,
        asked: Statement,
        reads: dict[str, Snapshot | None],
        digits: int,
    ) -> None:
        local = {
            name: [str(Path(str(self._lake.path)) / name / file.path) for file in snapshot.files]
            for name, snapshot in reads.items()
            if snapshot is not None and snapshot.files and self._is_local(snapshot, name)
        }
        connection.execute("CREATE SCHEMA raw")
        allowed = ", ".join(_text(path) for files in local.values() for path in files)
        connection.execute(f"SET allowed_paths = [{allowed}]")
        connection.execute("SET enable_external_access = false")
        for name, snapshot in reads.items():
            connection.execute(f"CREATE VIEW raw.{name} AS {self._source(connection, name, snapshot, local)}")
        for schema, name in sorted(asked.datasets):
            if schema == "main" and name == "gaps":
                connection.register("_gaps", self._gaps(reads["gaps"]))
                connection.execute("CREATE TABLE gaps AS SELECT * FROM _gaps")
                connection.unregister("_gaps")
            elif schema == "main":
                made = view.definition(name, f"raw.{name}", digits)
                connection.execute(f"CREATE VIEW {name} AS {made}")

    def _is_local(self, snapshot: Snapshot, name: str) -> bool:
        """DuckDB takes some letters of a path for a pattern: such files are read through Arrow."""
        root = self._lake.path
        return isinstance(root, Path) and not any(
            letter in f"{root}/{name}/{file.path}" for file in snapshot.files[:1] for letter in _GLOB
        )

    def _source(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        snapshot: Snapshot | None,
        local: dict[str, list[str]],
    ) -> str:
        table = TABLES[name]
        columns = ", ".join(table.schema.names)
        if name in local:
            files = ", ".join(_text(path) for path in local[name])
            types = ", ".join(
                f"'{column}': {'DATE' if column == 'date' else 'VARCHAR'}" for column in table.partition
            )
            return (
                f"SELECT {columns} FROM read_parquet([{files}], "  # noqa: S608 - names and paths are our own
                f"hive_partitioning = true, hive_types = {{{types}}})"
            )
        if snapshot is None or not snapshot.files:
            connection.register("_empty", table.empty())
            connection.execute(f"CREATE TABLE raw._{name} AS SELECT * FROM _empty")  # noqa: S608
            connection.unregister("_empty")
            return f"SELECT {columns} FROM raw._{name}"  # noqa: S608 - our own names
        connection.register(f"_{name}", self._dataset(table, snapshot))
        return f"SELECT {columns} FROM _{name}"  # noqa: S608 - our own names

    def _dataset(self, table: Table, snapshot: Snapshot) -> Any:
        """Files on S3 as Arrow reads them, which DuckDB asks for the columns and rows it needs."""
        root = self._lake.path / table.name
        return ds.dataset(
            [places.arrow_path(root / file.path) for file in snapshot.files],
            schema=table.schema,
            format="parquet",
            filesystem=places.filesystem(root),
            partitioning=ds.partitioning(
                pa.schema([table.schema.field(name) for name in table.partition]), flavor="hive"
            ),
            partition_base_dir=places.arrow_path(root),
        )

    def _gaps(self, snapshot: Snapshot | None) -> pa.Table:
        """Holes with their two ends."""
        found: list[Gap] = []
        rows = self._lake.read(GAPS, Query(), snapshot) if snapshot is not None else GAPS.empty()
        for venue in rows["venue"].unique().to_pylist():
            gaps = Gaps(venue)
            gaps.rows(rows.filter(ds.field("venue") == venue))
            found += gaps.all()
        lines = [gap.as_dict() for gap in found]
        when = pa.timestamp("ns")
        return pa.table(
            {
                **{n: pa.array([line[n] for line in lines], pa.string())
                   for n in ("venue", "instrument", "channel", "cause", "state")},
                **{n: pa.array([line[n] for line in lines], pa.int64()).cast(when)
                   for n in ("opened_at", "ended_at", "ts_event_open", "ts_event_end")},
                **{n: pa.array([line[n] for line in lines], pa.int64())
                   for n in ("missing", "epoch", "sequence", "venue_sequence_open", "venue_sequence_end")},
            }
        )  # fmt: skip

    def snapshots(self, asked: Statement) -> dict[str, Snapshot | None]:
        """The newest version of each table that a statement reads."""
        names = sorted({view.SOURCES[pair] for pair in asked.datasets})
        return {name: self._lake.snapshot(TABLES[name]) for name in names}

    def _told(self, reads: dict[str, Snapshot | None]) -> dict[str, Any]:
        """What the answer was made of."""
        note = None
        if not is_lake():
            note = f"rows that are only in {place(self.home)} are not in it"
        return {
            "store": "lake",
            "versions": {name: snapshot.version for name, snapshot in reads.items() if snapshot is not None},
            "note": note,
        }

    def _relation(
        self, connection: duckdb.DuckDBPyConnection, asked: Statement, limit: int | None
    ) -> duckdb.DuckDBPyRelation:
        try:
            relation = connection.sql(asked.text)
        except (duckdb.BinderException, duckdb.CatalogException):
            connection.execute(asked.text)  # the same fault, and this way it comes with its place
            raise
        if relation is None:
            raise statement.invalid("it has no rows")
        return relation if limit is None else relation.limit(limit)

    def _ours(self, error: Exception, asked: Statement) -> Exception:
        """DuckDB's error as one of ours; what is none of its errors as it is."""
        if self._why is not None:
            return self._why
        if view.TOO_MANY_PLACES in str(error):
            return PlacesError(
                "query_invalid",
                f"a price or size has more than {view.PLACES_WIDE} decimal places",
                hint="read it as `price` and `price_scale` of raw.trades, raw.quotes, raw.levels or raw.bars",
            )
        if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
            return ResourceError(
                "query_memory",
                f"the query needs more than {self.limits.memory_bytes >> 20} MiB of memory",
                hint="ask for fewer rows or columns, aggregate more, or sort less",
                http_status=507,
            )
        if isinstance(error, duckdb.IOException) or ".parquet" in _told_by(error):
            return DataQualityError(
                "data_unreadable",
                f"the lake cannot be read: {str(error).splitlines()[0][:500]}",
                hint="`tidemill data verify` lists damaged files; put them back from a copy of the lake",
                http_status=503,
            )
        if isinstance(error, duckdb.Error):
            return statement.located(error, asked.text)
        return error


def _told_by(error: Exception) -> str:
    """What an error says, without the line of SQL it shows, which may be anybody's."""
    return str(error).partition("\n\nLINE ")[0] if isinstance(error, duckdb.Error) else ""


def _late(timeout_s: float) -> DeadlineError:
    return DeadlineError(
        "query_timeout",
        f"the query took longer than {timeout_s:g} s",
        hint="ask for less: filter by venue, instrument and date; or run it as a job",
        retryable=False,
    )


def _renamed(reader: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _distinct(names: list[str]) -> list[str]:
    """Column names, each once: a second `a` is `a_1`."""
    found: list[str] = []
    for name in names:
        one, at = name, 0
        while one in found:
            at += 1
            one = f"{name}_{at}"
        found.append(one)
    return found


def _text(value: str) -> str:
    """A string literal of SQL."""
    return "'" + value.replace("'", "''") + "'"
