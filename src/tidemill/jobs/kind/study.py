"""A study: trials of a strategy, each kept as it ends, and a verdict on the best."""

from __future__ import annotations

from typing import Any, ClassVar

from tidemill.jobs.detail import Detail, unfit
from tidemill.jobs.kind.api import Context, Kind, Stopped

WORKERS_MAX = 256
MEMORY_BYTES = 16 << 30


class Study:
    """`study`: its id; `workers`: processes that try, 0 for one for each processor. What is to be tried is in
    the study. An attempt goes on where the last one was: trials that are kept are not made again. A strategy
    that does not come with this package runs in the sandbox, unless its owner runs the job from a shell.

    Result: `study`, `trials`, `grade`, `text` and `digest`; all of it is in the study's own.
    """

    summary: ClassVar[str] = "trials of a strategy's parameters"
    memory_bytes: ClassVar[int] = MEMORY_BYTES

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        asked = Detail(detail)
        name = asked.text("study", most=64)
        workers = asked.number("workers", 0, 0, WORKERS_MAX)
        asked.done()
        if name is None or "\0" in name:
            raise unfit("study", "it must be named")
        return {"study": name, "workers": workers}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        import os

        from tidemill.metadata import Metadata
        from tidemill.research import studio
        from tidemill.research.study import Paused

        def progress(done: int, total: int, note: str) -> None:
            context.progress(done, total, "trials", note)

        metadata = Metadata.of(context.home)
        try:
            result = studio.run(
                context.home, metadata, detail["study"], workers=detail["workers"] or os.cpu_count() or 1,
                progress=progress, cancelled=context.cancelled, own=context.own,
            )  # fmt: skip
        except Paused:
            raise Stopped from None
        finally:
            metadata.close()
        verdict = result["verdict"]
        return {
            "study": detail["study"], "trials": result["honesty"]["trials"], "grade": verdict["grade"],
            "text": verdict["text"], "digest": result["digest"],
        }  # fmt: skip


plugin: type[Kind] = Study
