"""One venue's journal on its way into a bus.

Nothing is queued here: a bus that is away, full or deep enough is waited for, and the journal keeps what
arrives. After every doubt the stream itself says where to go on, so that a record is neither left out nor
added twice.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from pathlib import Path
from typing import Any, Final

from tidemill.bus.api import Depth, Outlet
from tidemill.bus.entry import NOTHING, Entry
from tidemill.bus.journal import Entries
from tidemill.log import Log
from tidemill.stores.api import Position

LOOK_S: Final = 1.0
"""Between two looks at the stream: its depth, what may go, whether it is still what it was."""
WAIT_S: Final = 0.5
RETRY_S: Final = (0.1, 5.0)
"""Pause after the first failure, and the longest one."""
FULL: Final = 0.8
"""The share of the broker's memory from which on nothing is added: readers need some to empty it."""


class _Elsewhere(Exception):
    """The stream is not where it was left: begin anew from where it stands."""


class Publisher(threading.Thread):
    """Keeps the stream of one venue up with its journal until `stop` is set."""

    def __init__(
        self, home: Path, venue: str, outlet: Outlet, log: Log, stop: threading.Event,
        *, records: int, gather_s: float, stream_max_records: int,
    ) -> None:  # fmt: skip
        """Entries of up to `records` records, or of what came within `gather_s`; with `stream_max_records` in
        the stream nothing is added until some were let go."""
        super().__init__(name=f"publish-{venue}", daemon=True)
        self.venue = venue
        self._home = home
        self._outlet = outlet
        self._log = log
        self._stop_event = stop
        self._records = records
        self._gather_s = gather_s
        self._max = stream_max_records
        self._path = home / "run" / "publisher" / f"{venue}.json"
        self._position: Position = NOTHING
        self._noted: Position = NOTHING
        self._entries: Entries | None = None
        self._looked_at = 0.0
        self.depth = Depth()
        self.state = "starting"
        self.error: str | None = None
        self.published = 0
        """Records added since this process began."""
        self.added = 0
        """Entries added."""
        self.trimmed = 0
        """Entries that every group had acknowledged and that were let go."""
        self.lost = 0
        """Records that the journal itself lost."""
        self.retries = 0
        self.emptied = 0
        """Times that the stream was gone, or shorter than it had been."""

    def run(self) -> None:
        pause = RETRY_S[0]
        while not self._stop_event.is_set():
            try:
                self._begin()
                pause = RETRY_S[0]
                while not self._stop_event.is_set():
                    self._step()
            except _Elsewhere as why:
                self._log.warn("a stream is looked at again", venue=self.venue, why=str(why))
            except Exception as error:  # whatever it was: a thread that ended unseen would end the venue
                self.retries += 1
                if self.error is None:
                    self._log.warn(
                        "a venue is not published; it is tried again", venue=self.venue, cause=str(error)
                    )
                self.state, self.error = "stale", str(error) or type(error).__name__
                self._stop_event.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(2 * pause, RETRY_S[1])
        self._note()

    # ── one step after the other ──────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        """Finds out where the stream stands, and goes there in the journal."""
        last = self._outlet.last()
        if last is None:
            kept = self._kept()
            if kept is not None:
                # Readers that had not come so far will see by this mark that something is missing.
                self._outlet.add([Entry.mark(self.venue, kept)])
            last = kept
        self._position = last or NOTHING
        self._entries = Entries(self._home, self.venue, last)
        epoch, following = self._entries.newest()
        if last is not None and last >= (epoch, following):
            raise RuntimeError(
                f"the stream of {self.venue} stands at {last[0]}:{last[1]}, beyond its journal at "
                f"{epoch}:{following - 1}: another home publishes it, or its collector has yet to start"
            )
        self._log.info("publishes a venue", venue=self.venue, after=last)
        self._recovered()

    def _step(self) -> None:
        if time.monotonic() - self._looked_at > LOOK_S:
            self._look()
        if self.depth.records >= self._max or self.depth.full >= FULL:
            self.state = "blocked"
            self._stop_event.wait(WAIT_S)
            return
        if self._entries is None:
            raise _Elsewhere("it was never begun")
        found = self._entries.read(self._records, 500, self._gather_s)
        if not found:
            return
        self._outlet.add(found)
        self._position = self._entries.position
        self._recovered()
        self.added += len(found)
        for entry in found:
            self.depth.records += entry.end - entry.first
            self.depth.entries += 1
            if entry.cause:
                self.lost += entry.end - entry.first
                self._log.warn("the journal lost records", venue=self.venue, first=entry.first, end=entry.end)
            else:
                self.published += entry.end - entry.first

    def _recovered(self) -> None:
        self.state = "live"
        if self.error is not None:
            self._log.info("a venue is published again", venue=self.venue, after=self._position)
            self.error = None

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        last = self._outlet.last()
        if (last or NOTHING) != self._position:
            self.emptied += (last or NOTHING) < self._position
            raise _Elsewhere(f"it stands at {last}, and was left at {self._position}")
        self.trimmed += self._outlet.trim()
        self.depth = self._outlet.depth()
        self._note()
        self.state = "live"

    # ── where it stood ────────────────────────────────────────────────────────────────────────────

    def _kept(self) -> Position | None:
        """Where the stream stood when this home last noted it. Older than the truth is safe: what is
        published again is in the stores already."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(self._path.read_text())
            return int(said["epoch"]), int(said["sequence"])
        return None

    def _note(self) -> None:
        if self._position in (self._noted, NOTHING):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"epoch": self._position[0], "sequence": self._position[1]}))
        temporary.replace(self._path)
        self._noted = self._position

    # ── status ────────────────────────────────────────────────────────────────────────────────────

    def status(self) -> dict[str, Any]:
        """What it says of itself."""
        entries, depth = self._entries, self.depth
        newest = NOTHING
        if entries is not None:
            with contextlib.suppress(RuntimeError, OSError):
                newest = entries.newest()
        return {
            "state": self.state,
            "epoch": self._position[0],
            "sequence": self._position[1],
            "journal": list(newest),
            "lag_records": max(0, newest[1] - 1 - self._position[1]) if newest[1] else 0,
            "records": self.published,
            "entries": self.added,
            "trimmed": self.trimmed,
            "lost": self.lost,
            "retries": self.retries,
            "emptied": self.emptied,
            "stream_entries": depth.entries,
            "stream_records": depth.records,
            "groups": {
                name: {
                    "entries": group.entries,
                    "records": group.records,
                    "pending": group.pending,
                    "oldest_s": round(group.oldest_s, 3),
                }
                for name, group in depth.groups.items()
            },
            "error": self.error,
        }
