"""A known hole in what a venue sent, or in what a journal kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Gap:
    """One hole and its two ends. Times in ns UTC."""

    venue: str
    instrument: str | None
    """None is the whole venue."""
    channel: str
    cause: str
    epoch: int
    sequence: int
    """Position of the opening record."""
    opened_at: int
    """`ts_recv` of the opening."""
    ended_at: int | None
    ts_event_open: int
    """The venue's time of the last good record before."""
    ts_event_end: int | None
    """The venue's time of the first good record after."""
    missing: int
    """Records; -1 is unknown."""
    venue_sequence_open: int | None = None
    """The venue's own id of the last good record before; None where it has none."""
    venue_sequence_end: int | None = None
    """The venue's own id of the first good record after."""
    state: str = "open"
    """Of the missing data, not of the stream: one that ended stays open until it is filled from the
    venue's history or known to be unfillable."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def span(self) -> tuple[int, int]:
        """The venue's time that it covers; a gap that has not ended lasts for ever."""
        start = self.ts_event_open or self.opened_at
        end = self.ts_event_end if self.ts_event_end else self.ended_at
        return start, (2**63 - 1 if end is None else end)

    def overlaps(self, start: int | None, end: int | None) -> bool:
        """Does it reach into [start, end)? None is without bound."""
        low, high = self.span
        return (end is None or low < end) and (start is None or high >= start)

    def touches(self, instrument: str, channels: Iterable[str], start: int, end: int) -> bool:
        """Does it make [start, end) of these channels of an instrument incomplete?"""
        return (
            self.state != "filled"
            and self.instrument in (None, instrument)
            and (self.channel == "all" or self.channel in channels)
            and self.overlaps(start, end)
        )
