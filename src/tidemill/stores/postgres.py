"""The store on PostgreSQL, with or without TimescaleDB. See `docs/stores.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import ConfigError

try:
    import psycopg
    from psycopg import Connection
    from psycopg.sql import SQL, Composed, Identifier, Literal
except ImportError as error:
    raise ConfigError(
        "extra_missing",
        "a store in PostgreSQL needs psycopg, which is not installed",
        hint="pip install 'tidemill[postgres]'",
    ) from error

from tidemill.model.interval import DAY, SECOND, Interval
from tidemill.stores import postgres_copy as copying
from tidemill.stores import postgres_digest as digests
from tidemill.stores import postgres_schema as schema
from tidemill.stores import select
from tidemill.stores.api import (
    FencedError,
    Held,
    Position,
    Query,
    UnavailableError,
    journal_application,
    retention_application,
)
from tidemill.stores.memory import covered
from tidemill.stores.postgres_batch import Batch
from tidemill.stores.postgres_connection import Connections
from tidemill.stores.postgres_digest import Digest
from tidemill.stores.postgres_name import Names
from tidemill.stores.postgres_query import columns_needed, condition, selected
from tidemill.stores.postgres_schema import LOCK, NUMBERS, RELATIONS, Relation
from tidemill.stores.table import BARS, INSTRUMENTS, Table, months

_TRIES = 5
_DIGEST_TIMEOUT = "900s"
_SLEEPERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_locks l USING (pid)
WHERE l.relation = 'tidemill_offset'::regclass AND l.mode = 'RowShareLock' AND l.granted
AND usename = current_user AND state = 'active' AND wait_event = 'ClientRead'
AND state_change < now() - current_setting('idle_in_transaction_session_timeout')::interval
"""


class _PartitionGoneError(Exception):
    """Days that have no partition yet, or no longer."""


