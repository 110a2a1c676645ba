"""Where records come from: the journals of this machine in place, or a relay, here or elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tidemill import _native, wire
from tidemill.model.instrument import Instrument
from tidemill.stores.api import Position


@dataclass(frozen=True)
class Batch:
    """Records of one epoch with dense sequences."""

    epoch: int
    sequence: int
    """Of the first record."""
    records: wire.Records

    @property
    def last(self) -> int:
        """Sequence of the last record."""
        return self.sequence + len(self.records) - 1

    @property
    def position(self) -> Position:
        """Of the first record."""
        return self.epoch, self.sequence

    @property
    def arrived(self) -> int | None:
        """`ts_recv` of the last record that has one, ns; a detail has none."""
        timed = np.flatnonzero(self.records["kind"] != wire.KIND_DETAIL)
        return int(self.records["ts_recv"][timed[-1]]) if len(timed) else None

    def beyond(self, position: Position) -> Batch | None:
        """What lies beyond `position`; None when nothing does."""
        if (self.epoch, self.last) <= position:
            return None
        if self.epoch > position[0] or self.sequence > position[1]:
            return self
        skipped = position[1] + 1 - self.sequence
        return Batch(self.epoch, position[1] + 1, self.records[skipped:])

    def through(self, position: Position) -> Batch | None:
        """What lies at or before `position`; None when nothing does."""
        if self.position > position:
            return None
        if (self.epoch, self.last) <= position:
            return self
        return Batch(self.epoch, self.sequence, self.records[: position[1] + 1 - self.sequence])


@dataclass(frozen=True)
class Hole:
    """Records that the journal itself lost: from `first` up to, not including, `end`."""

    epoch: int
    first: int
    end: int
    cause: str
    """overrun: overwritten or deleted before it was read; corrupt: its bytes are not what was written."""

    @property
    def position(self) -> Position:
        """Of the first lost record."""
        return self.epoch, self.first


def in_order(batch: Batch | None, holes: Iterable[Hole]) -> list[Batch | Hole]:
    """A batch and the holes that were met with it, as they follow each other in the journal: a hole is met
    in the same read as what lies before it, or as what lies behind it."""
    found: list[Batch | Hole] = [*holes] if batch is None else [*holes, batch]
    return sorted(found, key=lambda one: one.position)


class Source(Protocol):
    """One venue's records, in order, from a position on. Used by one thread."""

    def seek(self, after: Position | None) -> Hole | None:
        """Goes to the record after this position, the oldest for None. Returns what is gone already."""

    def newest(self) -> Position:
        """The next position to be written, as far as it is known."""

    def read(self, max_records: int, timeout_ms: int) -> Batch | None: ...

    def holes(self) -> Iterable[Hole]:
        """Holes met since the last call."""


class Place(Protocol):
    """Where the sources of several venues are. Methods raise RuntimeError or OSError while it cannot tell."""

    @property
    def address(self) -> str | None:
        """None is the journals of this home."""

    def venues(self) -> list[str]: ...

    def open(self, venue: str) -> Source: ...

    def names(self, venue: str) -> Names: ...

    def newest(self, venue: str) -> Position:
        """The next position to be written."""


class Journal:
    """A venue's journal in place."""

    def __init__(self, home: Path, venue: str) -> None:
        self._reader = _native.JournalReader(str(home), venue)

    def seek(self, after: Position | None) -> Hole | None:
        if after is None:
            self._reader.seek("oldest")
            return None
        epoch, sequence = after
        oldest = self._reader.seek((epoch, sequence + 1))
        if oldest is None or oldest[1] <= sequence + 1:
            return None
        return Hole(epoch, sequence + 1, oldest[1], "overrun")

    def seek_snapshot(self, instrument: int) -> bool:
        """Goes to the newest start of this instrument's book; False when there is none."""
        return self._reader.seek_snapshot(instrument)

    def read(self, max_records: int, timeout_ms: int) -> Batch | None:
        found = self._reader.read(max_records, timeout_ms)
        if found is None:
            return None
        return Batch(found.epoch, found.sequence, wire.view(found))

    def newest(self) -> Position:
        """The next position to be written."""
        return self._reader.newest()

    def holes(self) -> list[Hole]:
        return [Hole(epoch, first, end, cause) for epoch, first, end, cause in self._reader.take_lost()]


