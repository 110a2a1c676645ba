"""Venues come and go; what was counted of them stays."""

from __future__ import annotations

from pathlib import Path

from tests.bus.test_stream import Wire
from tests.stores.make import VENUE
from tidemill.bus.subscription import Subscription


class Bus:
    """A `Bus` and its only `Member`: every venue it opens is a stream without entries."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.released: list[str] = []

    def member(self, group: str, lease_s: float) -> Bus:
        return self

    def open(self, venue: str) -> Wire:
        return Wire(self.home, [])

    def release(self, venue: str) -> None:
        self.released.append(venue)


def test_a_venue_that_was_left_and_comes_again_counts_on(tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    subscription = Subscription(bus, "group", 1.0, lambda *_, **__: None)  # type: ignore[arg-type]
    subscription.open(VENUE).counts.refills += 1
    subscription.leave(VENUE)
    assert bus.released == [VENUE]
    assert subscription.counts[VENUE].refills == 1
    for _ in range(2):
        subscription.open(VENUE).counts.refills += 1
    assert subscription.counts[VENUE].refills == 3
