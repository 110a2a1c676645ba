"""A part of the platform that is wanted is not ready."""

from __future__ import annotations

from typing import ClassVar, Literal

from tidemill.alerts.kind.api import Facts, Held, Occurrence, Seconds, State, Terms, Word


class PartAlert(Terms):
    """A collector, the recorder, the disk, the database, …; any where none is named."""

    kind: Literal["part"] = "part"
    part: Word | None = None
    for_s: Seconds = 15
    sees: ClassVar[frozenset[str]] = frozenset({"parts"})

    @property
    def sentence(self) -> str:
        return f"{self.part or 'a part of the platform'} is not ready for {self.for_s} s"

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        held = Held(state, facts.now, self.for_s)
        happened = []
        for row in facts.parts:
            name = str(row["part"])
            if self.part in (None, name) and held.begins(name, not row["ready"]):
                message = f"{name} is {row['state']}: {row['detail'] or 'it does not say why'}"[:1000]
                happened.append(Occurrence(facts.now, name, str(row["state"]), message))
        return held.kept(), happened
