"""Keeping the lake small and quick: compaction, checkpoints, vacuum, retention. One thing at a time.

Runs between commits, in the same thread. Every change of files is one commit under the application id
"maintenance" with the next number, so that a stale second try is refused instead of doubling rows.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from tidemill.errors import DataQualityError
from tidemill.log import Log
from tidemill.model.interval import HOUR
from tidemill.model.time import date_of, month_of
from tidemill.stores import delta, restore
from tidemill.stores.api import UnavailableError, retention_application
from tidemill.stores.lake import Lake, StaleError
from tidemill.stores.place import Place
from tidemill.stores.table import BARS, DETAILS, INSTRUMENTS, LEVELS, QUOTES, TABLES, TRADES, Table

COMPACT_S = 900.0
VACUUM_S = 3_600.0
RETENTION_S = 600.0
CHECKPOINT_COMMITS = 100
FANOUT = 8
"""Files of one size class that are merged into one of the next."""
MERGED_ROWS_MAX = 2_000_000
"""A merge is made in memory: this bounds it to about 250 MB."""
SIM_BYTES_MAX = 2 << 30
LET_GO = (DETAILS, LEVELS, QUOTES, TRADES)
"""Tables that rows are let go of. Gaps and statuses stay: they say what bars and trades are worth."""


class Housekeeping:
    """What is due is done by `step`, one small piece a call."""

    def __init__(self, lake: Lake, log: Log, *, levels_hours: float, sim_hours: float) -> None:
        self._lake = lake
        self._log = log
        self._levels_ns = int(levels_hours * HOUR)
        self._sim_ns = int(sim_hours * HOUR)
        now = time.monotonic()
        self._next_compact = now + 60.0
        self._next_vacuum = now + VACUUM_S / 4
        self._next_retention = now + 30.0
        self._checkpointed: dict[str, int] = {}
        self._sizes: dict[str, dict[str, int]] = {}

    def sizes(self) -> dict[str, dict[str, int]]:
        """Rows, bytes and files of every table, as of the last step."""
        return self._sizes

    def step(self) -> None:
        """Does what is due. A failure is logged and tried again when it is due next: no row depends on it."""
        now = time.monotonic()
        self._try(self._measure)
        self._try(self._checkpoint)
        if now >= self._next_compact:
            self._next_compact = now + COMPACT_S
            for table in TABLES.values():
                self._try(self.compact, table)
        if now >= self._next_retention:
            self._next_retention = now + RETENTION_S
            self._try(self.retain, time.time_ns())
        if now >= self._next_vacuum:
            self._next_vacuum = now + VACUUM_S
            self._try(self.vacuum)

    def _try(self, what: Callable[..., object], *about: object) -> None:
        try:
            what(*about)
        except delta.SyncError:
            raise
        except (
            DeltaError,
            StaleError,
            UnavailableError,
            OSError,
            DataQualityError,
            pa.ArrowException,
        ) as error:
            self._log.warn("housekeeping failed; it comes again", cause=f"{type(error).__name__}: {error}")

    def _measure(self) -> None:
        self._sizes = {
            name: {
                "rows": sum(file.rows for file in files),
                "bytes": sum(file.bytes for file in files),
                "files": len(files),
            }
            for name, files in self._lake.tables().items()
        }

    # ── compaction ────────────────────────────────────────────────────────────────────────────────

    def compact(self, table: Table) -> int:
        """Merges small files of each partition; returns how many files went."""
        snapshot = self._lake.snapshot(table)
        if snapshot is None:
            return 0
        partitions: dict[tuple[str, ...], list[delta.DataFile]] = defaultdict(list)
        for file in snapshot.files:
            partitions[tuple(file.partition[name] for name in table.partition)].append(file)
        gone = 0
        for key, files in partitions.items():
            partition = dict(zip(table.partition, key, strict=True))
            for group in groups(files, self._closed(table, partition)):
                try:
                    gone += self._merge(table, partition, group)
                except DataQualityError as error:
                    self._log.warn("files are not merged", table=table.name, cause=str(error))
        return gone

    def _closed(self, table: Table, partition: dict[str, str]) -> bool:
        """True when hardly anything more can come into this folder."""
        hour_ago = time.time_ns() - HOUR
        if table is BARS:
            return partition["month"] < month_of(hour_ago)
        return table is not INSTRUMENTS and partition["date"] < date_of(hour_ago)

    def _merge(self, table: Table, partition: dict[str, str], group: Sequence[delta.DataFile]) -> int:
        root = self._lake.path / table.name
        rows = pa.concat_tables([_read(root, table, file) for file in group])
        expected = sum(file.rows for file in group)
        if len(rows) != expected:
            raise OSError(
                f"{table.name}: {len(group)} files hold {len(rows)} rows, their log says {expected}"
            )
        added = delta.write_file(root, table, partition, rows.sort_by(table.file_order))
        added.data_change = False
        self._lake.maintain(table, [*removals(group, partition, data_change=False), added], "compact")
        return len(group)

    # ── checkpoints and vacuum ────────────────────────────────────────────────────────────────────

    def _checkpoint(self) -> None:
        for name in self._sizes:
            table = TABLES[name]
            version = self._lake.version(table)
            if version is None:
                continue
            last = self._checkpointed.setdefault(name, version - version % CHECKPOINT_COMMITS)
            if version - last >= CHECKPOINT_COMMITS:
                self._lake.checkpoint(table)
                self._checkpointed[name] = version

    def vacuum(self) -> None:
        """Deletes files that no version of the last hours names, those of torn writes included."""
        for name in self._sizes:
            gone = self._lake.vacuum(TABLES[name])
            if gone:
                self._log.info("old files deleted", table=name, files=gone)

    # ── retention ─────────────────────────────────────────────────────────────────────────────────

    def retain(self, now_ns: int) -> None:
        """Lets go of what is older than is kept: book levels, and ticks of simulated venues."""
        needed = _Needed(self._lake)
        found: list[tuple[Table, delta.DataFile]] = []
        for table in LET_GO:
            snapshot = self._lake.snapshot(table)
            found += [(table, file) for file in (snapshot.files if snapshot else ())]
        old = [
            (table, file)
            for table, file in found
            if (limit := self._kept_ns(table, file.partition["venue"]))
            and file.ts_max < now_ns - limit
            and not needed(table, file)
        ]
        self._let_go(old, "older than is kept")
        if self._sim_ns:
            self._let_go(
                self._beyond_bound([one for one in found if one not in old], needed), "beyond the bound"
            )

    def _kept_ns(self, table: Table, venue: str) -> int:
        """How long rows are kept; 0 for ever."""
        simulated = self._sim_ns if venue.startswith("sim-") else 0
        levels = self._levels_ns if table is LEVELS else 0
        return min(simulated, levels) if simulated and levels else simulated or levels

    def _beyond_bound(
        self, found: Sequence[tuple[Table, delta.DataFile]], needed: _Needed
    ) -> list[tuple[Table, delta.DataFile]]:
        """The oldest made-up ticks, as far as all of them are more than their bound."""
        made_up = [one for one in found if one[1].partition["venue"].startswith("sim-")]
        excess = sum(file.bytes for _, file in made_up) - SIM_BYTES_MAX
        going = []
        for table, file in sorted(made_up, key=lambda one: one[1].ts_max):
            if excess <= 0:
                break
            if not needed(table, file):
                going.append((table, file))
                excess -= file.bytes
        return going

    def _let_go(self, found: Sequence[tuple[Table, delta.DataFile]], why: str) -> None:
        for table in LET_GO:
            files = [file for one, file in found if one is table]
            if not files:
                continue
            actions: list[AddAction | RemoveAction] = []
            let_go: dict[str, int] = {}
            for file in files:
                actions += removals([file], dict(file.partition), data_change=True)
                venue, (epoch, sequence) = file.partition["venue"], file.last
                for name, number in (
                    (retention_application(venue), file.ts_max),
                    (retention_application(venue, epoch), sequence),
                ):
                    let_go[name] = max(number, let_go.get(name, number))
            self._lake.maintain(table, actions, "retention", let_go)
            self._log.info(
                "rows let go", table=table.name, why=why,
                files=len(files), rows=sum(f.rows for f in files), bytes=sum(f.bytes for f in files),
            )  # fmt: skip


class _Needed:
    """Which trades must stay although they are old: bars that are open after a restart are made of them."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._since: dict[str, int] = {}

    def __call__(self, table: Table, file: delta.DataFile) -> bool:
        if table is not TRADES:
            return False
        venue = file.partition["venue"]
        if venue not in self._since:
            try:
                self._since[venue] = restore.needed_from(self._lake, venue)
            except DataQualityError:  # unreadable: which ones are needed is not known
                self._since[venue] = -(2**63)
        return file.ts_max >= self._since[venue]


