"""Messages of a venue arrive late."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tidemill.alerts.kind.api import Facts, Held, Occurrence, Seconds, State, Terms, Word


class LagAlert(Terms):
    """The slowest hundredth of a venue's messages is later than `above_ms` for `for_s`."""

    kind: Literal["lag"] = "lag"
    venue: Word | None = None
    above_ms: Annotated[float, Field(gt=0, le=3_600_000)] = 1_000.0
    for_s: Seconds = 10
    sees: ClassVar[frozenset[str]] = frozenset({"collectors"})

    @property
    def sentence(self) -> str:
        return f"messages of {self.venue or 'a venue'} are over {self.above_ms:g} ms late for {self.for_s} s"

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        held = Held(state, facts.now, self.for_s)
        happened = []
        for row in facts.collectors:
            venue, lag = str(row["venue"]), row.get("lag_p99_ns")
            if self.venue not in (None, venue) or row["state"] != "live" or lag is None:
                continue
            late_ms = float(lag) / 1e6
            if held.begins(venue, late_ms > self.above_ms):
                message = f"messages of {venue} are {late_ms:.0f} ms late (limit {self.above_ms:g} ms)"
                happened.append(Occurrence(facts.now, venue, f"{late_ms:.0f} ms", message))
        return held.kept(), happened
