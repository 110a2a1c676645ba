"""Rows on their way into PostgreSQL: sent by COPY, counted, and buried where they are refused."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection
from psycopg.sql import SQL

from tidemill.model.interval import DAY
from tidemill.stores import postgres_copy as copying
from tidemill.stores import postgres_schema as schema
from tidemill.stores.postgres_connection import is_data
from tidemill.stores.postgres_name import Names
from tidemill.stores.postgres_schema import NUMBERS, RELATIONS, Relation
from tidemill.stores.table import BARS, TRADES, Table

PAYLOAD = "payload"
"""A column that rows of trades may have besides their table's: the venue's message as JSON text, or null."""

NEAR_DAYS = 100
"""A day that is no further from its rows' arrival is always kept: venues tell of old trades at a start."""
DAYS_MAX = 300
"""With so many days in a table, rows of further ones are kept only near their arrival."""
_UNKNOWN = "a name that is no text PostgreSQL keeps"
_STRANGE = f"its time is over {NEAR_DAYS} days from its arrival, and such rows have too many days already"


class Batch:
    """Rows on their way in."""

    def __init__(self, table: Table, rows: pa.Table, names: Names, connection: Connection[Any]) -> None:
        self.table = table
        self._rows = rows
        self._days = rows["ts_event"].to_numpy() // DAY
        self._codes: dict[str, npt.NDArray[np.int64]] = {}
        self._refused: dict[int, str] = {}
        """Rows that are not sent at all, and why."""
        unknown = np.zeros(len(rows), bool)
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
            unknown |= self._codes[name] < 0
        self._refused |= dict.fromkeys(np.flatnonzero(self._strange(connection)).tolist(), _STRANGE)
        self._refused |= dict.fromkeys(np.flatnonzero(unknown).tolist(), _UNKNOWN)
        self._sent = np.ones(len(rows), bool)
        self._sent[list(self._refused)] = False
        self._parts = [(relation, self._at(relation)) for relation in RELATIONS[table.name]]
        self.days = [
            (relation, np.unique(self._days[at]).tolist())
            for relation, at in self._parts
            if relation.partitioned and len(at)
        ]
        """Of each relation the days that it needs."""
        self.all_days: list[int] = np.unique(self._days[self._sent]).tolist()

    def _strange(self, connection: Connection[Any]) -> npt.NDArray[np.bool_]:
        """Rows of journals that happened, says their venue, long before or after they arrived, on days that
        the store has no room for: each day is a partition, and a server bears some hundreds of them."""
        apart = np.abs(self._days - self._rows["ts_recv"].to_numpy() // DAY)
        far: npt.NDArray[np.bool_] = (apart > NEAR_DAYS) & (self._rows["epoch"].to_numpy() > 0)
        if not far.any():
            return far
        found = connection.execute(
            "SELECT DISTINCT day FROM tidemill_held WHERE of_table = %s", (NUMBERS[self.table.name],)
        )
        known = [day for (day,) in found]
        far &= ~np.isin(self._days, known)
        days, first = np.unique(self._days[far], return_index=True)
        nearest = days[np.argsort(apart[far][first], kind="stable")]
        far &= np.isin(self._days, nearest[max(0, DAYS_MAX - len(known)) :])
        return far

    def _at(self, relation: Relation) -> npt.NDArray[np.int64]:
        """Where the rows of a relation are, in the order in which they are sent: those of an instrument
        together, as in the index. The server then stays in few of its pages, and so do its readers."""
        if self.table is not BARS:
            own = self._sent
        else:
            minutes = pc.equal(self._rows["interval"].cast(pa.string()), schema.MINUTE_BARS)
            of_minutes = pc.fill_null(minutes, False).to_numpy() == (relation.name == "candles_1m")
            own = of_minutes & self._sent
        at = np.flatnonzero(own)
        # Sixteen bits are sorted by counting; instruments whose numbers meet there lie mixed, no more.
        nearest = self._codes["instrument"][at].astype(np.uint16)
        return at[np.argsort(nearest, kind="stable")]

    def copy(self, connection: Connection[Any]) -> dict[int, str]:
        """Sends all rows; returns those that were refused, and why."""
        dead = dict(self._refused)
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
                    for piece in copying.encoded(fields, len(at)):
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
        return self._rows[name].take(pa.array(at))

    def _fields(self, relation: Relation, at: npt.NDArray[np.int64]) -> list[copying.Field]:
        fields = [copying.instants(self._of("ts_event", at).to_numpy())]
        for field in relation.columns:
            kind = schema.sql_type(field)
            if field.name in self._codes:
                fields.append(copying.Field(self._codes[field.name][at].astype("i4")))
            elif kind == "numeric":
                fields.append(copying.numerics(self._of(field.name, at)))
            elif kind == "bytea":
                fields.append(copying.blobs(self._of(field.name, at)))
            else:
                dtype = {"bigint": "i8", "integer": "i4", "smallint": "i2"}[kind]
                fields.append(copying.numbers(self._of(field.name, at), dtype))
        return fields

    def count(self, connection: Connection[Any], dead: Mapping[int, str]) -> None:
        """Adds the rows that were kept to what is held of each instrument and day."""
        kept = np.ones(len(self._rows), bool)
        kept[list(dead)] = False
        if not kept.any():
            return
        keys = ("day", "venue", "instrument")
        of = pa.table(
            {
                "day": self._days[kept],
                "venue": self._codes["venue"][kept],
                "instrument": self._codes["instrument"][kept],
                "ts": self._rows["ts_event"].to_numpy()[kept],
            }
        )
        found = of.group_by(keys).aggregate([("ts", "count"), ("ts", "min"), ("ts", "max")])
        found = found.sort_by([(key, "ascending") for key in keys])
        columns = (*keys, "ts_count", "ts_min", "ts_max")
        # All writers come in the same order, so that none waits for one that waits for it.
        connection.execute(
            "INSERT INTO tidemill_held AS h (of_table, day, venue, instrument, rows, first, last)"
            " SELECT %s, * FROM"
            " unnest(%s::int[], %s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[])"
            " ON CONFLICT (of_table, day, venue, instrument) DO UPDATE SET rows = h.rows + excluded.rows,"
            " first = least(h.first, excluded.first), last = greatest(h.last, excluded.last)",
            (NUMBERS[self.table.name], *(found[column].to_pylist() for column in columns)),
        )

    def bury(self, connection: Connection[Any], applications: str, dead: Mapping[int, str]) -> None:
        """Keeps the refused rows in `dead_letter`."""
        with connection.cursor() as cursor:
            cursor.executemany(
                'INSERT INTO dead_letter ("table", application, venue, epoch, sequence, reason, row)'
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (self._letter(at, applications, reason) for at, reason in sorted(dead.items())),
            )

    def _letter(self, at: int, applications: str, reason: str) -> tuple[object, ...]:
        one = self._rows.slice(at, 1)
        raw = io.BytesIO()
        with pa.ipc.new_stream(raw, one.schema) as writer:
            writer.write_table(one)
        return (
            self.table.name,
            applications,
            _printable(one["venue"][0].as_py()),
            one["epoch"][0].as_py(),
            one["sequence"][0].as_py(),
            _printable(reason),
            raw.getvalue(),
        )


def _printable(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "\N{SYMBOL FOR NULL}")


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    return whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
