"""The store on PostgreSQL, with or without TimescaleDB. See `docs/stores.md`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier, Literal

from tidemill.model.interval import DAY
from tidemill.stores import postgres_copy as copying
from tidemill.stores import postgres_digest as digests
from tidemill.stores import postgres_schema as schema
from tidemill.stores import select
from tidemill.stores.api import FencedError, Held, Position, Query, UnavailableError, journal_application
from tidemill.stores.memory import covered
from tidemill.stores.postgres_connection import Connections, is_data
from tidemill.stores.postgres_digest import Digest
from tidemill.stores.postgres_name import Names
from tidemill.stores.postgres_query import columns_needed, condition, selected
from tidemill.stores.postgres_schema import LOCK, NUMBERS, RELATIONS, Relation
from tidemill.stores.table import BARS, TABLES, TRADES, Table

PAYLOAD = "payload"
"""A column that rows of trades may have besides their table's: the venue's message as JSON text, or null."""
_TRIES = 5
_DIGEST_S = 900


class _PartitionGoneError(Exception):
    """Days that have no partition yet, or no longer."""


class Postgres:
    """A `Store` in a database. Any number of processes and threads may read and write it."""

    def __init__(self, url: str) -> None:
        """`url` is `postgresql://user:password@host:5432/database`. Nothing is asked of the server until
        something is read or kept; tables are made then, in the first schema of the search path.

        Every method raises `UnavailableError` while the database is away, and `ConfigError` where it
        refuses us."""
        self._connections = Connections(url)
        self._names = Names()
        self._hypertables: bool | None = None

    @contextmanager
    def _session(self) -> Iterator[Connection[Any]]:
        """A connection in autocommit to a database that has its tables."""
        try:
            with self._connections.use() as connection:
                if self._hypertables is None:
                    self._hypertables = schema.prepare(connection)
                yield connection
        except UnavailableError:
            self._names.forget()
            self._hypertables = None
            raise

    def close(self) -> None:
        self._connections.close()

    # ── writing ───────────────────────────────────────────────────────────────────────────────────

    def append(
        self,
        table: Table,
        rows: pa.Table,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None = None,
    ) -> bool:
        """As `Store.append`. Rows that PostgreSQL refuses are in `dead_letter`, each with its reason, and
        all others are kept. Rows of trades may have a column `payload`: the venue's message as JSON text.

        After an `UnavailableError` in the moment of the commit the batch may be there all the same: to
        append it again answers False then.
        """
        with self._session() as connection:
            batch = _Batch(table, rows, self._names, connection)
            for _ in range(_TRIES):
                try:
                    return self._append(connection, batch, offsets, after)
                except _PartitionGoneError:
                    for relation, days in batch.days:
                        schema.add(connection, relation, days)
            raise UnavailableError(f"{table.name}: the partitions of a batch go as fast as they are made")

    def _append(
        self,
        connection: Connection[Any],
        batch: _Batch,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None,
    ) -> bool:
        table = batch.table
        with connection.transaction() as transaction:
            stored = _locked(connection, table, sorted(offsets))
            if covered(table, stored, offsets, after):
                raise psycopg.Rollback(transaction)
            _share_days(connection, table, batch.all_days)
            for relation, days in batch.days:
                if self._hypertables is False and schema.missing(connection, relation, days):
                    raise _PartitionGoneError
            dead = batch.copy(connection)
            batch.count(connection, dead)
            if dead:
                batch.bury(connection, ", ".join(sorted(offsets)), dead)
            _move(connection, table, offsets, stored)
            return True
        return False

    def dead(self, table: Table) -> int:
        """How many rows of a table are in `dead_letter`."""
        with self._session() as connection:
            found = connection.execute(
                'SELECT count(*) FROM dead_letter WHERE "table" = %s', (table.name,)
            ).fetchone()
            return int(found[0]) if found else 0

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def offset(self, table: Table, application: str) -> int | None:
        with self._session() as connection:
            found = connection.execute(
                "SELECT sequence FROM tidemill_offset WHERE of_table = %s AND application = %s",
                (NUMBERS[table.name], application),
            ).fetchone()
            return found[0] if found else None

    def position(self, table: Table, venue: str, epoch: int) -> Position | None:
        with self._session() as connection:
            found = connection.execute(
                "SELECT epoch, sequence FROM tidemill_offset WHERE of_table = %s AND venue = %s AND epoch <= %s"
                " ORDER BY epoch DESC LIMIT 1",
                (NUMBERS[table.name], venue, epoch),
            ).fetchone()
            return (found[0], found[1]) if found else None

    def read(self, table: Table, query: Query = Query()) -> pa.Table:  # noqa: B008 - frozen
        with self._session() as connection, _snapshot(connection):
            relations = _relations(table, query)
            wanted = columns_needed(table, query)
            where = condition(table, query, lambda names: list(self._names.known(connection, names).values()))
            if where is None:
                return select.finish(table, table.empty(), query)
            # Of bars a start counts once, whatever its revisions: how many rows that takes is seen by looking.
            limit = query.limit
            while True:
                statement = selected(table, relations, wanted, where, query, limit)
                found = self._rows(connection, table, wanted, statement)
                answer = select.finish(table, found, query)
                if (
                    table is not BARS
                    or limit is None
                    or query.limit is None
                    or len(found) < limit
                    or select.count(table, select.finish(table, found, query.with_(columns=None)), query)
                    >= query.limit
                ):
                    return answer
                limit *= 4

    def _rows(
        self, connection: Connection[Any], table: Table, wanted: Sequence[pa.Field], statement: Composed
    ) -> pa.Table:
        """The answer to a statement of `selected`."""
        layout: list[tuple[str, str]] = []
        last = None
        for field in wanted:
            kind = schema.sql_type(field)
            if kind == "bytea":
                last = field.name
            elif kind == "numeric":
                layout.append((field.name, f"S{copying.DECIMAL_CHARACTERS}"))
            else:
                layout.append((field.name, {"bigint": ">i8", "integer": ">i4", "smallint": ">i2"}[kind]))
                if field.name in schema.NULLABLE:
                    layout.append((f"{field.name} there", "?"))
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            data = b"".join(copy)
        found, blobs = copying.decoded(data, layout, last)
        columns: dict[str, pa.Array] = {}
        for field in wanted:
            if field.name == last:
                columns[field.name] = pa.array(blobs, field.type)
            elif pa.types.is_string(field.type):
                numbers, which = np.unique(found[field.name], return_inverse=True)
                texts = self._names.texts(connection, numbers.tolist())
                columns[field.name] = pa.DictionaryArray.from_arrays(
                    pa.array(which.astype(np.int32)), pa.array(texts, pa.string())
                ).cast(field.type)
            elif pa.types.is_decimal(field.type):
                columns[field.name] = copying.decimals(found[field.name])
            else:
                native = found[field.name].astype(field.type.to_pandas_dtype())
                absent = ~found[f"{field.name} there"] if field.name in schema.NULLABLE else None
                columns[field.name] = pa.array(native, field.type, mask=absent)
        if "date" in table.schema.names and "ts_event" in columns:
            days = columns["ts_event"].to_numpy() // DAY
            columns["date"] = pa.array(days.astype(np.int32), pa.int32()).cast(pa.date32())
        if "month" in table.schema.names and "ts_event" in columns:
            months = pc.strftime(columns["ts_event"].cast(pa.timestamp("ns")), format="%Y-%m")
            columns["month"] = months
        return pa.table({name: columns[name] for name in table.schema.names if name in columns})

    def held(self, table: Table) -> list[Held]:
        with self._session() as connection, _snapshot(connection):
            found = connection.execute(
                "SELECT instrument, sum(rows)::bigint, min(first), max(last) FROM tidemill_held"
                " WHERE of_table = %s GROUP BY instrument",
                (NUMBERS[table.name],),
            ).fetchall()
            names = self._names.texts(connection, [row[0] for row in found])
            whole = sum(row[1] for row in found)
            size = sum(
                _size(connection, relation, bool(self._hypertables)) for relation in RELATIONS[table.name]
            )
            held = [
                Held(name, rows, first, last, size * rows // whole)
                for name, (_, rows, first, last) in zip(names, found, strict=True)
            ]
            return sorted(held, key=lambda one: one.instrument)

    # ── a window that moves on ────────────────────────────────────────────────────────────────────

    def days(self, table: Table) -> list[int]:
        """Days since 1970 (of `ts_event`, UTC) that have rows, ascending."""
        with self._session() as connection:
            found = connection.execute(
                "SELECT DISTINCT day FROM tidemill_held WHERE of_table = %s ORDER BY day",
                (NUMBERS[table.name],),
            )
            return [day for (day,) in found]

    def digest(self, table: Table, day: int) -> Digest:
        """How many rows a day has and their checksum, whatever their order. As `digest_of` of the same
        rows."""
        with self._session() as connection, _snapshot(connection):
            return self._digest(connection, table, day)

    @staticmethod
    def digest_of(table: Table, rows: pa.Table) -> Digest:
        """The same of rows in memory, which have the columns of the table."""
        return digests.of_rows(RELATIONS[table.name][0], rows)

    def _digest(self, connection: Connection[Any], table: Table, day: int) -> Digest:
        connection.execute(SQL("SET LOCAL statement_timeout = {}").format(Literal(f"{_DIGEST_S}s")))
        low, high = schema.bounds(day)
        count = checksum = 0
        for relation in RELATIONS[table.name]:
            names = len(digests.name_columns(relation))
            range_ = SQL("ts >= {} AND ts < {}").format(Literal(low), Literal(high))
            for *numbers, rows, added in connection.execute(digests.sums(relation, range_)).fetchall():
                count += rows
                checksum += int(added) * digests.weight(self._names.texts(connection, numbers[:names]))
        return count, checksum % digests.WRAP

    def let_go(self, table: Table, day: int, expected: Digest) -> bool:
        """Drops all rows of a day, as long as their digest is the expected one. False, and nothing has
        changed, when it is another: rows have come meanwhile."""
        with self._session() as connection:
            with connection.transaction():
                _own_days(connection, table, [day])
                if self._digest(connection, table, day) != expected:
                    return False
                self._drop(connection, table, day)
                return True

    def _drop(self, connection: Connection[Any], table: Table, day: int) -> None:
        # Whoever asks for the parent waits behind us while we wait: better to fail soon and come again.
        connection.execute("SET LOCAL lock_timeout = '3s'")
        for relation in RELATIONS[table.name]:
            schema.drop(connection, relation, day, bool(self._hypertables))
        connection.execute(
            "DELETE FROM tidemill_held WHERE of_table = %s AND day = %s", (NUMBERS[table.name], day)
        )

    def let_go_venue(self, table: Table, venue: str, before_ns: int, marks: Mapping[str, int]) -> int:
        """Deletes the rows of a venue with a `ts_event` before this time, and in the same step sets the
        offsets `marks` (see `retention_application`), which never go back. Returns how many rows went."""
        with self._session() as connection, connection.transaction():
            number = self._names.known(connection, [venue]).get(venue)
            found = connection.execute(
                "SELECT day, bool_and(venue = %s), sum(rows)::bigint FROM tidemill_held"
                " WHERE of_table = %s AND day <= %s GROUP BY day HAVING bool_or(venue = %s) ORDER BY day",
                (number, NUMBERS[table.name], (before_ns - 1) // DAY, number),
            ).fetchall()
            _own_days(connection, table, [day for day, _, _ in found])
            gone = 0
            for day, alone, rows in found:
                if alone and (day + 1) * DAY <= before_ns and self._alone(connection, table, number, day):
                    gone += rows
                    self._drop(connection, table, day)
                elif number is not None:
                    gone += self._delete(connection, table, number, day, before_ns)
            for application, sequence in sorted(marks.items()):
                connection.execute(
                    "INSERT INTO tidemill_offset AS o (of_table, application, sequence) VALUES (%s, %s, %s)"
                    " ON CONFLICT (of_table, application) DO UPDATE"
                    " SET sequence = greatest(o.sequence, excluded.sequence)",
                    (NUMBERS[table.name], application, sequence),
                )
            return gone

    def _alone(self, connection: Connection[Any], table: Table, venue: int, day: int) -> bool:
        """True when a day, which is ours now, has rows of this venue alone."""
        found = connection.execute(
            "SELECT count(*) FROM tidemill_held WHERE of_table = %s AND day = %s AND venue <> %s",
            (NUMBERS[table.name], day, venue),
        ).fetchone()
        return found == (0,)

    def _delete(self, connection: Connection[Any], table: Table, venue: int, day: int, before_ns: int) -> int:
        low, high = schema.bounds(day)
        gone = 0
        connection.execute(
            "DELETE FROM tidemill_held WHERE of_table = %s AND day = %s AND venue = %s",
            (NUMBERS[table.name], day, venue),
        )
        for relation in RELATIONS[table.name]:
            mine = SQL("ts >= {} AND ts < {} AND venue = {}").format(
                Literal(low), Literal(high), Literal(venue)
            )
            gone += connection.execute(
                SQL("DELETE FROM {} WHERE {} AND ts_event < {}").format(
                    relation.identifier, mine, Literal(before_ns)
                )
            ).rowcount
            connection.execute(
                SQL(
                    "INSERT INTO tidemill_held AS h (of_table, venue, instrument, day, rows, first, last)"
                    " SELECT {}, {}, instrument, {}, count(*), min(ts_event), max(ts_event) FROM {} WHERE {}"
                    " GROUP BY instrument ON CONFLICT (of_table, day, venue, instrument) DO UPDATE SET"
                    " rows = h.rows + excluded.rows, first = least(h.first, excluded.first),"
                    " last = greatest(h.last, excluded.last)"
                ).format(
                    Literal(NUMBERS[table.name]), Literal(venue), Literal(day), relation.identifier, mine
                )
            )
        return gone


class _Batch:
    """Rows on their way in."""

    def __init__(self, table: Table, rows: pa.Table, names: Names, connection: Connection[Any]) -> None:
        self.table = table
        self._rows = rows
        self._days = rows["ts_event"].to_numpy() // DAY
        self._codes: dict[str, npt.NDArray[np.int64]] = {}
        self._unknown = np.zeros(len(rows), bool)
        """Rows with a name that PostgreSQL cannot keep."""
        encoded = {
            field.name: _encoded(rows[field.name]) for field in table.schema if pa.types.is_string(field.type)
        }
        encoded.pop("month", None)
        numbers = names.learn(
            connection,
            (text for one in encoded.values() for text in one.dictionary.to_pylist() if text is not None),
        )
        for name, one in encoded.items():
            lookup = np.array([numbers.get(text, -1) for text in one.dictionary.to_pylist()] + [-1], np.int64)
            codes = pc.fill_null(one.indices, len(lookup) - 1).to_numpy(zero_copy_only=False)
            self._codes[name] = lookup[codes]
            self._unknown |= self._codes[name] < 0
        self._parts = [(relation, self._at(relation)) for relation in RELATIONS[table.name]]
        self.days = [
            (relation, np.unique(self._days[at]).tolist())
            for relation, at in self._parts
            if relation.partitioned and len(at)
        ]
        """Of each relation the days that it needs."""
        self.all_days: list[int] = np.unique(self._days).tolist()

    def _at(self, relation: Relation) -> npt.NDArray[np.int64]:
        """Where the rows of a relation are."""
        if self.table is not BARS:
            return np.flatnonzero(~self._unknown)
        minutes = pc.equal(self._rows["interval"].cast(pa.string()), schema.MINUTE_BARS)
        own = pc.fill_null(minutes, False).to_numpy() == (relation.name == "candles_1m")
        return np.flatnonzero(own & ~self._unknown)

    def copy(self, connection: Connection[Any]) -> dict[int, str]:
        """Sends all rows; returns those that were refused, and why."""
        dead = dict.fromkeys(
            np.flatnonzero(self._unknown).tolist(), "a name that is no text PostgreSQL keeps"
        )
        for relation, at in self._parts:
            self._copy(connection, relation, at, dead)
        return dead

    def _copy(
        self, connection: Connection[Any], relation: Relation, at: npt.NDArray[np.int64], dead: dict[int, str]
    ) -> None:
        if not len(at):
            return
        try:
            # A savepoint: what is refused takes nothing else with it.
            with connection.transaction():
                names = ["ts", *(relation.column(field.name) for field in relation.columns)]
                fields = self._fields(relation, at)
                if self.table is TRADES and PAYLOAD in self._rows.column_names:
                    names.append(PAYLOAD)
                    fields.append(copying.blobs(self._of(PAYLOAD, at), b"\1"))
                statement = SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
                    relation.identifier, schema.words(names)
                )
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    for piece in copying.pieces(copying.encoded(fields, len(at))):
                        copy.write(piece)
        except psycopg.Error as error:
            if not is_data(error):
                raise
            if len(at) == 1:
                dead[int(at[0])] = f"{error.sqlstate}: {str(error).partition(chr(10))[0]}"
            else:
                self._copy(connection, relation, at[: len(at) // 2], dead)
                self._copy(connection, relation, at[len(at) // 2 :], dead)

    def _of(self, name: str, at: npt.NDArray[np.int64]) -> pa.ChunkedArray:
        column = self._rows[name]
        return column if len(at) == len(column) else column.take(pa.array(at))

    def _fields(self, relation: Relation, at: npt.NDArray[np.int64]) -> list[copying.Field]:
        fields = [copying.instants(self._of("ts_event", at).to_numpy())]
        for field in relation.columns:
            kind = schema.sql_type(field)
            if field.name in self._codes:
                fields.append(copying.Field(self._codes[field.name][at].astype(">i4")))
            elif kind == "numeric":
                fields.append(copying.numerics(self._of(field.name, at)))
            elif kind == "bytea":
                fields.append(copying.blobs(self._of(field.name, at)))
            else:
                dtype = {"bigint": ">i8", "integer": ">i4", "smallint": ">i2"}[kind]
                fields.append(copying.numbers(self._of(field.name, at), dtype))
        return fields

    def count(self, connection: Connection[Any], dead: Mapping[int, str]) -> None:
        """Adds the rows that were kept to what is held of each instrument and day."""
        kept = np.ones(len(self._rows), bool)
        kept[list(dead)] = False
        if not kept.any():
            return
        ts = self._rows["ts_event"].to_numpy()[kept]
        keys = np.stack([self._days, self._codes["venue"], self._codes["instrument"]], axis=1)[kept]
        distinct, which, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        order = np.lexsort((ts, which.reshape(-1)))
        edges = np.cumsum(counts)
        first, last = ts[order[edges - counts]], ts[order[edges - 1]]
        # All writers come in the same order, so that none waits for one that waits for it.
        connection.execute(
            "INSERT INTO tidemill_held AS h (of_table, day, venue, instrument, rows, first, last)"
            " SELECT %s, * FROM unnest(%s::int[], %s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[])"
            " ON CONFLICT (of_table, day, venue, instrument) DO UPDATE SET rows = h.rows + excluded.rows,"
            " first = least(h.first, excluded.first), last = greatest(h.last, excluded.last)",
            (
                NUMBERS[self.table.name],
                *(distinct[:, column].tolist() for column in range(3)),
                counts.tolist(),
                first.tolist(),
                last.tolist(),
            ),
        )

    def bury(self, connection: Connection[Any], applications: str, dead: Mapping[int, str]) -> None:
        """Keeps the refused rows in `dead_letter`."""
        with connection.cursor() as cursor:
            for at, reason in sorted(dead.items()):
                one = self._rows.slice(at, 1)
                raw = io.BytesIO()
                with pa.ipc.new_stream(raw, one.schema) as writer:
                    writer.write_table(one)
                cursor.execute(
                    'INSERT INTO dead_letter ("table", application, venue, epoch, sequence, reason, row)'
                    " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    (
                        self.table.name,
                        applications,
                        _printable(one["venue"][0].as_py()),
                        one["epoch"][0].as_py(),
                        one["sequence"][0].as_py(),
                        _printable(reason),
                        raw.getvalue(),
                    ),
                )


def _printable(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "\N{SYMBOL FOR NULL}")


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    return whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()


def _relations(table: Table, query: Query) -> list[Relation]:
    """Where a query's rows can be."""
    relations = RELATIONS[table.name]
    if table is not BARS or query.interval is None:
        return list(relations)
    return [one for one in relations if (one.name == "candles_1m") == (query.interval == schema.MINUTE_BARS)]


