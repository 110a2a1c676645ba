"""Lines out of bytes, wherever the network cut them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UpstreamError
from tidemill.iqfeed.line import LINE_BYTES_MAX, Lines

REPLY = (
    "XYZ,LH,2018-04-17 17:51:22.123456,96.0700,1061909,0,0.0000,0.0000,4145784264,O,19,143A,2,17\r\n"
    "XYZ,LH,2018-04-17 17:51:23.000001,96.0800,100,100,0.0000,0.0000,4145784265,C,19,01,1,17\r\n"
    "XYZ,!ENDMSG!,\r\n"
    "F,X,Soci\xe9t\xe9\x85 G\xe9n\xe9rale\x0b,\r\n"
)
LINES = REPLY.split("\r\n")[:-1]


def test_every_split_gives_the_same_lines() -> None:
    data = REPLY.encode("latin-1")
    for first in range(len(data) + 1):
        for second in (first, min(len(data), first + 1), len(data)):
            reader = Lines()
            pieces = (data[:first], data[first:second], data[second:])
            assert [line for piece in pieces for line in reader.feed(piece)] == LINES


def test_one_byte_at_a_time() -> None:
    reader = Lines()
    assert [line for byte in REPLY.encode("latin-1") for line in reader.feed(bytes([byte]))] == LINES


TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), min_size=1, max_size=40)


@given(st.lists(TEXT, max_size=20), st.data())
def test_any_pieces_of_any_lines(lines: list[str], data: st.DataObject) -> None:
    sent = "".join(line + "\r\n" for line in lines).encode("latin-1")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=30)))
    reader = Lines()
    edges = [0, *cuts, len(sent)]
    got = [line for a, b in itertools.pairwise(edges) for line in reader.feed(sent[a:b])]
    assert got == lines


def test_plain_newlines_and_empty_lines() -> None:
    assert Lines().feed(b"a\n\r\nb\r\n") == ["a", "b"]


def test_a_line_without_an_end_is_refused() -> None:
    reader = Lines()
    assert reader.feed(b"x" * LINE_BYTES_MAX) == []
    with pytest.raises(UpstreamError, match="without the end of a line"):
        reader.feed(b"x")
