"""Deletes rows of one instrument from the lake, for good: a dataset that is not wanted, or its old days.

Files are written anew without the rows, and take the place of the old ones in one commit; where another
writer was quicker the files are looked at again. What may be gone is said as retention says it, so that
`verify` does not take it for a loss; rows that came no live way may be brought again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from tidemill.errors import ConflictError
from tidemill.model.instrument import venue_of
from tidemill.stores import delta, restore
from tidemill.stores import place as places
from tidemill.stores.api import Query, retention_application
from tidemill.stores.lake import Lake, StaleError
from tidemill.stores.place import Place
from tidemill.stores.table import BARS, TRADES, Table

_TRIES = 8


def forget(
    lake: Lake,
    table: Table,
    instrument: str,
    before: int | None = None,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Deletes the rows of an instrument, or those with `ts_event` < `before` (ns); returns how many.

    Trades that open bars are made of after a restart stay where only old ones go. Raises `ConflictError`
    `dataset_busy` when other writers replace its files all the time.
    """
    if before is not None and table is TRADES:
        before = min(before, restore.needed_from(lake, venue_of(instrument)))
    gone = 0
    for _ in range(_TRIES):
        try:
            return gone + _forget(lake, table, instrument, before, told)
        except StaleError:
            continue
    raise ConflictError(
        "dataset_busy",
        f"the files of {instrument}:{table.name} are replaced by another writer all the time",
        hint="try again in a while: the recorder merges files every 15 minutes",
    )


def _forget(
    lake: Lake, table: Table, instrument: str, before: int | None, told: Callable[[int, int], None]
) -> int:
    snapshot = lake.snapshot(table)
    if snapshot is None:
        return 0
    root = lake.path / table.name
    files = lake.pruned(table, snapshot.files, Query(instruments=(instrument,), end=before))
    venue = venue_of(instrument)
    actions: list[AddAction | RemoveAction] = []
    let_go: dict[str, int] = {}
    gone = 0
    for done, file in enumerate(files):
        told(done, len(files))
        rows = _rows(root, table, file)
        mine = pc.equal(rows["instrument"], instrument)
        if before is not None:
            mine = pc.and_(mine, pc.less(rows["ts_event"], before))
        taken = rows.filter(mine)
        if not len(taken):
            continue
        gone += len(taken)
        kept = rows.filter(pc.invert(mine))
        actions.append(_removal(file))
        if len(kept):
            actions.append(delta.write_file(root, table, file.partition, kept.sort_by(table.file_order)))
        if table is not BARS:
            _note(let_go, venue, taken)
    forgotten = [] if before is not None else _imports(root, instrument)
    if actions or forgotten:
        lake.maintain(table, actions, "delete", let_go, forgotten)
    return gone


def _removal(file: delta.DataFile) -> RemoveAction:
    return RemoveAction(
        path=file.path,
        data_change=True,
        deletion_timestamp=time.time_ns() // 1_000_000,
        size=file.bytes,
        partition_values=dict(file.partition),
    )


def _note(let_go: dict[str, int], venue: str, taken: pa.Table) -> None:
    """Live rows that go are told of as retention tells: up to where they may be missing."""
    live = taken.filter(pc.greater(taken["epoch"], 0))
    if not len(live):
        return
    bounds = [(retention_application(venue), int(pc.max(live["ts_event"]).as_py()))]
    for epoch in live["epoch"].unique().to_pylist():
        last = pc.max(live.filter(pc.equal(live["epoch"], epoch))["sequence"]).as_py()
        bounds.append((retention_application(venue, epoch), int(last)))
    for name, number in bounds:
        let_go[name] = max(number, let_go.get(name, number))


def _rows(root: Place, table: Table, file: delta.DataFile) -> pa.Table:
    try:
        with delta.open_file(root / file.path) as found:
            return found.read().cast(table.file_schema)
    except (OSError, pa.ArrowException) as error:
        raise delta.unreadable(root / file.path, error) from error


def _imports(root: Place, instrument: str) -> list[str]:
    """Application ids under which rows of an instrument were brought: they are forgotten with the rows, so
    that the same chunk may come again."""
    part = f"/{instrument}/"
    return sorted({name for name in _applications(root) if name.startswith("import/") and part in name})


def _applications(root: Place) -> Iterator[str]:
    """Application ids in a table's log: of its newest checkpoint, and of the entries since."""
    import pyarrow.fs

    log = places.arrow_path(root / "_delta_log")
    system = places.filesystem(root) or pyarrow.fs.LocalFileSystem()
    found = system.get_file_info(pyarrow.fs.FileSelector(log, allow_not_found=True))
    names = {Path(one.path).name: one.path for one in found}
    checkpoints = sorted(name for name in names if ".checkpoint" in name and name.endswith(".parquet"))
    since = checkpoints[-1].partition(".")[0] if checkpoints else ""
    for name in checkpoints:
        if name.startswith(since):
            column = pq.read_table(names[name], columns=["txn"], filesystem=system)["txn"]
            yield from (line["appId"] for line in column.to_pylist() if line and line["appId"])
    for name in sorted(names):
        if name.endswith(".json") and name.partition(".")[0] >= since:
            with system.open_input_stream(names[name]) as file:
                for line in file.read().splitlines():
                    action: dict[str, Any] = json.loads(line) if line.strip() else {}
                    if "txn" in action:
                        yield action["txn"]["appId"]
