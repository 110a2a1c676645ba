"""All venues of a bus that are this member's, as a place of sources."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from tidemill.bus.api import Bus, BusError, LostError, Member
from tidemill.bus.stream import Counts, Heard, Stream
from tidemill.stores.api import Position


class Subscription:
    """A `Place` whose venues come and go."""

    address = "bus"

    def __init__(self, bus: Bus, group: str, lease_s: float, warn: Callable[..., None]) -> None:
        self._bus = bus
        self._member: Member = bus.member(group, lease_s)
        self._warn = warn
        self._names: dict[str, Heard] = {}
        self.streams: dict[str, Stream] = {}
        """Open ones, by venue."""
        self.counts: dict[str, Counts] = {}
        """Of every venue that was ever this member's: a venue that comes again counts on."""
        self._lock = threading.Lock()

    def venues(self) -> list[str]:
        return self._member.venues()

    def newest(self, venue: str) -> Position:
        newest = self._member.newest(venue)
        if newest is None:
            raise BusError(f"the stream of {venue} has no entry yet")
        return newest[0], newest[1] + 1

    def names(self, venue: str) -> Heard:
        """One object for as long as the venue is this member's: records are numbered by it."""
        return self._names.setdefault(venue, Heard(venue))

    def open(self, venue: str) -> Stream:
        intake = self._member.open(venue)
        counts = self.counts.setdefault(venue, Counts())
        stream = Stream(venue, intake, self.names(venue), counts, self._warn)
        with self._lock:
            before, self.streams[venue] = self.streams.get(venue), stream
        if before:
            before.close()
        return stream

    def settle(self, venue: str, position: Position) -> None:
        """Everything of the venue up to this position is stored. Raises `BusError`."""
        stream = self.streams.get(venue)
        if stream:
            stream.settle(position)

    def leave(self, venue: str) -> None:
        """The venue is not this member's any more, or is not to be."""
        with self._lock:
            stream = self.streams.pop(venue, None)
        self._names.pop(venue, None)
        with contextlib.suppress(BusError, LostError):
            if stream:
                stream.close()
            self._member.release(venue)

    def close(self) -> None:
        """Gives all venues up."""
        for stream in self.streams.values():
            stream.close()
        self._member.close()
        self._bus.close()
