"""What comes out of a stream is the journal, in order and whole, whatever the bus does to its entries."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.make import VENUE, mixed, name, writer
from tidemill import wire
from tidemill.bus import journal
from tidemill.bus.api import Delivery, Request
from tidemill.bus.entry import NOTHING, Entry
from tidemill.bus.stream import DELIVERIES_MAX, Counts, Heard, Stream
from tidemill.stores.api import Position
from tidemill.stores.source import Batch, Hole


class Wire:
    """An `Intake` that holds what a test gives it, and asks the journal itself for refills."""

    def __init__(self, home: Path, deliveries: list[Delivery], newest: Position | None = None) -> None:
        self.home = home
        self.new = deliveries
        self.others: list[Delivery] = []
        self.acked: list[str] = []
        self.dead: list[tuple[str, str]] = []
        self.stands = newest
        self.asked: list[Request] = []
        self._answer: list[bytes] = []

    def recover(self) -> list[Delivery]:
        found, self.others = self.others, []
        return found

    def take(self, count: int, timeout_ms: int) -> list[Delivery]:
        found, self.new = self.new[:count], self.new[count:]
        return found

    def ack(self, keys: Sequence[str]) -> None:
        self.acked += keys

    def bury(self, delivery: Delivery, reason: str) -> None:
        self.dead.append((delivery.key, reason))

    def newest(self) -> Position | None:
        return self.stands

    def ask(self, request: Request) -> None:
        self.asked.append(request)
        made = journal.between(self.home, request.venue, request.after, request.through, 7)
        self._answer = [entry.encode() for entry in made]

    def answers(self, request: Request, timeout_ms: int) -> list[bytes]:
        found, self._answer = self._answer[:3], self._answer[3:]
        return found

    def done(self, request: Request) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of 300 records in three epochs."""
    path = tmp_path_factory.mktemp("stream")
    (path / "run").mkdir()
    for epoch in range(3):
        with writer(path) as made:
            made.append(mixed(100, first_id=1 + 100 * epoch, seed=epoch))
    return path


@functools.cache
def everything(home: Path) -> tuple[wire.Records, list[Position]]:
    records, positions = [], []
    for entry in journal.between(home, VENUE, NOTHING, (3, 300), 1_000):
        if entry.records is not None:
            records.append(entry.records)
            positions += [(entry.epoch, sequence) for sequence in range(entry.first, entry.end)]
    return np.concatenate(records), positions


def published(home: Path, size: int) -> list[Delivery]:
    return list(_published(home, size))


@functools.cache
def _published(home: Path, size: int) -> list[Delivery]:
    entries = [e for e in journal.between(home, VENUE, NOTHING, (3, 300), size) if e.records is not None]
    return [Delivery(str(at), entry.position, entry.encode()) for at, entry in enumerate(entries)]


def drain(stream: Stream, batches: int = 400) -> tuple[list[Batch], list[Hole]]:
    found, holes, quiet = [], [], 0
    for _ in range(batches):
        batch = stream.read(50, 0)
        holes += stream.holes()
        if batch is None:
            stream._looked_at = float("-inf")  # the next quiet moment has come
            quiet += 1
            if quiet > 3:
                break
        else:
            found.append(batch)
            stream.settle((batch.epoch, batch.last))
            quiet = 0
    return found, holes


def stream_of(intake: Wire, after: Position | None = None) -> tuple[Stream, Heard]:
    names = Heard(VENUE)
    stream = Stream(VENUE, intake, names, Counts(), lambda *_, **__: None)
    stream.seek(after)
    return stream, names


def judge(home: Path, batches: list[Batch], names: Heard, after: int = 0) -> None:
    records, positions = everything(home)
    assert [(b.epoch, s) for b in batches for s in range(b.sequence, b.last + 1)] == positions[after:]
    got = np.concatenate([b.records for b in batches]).copy()
    assert [names.name(n) if n else "" for n in got["instrument"].tolist()] == [
        name(n) if n else "" for n in records["instrument"][after:].tolist()
    ]
    got["instrument"] = records["instrument"][after:]
    np.testing.assert_array_equal(got, records[after:])


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 0.9), st.integers(0, 299))
def test_dropped_repeated_and_handed_around(home: Path, size: int, seed: int, bad: float, start: int) -> None:
    """Entries get lost, come twice, or were sent to a member that died; a reader begins anywhere."""
    dice = random.Random(seed)
    all_ = published(home, size)
    new: list[Delivery] = []
    others: list[Delivery] = []
    for delivery in all_:
        chance = dice.random()
        if chance > bad:
            new.append(delivery)
        elif chance < bad / 3:
            others.append(delivery)
        elif chance < bad / 2:
            new += [delivery, delivery]
    _, positions = everything(home)
    intake = Wire(home, new, newest=all_[-1].position)
    intake.others = others
    stream, names = stream_of(intake, positions[start - 1] if start else None)
    batches, holes = drain(stream)
    judge(home, batches, names, start)
    assert not holes
    # What was delivered is acknowledged, and nothing is owed.
    stream.settle((3, 300))
    assert set(intake.acked) == {delivery.key for delivery in new + others}
    if not bad and not start:
        assert not intake.asked


