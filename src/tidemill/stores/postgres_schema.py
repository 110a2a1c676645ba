"""The tables of the PostgreSQL store, and how their days are partitioned.

Every name here is a word of this program: nothing that a venue or a person writes becomes an identifier.
Strings of rows (instruments, venues, sources, sides, …) are numbers of the one dictionary `tidemill_name`, so
that a row is short and COPY can be made without a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, cast

import pyarrow as pa
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier, Literal

from tidemill.errors import ConfigError
from tidemill.model.interval import DAY
from tidemill.stores.table import (
    BARS,
    DETAILS,
    GAPS,
    INSTRUMENTS,
    LEVELS,
    QUOTES,
    STATUS,
    TABLES,
    TRADES,
    Table,
)

VERSION = 1
LOCK = 0x7469_6465
"""First half of every advisory lock of this program ("tide"); the second says what it protects."""
LOCK_SCHEMA = -1

MINUTE_BARS = "1m"
_DERIVED = ("date", "month")
"""Columns that `ts_event` gives: not kept."""
NULLABLE = frozenset({"id"})


@dataclass(frozen=True)
class Relation:
    """One table of the database."""

    name: LiteralString
    table: Table
    index: tuple[str, ...] = ("instrument", "ts")
    partitioned: bool = True

    @property
    def identifier(self) -> Identifier:
        return Identifier(self.name)

    @property
    def columns(self) -> list[pa.Field]:
        """What is kept, longest first so that rows need no padding."""
        kept = [field for field in self.table.schema if field.name not in _DERIVED]
        return sorted(kept, key=lambda field: -_WIDTHS.get(str(sql_type(field)), 0))

    def column(self, name: str) -> str:
        """What a column is called in the database."""
        return "trades_count" if self.table is BARS and name == "trades" else name

    def partition(self, day: int) -> Identifier:
        """The partition of a day: days since 1970 are its name."""
        return Identifier(self.partition_name(day))

    def partition_name(self, day: int) -> str:
        return f"{self.name}_{'d' if day >= 0 else 'b'}{abs(day)}"


RELATIONS: Mapping[str, tuple[Relation, ...]] = {
    GAPS.name: (Relation("raw_gaps", GAPS),),
    STATUS.name: (Relation("raw_status", STATUS),),
    DETAILS.name: (Relation("raw_details", DETAILS),),
    LEVELS.name: (Relation("raw_levels", LEVELS),),
    QUOTES.name: (Relation("raw_quotes", QUOTES),),
    TRADES.name: (Relation("raw_trades", TRADES),),
    BARS.name: (
        Relation("candles_1m", BARS),
        Relation("candles", BARS, ("instrument", "interval", "ts")),
    ),
    INSTRUMENTS.name: (Relation("raw_instruments", INSTRUMENTS, ("instrument",), partitioned=False),),
}
"""Where the rows of each table are; the views with readable columns have the tables' own names."""

NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(sorted(TABLES), 1)}
"""Each table's number, in offsets, counts and locks."""

_WIDTHS = {"bigint": 8, "integer": 4, "smallint": 2}


def sql_type(field: pa.Field) -> LiteralString:
    """What keeps a column of the tables."""
    kind = field.type
    if pa.types.is_string(kind):
        return "integer"
    if pa.types.is_int64(kind):
        return "bigint"
    if pa.types.is_int32(kind):
        return "integer"
    if pa.types.is_integer(kind):
        return "smallint"
    if pa.types.is_decimal(kind):
        return "numeric"
    return "bytea"


