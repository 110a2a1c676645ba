"""A hole opened in what is collected."""

from __future__ import annotations

from typing import ClassVar, Literal

from tidemill.alerts.kind.api import Facts, Occurrence, State, Terms, Word


class GapAlert(Terms):
    """More gaps go on at a venue than at the look before; each venue where none is named."""

    kind: Literal["gap"] = "gap"
    venue: Word | None = None
    sees: ClassVar[frozenset[str]] = frozenset({"collectors"})

    @property
    def sentence(self) -> str:
        return f"a gap opens at {self.venue or 'a venue'}"

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        happened = []
        kept: State = {}
        for row in facts.collectors:
            venue = str(row["venue"])
            if self.venue not in (None, venue):
                continue
            # Those of today that were counted, and those that the collector says go on: whichever grew.
            now = [int(row.get("gaps_today") or 0), int(row.get("gaps_open") or 0)]
            before = state.get(venue)
            if before and now[0] > before[0]:
                new = now[0] - before[0]
                message = f"{new} gap{'s' if new > 1 else ''} opened at {venue}; {now[1]} go on"
                happened.append(Occurrence(facts.now, venue, str(new), message))
            kept[venue] = now
        return kept, happened
