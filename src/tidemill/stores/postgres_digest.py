"""A checksum of rows that PostgreSQL and numpy compute alike, whatever the order of the rows.

A row is the sum of its columns, each times a number of its own, modulo a prime, squared: squares, so that
two rows that have swapped a value do not add up to the same. Rows of the same names are added up, times a
number made of the names. What differs goes unnoticed once in about two thousand million times.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg.sql import SQL, Composed, Identifier, Literal

from tidemill.stores.postgres_schema import Relation, words

PRIME = (1 << 31) - 1
_LOW = (1 << 31) - 1
WRAP = 1 << 64

Digest = tuple[int, int]
"""How many rows, and their checksum."""


def _factor(name: str) -> int:
    """Below 2^24: a sum of twenty products with halves of 64-bit numbers stays within 64 bits."""
    return zlib.crc32(name.encode()) & 0xFFFFFF | 1


def _columns(relation: Relation) -> tuple[list[pa.Field], list[pa.Field]]:
    """Columns that are names, in the order of their names, and the others."""
    names = [field for field in relation.columns if pa.types.is_string(field.type)]
    others = [field for field in relation.columns if not pa.types.is_string(field.type)]
    return sorted(names, key=lambda field: str(field.name)), others


def name_columns(relation: Relation) -> list[str]:
    """The columns that the sums of `sums` are grouped by."""
    return [field.name for field in _columns(relation)[0]]


def sums(relation: Relation, condition: Composed) -> Composed:
    """A query: numbers of the names, count and sum of every group of rows."""
    terms = []
    for field in _columns(relation)[1]:
        column, name = Identifier(relation.column(field.name)), field.name
        if pa.types.is_int64(field.type):
            value = SQL("coalesce({}, 0)").format(column) if name == "id" else SQL("{}").format(column)
            terms.append(
                SQL("({} & {}) * {} + ({} >> 31) * {}").format(
                    value, Literal(_LOW), Literal(_factor(name)), value, Literal(_factor(name + "+"))
                )
            )
            if name == "id":
                terms.append(
                    SQL("({} IS NULL)::int * {}::bigint").format(column, Literal(_factor(name + "?")))
                )
            continue
        if pa.types.is_decimal(field.type):
            value = SQL("mod(mod({}, {p}) + {p}, {p})").format(column, p=Literal(PRIME))
        elif pa.types.is_binary(field.type):
            value = SQL("('x' || substr(md5({}), 1, 7))::bit(28)::integer").format(column)
        else:
            value = SQL("{}").format(column)
        terms.append(SQL("{}::bigint * {}").format(value, Literal(_factor(name))))
    names = words(name_columns(relation))
    # OFFSET 0 keeps the long sum from being computed twice.
    return SQL(
        "SELECT {names}, count(*), sum(a * a) FROM (SELECT {names}, ({sum}) % {prime}::bigint AS a"
        " FROM {relation} WHERE {condition} OFFSET 0) q GROUP BY {names}"
    ).format(
        names=names,
        sum=SQL(" + ").join(terms),
        prime=Literal(PRIME),
        relation=relation.identifier,
        condition=condition,
    )


def weight(names: Sequence[str]) -> int:
    """What the sum of a group counts for: an odd number of 64 bits made of its names."""
    told = "\0".join(names).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()) | 1


def of_rows(relation: Relation, rows: pa.Table) -> Digest:
    """The digest of rows that are in memory."""
    if not len(rows):
        return 0, 0
    name_fields, others = _columns(relation)
    total = np.zeros(len(rows), np.int64)
    for field in others:
        column, name = rows[field.name], field.name
        if pa.types.is_int64(field.type):
            if name == "id":
                total += pa.compute.is_null(column).to_numpy().astype(np.int64) * _factor(name + "?")
                column = pa.compute.fill_null(column, 0)
            value = column.to_numpy()
            total += (value & _LOW) * _factor(name) + (value >> 31) * _factor(name + "+")
        elif pa.types.is_decimal(field.type):
            total += _remainders(column) * _factor(name)
        elif pa.types.is_binary(field.type):
            told = [
                int(hashlib.md5(v, usedforsecurity=False).hexdigest()[:7], 16) for v in column.to_pylist()
            ]
            total += np.array(told, np.int64) * _factor(name)
        else:
            total += column.to_numpy().astype(np.int64) * _factor(name)
    # As SQL's: the remainder has the sign of what was divided.
    rest = np.fmod(total, PRIME)
    squares = (rest * rest).astype(np.uint64)
    group, texts = _groups(rows, [field.name for field in name_fields])
    order = np.argsort(group, kind="stable")
    edges = np.flatnonzero(np.diff(group[order], prepend=-1))
    added = np.add.reduceat(squares[order], edges)
    checksum = sum(int(one) * weight(texts[at]) for one, at in zip(added, group[order][edges], strict=True))
    return len(rows), checksum % WRAP


def _remainders(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    whole = pa.concat_arrays([chunk.cast(pa.decimal128(38, 0)) for chunk in column.chunks])
    halves = np.frombuffer(whole.buffers()[1], np.int64)[2 * whole.offset :][: 2 * len(whole)].reshape(-1, 2)
    low = (halves[:, 0].view(np.uint64) % PRIME).astype(np.int64)
    return (halves[:, 1] % PRIME * (WRAP % PRIME) + low) % PRIME


def _groups(rows: pa.Table, columns: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[tuple[str, ...]]]:
    """Of each row the number of its group, and the names of each group."""
    key = np.zeros(len(rows), np.int64)
    texts: list[list[str]] = []
    for name in columns:
        encoded = rows[name].combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = pa.concat_arrays(encoded.chunks)
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        texts.append(encoded.dictionary.to_pylist())
        key = key * len(texts[-1]) + encoded.indices.to_numpy(zero_copy_only=False)
    distinct, group = np.unique(key, return_inverse=True)
    named = []
    for code in distinct.tolist():
        found: list[str] = []
        for text in reversed(texts):
            code, at = divmod(code, len(text))
            found.insert(0, text[at])
        named.append(tuple(found))
    return group, named
