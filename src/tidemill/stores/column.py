"""Rows as columns of numbers and text alone, for a store that has no other types, and back again."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.stores.table import Table


def frame(rows: pa.Table) -> Any:
    """Rows as ArcticDB takes them, a pandas frame. What it has no column for becomes one or two that it
    has: 128 bits two integers, bytes hexadecimal text, a number that may be missing a number and a mark."""
    columns: dict[str, Any] = {}
    for field in rows.schema:
        name = field.name
        values = rows[name].combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = pa.concat_arrays(values.chunks)
        if pa.types.is_dictionary(field.type):
            values = values.cast(pa.string())
        if pa.types.is_decimal(field.type):
            halves = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)[values.offset :][
                : len(values)
            ]
            columns[f"{name}_low"], columns[f"{name}_high"] = halves[:, 0].copy(), halves[:, 1].copy()
        elif pa.types.is_binary(field.type):
            columns[name] = np.array([value.as_py().hex() for value in values], object)
        elif pa.types.is_integer(values.type) and name == "id":
            columns[name] = values.fill_null(0).to_numpy(zero_copy_only=False)
            columns[f"{name}_set"] = np.asarray(values.is_valid()).astype(np.int8)
        else:
            columns[name] = values.to_numpy(zero_copy_only=False)
    return importlib.import_module("pandas").DataFrame(columns, copy=False)


def table(kind: Table, partition: Mapping[str, str], found: pa.Table) -> pa.Table:
    """What was read as rows of the table again: the inverse of `frame`, with the partition's columns."""
    if not len(found):
        return kind.empty()
    columns: list[pa.Array | pa.ChunkedArray] = []
    for field in kind.schema:
        name = field.name
        if name in kind.partition:
            columns.append(pa.repeat(pa.scalar(partition[name]), len(found)).cast(field.type))
        elif pa.types.is_decimal(field.type):
            halves = np.empty((len(found), 2), np.int64)
            halves[:, 0], halves[:, 1] = found[f"{name}_low"].to_numpy(), found[f"{name}_high"].to_numpy()
            columns.append(
                pa.Array.from_buffers(field.type, len(found), [None, pa.py_buffer(halves.tobytes())])
            )
        elif pa.types.is_binary(field.type):
            text = found[name].cast(pa.string()).to_pylist()
            columns.append(pa.array([bytes.fromhex(one) for one in text], field.type))
        elif name == "id":
            unset = pc.equal(found[f"{name}_set"], 0)
            columns.append(pc.if_else(unset, pa.scalar(None, field.type), found[name].cast(field.type)))
        else:
            columns.append(found[name].cast(field.type))
    return pa.table(columns, schema=kind.schema)
