"""What a guest says, read as what it is: bytes of somebody who may want to harm the reader.

JSON of bounded size and depth, Arrow tables of plain columns, text without escapes. Never pickle. Whatever
does not fit raises `Unfit`, which the runner tells as `sandbox_output`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from tidemill.sandbox import frame

DEPTH_MAX = 64
JSON_BYTES_MAX = 16 << 20
ROWS_MAX = 50_000_000
COLUMNS_MAX = 2_000
NAME_CHARS_MAX = 200

# CSI and OSC sequences, other escapes, the marks that turn text around, and controls but for tab and newline.
_ESCAPES = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]?"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class Unfit(ValueError):
    """An answer that is not one."""


@dataclass(frozen=True)
class Answer:
    """What a task gave."""

    result: dict[str, Any]
    """JSON; numbers that are none, such as NaN, are None."""
    tables: dict[str, pa.Table]
    log: str = ""
    """What the code printed, without escapes; its last line says how much was left out."""


@dataclass
class Frames:
    """Cuts the guest's bytes into frames, and refuses what no guest of ours sends."""

    bytes_max: int
    ready: bool = False
    progress: dict[str, Any] | None = None
    """The newest; the runner takes it away."""
    head: tuple[bytes, bytes] | None = None
    """Kind and body of the last word, `ANSWER` or `FAILED`."""
    bodies: list[bytes] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _left: bytearray = field(default_factory=bytearray)
    _taken: int = 0

    @property
    def whole(self) -> bool:
        return self.head is not None and len(self.bodies) == len(self._names)

    def feed(self, data: bytes) -> None:
        """Takes what was read; raises `Unfit`."""
        self._taken += len(data)
        if self._taken > self.bytes_max:
            raise Unfit(f"its answer has more than {self.bytes_max >> 20} MiB")
        self._left += data
        while len(self._left) >= frame.HEAD.size and not self.whole:
            kind, length = frame.HEAD.unpack_from(self._left)
            if kind not in frame.KINDS:
                raise Unfit("its answer is not made of frames")
            if length > self.bytes_max or (kind == frame.PROGRESS and length > frame.PROGRESS_BYTES_MAX):
                raise Unfit(f"its answer has a frame of {length} bytes")
            end = frame.HEAD.size + length
            if len(self._left) < end:
                return
            body = bytes(self._left[frame.HEAD.size : end])
            del self._left[:end]
            self._take(kind, body)

    def _take(self, kind: bytes, body: bytes) -> None:
        if kind == frame.READY:
            self.ready = True
        elif self.head is not None:
            if kind != frame.TABLE:
                raise Unfit("its answer has something between its tables")
            self.bodies.append(body)
        elif kind == frame.PROGRESS:
            self.progress = json(body)
        elif kind in (frame.ANSWER, frame.FAILED):
            said = json(body)
            self.head = (kind, body)
            if kind == frame.ANSWER:
                self._names = names(said)
        else:
            raise Unfit("its answer begins with a table")

    def answer(self, log: str) -> Answer:
        """The whole answer, checked; raises `Unfit`."""
        said = json(self.head[1]) if self.head else {}
        result = said.get("result")
        if not isinstance(result, dict):
            raise Unfit("its result is no object")
        return Answer(result, dict(zip(self._names, map(table, self.bodies), strict=True)), log)


def json(data: bytes) -> dict[str, Any]:
    """An object of JSON, its depth bounded; raises `Unfit`."""
    if len(data) > JSON_BYTES_MAX:
        raise Unfit(f"its JSON has more than {JSON_BYTES_MAX >> 20} MiB")
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise Unfit(f"its JSON cannot be read: {error}"[:300]) from None
    if not isinstance(value, dict):
        raise Unfit("its JSON is no object")
    cleaned: dict[str, Any] = _cleaned(value, 0)
    return cleaned


def _cleaned(value: Any, depth: int) -> Any:
    """The same without NUL characters, which no database takes; raises `Unfit` where it is too deep."""
    if depth > DEPTH_MAX:
        raise Unfit(f"its JSON is nested deeper than {DEPTH_MAX}")
    if isinstance(value, str):
        return value.replace("\0", "") if "\0" in value else value
    if isinstance(value, dict):
        return {_cleaned(key, depth): _cleaned(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one, depth + 1) for one in value]
    return value