@contextmanager
def _snapshot(connection: Connection[Any]) -> Iterator[None]:
    """All that is read inside is of one moment."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _locked(connection: Connection[Any], table: Table, applications: Sequence[str]) -> dict[str, int | None]:
    """The offsets of these ids, which nobody else moves until the transaction ends."""
    journals = [_journal(application) for application in applications]
    # A first offset has no row that could be locked: one without a sequence stands for it, and the second
    # of two writers waits for the first here.
    connection.execute(
        "INSERT INTO tidemill_offset (of_table, application, venue, epoch)"
        " SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING",
        (NUMBERS[table.name], applications, [one[0] for one in journals], [one[1] for one in journals]),
    )
    found = connection.execute(
        "SELECT application, sequence FROM tidemill_offset WHERE of_table = %s AND application = ANY(%s)"
        " ORDER BY application FOR UPDATE",
        (NUMBERS[table.name], applications),
    )
    return dict(found.fetchall())


def _journal(application: str) -> tuple[str | None, int | None]:
    """Venue and epoch of a journal's application id."""
    kind, _, rest = application.partition("/")
    venue, _, epoch = rest.rpartition("/")
    if not epoch.isdecimal() or application != journal_application(venue, int(epoch)):
        return None, None
    return venue, int(epoch)


