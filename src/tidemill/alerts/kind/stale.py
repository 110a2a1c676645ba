"""A venue that is collected says nothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from tidemill.alerts.kind.api import Facts, Held, Occurrence, Seconds, State, Terms, Word


class StaleAlert(Terms):
    """No message of a venue for `after_s`, or its collector is not live for so long. All venues that are
    wanted where none is named."""

    kind: Literal["stale"] = "stale"
    venue: Word | None = None
    after_s: Seconds = 30
    sees: ClassVar[frozenset[str]] = frozenset({"collectors"})

    @property
    def sentence(self) -> str:
        return f"nothing from {self.venue or 'a venue'} for {self.after_s} s"

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        held = Held(state, facts.now, self.after_s)
        quiet = Held({key: value for key, value in state.items() if key.startswith("quiet ")}, facts.now, 0)
        happened = []
        for row in facts.collectors:
            venue = str(row["venue"])
            if not row["wanted"] or self.venue not in (None, venue) or row["state"] == "idle":
                continue
            if held.begins(venue, row["state"] != "live"):
                why = (row.get("error") or {}).get("message") or f"its collector is {row['state']}"
                happened.append(
                    Occurrence(facts.now, venue, str(row["state"]), f"{self.sentence_of(venue)}: {why}")
                )
            last = row.get("last_message_ns")
            silent_s = 0.0 if last is None else (facts.now - int(last)) / 1e9
            if quiet.begins(f"quiet {venue}", row["state"] == "live" and silent_s >= self.after_s):
                message = f"{self.sentence_of(venue)}: the last message came {silent_s:.0f} s ago"
                happened.append(Occurrence(facts.now, venue, f"{silent_s:.0f} s", message))
        return {**held.kept(), **quiet.kept()}, happened

    def sentence_of(self, venue: str) -> str:
        """With the venue's name, also where the rule is of all."""
        return f"nothing from {venue} for {self.after_s} s"
