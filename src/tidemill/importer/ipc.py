"""Walks the messages of an Arrow file without decoding them, to know what its buffers would become.

Format: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc.
A compressed buffer begins with its length as eight bytes; nothing else in the file says it.
"""

from __future__ import annotations

import struct
from typing import IO

from tidemill.importer import bound
from tidemill.importer.source import Source, open_file

_FILE_MAGIC = b"ARROW1\0\0"
_CONTINUED = b"\xff\xff\xff\xff"
_MESSAGES_MAX = 1_000_000
_DICTIONARY, _BATCH = 2, 3


def offset(source: Source) -> int:
    """Where the stream of messages begins: an Arrow file is a stream between two magic words."""
    with open_file(source.path) as file:
        return 8 if file.read(8) == _FILE_MAGIC else 0


def check(source: Source) -> tuple[int, int]:
    """Rows of a file and the bytes that they become. Raises `ResourceError` where those are too many, and
    `UsageError` for what is no such file."""
    rows = total = 0
    at = offset(source)
    with open_file(source.path) as file:
        for _ in range(_MESSAGES_MAX):
            file.seek(at)
            head = file.read(8)
            if head[:4] != _CONTINUED or len(head) < 8:
                raise bound.unreadable(
                    source.label, f"there is no message at byte {at}: it is cut or damaged"
                )
            length = int.from_bytes(head[4:], "little", signed=True)
            if length == 0:
                return rows, total
            if not 0 < length <= min(bound.FOOTER_BYTES_MAX, source.size - at - 8):
                raise bound.unreadable(
                    source.label, f"a message at byte {at} is said to have {length:,} bytes"
                )
            meta = file.read(length)
            body = at + 8 + length
            try:
                kind, size, more, unpacked = _message(meta, file, body)
            except (struct.error, IndexError, OverflowError) as error:
                raise bound.unreadable(source.label, f"the message at byte {at} is damaged") from error
            if not 0 <= size <= source.size - body:
                raise bound.unreadable(source.label, f"the message at byte {at} is cut")
            if unpacked > bound.BATCH_BYTES_MAX:
                raise bound.refused(
                    source.label, f"the batch at byte {at} becomes {unpacked:,} bytes;"
                    f" {bound.BATCH_BYTES_MAX:,} may be: write smaller batches",
                )  # fmt: skip
            rows += more if kind == _BATCH else 0
            total += unpacked
            # A column without values costs a file nothing, however many rows it has.
            if max(total, rows) > bound.allowed(source.size):
                raise bound.refused(
                    source.label, f"{source.size:,} bytes say that they become {max(total, rows):,}"
                )
            at = body + size
            if at >= source.size:
                return rows, total  # a stream may end without saying so
    raise bound.refused(source.label, f"it has more than {_MESSAGES_MAX:,} messages")


def _message(meta: bytes, file: IO[bytes], body: int) -> tuple[int, int, int, int]:
    """Kind, bytes of the body, rows, and bytes once unpacked, of one message (a flatbuffer)."""
    root = _u32(meta, 0)
    kind_at, header_at, size_at = (_field(meta, root, number) for number in (1, 2, 3))
    kind = meta[kind_at] if kind_at else 0
    size = _i64(meta, size_at) if size_at else 0
    if kind not in (_DICTIONARY, _BATCH) or not header_at:
        return kind, size, 0, 0
    batch = header_at + _u32(meta, header_at)
    if kind == _DICTIONARY:
        inner = _field(meta, batch, 1)
        if not inner:
            return kind, size, 0, 0
        batch = inner + _u32(meta, inner)
    rows_at, buffers_at, packed_at = (_field(meta, batch, number) for number in (0, 2, 3))
    rows = _i64(meta, rows_at) if rows_at else 0
    if rows < 0:
        raise struct.error("a negative number of rows")
    if not buffers_at:
        return kind, size, rows, 0
    vector = buffers_at + _u32(meta, buffers_at)
    unpacked = 0
    for index in range(_u32(meta, vector)):
        start, length = struct.unpack_from("<qq", meta, vector + 4 + 16 * index)
        if start < 0 or length < 0 or start + length > size:
            raise struct.error("a buffer outside its body")
        if packed_at and length >= 8:
            file.seek(body + start)
            said = int.from_bytes(file.read(8), "little", signed=True)
            length = length if said == -1 else said
            if length < 0:
                raise struct.error("a negative length")
        unpacked += length
    return kind, size, rows, unpacked


def _field(meta: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table lies; 0 where it has none."""
    vtable = table - struct.unpack_from("<i", meta, table)[0]
    if vtable < 0 or 4 + 2 * number + 2 > struct.unpack_from("<H", meta, vtable)[0]:
        return 0
    inside = struct.unpack_from("<H", meta, vtable + 4 + 2 * number)[0]
    return table + inside if inside else 0


def _u32(meta: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", meta, at)[0])


def _i64(meta: bytes, at: int) -> int:
    return int(struct.unpack_from("<q", meta, at)[0])
