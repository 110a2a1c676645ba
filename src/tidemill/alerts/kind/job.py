"""A job failed."""

from __future__ import annotations

from typing import ClassVar, Literal

from tidemill.alerts.kind.api import Facts, Occurrence, State, Terms, Word


class JobAlert(Terms):
    """Of this kind, or of any. What failed before the first look is no news."""

    kind: Literal["job"] = "job"
    job_kind: Word | None = None
    sees: ClassVar[frozenset[str]] = frozenset({"events"})

    @property
    def sentence(self) -> str:
        return f"a job{f' of kind {self.job_kind}' if self.job_kind else ''} fails"

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        if not state:
            return {"begun": True}, []
        happened = []
        for row in facts.events:
            kind = str(row.data.get("kind", ""))
            if row.kind == "job_failed" and self.job_kind in (None, kind):
                why = (row.data.get("error") or {}).get("message") or str(row.data.get("state", "failed"))
                message = f"the job {row.subject} ({kind}) failed: {why}"[:1000]
                happened.append(Occurrence(row.ts, row.subject, kind, message))
        return state, happened
