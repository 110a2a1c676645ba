"""Lets go of what the metadata database no longer needs: sessions, keys, events and jobs of long ago."""

from __future__ import annotations

from typing import Any, ClassVar

from tidemill.jobs.detail import Detail
from tidemill.jobs.kind.api import Context, Kind


class Tidy:
    """Takes nothing. Result: how many `sessions`, `keys`, `events`, `jobs`, `leases` and `firings` went."""

    summary: ClassVar[str] = "old sessions, events and jobs let go"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        Detail(detail).done()
        return {}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.metadata import Metadata, access, alert, event, job, lease

        metadata = Metadata.of(context.home)
        gone: dict[str, Any] = {}
        of_people = (("sessions", access.trim_sessions), ("keys", access.trim_keys), ("events", event.trim))
        of_work = (("jobs", job.trim), ("leases", lease.trim), ("firings", alert.trim))
        for name, trim in (*of_people, *of_work):
            with metadata.write() as connection:
                gone[name] = trim(connection)
        metadata.close()
        return gone


plugin: type[Kind] = Tidy
