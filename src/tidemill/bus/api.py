"""What a bus is: one ordered stream of entries per venue, with groups of readers that remember how far they
have come.

Implementations: `redis.RedisBus` (streams and consumer groups) and `kafka.KafkaBus` (topics and consumer
groups). One contract suite, `tests/bus/test_contract.py`, runs over both.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tidemill.bus.entry import Entry
from tidemill.stores.api import Position


class BusError(RuntimeError):
    """The bus cannot be reached, is full, loads its data or changes hands. What was asked may have happened
    or not: look, and try again later."""


class BehindError(RuntimeError):
    """The stream has come further than the entry that was to be added: look where it stands."""


class LostError(RuntimeError):
    """The venue belongs to another member of the group now."""


def own_name(path: Path, kind: str) -> str:
    """The name that a home has on a bus, kept in `path`: made at the first need, and moved along with the
    home. Raises OSError."""
    found = path.read_text().strip() if path.exists() else ""
    if not found:
        found = f"{kind}-{secrets.token_hex(6)}"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(f"{found}\n")
        temporary.replace(path)
    return found


@dataclass(frozen=True)
class Delivery:
    """An entry as it was delivered to a member of a group."""

    key: str
    """How it is acknowledged."""
    position: Position | None
    """Of its last record, by what stands outside its bytes; None where nothing is known."""
    raw: bytes
    deliveries: int = 1
    """How often it has been delivered, this time included."""


@dataclass(frozen=True)
class Request:
    """Somebody asks for records that a stream lacks: beyond `after`, up to and including `through`."""

    id: str
    venue: str
    after: Position
    through: Position

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id, "venue": self.venue, "after": list(self.after), "through": list(self.through)
        }  # fmt: skip

    @classmethod
    def of(cls, line: dict[str, Any]) -> Request:
        """Raises ValueError, KeyError or TypeError for what is none."""
        (a, b), (c, d) = line["after"], line["through"]
        return cls(str(line["id"]), str(line["venue"]), (int(a), int(b)), (int(c), int(d)))


@dataclass
class Group:
    """How far one group has come in a venue's stream."""

    entries: int = 0
    """Entries that it has not acknowledged."""
    records: int = 0
    """Records in them."""
    pending: int = 0
    """Entries delivered, not acknowledged."""
    oldest_s: float = 0.0
    """Age of the oldest of `entries`; 0 where there is none."""


@dataclass
class Depth:
    """What lies in a venue's stream."""

    entries: int = 0
    records: int = 0
    full: float = 0.0
    """The share of the broker's memory that is used, 0 where it has no bound."""
    groups: dict[str, Group] = field(default_factory=dict)


class Outlet(Protocol):
    """The end of one venue's stream that is written. Every method raises `BusError`."""

    def last(self) -> Position | None:
        """Where the stream stands; None where there is none."""

    def add(self, entries: Sequence[Entry]) -> None:
        """Adds entries in order. Raises `BehindError` when the stream has come as far already; after that or
        a `BusError` any number of the first may be there."""

    def depth(self) -> Depth:
        """What lies in the stream now."""

    def trim(self) -> int:
        """Lets go of what every group has acknowledged; returns how many entries that was."""

    def close(self) -> None: ...


class Intake(Protocol):
    """One venue's stream as the member of a group reads it that has the venue to itself. Every method raises
    `BusError`, and `LostError` once the venue is another's."""

    def recover(self) -> list[Delivery]:
        """Some entries that were delivered to others and never acknowledged, now ours, in order; none when
        there are no more."""

    def take(self, count: int, timeout_ms: int) -> list[Delivery]:
        """New entries in order; none when none comes in time."""

    def ack(self, keys: Sequence[str]) -> None:
        """These entries are dealt with for good."""

    def bury(self, delivery: Delivery, reason: str) -> None:
        """Puts its bytes aside among the dead letters, and acknowledges it."""

    def newest(self) -> Position | None:
        """Where the stream stands; None where the bus cannot tell."""

    def ask(self, request: Request) -> None:
        """Asks for a refill. Nobody may be there to answer."""

    def answers(self, request: Request, timeout_ms: int) -> list[bytes]:
        """Entries of the answer so far, each once; a mark of `through` is the last."""

    def done(self, request: Request) -> None:
        """The answer is not needed any more."""

    def close(self) -> None: ...


class Member(Protocol):
    """One reader of a group; every venue has one at a time. Methods raise `BusError`."""

    def venues(self) -> list[str]:
        """Venues that are this member's now. Asked every few seconds: it takes on more as they get free."""

    def open(self, venue: str) -> Intake:
        """The stream of a venue that is this member's."""

    def release(self, venue: str) -> None:
        """Gives a venue up; another member may take it."""

    def newest(self, venue: str) -> Position | None:
        """Where a venue's stream stands, if the bus can tell."""

    def close(self) -> None:
        """Gives all venues up."""


class Bus(Protocol):
    """A broker. Making one touches nothing."""

    def outlet(self, venue: str, home: str) -> Outlet:
        """Where the publisher of the home of this name writes a venue. A stream that another home writes is
        refused by every method of it, with a `BusError` that names that one."""

    def requests(self, timeout_ms: int) -> list[Request]:
        """Requests for a refill that came since the last call. Raises `BusError`."""

    def answer(self, request: Request, entry: Entry) -> bool:
        """Adds an entry to the answer; waits while the asker has enough to read. False: it reads no more.
        Raises `BusError`."""

    def member(self, group: str, lease_s: float) -> Member:
        """A new member of a group of readers. One that is not heard of for `lease_s` loses its venues."""

    def close(self) -> None: ...