def instant(ns: int) -> datetime:
    """The microsecond that a time is in, as `ts` has it."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)


def bounds(day: int) -> tuple[datetime, datetime]:
    """First instant of a day (since 1970, UTC) and of the next."""
    return instant(day * DAY), instant((day + 1) * DAY)


def words(names: Iterable[str]) -> Composed:
    """Column names, as a list."""
    return SQL(", ").join(map(Identifier, names))


# ── making ────────────────────────────────────────────────────────────────────────────────────────

_OWN: tuple[LiteralString, ...] = (
    "CREATE TABLE tidemill_store (version integer PRIMARY KEY, hypertables boolean NOT NULL,"
    " made timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE tidemill_name (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " name text NOT NULL UNIQUE)",
    # The one place that says up to where a journal is stored. `venue` and `epoch` are those in the name of
    # a journal's application id, so that the newest epoch is one look into the index.
    "CREATE TABLE tidemill_offset (of_table smallint, application text, sequence bigint, venue text,"
    " epoch bigint, PRIMARY KEY (of_table, application)) WITH (fillfactor = 50)",
    "CREATE INDEX tidemill_offset_journal ON tidemill_offset (of_table, venue, epoch)"
    " WHERE venue IS NOT NULL",
    "CREATE TABLE tidemill_held (of_table smallint, venue integer, instrument integer, day integer,"
    " rows bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL,"
    " PRIMARY KEY (of_table, day, venue, instrument)) WITH (fillfactor = 50)",
    'CREATE TABLE dead_letter (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "table" text NOT NULL,'
    " application text NOT NULL, venue text, epoch bigint, sequence bigint, reason text NOT NULL,"
    " row bytea NOT NULL, at timestamptz NOT NULL DEFAULT now())",
    "COMMENT ON COLUMN dead_letter.row IS 'the row as an Arrow IPC stream'",
    "CREATE FUNCTION tidemill_decimal(mantissa numeric, scale integer) RETURNS numeric"
    " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT mantissa * ('{"
    + ",".join("1" if not scale else "0." + "0" * (scale - 1) + "1" for scale in range(19))
    + "}'::numeric[])[scale + 1] $$",
    "CREATE FUNCTION instrument_id(wanted text) RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE"
    " AS $$ SELECT id FROM tidemill_name WHERE name = wanted $$",
)


def prepare(connection: Connection[Any]) -> bool:
    """Makes everything where it is missing: all of it or nothing, once however many start together.
    Returns whether the tables are hypertables. Raises `ConfigError` for what a later version made."""
    found = _found(connection)
    if found is None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, LOCK_SCHEMA))
            found = _found(connection)
            if found is None:
                found = _make(connection)
    version, hypertables = found
    if version > VERSION:
        raise ConfigError(
            "store_newer",
            f"the store's tables are of version {version}, this Tidemill knows up to {VERSION}",
            hint="run the newer Tidemill, or name another database",
        )
    return hypertables


def _found(connection: Connection[Any]) -> tuple[int, bool] | None:
    # Not to_regclass: behind a lock it may answer from before the wait. And only the schema that ours would
    # be made in: another one on the search path may be another store.
    there = connection.execute(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = 'tidemill_store' AND n.nspname = current_schema()"
    ).fetchone()
    if there == (0,):
        return None
    row = connection.execute(
        "SELECT version, hypertables FROM tidemill_store ORDER BY version DESC LIMIT 1"
    ).fetchone()
    return cast(tuple[int, bool] | None, row)


def _make(connection: Connection[Any]) -> tuple[int, bool]:
    hypertables = has_hypertables(connection)
    for statement in _OWN:
        connection.execute(SQL(statement))
    for relation in every():
        for made in _relation(relation, hypertables):
            connection.execute(made)
    for table in TABLES.values():
        connection.execute(_view(table))
    connection.execute(
        "INSERT INTO tidemill_store (version, hypertables) VALUES (%s, %s)", (VERSION, hypertables)
    )
    return VERSION, hypertables


def has_hypertables(connection: Connection[Any]) -> bool:
    """True in a database that has TimescaleDB, whatever its edition."""
    found = connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    return found == (1,)


@contextmanager
def apart(connection: Connection[Any], name: str) -> Iterator[str]:
    """Makes a schema for a while, and is in it with this connection; yields the search path for others. All
    that is in the schema goes with it."""
    # The functions of the extension may be in any schema.
    found = connection.execute(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'timescaledb'"
    ).fetchone()
    schemas = [name, *(found or ())]
    path = ", ".join(Identifier(one).as_string(connection) for one in schemas)
    connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
    try:
        connection.execute("SELECT set_config('search_path', %s, false)", (path,))
        yield path
    finally:
        connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(name)))


def every() -> Iterator[Relation]:
    for relations in RELATIONS.values():
        yield from relations


def _relation(relation: Relation, hypertables: bool) -> Iterator[Composed]:
    columns = [
        SQL("{} {}{}").format(
            Identifier(relation.column(field.name)),
            SQL(sql_type(field)),
            SQL("" if field.name in NULLABLE else " NOT NULL"),
        )
        for field in relation.columns
    ]
    columns.insert(0, SQL("ts timestamptz NOT NULL").format())
    if relation.table is TRADES:
        columns.append(SQL("payload jsonb").format())
    ranged = relation.partitioned and not hypertables
    yield SQL("CREATE TABLE {} ({}){}").format(
        relation.identifier, SQL(", ").join(columns), SQL(" PARTITION BY RANGE (ts)" if ranged else "")
    )
    if relation.partitioned and hypertables:
        yield SQL(
            "SELECT create_hypertable({}::regclass, 'ts', chunk_time_interval => interval '1 day',"
            " create_default_indexes => false)"
        ).format(Literal(relation.name))
    # No unique index: exactly once comes from the offset, and a unique index would cost much of the
    # speed of COPY. Neither does one stand in the way of a row that comes late.
    yield SQL("CREATE INDEX ON {} ({})").format(relation.identifier, words(relation.index))
    if relation.partitioned:
        # For queries of people that name no instrument. It costs COPY next to nothing; a tree would.
        yield SQL("CREATE INDEX ON {} USING brin (ts) WITH (autosummarize = on)").format(relation.identifier)


def _view(table: Table) -> Composed:
    """The rows as people read them: names for numbers, exact decimals for mantissas."""
    return SQL("CREATE VIEW {} AS {}").format(
        Identifier(table.name), SQL(" UNION ALL ").join(map(_readable, RELATIONS[table.name]))
    )


def _readable(relation: Relation) -> Composed:
    scaled = {"price": "price_scale", "size": "size_scale", "volume": "size_scale"}
    scaled |= dict.fromkeys(("open", "high", "low", "close"), "price_scale")
    columns = [SQL("t.ts").format()]
    for field in relation.table.schema:
        name = relation.column(field.name)
        if field.name in _DERIVED:
            continue
        if field.name in ("venue", "instrument"):
            # These two are joined, so that a name in WHERE finds its number and then the index.
            columns.append(SQL("{}.name AS {}").format(Identifier(name), Identifier(name)))
        elif pa.types.is_string(field.type):
            columns.append(
                SQL("(SELECT n.name FROM tidemill_name n WHERE n.id = t.{}) AS {}").format(
                    Identifier(name), Identifier(name)
                )
            )
        elif name in scaled and scaled[name] in relation.table.schema.names:
            columns.append(
                SQL("tidemill_decimal(t.{}, t.{}) AS {}").format(
                    Identifier(name), Identifier(scaled[name]), Identifier(name)
                )
            )
        else:
            columns.append(SQL("t.{}").format(Identifier(name)))
    columns.append(SQL("t.instrument AS instrument_id").format())
    if relation.table is TRADES:
        columns.append(SQL("t.payload").format())
    return SQL(
        "SELECT {} FROM {} t JOIN tidemill_name instrument ON instrument.id = t.instrument"
        " JOIN tidemill_name venue ON venue.id = t.venue"
    ).format(SQL(", ").join(columns), relation.identifier)


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


def missing(connection: Connection[Any], relation: Relation, days: Iterable[int]) -> list[int]:
    """Those days that have no partition."""
    names = {relation.partition_name(day): day for day in days}
    found = connection.execute(
        SQL(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = {}::regclass AND c.relname = ANY(%s)"
        ).format(Literal(relation.name)),
        (list(names),),
    ).fetchall()
    there = {name for (name,) in found}
    return [day for name, day in names.items() if name not in there]


def add(connection: Connection[Any], relation: Relation, days: Iterable[int]) -> None:
    """Makes the partitions of these days. Nobody waits for it: an attached table locks neither readers nor
    writers out, one made as a partition would."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, LOCK_SCHEMA))
        for day in missing(connection, relation, days):
            low, high = bounds(day)
            partition = relation.partition(day)
            connection.execute(
                SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(
                    partition, relation.identifier
                )
            )
            connection.execute(
                SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                    relation.identifier, partition, Literal(low), Literal(high)
                )
            )


def drop(connection: Connection[Any], relation: Relation, day: int, hypertables: bool) -> None:
    """Lets go of all rows of a day, in the caller's transaction: as a whole, where a partition has just
    them."""
    low, high = bounds(day)
    if relation.partitioned and hypertables:
        connection.execute(
            SQL("SELECT drop_chunks({}::regclass, older_than => {}, newer_than => {})").format(
                Literal(relation.name), Literal(high), Literal(low)
            )
        )
    elif relation.partitioned and not missing(connection, relation, [day]):
        connection.execute(SQL("DROP TABLE {}").format(relation.partition(day)))
    # What is left is in a chunk that is not this day's alone (somebody has changed the interval).
    connection.execute(
        SQL("DELETE FROM {} WHERE ts >= {} AND ts < {}").format(
            relation.identifier, Literal(low), Literal(high)
        )
    )
