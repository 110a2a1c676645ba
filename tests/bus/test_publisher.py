"""Where a publisher goes on after whatever its bus did, and when it waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stores.make import VENUE, mixed, writer
from tests.system.harness import until
from tidemill.bus.api import BehindError, BusError, Depth
from tidemill.bus.entry import NOTHING, Entry
from tidemill.bus.publisher import Publisher
from tidemill.log import Log
from tidemill.stores.api import Position


class Shelf:
    """An `Outlet` in memory, with the rule of Redis: no entry at or before the newest."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.top: Position | None = None
        self.away = False
        self.broken = False
        self.lose_answer = False
        self.full = 0.0

    def last(self) -> Position | None:
        if self.away:
            raise BusError("away")
        if self.broken:
            raise KeyError("what nobody thought of")
        return self.top

    def add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if self.away:
                raise BusError("away")
            if self.top is not None and entry.position <= self.top:
                raise BehindError("behind")
            self.entries.append(entry)
            self.top = entry.position
        if self.lose_answer:
            self.lose_answer = False
            raise BusError("the answer was lost")

    def depth(self) -> Depth:
        return Depth(len(self.entries), sum(e.end - e.first for e in self.entries), self.full)

    def trim(self) -> int:
        return 0

    def close(self) -> None:
        pass


@contextmanager
def publishing(home: Path, shelf: Shelf, most: int = 10**9) -> Iterator[Publisher]:
    stop = threading.Event()
    made = Publisher(
        home, VENUE, shelf, Log("publisher"), stop, records=30, gather_s=0.0, stream_max_records=most
    )
    made.start()
    try:
        yield made
    finally:
        stop.set()
        made.join(10)
        assert not made.is_alive()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def chain(shelf: Shelf, begin: Position = NOTHING) -> int:
    """Every entry follows the one before it; how many records that is."""
    for entry in shelf.entries:
        assert entry.after == begin
        begin = entry.position
    return sum(entry.end - entry.first for entry in shelf.entries)


def test_a_lost_answer_doubles_nothing(home: Path) -> None:
    shelf = Shelf()
    with writer(home) as journal, publishing(home, shelf) as made:
        journal.append(mixed(100))
        until(lambda: shelf.top == (1, 100), "all is there")
        shelf.lose_answer = True
        journal.append(mixed(100, first_id=101))
        until(lambda: shelf.top == (1, 200), "all is there")
        shelf.away = True
        journal.append(mixed(100, first_id=201))
        until(lambda: made.state == "stale", "it says that the bus is away")
        shelf.away = False
        until(lambda: shelf.top == (1, 300) and made.state == "live", "all is there")
    assert chain(shelf) == 300
    # A new process goes on where the stream stands.
    with writer(home) as journal, publishing(home, shelf):
        journal.append(mixed(10, first_id=301))
        until(lambda: shelf.top == (2, 310), "all is there")
    assert chain(shelf) == 310


def test_a_flushed_stream_begins_with_a_mark(home: Path) -> None:
    shelf = Shelf()
    with writer(home) as journal, publishing(home, shelf) as made:
        journal.append(mixed(100))
        until(lambda: shelf.top == (1, 100), "all is there")
        until(lambda: (home / "run" / "publisher" / f"{VENUE}.json").exists(), "it notes its position")
        shelf.entries, shelf.top = [], None
        until(lambda: shelf.entries, "the stream is begun again")
        journal.append(mixed(10, first_id=101))
        until(lambda: shelf.top == (1, 110), "all is there")
        assert made.emptied == 1
    assert shelf.entries[0].position == shelf.entries[0].after == (1, 100)
    assert chain(shelf, (1, 100)) == 10


def test_a_broker_that_forgot_its_newest_entries_gets_them_again(home: Path) -> None:
    shelf = Shelf()
    with writer(home) as journal, publishing(home, shelf):
        journal.append(mixed(100))
        until(lambda: shelf.top == (1, 100), "all is there")
        kept = shelf.entries[:2]
        shelf.entries, shelf.top = kept, kept[-1].position
        until(lambda: shelf.top == (1, 100), "all is there again")
    assert chain(shelf) == 100


def test_it_waits_while_the_stream_is_deep_or_the_broker_full(home: Path) -> None:
    shelf = Shelf()
    with writer(home) as journal, publishing(home, shelf, most=60) as made:
        journal.append(mixed(200))
        until(lambda: made.state == "blocked", "it waits")
        assert sum(e.end - e.first for e in shelf.entries) == 60
        shelf.full, gone = 0.9, list(shelf.entries)
        shelf.entries = []
        until(lambda: made.depth.full == 0.9, "it has looked")
        assert made.state == "blocked"
        shelf.full = 0.1
        until(lambda: len(shelf.entries) == 2, "it goes on")
        shelf.entries = [*gone, *shelf.entries]
        chain(shelf)


def test_a_stream_beyond_the_journal_is_another_homes(home: Path) -> None:
    shelf = Shelf()
    shelf.top = (7, 1)
    with writer(home) as journal:
        journal.append(mixed(10))
        with publishing(home, shelf) as made:
            until(lambda: made.state == "stale", "it refuses")
            assert "another home" in (made.error or "")
    assert not shelf.entries


def test_an_error_that_nobody_thought_of_ends_no_venue(home: Path) -> None:
    shelf = Shelf()
    with writer(home) as journal, publishing(home, shelf) as made:
        journal.append(mixed(30))
        until(lambda: shelf.top == (1, 30), "all is there")
        shelf.broken = True
        until(lambda: made.state == "stale", "it says so")
        shelf.broken = False
        journal.append(mixed(30, first_id=31))
        until(lambda: shelf.top == (1, 60) and made.state == "live", "it goes on")
    assert chain(shelf) == 60
