"""CSV and JSON lines as batches of columns, in bounded memory. Every cell stays text."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.importer import bound
from tidemill.importer.raw import Bad, Raw
from tidemill.importer.source import Source

DELIMITERS = (",", ";", "\t", "|", " ")
ENCODINGS = ("utf-8", "utf-16", "latin-1")


@dataclass(frozen=True)
class Dialect:
    """How the lines of a text file are cut."""

    type: str = "csv"
    """"csv" or "jsonl"."""
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    encoding: str = "utf-8"
    point: str = "."
    """The decimal point."""
    skip: int = 0
    """Lines before the header, or before the first row."""


def batches(source: Source, dialect: Dialect, names: Sequence[str], wanted: Sequence[str]) -> Iterator[Raw]:
    """The rows of a file, those of `BATCH_ROWS` lines at a time. `names` are all of its columns in order,
    `wanted` those to give."""
    first = dialect.skip + (1 if dialect.header and dialect.type == "csv" else 0)
    for number, lines in _blocks(source, dialect.encoding):
        if number <= first:
            lines = lines[first + 1 - number :]
            number = first + 1
        if lines:
            yield cut(lines, number, dialect, names, wanted)


def cut(
    lines: list[bytes], number: int, dialect: Dialect, names: Sequence[str], wanted: Sequence[str]
) -> Raw:
    """Lines, the first of which is the file's `number`th, as columns."""
    size = sum(map(len, lines)) + len(lines)
    texts, at, bad = _decoded(lines, number)
    if dialect.type == "jsonl":
        return _objects(texts, at, bad, wanted, size)
    if any(dialect.quote in text for text in texts) if dialect.quote else False:
        return _quoted(texts, at, bad, dialect, names, wanted, size)
    column = pa.array(texts, pa.string())
    cells = pc.add(pc.count_substring(column, dialect.delimiter), 1).to_numpy(zero_copy_only=False)
    good = cells == len(names)
    for index in np.flatnonzero(~good):
        bad.append(Bad(at[index], f"{cells[index]} cells, not {len(names)}", texts[index]))
    kept = [text for text, fine in zip(texts, good.tolist(), strict=True) if fine]
    flat = pc.split_pattern(pa.array(kept, pa.string()), dialect.delimiter).flatten()
    columns = {
        name: flat.take(pa.array(np.arange(names.index(name), len(flat), len(names)))) for name in wanted
    }
    return Raw(np.array(at, np.int64)[good], columns, kept.__getitem__, bad, size)


def _blocks(source: Source, encoding: str) -> Iterator[tuple[int, list[bytes]]]:
    """Lines without their ends, and the number of the first of each block."""
    rest, held, number = b"", [], 1
    for chunk in _recoded(source, encoding):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > bound.LINE_BYTES_MAX or max(map(len, lines), default=0) > bound.LINE_BYTES_MAX:
            raise bound.refused(
                source.label, f"a line after line {number} has more than {bound.LINE_BYTES_MAX:,} bytes"
            )
        held += lines
        while len(held) >= bound.BATCH_ROWS:
            yield number, held[: bound.BATCH_ROWS]
            number, held = number + bound.BATCH_ROWS, held[bound.BATCH_ROWS :]
    if rest:
        held.append(rest)
    if held:
        yield number, held


def _recoded(source: Source, encoding: str) -> Iterator[bytes]:
    """The bytes as UTF-8, without the mark that says so."""
    chunks = source.chunks()
    if encoding == "utf-8":
        first = next(chunks, b"")
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _decoded(lines: list[bytes], number: int) -> tuple[list[str], list[int], list[Bad]]:
    """Text and number of each line that is not empty."""
    texts: list[str] = []
    at: list[int] = []
    bad: list[Bad] = []
    for index, line in enumerate(lines, number):
        line = line.removesuffix(b"\r")
        if not line or line.isspace():
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError:
            bad.append(Bad(index, "no UTF-8", line.decode("utf-8", "backslashreplace")))
            continue
        if "\0" in text:
            bad.append(Bad(index, "a NUL", text.replace("\0", "\\0")))
            continue
        texts.append(text)
        at.append(index)
    return texts, at, bad


def split(text: str, dialect: Dialect) -> list[str] | None:
    """The cells of one line; None where its quotes do not close."""
    if not dialect.quote:
        return text.split(dialect.delimiter)
    try:
        return next(
            csv.reader([text], delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True), None
        )
    except csv.Error:
        return None


def _quoted(
    texts: list[str],
    at: list[int],
    bad: list[Bad],
    dialect: Dialect,
    names: Sequence[str],
    wanted: Sequence[str],
    size: int,
) -> Raw:
    kept: list[str] = []
    numbers: list[int] = []
    index = [names.index(name) for name in wanted]
    cells: list[list[str]] = [[] for _ in wanted]
    for text, line in zip(texts, at, strict=True):
        row = split(text, dialect)
        if row is None or len(row) != len(names):
            why = "its quotes do not close" if row is None else f"{len(row)} cells, not {len(names)}"
            bad.append(Bad(line, why, text))
            continue
        kept.append(text)
        numbers.append(line)
        for column, place in zip(cells, index, strict=True):
            column.append(row[place])
    columns = {name: pa.array(column, pa.string()) for name, column in zip(wanted, cells, strict=True)}
    return Raw(np.array(numbers, np.int64), columns, kept.__getitem__, bad, size)


def parsed(text: str) -> dict[str, Any] | str:
    """One JSON line as an object whose numbers are still text; else why it is none."""
    try:
        found = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return f"no JSON: {error}"[:100]
    return found if isinstance(found, dict) else "no JSON object"


def cell(value: Any) -> str | None:
    """A JSON value as text; None for what has none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)[: bound.CELL_BYTES_MAX]


def _objects(texts: list[str], at: list[int], bad: list[Bad], wanted: Sequence[str], size: int) -> Raw:
    kept: list[str] = []
    numbers: list[int] = []
    cells: list[list[str | None]] = [[] for _ in wanted]
    for text, line in zip(texts, at, strict=True):
        row = parsed(text)
        if isinstance(row, str):
            bad.append(Bad(line, row, text))
            continue
        kept.append(text)
        numbers.append(line)
        for column, name in zip(cells, wanted, strict=True):
            column.append(cell(row.get(name)))
    columns = {name: pa.array(column, pa.string()) for name, column in zip(wanted, cells, strict=True)}
    return Raw(np.array(numbers, np.int64), columns, kept.__getitem__, bad, size)
