"""A venue as a bus brings it to one reader of a group: a `Source` like a journal or a relay.

The bus may deliver twice, out of order after a member's death, or not at all where something was trimmed or
flushed. What comes out here is in order and without a hole that is not told: every entry names the record
before it, what is missing is asked of the publisher, who has the journal, and what even the journal lost is
a hole. Entries are acknowledged once the store has what they brought.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidemill import wire
from tidemill.bus.api import BusError, Delivery, Intake, Request
from tidemill.bus.entry import NOTHING, Entry, EntryError, decode
from tidemill.model.instrument import Instrument
from tidemill.stores.api import Position
from tidemill.stores.source import Batch, Hole, Names

TAKE_ENTRIES: Final = 64
DELIVERIES_MAX: Final = 5
"""An entry that was delivered so often and never stored is tried once more alone; after that it goes to the
dead letters."""
READ_S: Final = 0.5
"""So long one read may collect entries."""
QUIET_S: Final = 1.0
"""Between two looks whether a quiet stream stands beyond what it has delivered."""
ASK_AGAIN_S: Final = 10.0
"""So long an answer to a request may be silent before it is asked anew."""


@dataclass
class Counts:
    """What happened to a venue's entries for as long as the process lives, whoever its streams were."""

    acked: int = 0
    """Entries acknowledged."""
    buried: int = 0
    """Entries put aside as dead letters."""
    refills: int = 0
    """Times that missing records were asked for."""


