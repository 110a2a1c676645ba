"""The metadata database: what is wanted, who may enter, what happened, what is missing.

One SQLite file per home (`DIR/tidemill.db`), or the PostgreSQL database that `TIDEMILL_DATABASE_URL` names,
written by the service, the command line and jobs.
Imports point downward only: `cli` → `supervisor` → `service` → `metadata` → `model`.

    metadata = Metadata.of(home)
    with metadata.write() as connection:
        collector.want(connection, Collector("kraken", "kraken"), actor="owner")
        event.append(connection, "note", "kraken", actor="owner")
"""

from __future__ import annotations

from collections.abc import Iterable

from tidemill.metadata import access, collector, database
from tidemill.model.collector import Collector

__all__ = ["Metadata"]


class Metadata(database.Metadata):
    """The database with what a command needs in one call; the modules have the rest."""

    def collectors(self) -> list[Collector]:
        """Every collector ever asked for, by name; `wanted` says which should run."""
        with self.read() as connection:
            return collector.every(connection)

    def want(
        self,
        name: str,
        protocol: str,
        instruments: Iterable[str] = (),
        *,
        actor: str,
        url: str | None = None,
        rest_url: str | None = None,
    ) -> Collector:
        """Makes a collector wanted and returns it."""
        wanted = Collector(name, protocol, tuple(instruments), url, rest_url)
        with self.write() as connection:
            return collector.want(connection, wanted, actor=actor)[0]

    def unwant(self, name: str, *, actor: str) -> bool:
        """Marks a collector as not wanted; False when it was not wanted anyway."""
        with self.write() as connection:
            return collector.unwant(connection, name, actor=actor)

    def new_key(self, *, actor: str, purpose: str = "session") -> str:
        """A one-use key for a browser, good for ten minutes: the fragment of the printed address."""
        with self.write() as connection:
            return access.issue_key(connection, actor=actor, purpose=purpose)
