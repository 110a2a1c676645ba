"""A store in memory: the lake's twin for tests and for research on made-up data."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pyarrow as pa

from tidemill.stores import select
from tidemill.stores.api import OffsetError, Query
from tidemill.stores.table import Table, plain


class Memory:
    """Keeps whole tables; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, list[pa.Table]] = {}
        self._offsets: dict[tuple[str, str], int] = {}

    def append(self, table: Table, rows: pa.Table, offsets: Mapping[str, int]) -> bool:
        with self._lock:
            if covered(table, {a: self._offsets.get((table.name, a)) for a in offsets}, offsets):
                return False
            self._rows.setdefault(table.name, []).append(plain(table, rows))
            for application, offset in offsets.items():
                self._offsets[table.name, application] = offset
            return True

    def offset(self, table: Table, application: str) -> int | None:
        with self._lock:
            return self._offsets.get((table.name, application))

    def read(self, table: Table, query: Query = Query()) -> pa.Table:  # noqa: B008 - frozen
        with self._lock:
            parts = list(self._rows.get(table.name, ()))
        rows = pa.concat_tables([table.empty(), *parts])
        wanted = select.condition(table, query)
        if wanted is not None:
            rows = rows.filter(wanted)
        return select.finish(table, rows, query)


def covered(table: Table, stored: Mapping[str, int | None], offsets: Mapping[str, int]) -> bool:
    """True when a batch that brings `offsets` was kept already. Raises `OffsetError` when it was in part."""
    known = {a: s for a, s in stored.items() if s is not None and s >= offsets[a]}
    if known and len(known) < len(offsets):
        raise OffsetError(
            f"{table.name}: a batch brings the offsets {dict(offsets)}; of these {known} are stored already"
        )
    return bool(known)
