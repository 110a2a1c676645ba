"""Entries: what goes in comes out, digit for digit; what was damaged is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stores.make import NAMES, VENUE, mixed, number
from tidemill.bus.entry import NOTHING, Entry, EntryError, decode, head
from tidemill.model.instrument import Instrument
from tidemill.stores.source import Batch, Hole

TERMS = tuple(
    Instrument(number(name), name, "BTC/USD", "BTC", "USD", "0.1", "0.00000001", 1, 8, "online")
    for name in NAMES
)


def batch(count: int, epoch: int = 3, first: int = 10**15) -> Batch:
    return Batch(epoch, first, mixed(count, seed=count))


@given(st.integers(1, 300), st.integers(1, 2**32 - 1), st.integers(1, 2**62), st.booleans())
def test_records_come_out_as_they_went_in(count: int, epoch: int, first: int, named: bool) -> None:
    entry = Entry.of_batch(VENUE, batch(count, epoch, first), (epoch, first - 1), TERMS if named else ())
    found = decode(entry.encode())
    np.testing.assert_array_equal(found.records, entry.records)
    assert found.instruments == entry.instruments
    assert (found.venue, found.after, found.cause) == (VENUE, (epoch, first - 1), "")
    assert found.position == (epoch, first + count - 1) == head(entry.encode()).position


def test_holes_and_marks() -> None:
    hole = decode(Entry.of_hole(VENUE, Hole(2, 50, 90, "overrun"), (1, 49)).encode())
    assert (hole.position, hole.after, hole.cause, hole.records) == ((2, 89), (1, 49), "overrun", None)
    mark = decode(Entry.mark(VENUE, (2, 89)).encode())
    assert (mark.position, mark.after, mark.cause, mark.records) == ((2, 89), (2, 89), "", None)
    assert decode(Entry.mark(VENUE, (2, 89), NOTHING).encode()).after == NOTHING


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    raw = bytearray(Entry.of_batch(VENUE, batch(20), NOTHING, TERMS).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EntryError):
        decode(bytes(raw))


@given(st.binary(max_size=200))
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(EntryError):
        decode(raw)
    with pytest.raises(EntryError):
        decode(b"TDMB\x01" + raw)


def test_it_is_a_third_of_the_records_or_less() -> None:
    entry = Entry.of_batch(VENUE, batch(1_000), NOTHING, TERMS)
    assert len(entry.encode()) < 1_000 * 48 / 3