def names(said: dict[str, Any]) -> list[str]:
    """Names of an answer's tables; raises `Unfit`."""
    found = said.get("tables", [])
    if not isinstance(found, list) or len(found) > frame.TABLES_MAX:
        raise Unfit(f"its tables are no list of at most {frame.TABLES_MAX}")
    if not all(isinstance(name, str) and len(name) <= NAME_CHARS_MAX for name in found):
        raise Unfit("a table's name is no short text")
    if len(set(found)) < len(found):
        raise Unfit("two tables have one name")
    return found


def table(body: bytes) -> pa.Table:
    """The table of an Arrow stream, every buffer checked; raises `Unfit`.

    Compressed buffers are refused before they are unpacked, and types that hold others: a few bytes of those
    can ask for any amount of memory.
    """
    buffer = pa.py_buffer(body)
    try:
        _uncompressed(buffer)
        with pa.ipc.open_stream(buffer) as reader:
            schema = reader.schema
            if len(schema) > COLUMNS_MAX:
                raise Unfit(f"a table has {len(schema)} columns; at most {COLUMNS_MAX}")
            for column in schema:
                if not _is_plain(column.type) or len(column.name) > NAME_CHARS_MAX:
                    raise Unfit(f"a table's column {column.name[:50]!r} is of type {str(column.type)[:50]}")
            batches, rows = [], 0
            for batch in reader:
                batch.validate(full=True)
                rows += batch.num_rows
                if rows > ROWS_MAX:
                    raise Unfit(f"a table has more than {ROWS_MAX:,} rows")
                batches.append(batch)
        whole = pa.Table.from_batches(batches, schema)
        whole.validate(full=True)
    except Unfit:
        raise
    except Exception as error:  # whatever a reader makes of bytes that were made to harm it
        raise Unfit(f"a table cannot be read: {text(str(error))[:200]}") from None
    bare = pa.schema([pa.field(one.name, one.type, one.nullable) for one in schema])
    return pa.Table.from_arrays(list(whole.columns), schema=bare)


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type) and not types.is_dictionary(kind.value_type)
    return any(
        test(kind)
        for test in (
            types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_string,
            types.is_large_string, types.is_timestamp, types.is_date, types.is_time, types.is_duration,
            types.is_null,
        )
    )  # fmt: skip


_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2


def _uncompressed(buffer: pa.Buffer) -> None:
    """Raises `Unfit` where a message has compressed buffers (format/Message.fbs: Message.header,
    RecordBatch.compression, DictionaryBatch.data)."""
    messages = pa.ipc.MessageReader.open_stream(buffer)
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        data = bytes(message.metadata)
        root = struct.unpack_from("<I", data)[0]
        kind_at, header_at = _slot(data, root, 1), _slot(data, root, 2)
        if not kind_at or not header_at:
            raise Unfit("a table has a message without a header")
        kind = data[kind_at]
        at = header_at + struct.unpack_from("<I", data, header_at)[0]
        if kind == _DICTIONARY_BATCH:
            inner = _slot(data, at, 1)
            if not inner:
                raise Unfit("a table has a dictionary without values")
            at = inner + struct.unpack_from("<I", data, inner)[0]
        if kind in (_RECORD_BATCH, _DICTIONARY_BATCH) and _slot(data, at, 3):
            raise Unfit("a table is compressed")


def _slot(data: bytes, at: int, number: int) -> int:
    """Where field `number` of the flat table at `at` is; 0 where it is not there."""
    vtable = at - struct.unpack_from("<i", data, at)[0]
    if vtable < 0:
        raise Unfit("a table's message is damaged")
    size = struct.unpack_from("<H", data, vtable)[0]
    place = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + place)[0] if place + 2 <= size else 0
    return at + offset if offset else 0


def text(said: str) -> str:
    """The text without escapes of terminals, other controls, and marks that turn its direction."""
    return _ESCAPES.sub("", said.replace("\r\n", "\n").replace("\r", "\n"))