def groups(files: Sequence[delta.DataFile], closed: bool) -> Iterator[list[delta.DataFile]]:
    """Files to merge, neighbours in time together. In an open folder only `FANOUT` or more of one size
    class: then a row is rewritten once per class, not once per compaction."""
    classes: dict[int, list[delta.DataFile]] = defaultdict(list)
    for file in files:
        if file.rows < MERGED_ROWS_MAX // 2:
            classes[0 if closed else size_class(file.rows)].append(file)
    for members in classes.values():
        if len(members) < (2 if closed else FANOUT):
            continue
        group: list[delta.DataFile] = []
        rows = 0
        for file in sorted(members, key=lambda file: (file.ts_min, file.path)):
            if group and rows + file.rows > MERGED_ROWS_MAX:
                if len(group) > 1:
                    yield group
                group, rows = [], 0
            group.append(file)
            rows += file.rows
        if len(group) > 1:
            yield group


def size_class(rows: int) -> int:
    """0 below 1,000 rows, then one more for each factor of `FANOUT`."""
    found = 0
    bound = 1_000
    while rows >= bound:
        found += 1
        bound *= FANOUT
    return found


def removals(
    files: Sequence[delta.DataFile], partition: dict[str, str], *, data_change: bool
) -> list[AddAction | RemoveAction]:
    """Actions that take files out of the newest version."""
    now_ms = time.time_ns() // 1_000_000
    return [
        RemoveAction(
            path=file.path,
            data_change=data_change,
            deletion_timestamp=now_ms,
            size=file.bytes,
            partition_values=dict(partition),
        )
        for file in files
    ]


def _read(root: Place, table: Table, file: delta.DataFile) -> pa.Table:
    try:
        with delta.open_file(root / file.path) as found:
            return found.read().cast(table.file_schema)
    except (OSError, pa.ArrowException) as error:
        raise delta.unreadable(root / file.path, error) from error
