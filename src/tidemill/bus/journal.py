"""From a venue's journal to entries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from tidemill import _native
from tidemill.bus.entry import NOTHING, Entry
from tidemill.model.instrument import Instrument
from tidemill.stores.api import Position
from tidemill.stores.source import Batch, Hole, Journal, in_order

TERMS_S: Final = 5.0
"""Between two looks whether an instrument's terms have changed."""


class Entries:
    """A venue's journal as entries, from a position on. Used by one thread. Raises RuntimeError while the
    journal cannot be read."""

    def __init__(self, home: Path, venue: str, after: Position | None) -> None:
        self._home = home
        self._venue = venue
        self._journal = Journal(home, venue)
        self.position: Position = after or NOTHING
        """Of the last record that was given, or is gone."""
        gone = self._journal.seek(after)
        self._left: list[Batch | Hole] = [gone] if gone else []
        self._terms: dict[int, Instrument] = {}
        self._terms_at = 0.0

    def newest(self) -> Position:
        """The next position to be written."""
        return self._journal.newest()

    def read(self, max_records: int, timeout_ms: int, gather_s: float = 0.0) -> list[Entry]:
        """What comes next, of at most so many records each; none when none comes in time. What comes within
        `gather_s` of the first record goes with it."""
        if not self._left:
            self._fetch(max_records, timeout_ms)
            if gather_s and self._left and isinstance(self._left[-1], Batch):
                batch = self._left[-1]
                if len(batch.records) < max_records:
                    time.sleep(gather_s)
                    self._fetch(max_records - len(batch.records), 0)
        left, self._left = _joined(self._left), []
        return [entry for one in left if (entry := self._entry(one)) is not None]

    def _fetch(self, max_records: int, timeout_ms: int) -> None:
        batch = self._journal.read(max_records, timeout_ms)
        self._left += in_order(batch, self._journal.holes())

    def _entry(self, one: Batch | Hole) -> Entry | None:
        after = self.position
        if isinstance(one, Hole):
            self.position = max(after, (one.epoch, one.end - 1))
            return Entry.of_hole(self._venue, one, after)
        found = one.beyond(after)
        if found is None:
            return None
        self.position = (found.epoch, found.last)
        return Entry.of_batch(self._venue, found, after, self._named(found))

    def _named(self, batch: Batch) -> list[Instrument]:
        numbers = np.unique(batch.records["instrument"]).tolist()
        unknown = any(number and number not in self._terms for number in numbers)
        if unknown or time.monotonic() - self._terms_at > TERMS_S:
            lines = _native.instruments(str(self._home), self._venue)
            self._terms = {line["number"]: Instrument.of(line) for line in lines}
            self._terms_at = time.monotonic()
        return [self._terms[number] for number in numbers if number in self._terms]


def _joined(found: list[Batch | Hole]) -> list[Batch | Hole]:
    """Batches that follow each other as one."""
    joined: list[Batch | Hole] = []
    for one in found:
        last = joined[-1] if joined else None
        if (
            isinstance(one, Batch)
            and isinstance(last, Batch)
            and (last.epoch, last.last + 1) == (one.epoch, one.sequence)
        ):
            joined[-1] = Batch(last.epoch, last.sequence, np.concatenate([last.records, one.records]))
        else:
            joined.append(one)
    return joined


def between(home: Path, venue: str, after: Position, through: Position, max_records: int) -> Iterator[Entry]:
    """What the journal has beyond `after` up to `through`, as entries that follow each other: what it has no
    more as holes, a mark of `through` at the end."""
    entries = Entries(home, venue, None if after == NOTHING else after)
    entries.position = after
    position = after
    while position < through:
        found = entries.read(max_records, 0)
        if not found:
            break
        for entry in found:
            part = _through(entry, position, through)
            if part is None:
                continue
            yield part
            position = max(position, part.position)
        if entries.position >= through:
            break
    if (
        position < through
        and position[0] == through[0]
        and position != NOTHING
        and entries.position < through
    ):
        # It was published, and then a power cut took it from the journal.
        lost = Hole(through[0], position[1] + 1, through[1] + 1, "overrun")
        yield Entry.of_hole(venue, lost, position)
        position = through
    yield Entry.mark(venue, through, position)


def _through(entry: Entry, after: Position, through: Position) -> Entry | None:
    """What of an entry lies at or before `through`."""
    if (entry.epoch, entry.first) > through:
        return None
    if entry.position <= through:
        return entry
    end = through[1] + 1 if entry.epoch == through[0] else entry.end
    records = None if entry.records is None else entry.records[: end - entry.first]
    return Entry(
        entry.epoch, entry.first, end, entry.after, entry.published_ns,
        entry.venue, records, entry.cause, entry.instruments,
    )  # fmt: skip