class Postgres:
    """A `Store` in a database. Any number of processes and threads may read and write it."""

    def __init__(self, url: str, search_path: str | None = None) -> None:
        """`url` is `postgresql://user:password@host:5432/database`. Nothing is asked of the server until
        something is read or kept; tables are made then, in the first schema of the search path.

        Every method raises `UnavailableError` while the database is away, and `ConfigError` where it
        refuses us."""
        self._connections = Connections(url, search_path)
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
        except UnavailableError as error:
            self._names.forget()
            self._hypertables = None
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                self._end_sleepers()
            raise

    def _end_sleepers(self) -> None:
        """Ends the sessions of writers that were stopped in the middle of a COPY: they are not idle for the
        server, which waits for their rows, so that no time limit of its own ends them, nor their locks."""
        with self._connections.use() as connection:
            connection.execute(_SLEEPERS)

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
            batch = Batch(table, rows, self._names, connection)
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
        batch: Batch,
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
                "SELECT epoch, sequence FROM tidemill_offset"
                " WHERE of_table = %s AND venue = %s AND epoch <= %s ORDER BY epoch DESC LIMIT 1",
                (NUMBERS[table.name], venue, epoch),
            ).fetchone()
            return (found[0], found[1]) if found else None

    def read(self, table: Table, query: Query = Query()) -> pa.Table:  # noqa: B008 - frozen
        with self._session() as connection, _snapshot(connection):
            wanted = columns_needed(table, query)
            found, enough = table.empty(), False
            numbers = self._instruments(connection, table, query)
            limit = query.limit
            for number, asked in enumerate(_windows(connection, table, query, numbers)):
                where = condition(table, asked, numbers, partial(self._names.known, connection))
                # The first span of a series holds about as many bars as are wanted: sorted here, not there.
                few = _is_series(table, query) and number == 0 and asked is not query
                while where is not None:
                    relations = _relations(table, query)
                    most = None if few else limit
                    statement = selected(table, relations, wanted, where, query, most)
                    reverse = most is not None and not query.oldest
                    found = self._rows(connection, table, wanted, statement, reverse=reverse)
                    enough = query.limit is None or _count(table, found, query) >= query.limit
                    if enough or few or limit is None or len(found) < limit:
                        break
                    # A bar counts once, whatever its revisions: how many rows that takes is seen now.
                    limit *= 4
                if where is None or enough:
                    break
            return select.finish(table, found, query)

    def _instruments(self, connection: Connection[Any], table: Table, query: Query) -> list[int] | None:
        """Numbers of the instruments of a query; of all of them where it names none and the index, which
        begins with them, is of use. None where it is not."""
        if query.instruments is not None:
            return list(self._names.known(connection, query.instruments).values())
        edges = (query.start, query.end, query.limit, query.before, query.beyond)
        if all(edge is None for edge in edges):
            return None
        found = connection.execute(
            "SELECT DISTINCT instrument FROM tidemill_held WHERE of_table = %s", (NUMBERS[table.name],)
        )
        return [number for (number,) in found]

    def _rows(
        self,
        connection: Connection[Any],
        table: Table,
        wanted: Sequence[pa.Field],
        statement: Composed,
        *,
        reverse: bool,
    ) -> pa.Table:
        """The answer to a statement of `selected`, from its last row to its first with `reverse`."""
        layout: list[tuple[str, str]] = []
        last = None
        for field in wanted:
            kind = schema.sql_type(field)
            if kind == "bytea":
                last = field.name
            elif kind == "numeric":
                layout += [(f"{field.name} low", ">i8"), (f"{field.name} high", ">i8")]
            else:
                layout.append((field.name, {"bigint": ">i8", "integer": ">i4", "smallint": ">i2"}[kind]))
                if field.name in schema.NULLABLE:
                    layout.append((f"{field.name} there", "?"))
        data = copying.received(connection, statement)
        found, blobs = copying.decoded(data, layout, last)
        if reverse:
            found, blobs = found[::-1], blobs[::-1]
        columns: dict[str, pa.Array] = {}
        for field in wanted:
            if field.name == last:
                columns[field.name] = pa.array(blobs, field.type)
            elif pa.types.is_string(field.type):
                columns[field.name] = self._named(connection, found[field.name]).cast(field.type)
            elif pa.types.is_decimal(field.type):
                low, high = (found[f"{field.name} {half}"].astype(np.int64) for half in ("low", "high"))
                columns[field.name] = copying.decimals(low, high)
            else:
                native = found[field.name].astype(field.type.to_pandas_dtype())
                absent = ~found[f"{field.name} there"] if field.name in schema.NULLABLE else None
                columns[field.name] = pa.array(native, field.type, mask=absent)
        if "date" in table.schema.names and "ts_event" in columns:
            days = columns["ts_event"].to_numpy() // DAY
            columns["date"] = pa.array(days.astype(np.int32), pa.int32()).cast(pa.date32())
        if "month" in table.schema.names and "ts_event" in columns:
            columns["month"] = months(columns["ts_event"].to_numpy()).cast(pa.string())
        return pa.table({name: columns[name] for name in table.schema.names if name in columns})

    def _named(self, connection: Connection[Any], numbers: npt.NDArray[Any]) -> pa.DictionaryArray:
        """Numbers of the dictionary as the names that they stand for."""
        there = np.flatnonzero(np.bincount(numbers.astype(np.int64)))
        place = np.zeros(there[-1] + 1 if len(there) else 1, np.int32)
        place[there] = np.arange(len(there))
        texts = self._names.texts(connection, there.tolist())
        return pa.DictionaryArray.from_arrays(pa.array(place[numbers]), pa.array(texts, pa.string()))

    def held(self, table: Table) -> list[Held]:
        with self._session() as connection, _snapshot(connection):
            found = connection.execute(
                "SELECT instrument, sum(rows)::bigint, min(first), max(last), array_agg(day), array_agg(rows)"
                " FROM tidemill_held WHERE of_table = %s GROUP BY instrument",
                (NUMBERS[table.name],),
            ).fetchall()
            names = self._names.texts(connection, [row[0] for row in found])
            whole = sum(row[1] for row in found)
            size = sum(
                _size(connection, relation, bool(self._hypertables)) for relation in RELATIONS[table.name]
            )
            held = [
                Held(
                    name,
                    rows,
                    first,
                    last,
                    size * rows // whole,
                    daily=dict(zip(days, each, strict=True)),
                )
                for name, (_, rows, first, last, days, each) in zip(names, found, strict=True)
            ]
            return sorted(held, key=lambda one: one.instrument)

    def version(self, table: Table, start: int | None = None, end: int | None = None) -> str:
        low = -(2**31) if start is None else start // DAY
        high = 2**31 - 1 if end is None else (end - 1) // DAY
        with self._session() as connection:
            # Rows of a day only become more, until all of them go, or those that a mark tells of.
            found = connection.execute(
                "SELECT (SELECT sum(rows) FROM tidemill_held WHERE of_table = %s AND day BETWEEN %s AND %s),"
                " (SELECT sum(sequence) FROM tidemill_offset WHERE of_table = %s"
                " AND application LIKE 'retention/%%')",
                (NUMBERS[table.name], low, high, NUMBERS[table.name]),
            ).fetchone()
            return " ".join(map(str, found or ()))

    def dated(self, table: Table, query: Query) -> dict[int, int]:
        """As `api.Dated`."""
        with self._session() as connection, _snapshot(connection):
            tests = [SQL("of_table = {}").format(Literal(NUMBERS[table.name]))]
            for column, names in (("venue", query.venues), ("instrument", query.instruments)):
                if names is not None:
                    known = list(self._names.known(connection, names).values())
                    tests.append(SQL("{} = ANY({})").format(Identifier(column), Literal(known)))
            if query.start is not None:
                tests.append(SQL("last >= {}").format(Literal(query.start)))
            if query.end is not None:
                tests.append(SQL("first < {}").format(Literal(query.end)))
            found = connection.execute(
                SQL("SELECT day, sum(rows)::bigint FROM tidemill_held WHERE {} GROUP BY day").format(
                    SQL(" AND ").join(tests)
                )
            ).fetchall()
            return dict(found)

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
        connection.execute(SQL("SET LOCAL statement_timeout = {}").format(Literal(_DIGEST_TIMEOUT)))
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
        with self._session() as connection, connection.transaction():
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

    def let_go_venue(self, table: Table, venue: str, before_ns: int) -> int:
        """Deletes the rows of a venue with a `ts_event` before this time, and in the same step says so by
        `retention_application`; these marks never go back. Returns how many rows went."""
        with self._session() as connection, connection.transaction():
            connection.execute(SQL("SET LOCAL statement_timeout = {}").format(Literal(_DIGEST_TIMEOUT)))
            # No name has the number 0.
            number = self._names.known(connection, [venue]).get(venue, 0)
            found = connection.execute(
                "SELECT day, bool_and(venue = %s) FROM tidemill_held"
                " WHERE of_table = %s AND day <= %s GROUP BY day"
                " HAVING min(first) FILTER (WHERE venue = %s) < %s ORDER BY day",
                (number, NUMBERS[table.name], (before_ns - 1) // DAY, number, before_ns),
            ).fetchall()
            _own_days(connection, table, [day for day, _ in found])
            gone = 0
            marks: dict[str, int] = {}
            for day, alone in found:
                # Other writers wait from here on: the marks are of all rows that go, and of no others.
                rows, told = self._marks(connection, table, venue, number, day, before_ns)
                gone += rows
                for application, at in told.items():
                    marks[application] = max(at, marks.get(application, at))
                if alone and (day + 1) * DAY <= before_ns and self._alone(connection, table, number, day):
                    self._drop(connection, table, day)
                else:
                    self._delete(connection, table, number, day, before_ns)
            for application, sequence in sorted(marks.items()):
                connection.execute(
                    "INSERT INTO tidemill_offset AS o (of_table, application, sequence) VALUES (%s, %s, %s)"
                    " ON CONFLICT (of_table, application) DO UPDATE"
                    " SET sequence = greatest(o.sequence, excluded.sequence)",
                    (NUMBERS[table.name], application, sequence),
                )
            return gone

    def _marks(
        self, connection: Connection[Any], table: Table, venue: str, number: int, day: int, before_ns: int
    ) -> tuple[int, dict[str, int]]:
        """How many of a venue's rows of a day lie before this time, and what `retention_application` will
        say of them."""
        low, high = schema.bounds(day)
        count, told = 0, dict[str, int]()
        for relation in RELATIONS[table.name]:
            found = connection.execute(
                SQL(
                    "SELECT epoch, count(*), max(sequence), max(ts_event) FROM {} WHERE ts >= {} AND ts < {}"
                    " AND venue = {} AND ts_event < {} GROUP BY epoch"
                ).format(
                    relation.identifier, Literal(low), Literal(high), Literal(number), Literal(before_ns)
                )
            )
            for epoch, rows, sequence, ts_event in found.fetchall():
                count += rows
                of_venue, of_epoch = retention_application(venue), retention_application(venue, epoch)
                told[of_venue] = max(ts_event, told.get(of_venue, ts_event))
                told[of_epoch] = max(sequence, told.get(of_epoch, sequence))
        return count, told

    def _alone(self, connection: Connection[Any], table: Table, venue: int, day: int) -> bool:
        """True when a day, which is ours now, has rows of this venue alone."""
        found = connection.execute(
            "SELECT count(*) FROM tidemill_held WHERE of_table = %s AND day = %s AND venue <> %s",
            (NUMBERS[table.name], day, venue),
        ).fetchone()
        return found == (0,)

    def _delete(
        self, connection: Connection[Any], table: Table, venue: int, day: int, before_ns: int
    ) -> None:
        low, high = schema.bounds(day)
        connection.execute(
            "DELETE FROM tidemill_held WHERE of_table = %s AND day = %s AND venue = %s",
            (NUMBERS[table.name], day, venue),
        )
        for relation in RELATIONS[table.name]:
            mine = SQL("ts >= {} AND ts < {} AND venue = {}").format(
                Literal(low), Literal(high), Literal(venue)
            )
            connection.execute(
                SQL("DELETE FROM {} WHERE {} AND ts_event < {}").format(
                    relation.identifier, mine, Literal(before_ns)
                )
            )
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


def _relations(table: Table, query: Query) -> list[Relation]:
    """Where a query's rows can be."""
    relations = RELATIONS[table.name]
    if table is not BARS or query.interval is None:
        return list(relations)
    return [one for one in relations if (one.name == "candles_1m") == (query.interval == schema.MINUTE_BARS)]


def _is_series(table: Table, query: Query) -> bool:
    """True where a query asks for bars of one interval of one instrument."""
    one = query.instruments is not None and len(query.instruments) == 1
    return table is BARS and query.interval is not None and one


def _count(table: Table, found: pa.Table, query: Query) -> int:
    """How much of a limit these rows use up."""
    if table is not BARS:
        return len(found)
    if _is_series(table, query):
        return len(select.distinct(found["ts_event"].to_numpy()))
    return select.count(table, select.finish(table, found, query.with_(limit=None, columns=None)), query)


def _windows(
    connection: Connection[Any], table: Table, query: Query, instruments: list[int] | None
) -> Iterator[Query]:
    """A query for the newest (or oldest) rows as queries over ever more time from that end, and at last as
    it is: then it never reads much more than it answers, whatever the planner knows of a day that has just
    begun. Any other query is only itself."""
    if query.limit is not None and instruments and table is not INSTRUMENTS:
        found = connection.execute(
            "SELECT min(first), max(last), sum(rows)::bigint FROM tidemill_held"
            " WHERE of_table = %s AND instrument = ANY(%s) HAVING count(*) > 0",
            (NUMBERS[table.name], instruments),
        ).fetchone()
        if found is not None:
            low, high, rows = found
            starts = [low, query.start, query.beyond and query.beyond[0]]
            ends = [high + 1, query.end, query.before and query.before[0] + 1]
            low, high = max(at for at in starts if at is not None), min(at for at in ends if at is not None)
            # As if the wanted rows were half of all and evenly spread, and no bar were missing.
            span = max(SECOND, (high - low) * query.limit * 2 // max(rows, 1))
            if query.interval is not None and table is BARS:
                span = (query.limit + 1) * Interval.parse(query.interval).length_ns
            while span < high - low:
                yield query.with_(end=low + span) if query.oldest else query.with_(start=high - span)
                span *= 8
    yield query


@contextmanager
def _snapshot(connection: Connection[Any]) -> Iterator[None]:
    """All that is read inside is of one moment."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    yield
    # After an error the connection is closed: `Connections.use`.
    connection.execute("COMMIT")


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
    venue, _, epoch = application.partition("/")[2].rpartition("/")
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
        " WHERE o.of_table = %s AND o.application = n.application"
        " AND o.sequence IS NOT DISTINCT FROM n.before",
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


__all__ = ["Postgres"]
