"""A run's tables for other programs: one JSON, or an archive of CSV or Parquet files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tidemill.research.store import Row

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every file in an archive: the same run has the same bytes."""
TIMES = ("ts", "opened", "closed", "end")


def about(row: Row) -> dict[str, Any]:
    """What a run is, without its tables. Times are ns UTC as text."""
    found = {one.name: getattr(row, one.name) for one in fields(row)}
    for name in ("created", "start", "end"):
        found[name] = None if found[name] is None else str(found[name])
    return {**found, "instruments": list(row.instruments)}


def columns(table: pa.Table) -> dict[str, list[Any]]:
    """A table by columns, as JSON has it: times and decimals are text, exact."""
    return {
        name: [_plain(value, name in TIMES) for value in table[name].to_pylist()]
        for name in table.column_names
    }


def json(row: Row, tables: Mapping[str, pa.Table]) -> bytes:
    """All of a run."""
    return orjson.dumps({**about(row), "tables": {name: columns(table) for name, table in tables.items()}})


def csv(row: Row, tables: Mapping[str, pa.Table]) -> bytes:
    """A zip of one CSV for each table, and `run.json`."""

    def written(table: pa.Table) -> bytes:
        sink = io.BytesIO()
        pyarrow.csv.write_csv(_texts(table), sink)
        return sink.getvalue()

    return _zipped(row, tables, "csv", written)


def parquet(row: Row, tables: Mapping[str, pa.Table]) -> bytes:
    """A zip of one Parquet file for each table, and `run.json`."""

    def written(table: pa.Table) -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    return _zipped(row, tables, "parquet", written)


def _zipped(
    row: Row, tables: Mapping[str, pa.Table], ending: str, written: Callable[[pa.Table], bytes]
) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, table in tables.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.{ending}", _EPOCH), written(table))
        text = orjson.dumps(about(row), option=orjson.OPT_INDENT_2)
        archive.writestr(zipfile.ZipInfo("run.json", _EPOCH), text)
    return sink.getvalue()


def _texts(table: pa.Table) -> pa.Table:
    """Decimals without trailing zeros; text that a spreadsheet would run as a formula gets a quote first."""
    made = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_decimal(field.type):
            made.append(pa.array([_plain(value, False) for value in column.to_pylist()], pa.string()))
        elif pa.types.is_string(field.type):
            made.append(pc.replace_substring_regex(column, "^([=+\\-@\\t\\r])", "'\\1"))
        else:
            made.append(column)
    return pa.table(made, names=table.column_names)


def _plain(value: Any, time: bool) -> Any:
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
    return str(value) if time and value is not None else value
