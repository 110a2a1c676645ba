"""What a guest says is read without harm, whatever it is."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.sandbox import answer as answers
from tidemill.sandbox import frame, guest
from tidemill.sandbox.answer import Frames, Unfit


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


PLAIN = pa.table(
    {
        "i": np.arange(5),
        "f": np.array([1.0, 2.5, np.inf, 0.0, -1.0]),
        "s": pa.array(["a", None, "ü", "", "x"]),
        "t": pa.array([1, 2, None, 4, 5], pa.timestamp("ns", "UTC")),
        "d": pa.array(["x", "y", "x", None, "y"]).dictionary_encode(),
    }
)
BODY = stream(PLAIN)


def framed(kind: bytes, body: bytes) -> bytes:
    return frame.HEAD.pack(kind, len(body)) + body


def test_a_plain_table_comes_back_without_the_metadata_of_others() -> None:
    marked = PLAIN.replace_schema_metadata({"pandas": "{}"})
    read = answers.table(stream(marked))
    assert read.equals(PLAIN)
    assert read.schema.metadata is None


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_tables_are_refused_before_they_are_unpacked(compression: str) -> None:
    with pytest.raises(Unfit, match="compressed"):
        answers.table(stream(PLAIN, compression=compression))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([b"x"]),
        pa.array([b"xx"], pa.binary(2)),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.RunEndEncodedArray.from_arrays([1 << 30], [1]),
    ],
    ids=["list", "struct", "binary", "fixed", "map", "runs"],
)  # fmt: skip
def test_columns_that_hold_others_are_refused(column: pa.Array) -> None:
    with pytest.raises(Unfit, match="of type"):
        answers.table(stream(pa.table({"a": column})))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_table_is_refused_or_read(data: st.DataObject) -> None:
    body = bytearray(BODY)
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    try:
        read = answers.table(bytes(body[:cut] if data.draw(st.booleans()) else body))
    except Unfit:
        return
    read.validate(full=True)
    read.to_pylist()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(Unfit):
        answers.table(noise)
    frames = Frames(1 << 16)
    try:
        frames.feed(noise)
    except Unfit:
        return
    assert frames.whole in (True, False)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_a_guest_makes_of_a_value_is_read_again(value: Any) -> None:
    body = json.dumps({"result": guest.plain({"v": value}), "tables": []}).encode()
    try:
        read = answers.json(body)
    except Unfit:
        return  # a lone surrogate
    again = json.dumps(read, allow_nan=False)
    assert "\\u0000" not in again.replace("\\\\", "")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")])
def test_numbers_that_are_none_are_null(value: float) -> None:
    assert guest.plain({"a": [value]}) == {"a": [None]}


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"[1]",
        b"1",
        b"",
        pickle.dumps({"a": 1}),
    ],
)
def test_json_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Unfit):
        answers.json(body)


def test_frames_may_come_in_any_pieces() -> None:
    whole = (
        framed(frame.READY, b"{}")
        + framed(frame.PROGRESS, b'{"done":1}')
        + framed(frame.ANSWER, b'{"result":{"a":1},"tables":["t"]}')
        + framed(frame.TABLE, BODY)
    )
    for size in (1, 7, len(whole)):
        frames = Frames(1 << 20)
        for at in range(0, len(whole), size):
            frames.feed(whole[at : at + size])
        assert frames.ready
        assert frames.progress == {"done": 1}
        made = frames.answer("log")
        assert made.result == {"a": 1}
        assert made.tables["t"].equals(PLAIN)


@pytest.mark.parametrize(
    "data",
    [
        framed(b"z", b""),
        framed(frame.TABLE, b""),
        framed(frame.ANSWER, b'{"tables":[1]}'),
        framed(frame.ANSWER, b'{"tables":["a","a"]}'),
        framed(frame.ANSWER, b'{"tables":["a"]}') + framed(frame.PROGRESS, b"{}"),
        framed(frame.PROGRESS, b"x"),
        frame.HEAD.pack(frame.PROGRESS, 1 << 17),
        frame.HEAD.pack(frame.ANSWER, 1 << 31),
    ],
)
def test_frames_that_no_guest_sends_are_refused(data: bytes) -> None:
    with pytest.raises(Unfit):
        Frames(1 << 20).feed(data)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\rb\r\nc\td", "a\nb\nc\td"),
        ("\u202eevil\u2066", "evil"),
        ("\x00\x07\x08\x7f\x9b1m", "1m"),
        ("ordinary – ü", "ordinary – ü"),
    ],
)
def test_text_has_no_escapes(said: str, shown: str) -> None:
    assert answers.text(said) == shown


@given(st.text())
def test_no_text_keeps_an_escape(said: str) -> None:
    assert not set(answers.text(said)) & {"\x1b", "\r", "\x00", "\x07", "\u202e", "\x9b"}