def _move(
    connection: Connection[Any], table: Table, offsets: Mapping[str, int], stored: Mapping[str, int | None]
) -> None:
    """Compare and set: each offset from what was found to what the batch brings."""
    moved = connection.execute(
        "UPDATE tidemill_offset o SET sequence = n.sequence"
        " FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS n(application, sequence, before)"
        " WHERE o.of_table = %s AND o.application = n.application AND o.sequence IS NOT DISTINCT FROM n.before",
        (
            list(offsets),
            list(offsets.values()),
            [stored[application] for application in offsets],
            NUMBERS[table.name],
        ),
    ).rowcount
    if moved != len(offsets):
        raise FencedError(f"{table.name}: of the offsets {dict(offsets)} another writer has moved some")


def _day_locks(table: Table, days: Sequence[int]) -> list[int]:
    return sorted(NUMBERS[table.name] << 27 | day & 0x7FF_FFFF for day in days)


def _share_days(connection: Connection[Any], table: Table, days: Sequence[int]) -> None:
    """Until the transaction ends nobody lets go of these days."""
    connection.execute(
        "SELECT pg_advisory_xact_lock_shared(%s, day) FROM unnest(%s::int[]) AS day",
        (LOCK, _day_locks(table, days)),
    )


def _own_days(connection: Connection[Any], table: Table, days: Sequence[int]) -> None:
    """Until the transaction ends nobody writes rows of these days. Writers wait here, before they hold a
    lock of any table: else they and the one who drops a partition would wait for each other."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(%s, day) FROM unnest(%s::int[]) AS day", (LOCK, _day_locks(table, days))
    )


def _size(connection: Connection[Any], relation: Relation, hypertables: bool) -> int:
    """Bytes of a table with its indexes and partitions."""
    if relation.partitioned and hypertables:
        found = connection.execute(SQL("SELECT hypertable_size({}::regclass)").format(Literal(relation.name)))
    else:
        found = connection.execute(
            SQL("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree({}::regclass)").format(
                Literal(relation.name)
            )
        )
    row = found.fetchone()
    return int(row[0] or 0) if row else 0


__all__ = ["PAYLOAD", "TABLES", "Identifier", "Postgres"]
