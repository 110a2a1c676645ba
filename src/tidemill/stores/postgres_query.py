"""A `Query` as SQL. `select.condition` says the same to Arrow; the contract suite compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
from psycopg.sql import SQL, Composed, Identifier, Literal

from tidemill.stores.api import Query
from tidemill.stores.postgres_schema import NULLABLE, Relation, instant, sql_type
from tidemill.stores.table import BARS, INSTRUMENTS, Table

_REVISIONS_SPARE = 16
"""Rows beyond the limit that are fetched at once: few bars have more than one revision."""


def columns_needed(table: Table, query: Query) -> list[pa.Field]:
    """The kept columns that the answer is made of: those asked for, and those that order and choose."""
    kept = [field for field in table.schema if field.name not in ("date", "month")]
    if query.columns is not None:
        needed = {*query.columns, *table.order}
        if {"date", "month"} & needed:
            needed.add("ts_event")
        if table is BARS:
            needed |= {"instrument", "interval", "epoch", "revision"}
        kept = [field for field in kept if field.name in needed]
    # One whose length varies comes last: see `postgres_copy.decoded`.
    return sorted(kept, key=lambda field: sql_type(field) == "bytea")


def condition(
    table: Table,
    query: Query,
    instruments: Sequence[int] | None,
    known: Callable[[Iterable[str]], Mapping[str, int]],
) -> Composed | None:
    """The row filter; None when no row can answer. `instruments` are the numbers of those asked for, None
    for any; `known` gives the numbers of those names that have one."""
    kept = set(table.schema.names)
    tests: list[Composed] = []
    named: list[tuple[str, Sequence[int] | None]] = [("instrument", instruments)]
    if query.venues is not None:
        named.append(("venue", list(known(query.venues).values())))
    if query.interval is not None and "interval" in kept:
        named.append(("interval", list(known((query.interval,)).values())))
    for column, numbers in named:
        if numbers is None:
            continue
        if not numbers:
            return None
        if len(numbers) == 1:
            # Not ANY: only with one value is the index in the order that is asked for.
            tests.append(SQL("{} = {}").format(Identifier(column), Literal(numbers[0])))
        else:
            tests.append(SQL("{} = ANY({})").format(Identifier(column), Literal(sorted(numbers))))
    if query.kind is not None and "kind" in kept:
        tests.append(SQL("kind = {}").format(Literal(query.kind)))
    if query.revised and "revision" in kept:
        tests.append(SQL("revision > 0").format())
    # Of times `ts` finds partitions and index entries, `ts_event` decides.
    if query.start is not None:
        tests.append(
            SQL("ts >= {} AND ts_event >= {}").format(Literal(instant(query.start)), Literal(query.start))
        )
    if query.end is not None:
        last = instant(max(query.end - 1, -(2**63)))
        tests.append(SQL("ts <= {} AND ts_event < {}").format(Literal(last), Literal(query.end)))
    if query.as_of is not None:
        tests.append(SQL("ts_recv <= {}").format(Literal(query.as_of)))
    if query.after is not None:
        tests.append(SQL("(epoch, sequence) > ({}, {})").format(*map(Literal, query.after)))
    if query.through is not None:
        tests.append(SQL("(epoch, sequence) <= ({}, {})").format(*map(Literal, query.through)))
    if query.before is not None:
        tests.append(
            SQL("ts <= {} AND (ts_event, epoch, sequence) < ({}, {}, {})").format(
                Literal(instant(query.before[0])), *map(Literal, query.before)
            )
        )
    if query.beyond is not None:
        tests.append(
            SQL("ts >= {} AND (ts_event, epoch, sequence) > ({}, {}, {})").format(
                Literal(instant(query.beyond[0])), *map(Literal, query.beyond)
            )
        )
    return SQL(" AND ").join(tests) if tests else SQL("true").format()


def selected(
    table: Table,
    relations: Sequence[Relation],
    wanted: Sequence[pa.Field],
    where: Composed,
    query: Query,
    limit: int | None,
) -> Composed:
    """A COPY to us of the rows, with at least the `limit` newest (or oldest) of them."""
    names = SQL(", ").join(Identifier(relations[0].column(field.name)) for field in wanted)
    inner = SQL(" UNION ALL ").join(
        SQL("SELECT ts, {} FROM {} WHERE {}").format(names, relation.identifier, where)
        for relation in relations
    )
    if limit is not None and limit > 0 and table is not INSTRUMENTS:
        way = SQL("ASC" if query.oldest else "DESC")
        if table is BARS:
            tail = SQL("ORDER BY ts {way}, ts_event {way} FETCH FIRST {count} ROWS WITH TIES").format(
                way=way, count=Literal(limit + _REVISIONS_SPARE)
            )
        else:
            tail = SQL("ORDER BY ts {way}, ts_event {way}, epoch {way}, sequence {way} LIMIT {count}").format(
                way=way, count=Literal(limit)
            )
        inner = SQL("SELECT * FROM ({}) u {}").format(inner, tail)
    outputs: list[Composed] = []
    for field in wanted:
        column = Identifier(relations[0].column(field.name))
        if field.name in NULLABLE:
            outputs.append(SQL("coalesce({}, 0), {} IS NOT NULL").format(column, column))
        elif sql_type(field) == "numeric":
            outputs.append(_halves(column))
        else:
            outputs.append(SQL("{}").format(column))
    return SQL("COPY (SELECT {} FROM ({}) q) TO STDOUT (FORMAT BINARY)").format(
        SQL(", ").join(outputs), inner
    )


def _halves(column: Identifier) -> Composed:
    """The low and the high 64 bits of a whole number, of which nearly all are short."""
    rest = SQL("mod(mod({c}, 18446744073709551616) + 18446744073709551616, 18446744073709551616)").format(
        c=column
    )
    return SQL(
        "CASE WHEN {short} THEN {c}::bigint WHEN {rest} < 9223372036854775808 THEN {rest}::bigint"
        " ELSE ({rest} - 18446744073709551616)::bigint END,"
        " CASE WHEN {short} THEN 0::bigint ELSE div({c} - {rest}, 18446744073709551616)::bigint END"
    ).format(short=SQL("{} BETWEEN 0 AND 9223372036854775807").format(column), c=column, rest=rest)
