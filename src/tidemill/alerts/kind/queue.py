"""More waits than should."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tidemill.alerts.kind.api import Facts, Held, Occurrence, Seconds, State, Terms


class QueueAlert(Terms):
    """Records that the store does not have yet, or jobs that wait, are more than `above` for `for_s`."""

    kind: Literal["queue"] = "queue"
    part: Literal["recorder", "jobs"] = "recorder"
    above: Annotated[int, Field(ge=1, le=10**12)] = 100_000
    for_s: Seconds = 30
    sees: ClassVar[frozenset[str]] = frozenset({"queues"})

    @property
    def sentence(self) -> str:
        what = "jobs" if self.part == "jobs" else "records for the recorder"
        return f"more than {self.above:,} {what} wait for {self.for_s} s"

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        held = Held(state, facts.now, self.for_s)
        waiting = facts.queues.get(self.part, 0.0)
        if not held.begins(self.part, waiting > self.above):
            return held.kept(), []
        message = f"{self.sentence}: {waiting:,.0f}"
        return held.kept(), [Occurrence(facts.now, self.part, f"{waiting:.0f}", message)]
