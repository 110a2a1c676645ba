"""Parquet and Arrow as batches of columns. What a file says of its own size is believed only to refuse it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.importer import bound, ipc
from tidemill.importer.raw import Raw
from tidemill.importer.source import Source, open_file

_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, struct.error, RuntimeError)


def schema(source: Source) -> pa.Schema:
    """The columns of a file, once it is known to be of a sensible size."""
    with _told(source):
        found = _parquet(source).schema_arrow if source.shape == "parquet" else _arrow_schema(source)
        _bounded(source, found)
        # A damaged name is no text, and says so only where it is asked for.
        _ = found.names
        return found


def rows(source: Source) -> int:
    """How many rows the file says it has."""
    with _told(source):
        return _parquet(source).metadata.num_rows if source.shape == "parquet" else ipc.check(source)[0]


def batches(source: Source, wanted: Sequence[str], most: int = bound.BATCH_ROWS) -> Iterator[Raw]:
    """The rows of a file, at most `most` at a time, `wanted` columns only."""
    number = 1
    with _told(source):
        _bounded(source, schema(source))
        found = (
            _of_parquet(source, wanted, most)
            if source.shape == "parquet"
            else _of_arrow(source, wanted, most)
        )
        for batch in found:
            columns = {name: _whole(source, batch.column(name)) for name in wanted}
            yield Raw(
                np.arange(number, number + len(batch), dtype=np.int64),
                columns,
                _Text(columns),
                [],
                batch.nbytes,
            )
            number += len(batch)


class _Text:
    """The raw text of a row of a columnar file: its cells as JSON."""

    def __init__(self, columns: dict[str, pa.Array]) -> None:
        self._columns = columns

    def __call__(self, row: int) -> str:
        cells = {name: column[row].as_py() for name, column in self._columns.items()}
        return json.dumps(cells, default=str)


class _told:
    """Whatever a decoder says of a damaged file becomes one error with the file's name."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from tidemill.errors import TidemillError

        if isinstance(error, _ERRORS) and not isinstance(error, TidemillError | MemoryError):
            raise bound.unreadable(self._source.label, str(error).split("\n")[0][:300]) from error


def _bounded(source: Source, found: pa.Schema) -> None:
    if len(found) > bound.COLUMNS_MAX:
        raise bound.refused(source.label, f"it has {len(found):,} columns; {bound.COLUMNS_MAX:,} may be")
    if any(_depth(field.type) > bound.DEPTH_MAX for field in found):
        raise bound.refused(source.label, f"a column is nested more than {bound.DEPTH_MAX} deep")


def _depth(kind: pa.DataType) -> int:
    deepest, held = 0, [(kind, 1)]
    while held:
        one, depth = held.pop()
        deepest = max(deepest, depth)
        if depth <= bound.DEPTH_MAX:
            held += [(one.field(at).type, depth + 1) for at in range(one.num_fields)]
    return deepest


# ── Parquet ───────────────────────────────────────────────────────────────────────────────────────


def _parquet(source: Source) -> pq.ParquetFile:
    """Opens a file whose footer promises no more than it may."""
    with open_file(source.path) as file:
        file.seek(max(source.size - 8, 0))
        end = file.read(8)
    if len(end) < 8 or end[4:] != b"PAR1":
        raise bound.unreadable(
            source.label, "its end is missing" if end[4:] != b"PARE" else "it is encrypted"
        )
    footer = int.from_bytes(end[:4], "little")
    if footer > source.size - 12:
        raise bound.unreadable(source.label, f"its footer is said to have {footer:,} bytes")
    if footer > bound.FOOTER_BYTES_MAX:
        raise bound.refused(
            source.label, f"its footer has {footer:,} bytes; {bound.FOOTER_BYTES_MAX:,} may be"
        )
    found = pq.ParquetFile(
        source.path, pre_buffer=False, memory_map=False,
        thrift_string_size_limit=bound.FOOTER_BYTES_MAX, thrift_container_size_limit=1_000_000,
    )  # fmt: skip
    meta = found.metadata
    if meta.num_columns > bound.COLUMNS_MAX:
        raise bound.refused(
            source.label, f"it has {meta.num_columns:,} columns; {bound.COLUMNS_MAX:,} may be"
        )
    width = sum(
        _width(meta.schema.column(at).physical_type, meta.schema.column(at).length)
        for at in range(meta.num_columns)
    )
    unpacked = 0
    for at in range(meta.num_row_groups):
        group = meta.row_group(at)
        if group.num_rows < 0 or group.total_byte_size < 0:
            raise bound.unreadable(source.label, f"row group {at} is said to have {group.num_rows} rows")
        unpacked += group.total_byte_size
        for column in range(meta.num_columns):
            size = group.column(column).total_uncompressed_size
            if size > bound.BATCH_BYTES_MAX:
                raise bound.refused(
                    source.label, f"a column of row group {at} becomes {size:,} bytes;"
                    f" {bound.BATCH_BYTES_MAX:,} may be",
                )  # fmt: skip
    said = max(unpacked, meta.num_rows * width)
    if meta.num_rows < 0 or said > bound.allowed(source.size):
        raise bound.refused(
            source.label, f"{source.size:,} bytes say that they become {said:,} ({meta.num_rows:,} rows)"
        )
    return found


def _width(physical: str, length: int) -> int:
    """Bytes of a value, at least."""
    known = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
    return known.get(physical, max(length, 4))


def _of_parquet(source: Source, wanted: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
    opened = _parquet(source)
    # Text stays as codes and a dictionary: one long value that a million rows name is held once.
    texts = [
        field.name
        for field in opened.schema_arrow
        if field.name in wanted and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
    ]
    opened.close()
    file = pq.ParquetFile(
        source.path, pre_buffer=False, memory_map=False, read_dictionary=texts,
        thrift_string_size_limit=bound.FOOTER_BYTES_MAX, thrift_container_size_limit=1_000_000,
        page_checksum_verification=True,
    )  # fmt: skip
    with file:
        yield from file.iter_batches(most, columns=list(wanted), use_threads=False)


def _whole(source: Source, column: pa.Array) -> pa.Array:
    """The column, once its longest text is known to be a cell."""
    column.validate(full=True)
    kind = column.type
    texts = column.dictionary if pa.types.is_dictionary(kind) else column
    if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
        import pyarrow.compute as pc

        longest = pc.max(pc.binary_length(texts)).as_py() or 0
        if longest > bound.CELL_BYTES_MAX:
            raise bound.refused(
                source.label, f"a cell has {longest:,} bytes; {bound.CELL_BYTES_MAX:,} may be"
            )
    return column


# ── Arrow ─────────────────────────────────────────────────────────────────────────────────────────


def _arrow_schema(source: Source) -> pa.Schema:
    ipc.check(source)
    with pa.OSFile(str(source.path)) as file:
        file.seek(ipc.offset(source))
        return pa.ipc.open_stream(file).schema


def _of_arrow(source: Source, wanted: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
    ipc.check(source)
    with pa.OSFile(str(source.path)) as file:
        file.seek(ipc.offset(source))
        with pa.ipc.open_stream(file) as stream:
            for batch in stream:
                chosen = batch.select(list(wanted))
                for at in range(0, len(chosen), most):
                    yield chosen.slice(at, most)
