"""A hot store in memory, for the tests of the window: what PostgreSQL promises, without a server."""

from __future__ import annotations

from hashlib import blake2b

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.model.interval import DAY
from tidemill.stores.api import retention_application
from tidemill.stores.memory import Memory
from tidemill.stores.table import Table


class MemoryHot(Memory):
    """`Memory` that lets go of days. `days`, `digest` and `let_go` are one step each."""

    def _all(self, table: Table) -> pa.Table:
        return pa.concat_tables([table.empty(), *self._rows.get(table.name, ())])

    def days(self, table: Table) -> list[int]:
        with self._lock:
            return sorted({ts // DAY for ts in self._all(table)["ts_event"].to_pylist()})

    def digest(self, table: Table, day: int) -> tuple[int, int]:
        with self._lock:
            return self._digest(table, day)

    def _digest(self, table: Table, day: int) -> tuple[int, int]:
        return self.digest_of(table, self._all(table).filter(_of_day(day)))

    def digest_of(self, table: Table, rows: pa.Table) -> tuple[int, int]:
        told = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        checksum = sum(int.from_bytes(blake2b(repr(line).encode(), digest_size=8).digest()) for line in told)
        return len(rows), checksum % (1 << 64)

    def let_go(self, table: Table, day: int, expected: tuple[int, int]) -> bool:
        with self._lock:
            if self._digest(table, day) != expected:
                return False
            self._rows[table.name] = [self._all(table).filter(~_of_day(day))]
            return True

    def let_go_venue(self, table: Table, venue: str, before_ns: int) -> int:
        with self._lock:
            rows = self._all(table)
            going = (pc.field("venue") == venue) & (pc.field("ts_event") < before_ns)
            self._rows[table.name] = [kept := rows.filter(~going)]
            for row in rows.filter(going).to_pylist():
                for name, number in (
                    (retention_application(venue), row["ts_event"]),
                    (retention_application(venue, row["epoch"]), row["sequence"]),
                ):
                    key = table.name, name
                    self._offsets[key] = max(number, self._offsets.get(key, number))
            return len(rows) - len(kept)


def _of_day(day: int) -> pc.Expression:
    return (pc.field("ts_event") >= day * DAY) & (pc.field("ts_event") < (day + 1) * DAY)