def test_a_flushed_stream_tells_by_its_mark(home: Path) -> None:
    mark = Entry.mark(VENUE, (3, 250))
    intake = Wire(home, [Delivery("m", mark.position, mark.encode())])
    stream, _ = stream_of(intake, (1, 40))
    batches, holes = drain(stream)
    assert [(r.after, r.through) for r in intake.asked] == [((1, 40), (3, 250))]
    assert sum(len(b.records) for b in batches) == 210
    assert not holes


def test_an_idle_stream_that_was_emptied_is_noticed(home: Path) -> None:
    intake = Wire(home, [], newest=(3, 300))
    stream, names = stream_of(intake)
    judge(home, drain(stream)[0], names)


def test_bytes_that_are_no_entry_go_to_the_dead_letters_and_their_records_come_from_the_journal(
    home: Path,
) -> None:
    all_ = published(home, 10)
    all_[4] = replace(all_[4], raw=all_[4].raw[:-1])
    all_[7] = replace(all_[7], raw=b"")
    intake = Wire(home, all_)
    stream, names = stream_of(intake)
    batches, holes = drain(stream)
    judge(home, batches, names)
    assert [key for key, _ in intake.dead] == ["4", "7"]
    assert not holes
    assert stream.counts.buried == 2


def test_an_entry_of_another_venue_is_none_of_ours(home: Path) -> None:
    entry = replace(Entry.mark(VENUE, (1, 5)), venue="kraken")
    intake = Wire(home, [Delivery("0", (1, 5), entry.encode())])
    stream, _ = stream_of(intake)
    drain(stream)
    assert "kraken" in intake.dead[0][1]


def test_what_was_delivered_too_often_is_tried_alone_and_then_put_aside(home: Path) -> None:
    """The sixth time it comes with nothing else to be stored; the seventh its records are a hole."""
    all_ = published(home, 10)
    again = [replace(one, deliveries=DELIVERIES_MAX + 1) for one in all_[:3]]
    intake = Wire(home, all_[3:])
    intake.others = again
    stream, names = stream_of(intake)
    for sequence in (10, 20, 30):
        batch = stream.read(1_000, 0)
        assert batch is not None
        assert batch.last == sequence
        assert stream.read(1_000, 0) is None, "more was read before it was stored"
        stream.settle((1, sequence))
    batches, holes = drain(stream)
    assert not holes
    judge(home, [*batches], names, 30)

    intake = Wire(home, all_[1:])
    intake.others = [replace(all_[0], deliveries=DELIVERIES_MAX + 2)]
    stream, names = stream_of(intake)
    batches, holes = drain(stream)
    assert holes == [Hole(1, 1, 11, "poison")]
    assert [key for key, _ in intake.dead] == ["0"]
    judge(home, batches, names, 10)


def test_what_the_journal_has_no_more_is_a_hole(home: Path) -> None:
    """The publisher says which records were lost; the stream goes on behind them."""
    lost = Entry.of_hole(VENUE, Hole(3, 301, 341, "overrun"), (3, 300))
    more = Entry.of_batch(VENUE, Batch(3, 341, mixed(10)), (3, 340), ())
    intake = Wire(home, [Delivery(str(at), e.position, e.encode()) for at, e in enumerate((lost, more))])
    stream, names = stream_of(intake, (3, 300))
    batches, holes = drain(stream)
    assert holes == [Hole(3, 301, 341, "overrun")]
    assert [(b.sequence, b.last) for b in batches] == [(341, 350)]
    # Numbers without a name keep their rows apart.
    called = {names.name(n) for n in batches[0].records["instrument"].tolist()}
    assert all(one.startswith("#") and one.endswith(f".{VENUE}") for one in called - {""})
    assert not intake.asked
