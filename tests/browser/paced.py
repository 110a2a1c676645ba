"""A kind of job that only the browser's tests have: it goes on in steps that a person can see."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from tidemill import errors
from tidemill.jobs.kind.api import Context, Kind


class Paced:
    """`steps` steps of `step_s`; with `fails` the last one fails."""

    summary: ClassVar[str] = "steps to look at"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        return detail

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        for done in range(detail["steps"]):
            context.progress(done, detail["steps"], "steps", f"step {done + 1}")
            context.log(f"step {done + 1} begins")
            time.sleep(detail["step_s"])
            if context.cancelled():
                return {}
        if detail.get("fails"):
            raise errors.UpstreamError(
                "venue_unreachable",
                "the venue does not answer",
                hint="`tidemill doctor` tells why",
                retryable=False,
            )
        return {"steps": detail["steps"]}


plugin: type[Kind] = Paced