class Relay:
    """A venue as a relay serves it: the same records under the same numbers."""

    def __init__(self, address: str, venue: str, token: str | None, ca: str | None = None) -> None:
        """`address` is a socket's path, `tls:host:port` or `host:port`; `ca` a PEM file of certificates to
        trust besides the system's. Raises OSError (ConnectionError) when nobody answers at the address, or
        nobody who can be trusted."""
        self._reader = _native.RelayReader(address, venue, token, ca)

    def seek(self, after: Position | None) -> Hole | None:
        # What is gone shows as a jump of the first sequence: `holes` tells of it.
        self._reader.subscribe(None if after is None else (after[0], after[1] + 1))
        return None

    def newest(self) -> Position:
        """The next position to be written, as far as the relay has told."""
        return self._reader.newest()

    def read(self, max_records: int, timeout_ms: int) -> Batch | None:
        found = self._reader.read(max_records, timeout_ms)
        if found is None:
            return None
        return Batch(found.epoch, found.sequence, wire.view(found))

    def holes(self) -> list[Hole]:
        return [Hole(epoch, first, end, cause) for epoch, first, end, cause in self._reader.take_lost()]


class Names:
    """Instruments of a venue by number and by name, read again when an unknown one is asked for."""

    def __init__(self, home: Path, venue: str) -> None:
        """From the registry of this home."""
        self.venue = venue
        self._lines: Callable[[], Iterable[Mapping[str, Any]]] = lambda: _native.instruments(str(home), venue)
        self._by_number: dict[int, Instrument] = {}
        self._by_name: dict[str, Instrument] = {}
        self.refresh()

    @classmethod
    def of_relay(cls, address: str, venue: str, token: str | None, ca: str | None = None) -> Names:
        """From what a relay says that it has."""
        names = cls.__new__(cls)
        names.venue = venue

        def lines() -> Iterable[Mapping[str, Any]]:
            for found in _native.relay_venues(address, token, ca):
                if found["name"] == venue:
                    return found["instruments"]
            return []

        names._lines = lines
        names._by_number, names._by_name = {}, {}
        names.refresh()
        return names

    def refresh(self) -> list[Instrument]:
        """All instruments, newest version each."""
        found = [Instrument.of(line) for line in self._lines()]
        self._by_number = {instrument.number: instrument for instrument in found}
        self._by_name = {instrument.name: instrument for instrument in found}
        return found

    def name(self, number: int) -> str:
        """The name of a number. A number that the registry lacks (only corrupt bytes have one) keeps its
        rows under `#<number>.<venue>`, so that nothing is lost and nothing is mixed up."""
        if number not in self._by_number:
            self.refresh()
        found = self._by_number.get(number)
        return found.name if found else f"#{number}.{self.venue}"

    def number(self, name: str) -> int:
        """The inverse of `name`; 0 for a name that was never in this registry."""
        if name not in self._by_name:
            self.refresh()
        found = self._by_name.get(name)
        if found:
            return found.number
        stem = name.rpartition(".")[0]
        return int(stem[1:]) if stem.startswith("#") and stem[1:].isdigit() else 0


@dataclass(frozen=True)
class Origin:
    """All venues of one place. `address` None is the journals of this home."""

    home: Path
    address: str | None = None
    token: str | None = None
    ca: str | None = field(default_factory=lambda: os.environ.get("TIDEMILL_RELAY_CA") or None)
    """A PEM file of certificates to trust besides the system's, where the address is under TLS."""

    def venues(self) -> list[str]:
        """Names of the venues there are."""
        if self.address is None:
            return venues(self.home)
        return [found["name"] for found in _native.relay_venues(self.address, self.token, self.ca)]

    def open(self, venue: str) -> Journal | Relay:
        """A source of one venue. Raises RuntimeError or OSError while there is none."""
        if self.address is None:
            return Journal(self.home, venue)
        return Relay(self.address, venue, self.token, self.ca)

    def names(self, venue: str) -> Names:
        """Its instruments."""
        if self.address is None:
            return Names(self.home, venue)
        return Names.of_relay(self.address, venue, self.token, self.ca)

    def newest(self, venue: str) -> Position:
        """The next position to be written."""
        if self.address is None:
            return _native.JournalReader(str(self.home), venue).newest()
        for found in _native.relay_venues(self.address, self.token, self.ca):
            if found["name"] == venue:
                return found["newest"]
        raise RuntimeError(f"the relay at {self.address} has no venue {venue!r}")


def venues(home: Path) -> list[str]:
    """Venues of a home that have a journal to read."""
    return [
        venue["name"] for venue in _native.venues(str(home)) if (home / "journal" / venue["name"]).is_dir()
    ]