class Heard(Names):
    """Instruments as entries call them. Numbers in an entry belong to the home of its journal, so each name
    gets a number of this process instead, at its first sight here or in the store."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self._lock = threading.Lock()
        self._names = [""]
        self._numbers = {"": 0}
        self._terms: dict[str, Instrument] = {}

    def refresh(self) -> list[Instrument]:
        """All instruments that entries have told of, newest terms each."""
        return list(self._terms.values())

    def name(self, number: int) -> str:
        return self._names[number]

    def number(self, name: str) -> int:
        with self._lock:
            if name not in self._numbers:
                self._numbers[name] = len(self._names)
                self._names.append(name)
            return self._numbers[name]

    def hear(self, entry: Entry) -> wire.Records:
        """The records of an entry, their instruments numbered as here."""
        if entry.records is None:
            return np.zeros(0, wire.RECORD)
        called = {instrument.number: instrument for instrument in entry.instruments}
        self._terms.update((instrument.name, instrument) for instrument in entry.instruments)
        theirs, at = np.unique(entry.records["instrument"], return_inverse=True)
        ours = [
            self.number(called[number].name if number in called else f"#{number}.{self.venue}")
            if number
            else 0
            for number in theirs.tolist()
        ]
        records = entry.records.copy()
        records["instrument"] = np.asarray(ours, np.uint32)[at]
        return records


class Stream:
    """One venue's records from a bus, in order, from a position on. `read` and `holes` are for one thread,
    `settle` for any; all of them raise `BusError` and `LostError`."""

    def __init__(
        self, venue: str, intake: Intake, names: Heard, counts: Counts, warn: Callable[..., None]
    ) -> None:
        self._venue = venue
        self._intake = intake
        self._names = names
        self._warn = warn
        self._position: Position = NOTHING
        self._stored: Position = NOTHING
        self._ready: deque[Delivery] = deque()
        self._kept: Entry | None = None
        self._holes: list[Hole] = []
        self._recovering = True
        self._lock = threading.Lock()
        self._unacked: list[tuple[Position, str]] = []
        self._alone: Position | None = None
        self._request: Request | None = None
        self._answers: deque[bytes] = deque()
        self._heard_at = 0.0
        self._looked_at = 0.0
        self._newest: Position = NOTHING
        self._expected: Position | None = None
        self._sought: Position | None = None
        self.counts = counts

    @property
    def waits_for(self) -> str | None:
        """What is missing in the stream and has been asked for, in words."""
        request = self._request
        if request is None:
            return None
        (e, s), (f, t) = request.after, request.through
        return f"records beyond {e}:{s} up to {f}:{t} are not in the stream; the publisher is asked for them"

    @property
    def unacked(self) -> int:
        return len(self._unacked)

    # ── as a source ───────────────────────────────────────────────────────────────────────────────

    def seek(self, after: Position | None) -> Hole | None:
        self._position = after or NOTHING
        return None

    def newest(self) -> Position:
        epoch, sequence = max(self._newest, self._position)
        return (epoch, sequence + 1) if epoch else NOTHING

    def holes(self) -> Iterable[Hole]:
        found, self._holes = self._holes, []
        return found

    def read(self, max_records: int, timeout_ms: int) -> Batch | None:
        parts: list[wire.Records] = []
        count = 0
        epoch = first = 0
        # A long backlog of small entries is not to keep what has been read from being stored.
        until = time.monotonic() + READ_S
        while count < max_records and not (parts and time.monotonic() > until):
            entry = self._next(0 if parts or self._holes else timeout_ms)
            if entry is None:
                break
            if parts and (entry.cause or (entry.epoch, entry.first) != (epoch, first + count)):
                self._kept = entry
                break
            if entry.cause:
                self._holes.append(Hole(entry.epoch, entry.first, entry.end, entry.cause))
                continue
            if not parts:
                epoch, first = entry.epoch, entry.first
            parts.append(self._names.hear(entry))
            count += len(parts[-1])
        if not parts:
            return None
        return Batch(epoch, first, parts[0] if len(parts) == 1 else np.concatenate(parts))

    def settle(self, position: Position) -> None:
        """Acknowledges entries up to `position`: the store has what they brought."""
        with self._lock:
            self._stored = max(self._stored, position)
            keys = [key for at, key in self._unacked if at <= self._stored]
            if not keys:
                return
            before = self._unacked
            self._unacked = [one for one in before if one[0] > self._stored]
        try:
            self._intake.ack(keys)
        except BusError:
            with self._lock:
                self._unacked = [(NOTHING, key) for key in keys] + self._unacked
            raise
        self.counts.acked += len(keys)

    def close(self) -> None:
        self._intake.close()

    # ── in order ──────────────────────────────────────────────────────────────────────────────────

    def _next(self, timeout_ms: int) -> Entry | None:
        """The next entry, what lies beyond the position of it; None when none comes in time."""
        if self._kept is not None:
            entry, self._kept = self._kept, None
            return entry
        while True:
            if self._alone is not None:
                if self._stored < self._alone:
                    time.sleep(min(timeout_ms, 100) / 1000)
                    return None
                self._alone = None
            if self._request is not None:
                found = self._refilled(self._request, timeout_ms)
                if found is None and self._request is not None:
                    return None
            else:
                delivery = self._deliver(timeout_ms)
                if delivery is None:
                    if self._request is None:
                        return None
                    continue
                found = self._accept(delivery)
            if found is not None:
                return found

    def _deliver(self, timeout_ms: int) -> Delivery | None:
        if not self._ready and self._recovering:
            self._ready.extend(self._intake.recover())
            self._recovering = bool(self._ready)
        if not self._ready:
            self._ready.extend(self._intake.take(TAKE_ENTRIES, timeout_ms))
        now = time.monotonic()
        if now - self._looked_at > QUIET_S:
            self._looked_at = now
            if not self._ready:
                self._look()
            self._newest = self._intake.newest() or NOTHING
            self._expected = self._newest if not self._ready else None
        return self._ready.popleft() if self._ready else None

    def _look(self) -> None:
        """At a quiet moment: what the stream had come to at the one before must have been delivered."""
        if self._expected is not None and self._position < self._expected:
            self._ready.extend(self._intake.recover())
            if not self._ready:
                self._want(self._expected)

    def _accept(self, delivery: Delivery) -> Entry | None:
        try:
            entry = decode(delivery.raw)
            if entry.venue != self._venue:
                raise EntryError(f"the entry is of {entry.venue!r}, its stream of {self._venue!r}")
        except EntryError as error:
            self._bury(delivery, str(error))
            if delivery.position is not None and delivery.position > self._position:
                self._want(delivery.position)
            return None
        if entry.position <= self._position and entry.after <= self._position:
            self._owe(entry.position, delivery.key)
            return None
        missing = self._missing(entry)
        if missing is not None:
            self._ready.appendleft(delivery)
            if self._sought != missing:
                # Another member may have been sent it and is gone, or hangs.
                self._sought = missing
                found = [*self._intake.recover(), *self._ready]
                self._ready = deque(sorted(found, key=lambda one: one.position or NOTHING))
            else:
                self._want(missing)
            return None
        if delivery.deliveries > DELIVERIES_MAX + 1 and entry.records is not None:
            why = f"delivered {delivery.deliveries - 1} times and never stored"
            self._bury(delivery, why)
            entry = Entry.of_hole(
                self._venue, Hole(entry.epoch, entry.first, entry.end, "poison"), entry.after
            )
            return self._advance(entry)
        if delivery.deliveries > DELIVERIES_MAX:
            if self._stored < self._position != NOTHING:
                self._ready.appendleft(delivery)
                self._alone = self._position
                return None
            self._alone = entry.position
        self._owe(entry.position, delivery.key)
        return self._advance(entry)

    def _missing(self, entry: Entry) -> Position | None:
        """Up to where records are missing between our position and this entry; None where none is."""
        if entry.after > self._position:
            return entry.after
        if self._position != NOTHING and entry.first > self._position[1] + 1:
            return entry.epoch, entry.first - 1
        return None

    def _advance(self, entry: Entry) -> Entry | None:
        """What of the entry lies beyond the position, which moves to its end; None for nothing."""
        before, self._position = self._position, max(self._position, entry.position)
        first = entry.first
        if entry.epoch == before[0]:
            first = max(first, before[1] + 1)
        if first >= entry.end:
            return None
        records = None if entry.records is None else entry.records[first - entry.first :]
        return Entry(
            entry.epoch, first, entry.end, entry.after, entry.published_ns,
            entry.venue, records, entry.cause, entry.instruments,
        )  # fmt: skip

    def _owe(self, position: Position, key: str) -> None:
        with self._lock:
            self._unacked.append((position, key))

    def _bury(self, delivery: Delivery, why: str) -> None:
        self._intake.bury(delivery, why)
        self.counts.buried += 1
        self._warn("an entry goes to the dead letters", venue=self._venue, entry=delivery.key, why=why)

    # ── refills ───────────────────────────────────────────────────────────────────────────────────

    def _want(self, through: Position) -> None:
        request = Request(uuid.uuid4().hex, self._venue, self._position, through)
        self._intake.ask(request)
        self._request, self._heard_at = request, time.monotonic()
        self._answers.clear()
        self.counts.refills += 1
        self._warn("records are not in the stream", venue=self._venue, after=request.after, through=through)

    def _refilled(self, request: Request, timeout_ms: int) -> Entry | None:
        """The next entry of the answer; None when there is none yet, or when it is complete."""
        if not self._answers:
            self._answers.extend(self._intake.answers(request, timeout_ms))
        if not self._answers:
            if time.monotonic() - self._heard_at > ASK_AGAIN_S:
                self._anew(request)
            return None
        self._heard_at = time.monotonic()
        try:
            entry = decode(self._answers.popleft())
        except EntryError as error:
            self._warn("an answer cannot be read", venue=self._venue, why=str(error))
            self._anew(request)
            return None
        if entry.position > self._position and self._missing(entry) is not None:
            self._anew(request)  # a part of the answer is gone
            return None
        found = self._advance(entry)
        if self._position >= request.through:
            self._intake.done(request)
            self._request = None
        return found

    def _anew(self, request: Request) -> None:
        self._intake.done(request)
        self._want(request.through)
