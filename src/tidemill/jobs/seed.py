"""The history that simulated venues begin with: submitted as a job wherever a wanted one has none yet."""

from __future__ import annotations

import time

from tidemill.home import Home
from tidemill.metadata import Metadata, collector, job
from tidemill.model.collector import EXCHANGES, SIM_PREFIX

AGAIN_S = 60.0
OWNER = "owner"
KEY = "history"


class Seed:
    """Looks for simulated venues without history. `pending` until what the start found missing is there, or
    has failed: until then a first chart would be empty."""

    def __init__(self, home: Home, seed: int) -> None:
        self._home = home
        self._seed = seed
        self._job: str | None = None
        self._not_before = 0.0
        self.pending = True

    def look(self, metadata: Metadata) -> bool:
        """Submits what is missing; whether it did. One that fails is tried again after a minute; one that was
        cancelled not before the next start."""
        with metadata.read() as connection:
            rows = collector.every(connection, wanted=True)
            wanted = {row.protocol for row in rows if row.simulated and row.protocol in EXCHANGES}
            last = job.one(connection, self._job) if self._job else None
        if last is not None and last.ended is None:
            return False
        if last is not None and last.state != "done":
            self._not_before = float("inf") if last.state == "cancelled" else time.monotonic() + AGAIN_S
        self._job = None
        missing = sorted(name for name in wanted if not self._home.generated(name).exists())
        if not missing or time.monotonic() < self._not_before:
            self.pending = False
            return False
        detail = {"venues": [SIM_PREFIX + name for name in missing], "days": 30, "seed": self._seed}
        with metadata.write() as connection:
            self._job = job.submit(connection, "history", owner=OWNER, detail=detail, key=KEY)[0].id
        return True
