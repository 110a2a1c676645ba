"""What a kind of job is, and what its work may say and ask while it runs."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from tidemill.home import Home


class Context(Protocol):
    """The way from the work to whoever waits for it. Every call may come from any thread."""

    home: Home
    job_id: str
    resumed: Any
    """What the last attempt gave to `checkpoint`; None at the first."""
    own: bool
    """Whoever asked runs this process from their own shell: their files run as they do."""

    def progress(
        self, done: int, total: int | None = None, unit: str | None = None, note: str | None = None
    ) -> None:
        """Says how far the work is; call it as often as you like, it is told about twice a second."""

    def checkpoint(self, value: Any) -> None:
        """Keeps `value` (JSON) and returns once it is kept: the next attempt finds it in `resumed`.

        Raises `Stopped` when the worker leaves or the job belongs to another by now: let it pass.
        """

    def log(self, text: str, level: str = "info") -> None:
        """A line of the job's log."""

    def cancelled(self) -> bool:
        """Whether the job was asked to end. Who looks has a second for tidying up, then its processes are
        killed; what it returns after it was told True counts for nothing."""


class Kind(Protocol):
    """One file in this folder, ending in `plugin: type[Kind] = …`. Importing it must cost nothing."""

    summary: ClassVar[str]
    memory_bytes: ClassVar[int]
    """What all processes of one job may hold together; 0 for the worker's own bound."""

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        """What was asked, whole and in order. Raises `UsageError` for what makes no sense."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        """Does the work and returns its result (JSON). What it raises ends the job as failed, unless the
        error is retryable. An attempt may end at any moment and the next one begins at the last checkpoint:
        what it does to anything outside must bear being done again."""


class Stopped(BaseException):
    """The attempt ends here, and another one goes on from the checkpoint."""
