"""An answer in the shape that was asked for: JSON columns or rows, Arrow, CSV, Parquet.

In JSON 64-bit integers and decimals of rows are text, digit for digit; columns are numbers where those are
exact, and decimals are floats, as charts want them. A timestamp without a zone is UTC, as all of them are.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.model import time as times

FORMATS = ("columns", "rows", "arrow", "csv", "parquet")
_EXACT = 2**53
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def encode(table: pa.Table, facts: Mapping[str, Any], form: str, time: str = "ns") -> bytes:
    """The bytes of an answer. JSON holds the facts beside the rows; files have them in their metadata."""
    if form == "rows":
        names = table.column_names
        columns = [_values(column, time, exact=True) for column in table.columns]
        items = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return _json({**facts, "items": items})
    if form == "columns":
        shown = {
            name: _values(column, time, exact=False)
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
        return _json({**facts, "columns": shown})
    table = zoned(table).replace_schema_metadata({"tidemill": json.dumps(facts)})
    sink = io.BytesIO()
    if form == "arrow":
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif form == "parquet":
        from pyarrow import parquet

        parquet.write_table(flat(table), sink, compression="zstd")
    else:
        from pyarrow import csv

        csv.write_csv(lines(table, time), sink)
    return sink.getvalue()


def zoned(table: pa.Table) -> pa.Table:
    """Timestamps without a zone are UTC, and say so."""
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is None:
            column = table.column(at).cast(pa.timestamp(field.type.unit, "UTC"))
            table = table.set_column(at, field.name, column)
    return table


def flat(table: pa.Table) -> pa.Table:
    """Without the types that a Parquet file has not."""
    for at, field in enumerate(table.schema):
        if field.type == pa.month_day_nano_interval() or pa.types.is_null(field.type):
            values = [None if value is None else str(value) for value in table.column(at).to_pylist()]
            table = table.set_column(at, field.name, pa.array(values, pa.string()))
    return table


def lines(table: pa.Table, time: str) -> pa.Table:
    """Columns that a CSV holds: numbers, and text that no spreadsheet takes for a formula."""
    for at, field in enumerate(table.schema):
        kind, column = field.type, table.column(at)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            continue
        if pa.types.is_decimal(kind):
            column = pa.array(_values(column, time, exact=True), pa.string())
        else:
            values = [_text(value) for value in _values(column, time, exact=True)]
            column = pa.array(values, pa.string())
        table = table.set_column(at, field.name, column)
    return table


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and not value.startswith(_FORMULA)):
        return value
    return f"'{value}" if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _values(column: pa.ChunkedArray, time: str, *, exact: bool) -> list[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return list(column.cast(kind.value_type).to_pylist())
    if pa.types.is_timestamp(kind):
        return _timestamps(column, time)
    if pa.types.is_decimal(kind):
        if exact:
            return [None if value is None else _digits(value) for value in column.to_pylist()]
        return list(column.cast(pa.float64()).to_pylist())
    if kind in (pa.int64(), pa.uint64()):
        bounds = pc.min_max(column).as_py()
        within = bounds["min"] is None or (bounds["min"] > -_EXACT and bounds["max"] < _EXACT)
        return list((column if within and not exact else column.cast(pa.string())).to_pylist())
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
    ):
        return list(column.to_pylist())
    return [_plain(value) for value in column.to_pylist()]


def _digits(value: Decimal) -> str:
    """A decimal without the zeros that its column's type adds."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _timestamps(column: pa.ChunkedArray, time: str) -> list[str | None]:
    try:
        ns = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()
    except pa.ArrowInvalid:  # beyond the years that nanoseconds reach, or infinity
        return list(column.cast(pa.string()).to_pylist())
    show = times.iso if time == "iso" else str
    return [None if value is None else show(value) for value in ns]


def _plain(value: Any) -> Any:
    """What JSON has, of lists, structs, blobs, dates, durations."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return value if -_EXACT < value < _EXACT else str(value)
    return str(value)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=str)
