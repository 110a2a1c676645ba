"""Stored bars that a late trade changed, each read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tidemill.stores import join
from tidemill.stores.api import Position, Query, Store
from tidemill.stores.table import BARS

REVISIONS_MAX = 10_000
"""Changed bars of a venue that are kept in mind; older ones are read again for whoever asks for them."""


@dataclass
class Revisions:
    """Changed bars of one venue, read on from where they were read last."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    """Ascending by position."""
    since: Position | None = None
    """Those at or before it are not here."""
    through: Position | None = None
    """Those beyond it are not here yet."""

    def beyond(self, store: Store, epoch: int, venue: str, after: Position | None) -> list[dict[str, Any]]:
        """Changed bars beyond a position, ascending; `epoch` is that of the venue's journal, 0 without."""
        if self.since is not None and (after is None or after < self.since):
            self.lines, self.since, self.through = [], after, after
        # What is not stored yet when the position is read comes with the next look.
        now = join.storedposition(store, venue, epoch) if epoch else None
        if now is None or self.through is None or now > self.through:
            more = self._read(store, Query(venues=(venue,), after=self.through or after, through=now))
            if self.through is None:
                self.since = after
            self.lines += more
            self.through = now or (position(more[-1]) if more else self.through)
        found = [line for line in self.lines if after is None or position(line) > after]
        if len(self.lines) > REVISIONS_MAX:
            self.lines, self.since = found, after
        return found

    @staticmethod
    def _read(store: Store, query: Query) -> list[dict[str, Any]]:
        columns = ("ts_event", "instrument", "interval", "revision", "epoch", "sequence")
        rows = store.read(BARS, query.with_(revised=True, revisions=True, columns=columns))
        lines: list[dict[str, Any]] = rows.rename_columns(
            ["ts" if name == "ts_event" else name for name in rows.column_names]
        ).to_pylist()
        return sorted(
            lines, key=lambda line: (*position(line), line["instrument"], line["ts"], line["interval"])
        )


def position(line: dict[str, Any]) -> Position:
    """Of the record that changed the bar of this line."""
    return line["epoch"], line["sequence"]
