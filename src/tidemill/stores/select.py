"""Choosing rows in memory: filters, order, newest revision, newest `limit`. Shared by all stores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.stores.api import Query
from tidemill.stores.table import BARS, Table


def condition(table: Table, query: Query) -> pc.Expression | None:
    """The row filter of a query as an Arrow expression; None when every row is wanted."""
    names = set(table.schema.names)
    tests: list[pc.Expression] = []
    field = pc.field
    if query.instruments is not None:
        if len(query.instruments) == 1:
            tests.append(field("instrument") == query.instruments[0])
        else:
            tests.append(field("instrument").isin(list(query.instruments)))
    if query.venues is not None:
        tests.append(field("venue").isin(list(query.venues)))
    if query.interval is not None and "interval" in names:
        tests.append(field("interval") == query.interval)
    if query.revised and "revision" in names:
        tests.append(field("revision") > 0)
    if query.kind is not None and "kind" in names:
        tests.append(field("kind") == query.kind)
    if query.start is not None:
        tests.append(field("ts_event") >= query.start)
    if query.end is not None:
        tests.append(field("ts_event") < query.end)
    if query.as_of is not None:
        tests.append(field("ts_recv") <= query.as_of)
    if query.after is not None:
        epoch, sequence = query.after
        tests.append((field("epoch") > epoch) | ((field("epoch") == epoch) & (field("sequence") > sequence)))
    if query.through is not None:
        epoch, sequence = query.through
        tests.append((field("epoch") < epoch) | ((field("epoch") == epoch) & (field("sequence") <= sequence)))
    if query.before is not None:
        ts, epoch, sequence = query.before
        earlier = (field("epoch") < epoch) | ((field("epoch") == epoch) & (field("sequence") < sequence))
        tests.append((field("ts_event") < ts) | ((field("ts_event") == ts) & earlier))
    if query.beyond is not None:
        ts, epoch, sequence = query.beyond
        later = (field("epoch") > epoch) | ((field("epoch") == epoch) & (field("sequence") > sequence))
        tests.append((field("ts_event") > ts) | ((field("ts_event") == ts) & later))
    if not tests:
        return None
    whole = tests[0]
    for test in tests[1:]:
        whole = whole & test
    return whole


def finish(table: Table, rows: pa.Table, query: Query) -> pa.Table:
    """Filtered rows, in any order, as the answer: ascending, newest revision of each bar, `limit`."""
    if not _ascends(table, rows):
        rows = rows.sort_by([(column, "ascending") for column in table.order])
    if table is BARS and not query.revisions:
        rows = newest_revisions(rows)
    if query.limit is not None:
        rows = _limited(table, rows, query, query.limit)
    if query.columns is not None:
        rows = rows.select(list(query.columns))
    return rows.combine_chunks()


def count(table: Table, rows: pa.Table, query: Query) -> int:
    """How much of a query's `limit` these rows use up: one each, or with revisions one a start."""
    if table is BARS and query.revisions:
        return len(distinct(rows["ts_event"].to_numpy()))
    return len(rows)


def distinct(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place of the first of each value among the ascending ones: as many as there are values."""
    ascending = np.sort(values)
    return np.flatnonzero(np.diff(ascending, prepend=ascending[0] - 1)) if len(values) else values


def _ascends(table: Table, rows: pa.Table) -> bool:
    """True where rows are in the order of the table already. Looked for where its order is one of numbers."""
    if any(not pa.types.is_integer(rows.schema.field(column).type) for column in table.order):
        return False
    tied = np.ones(max(len(rows) - 1, 0), bool)
    for column in table.order:
        values = rows[column].to_numpy()
        step = values[1:] > values[:-1]
        if np.any(tied & (values[1:] < values[:-1])):
            return False
        tied &= ~step
    return True


def _limited(table: Table, rows: pa.Table, query: Query, limit: int) -> pa.Table:
    """The newest, or oldest, `limit` of rows that ascend. A start is never cut from its revisions: a reader
    that counts bars would take the rest for missing."""
    edges = np.arange(len(rows))
    if table is BARS and query.revisions:
        edges = distinct(rows["ts_event"].to_numpy())
    if len(edges) <= limit:
        return rows
    return rows.slice(0, edges[limit]) if query.oldest else rows.slice(edges[-limit])


def newest_revisions(rows: pa.Table) -> pa.Table:
    """One row per bar, of rows ascending by start: a live row before an imported one, then the highest
    revision."""
    if len(rows) < 2:
        return rows
    start = rows["ts_event"].to_numpy()
    if len(distinct(start)) == len(start):
        return rows
    keys = [rows[column].combine_chunks() for column in ("instrument", "interval")]
    codes = [_codes(key) for key in keys]
    live = (rows["epoch"].to_numpy() > 0).astype(np.int8)
    rank = np.lexsort((rows["revision"].to_numpy(), live, codes[0], codes[1], start))
    ordered = [values[rank] for values in (start, codes[0], codes[1])]
    last = np.ones(len(rank), bool)
    last[:-1] = np.any([values[1:] != values[:-1] for values in ordered], axis=0)
    return rows.take(pa.array(np.sort(rank[last])))


def _codes(names: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if isinstance(names, pa.ChunkedArray):
        names = pa.concat_arrays(names.chunks) if names.num_chunks else pa.array([], pa.string())
    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    return np.asarray(names.indices)
