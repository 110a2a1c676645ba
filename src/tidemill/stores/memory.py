"""A store in memory: the lake's twin for tests and for research on made-up data."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping

import pyarrow as pa

from tidemill.model.interval import DAY
from tidemill.stores import select
from tidemill.stores.api import FencedError, Held, OffsetError, Position, Query, journal_application
from tidemill.stores.table import Table, plain


class Memory:
    """Keeps whole tables; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, list[pa.Table]] = {}
        self._offsets: dict[tuple[str, str], int] = {}

    def append(
        self,
        table: Table,
        rows: pa.Table,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None = None,
    ) -> bool:
        with self._lock:
            if covered(table, {a: self._offsets.get((table.name, a)) for a in offsets}, offsets, after):
                return False
            self._rows.setdefault(table.name, []).append(plain(table, rows))
            for application, offset in offsets.items():
                self._offsets[table.name, application] = offset
            return True

    def offset(self, table: Table, application: str) -> int | None:
        with self._lock:
            return self._offsets.get((table.name, application))

    def position(self, table: Table, venue: str, epoch: int) -> Position | None:
        prefix = journal_application(venue, 0).removesuffix("0")
        with self._lock:
            return max(
                (
                    (at, sequence)
                    for (name, application), sequence in self._offsets.items()
                    if name == table.name
                    and application.startswith(prefix)
                    and (at := int(application.removeprefix(prefix))) <= epoch
                ),
                default=None,
            )

    def held(self, table: Table) -> list[Held]:
        rows = self.read(table, Query(revisions=True))
        found = rows.group_by("instrument").aggregate(
            [([], "count_all"), ("ts_event", "min"), ("ts_event", "max")]
        )
        each = rows.nbytes // max(len(rows), 1)
        daily: dict[str, Counter[int]] = defaultdict(Counter)
        for name, day in zip(rows["instrument"].to_pylist(), rows["ts_event"].to_numpy() // DAY, strict=True):
            daily[name][int(day)] += 1
        return sorted(
            (
                Held(
                    line["instrument"],
                    line["count_all"],
                    line["ts_event_min"],
                    line["ts_event_max"],
                    each * line["count_all"],
                    daily=daily[line["instrument"]],
                )
                for line in found.to_pylist()
            ),
            key=lambda one: one.instrument,
        )

    def version(self, table: Table, start: int | None = None, end: int | None = None) -> str:
        with self._lock:
            return str(len(self._rows.get(table.name, ())))

    def close(self) -> None:
        pass

    def read(self, table: Table, query: Query = Query()) -> pa.Table:  # noqa: B008 - frozen
        with self._lock:
            parts = list(self._rows.get(table.name, ()))
        rows = pa.concat_tables([table.empty(), *parts])
        wanted = select.condition(table, query)
        if wanted is not None:
            rows = rows.filter(wanted)
        return select.finish(table, rows, query)


def covered(
    table: Table,
    stored: Mapping[str, int | None],
    offsets: Mapping[str, int],
    after: Mapping[str, int | None] | None = None,
) -> bool:
    """True when a batch that brings `offsets` was kept already. Raises `OffsetError` when it was in part,
    `FencedError` when what is stored is not what the batch follows."""
    known = {a: s for a, s in stored.items() if s is not None and s >= offsets[a]}
    if known and len(known) < len(offsets):
        raise OffsetError(
            f"{table.name}: a batch brings the offsets {dict(offsets)}; of these {known} are stored already"
        )
    if known:
        return True
    moved = {a: stored[a] for a, expected in (after or {}).items() if stored[a] != expected}
    if moved:
        raise FencedError(
            f"{table.name}: a batch follows the offsets {dict(after or {})}; another writer has moved {moved}"
        )
    return False
