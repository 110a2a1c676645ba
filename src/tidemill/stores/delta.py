"""Delta tables written with care: own Parquet files, offsets in the commit, fsync before it counts.

`deltalake` calls fsync nowhere, accepts a replay from a fresh handle, and opens a log that was cut at a
line's end without a word. The rules that answer this are in `docs/lake.md`; this file is where they live.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    PostCommitHookProperties,
    RemoveAction,
    Transaction,
)

from tidemill.errors import DataQualityError
from tidemill.stores.api import FencedError
from tidemill.stores.table import Table

LOG_KEPT = "interval 1 days"
REMOVED_FILES_KEPT = "interval 6 hours"
ROW_GROUP_ROWS = 122_880

_SUCCESSIVE = {
    "ts_event", "ts_recv", "ts_known", "ts_end", "sequence", "price", "id",
    "open", "high", "low", "close", "trades", "opened",
}  # fmt: skip
_SPLIT = {"size"}
_PLAIN = {"volume", "payload"}
_STATISTICS = ("instrument", "ts_event", "ts_recv", "epoch", "sequence")
# Our commits say so in their commitInfo: such a commit is whole only when it ends in its transaction.
_MARK = "tidemill"
_COMMIT_TRIES = 8
APPEND = "append"
"""What a commit of new rows is called in the log."""


class SyncError(OSError):
    """fsync failed: what the disk holds is unknown. The process ends and looks at its next start."""


def open_file(path: Path) -> pq.ParquetFile:
    """A file of rows. Reading what is not as it was written raises OSError or `pa.ArrowException`."""
    return pq.ParquetFile(path, page_checksum_verification=True)


def unreadable(path: Path, why: Exception) -> DataQualityError:
    """What is raised for a file of rows that is damaged, cut or missing."""
    return DataQualityError(
        "data_unreadable",
        f"{path} cannot be read: {why}",
        hint="`tidemill data verify` lists every such file; put it back from a copy of the lake",
        http_status=503,
    )


def sync(path: Path) -> None:
    """fsync of a file or a folder. An error is the caller's end: it is never tried again."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncError(error.errno, f"fsync failed: {error.strerror}", str(path)) from error
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class DataFile:
    """A file of a table's newest version."""

    path: str
    """Relative to the table."""
    bytes: int
    rows: int
    ts_min: int
    ts_max: int
    """Least and greatest `ts_event`."""
    first: tuple[int, int]
    last: tuple[int, int]
    """Bounds of (epoch, sequence): nothing lies outside, not everything between is there."""
    partition: Mapping[str, str]


def write_file(root: Path, table: Table, partition: Mapping[str, str], rows: pa.Table) -> AddAction:
    """Writes rows (of one partition, its columns already gone) and makes them durable; not yet visible."""
    folder = root.joinpath(*(f"{column}={partition[column]}" for column in table.partition))
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for parent in [folder.parent, *folder.parent.parents]:
            sync(parent)
            if parent == root:
                break
    path = folder / f"{uuid.uuid4()}.parquet"
    dictionary = [
        name for name in rows.column_names if name not in _SUCCESSIVE and name not in _SPLIT | _PLAIN
    ]
    encodings = {name: "DELTA_BINARY_PACKED" for name in rows.column_names if name in _SUCCESSIVE}
    encodings |= {name: "BYTE_STREAM_SPLIT" for name in rows.column_names if name in _SPLIT}
    pq.write_table(
        rows,
        path,
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=dictionary,
        column_encoding=encodings or None,
        compression="zstd",
        compression_level=1,
        write_page_index=True,
        write_page_checksum=True,
        store_schema=False,
    )
    sync(path)
    sync(folder)
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for name in _STATISTICS:
        if name not in rows.column_names or not len(rows):
            continue
        column = rows[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        bounds = pc.min_max(column).as_py()
        least[name], greatest[name] = bounds["min"], bounds["max"]
        nulls[name] = column.null_count
    statistics = {"numRecords": len(rows), "minValues": least, "maxValues": greatest, "nullCount": nulls}
    return AddAction(
        path=str(path.relative_to(root)),
        size=path.stat().st_size,
        partition_values=dict(partition),
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=json.dumps(statistics),
    )


def parts(table: Table, rows: pa.Table) -> Iterable[tuple[dict[str, str], pa.Table]]:
    """Rows by partition, sorted as files are, without the partition's columns."""
    values = rows.select(list(table.partition))
    for position, name in enumerate(values.column_names):
        if pa.types.is_dictionary(values.schema.types[position]):
            values = values.set_column(position, name, values[name].cast(pa.string()))
    distinct = values.group_by(list(table.partition)).aggregate([])
    rest = rows.drop_columns(list(table.partition))
    for line in distinct.to_pylist():
        chosen = rest
        if len(distinct) > 1:
            mask: Any = None
            for name, value in line.items():
                equal = pc.equal(values[name], pa.scalar(value, values.schema.field(name).type))
                mask = equal if mask is None else pc.and_(mask, equal)
            chosen = rest.filter(mask)
        yield {name: str(value) for name, value in line.items()}, _sorted(table, chosen)


def _sorted(table: Table, rows: pa.Table) -> pa.Table:
    """In file order. Dictionary codes have no order of their own, so strings sort as strings."""
    position = rows.schema.get_field_index("instrument")
    if pa.types.is_dictionary(rows.schema.types[position]):
        keyed = rows.append_column("_instrument", rows["instrument"].cast(pa.string()))
    else:
        keyed = rows.append_column("_instrument", rows["instrument"])
    order = [("_instrument" if name == "instrument" else name, way) for name, way in table.file_order]
    return rows.take(pc.sort_indices(keyed, sort_keys=order))


def create(root: Path, table: Table) -> DeltaTable:
    """A new, empty table, durable."""
    root.mkdir(parents=True, exist_ok=True)
    try:
        DeltaTable.create(
            str(root),
            Schema.from_arrow(table.schema),
            mode="error",
            partition_by=list(table.partition),
            name=table.name,
            configuration={
                "delta.logRetentionDuration": LOG_KEPT,
                "delta.deletedFileRetentionDuration": REMOVED_FILES_KEPT,
                "delta.enableExpiredLogCleanup": "false",
            },
        )
    except DeltaError:
        if not (root / "_delta_log" / f"{0:020d}.json").exists():
            raise
    handle = DeltaTable(str(root))
    sync_log(root, -1, handle.version())
    sync(root)
    sync(root.parent)
    return handle


def open_table(root: Path) -> DeltaTable | None:
    """A fresh handle; None where there is no table."""
    if not (root / "_delta_log").is_dir():
        return None
    try:
        return DeltaTable(str(root))
    except TableNotFoundError:
        return None


def sync_log(root: Path, after: int, through: int) -> None:
    """Makes the log entries of versions after `after` up to `through` durable."""
    log = root / "_delta_log"
    for version in range(after + 1, through + 1):
        entry = log / f"{version:020d}.json"
        if entry.exists():
            sync(entry)
    sync(log)


def commit(
    root: Path,
    handle: DeltaTable,
    table: Table,
    actions: Sequence[AddAction | RemoveAction],
    transactions: Mapping[str, int],
    what: str,
) -> DeltaTable:
    """One durable commit; returns the handle that has seen it (another one after a conflict).

    Safe against a commit whose answer was lost: after any error a fresh handle is asked whether the
    transaction is there before it is tried again. Raises `FencedError` when another writer's rows came in
    between and reach less far than these: what both have would stand twice.
    """
    before = handle.version()
    known = {name: handle.transaction_version(name) for name in transactions}
    properties = CommitProperties(
        custom_metadata={_MARK: what},
        app_transactions=[Transaction(name, version) for name, version in transactions.items()],
    )
    hooks = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
    for attempt in range(_COMMIT_TRIES):
        try:
            handle.create_write_transaction(
                list(actions),
                "append",
                Schema.from_arrow(table.schema),
                list(table.partition),
                commit_properties=properties,
                post_commithook_properties=hooks,
            )
            handle.update_incremental()
            break
        except DeltaError:
            fresh = open_table(root)
            if fresh is None or attempt + 1 == _COMMIT_TRIES:
                raise
            handle = fresh
            if all((handle.transaction_version(n) or -1) >= v for n, v in transactions.items()):
                break
            moved = [name for name in transactions if handle.transaction_version(name) != known[name]]
            if what == APPEND and moved:
                raise FencedError(
                    f"{table.name}: another writer has moved {', '.join(moved)} meanwhile"
                ) from None
            removed = {action.path for action in actions if isinstance(action, RemoveAction)}
            if removed - {file.path for file in files(handle)}:
                raise  # somebody else took those files away: the caller must look again
            time.sleep(0.01 * 2**attempt)
    sync_log(root, before, handle.version())
    return handle


def files(handle: DeltaTable) -> list[DataFile]:
    """Files of the handle's version."""
    actions = pa.table(handle.get_add_actions(flatten=True))
    names = [name for name in actions.column_names if name.startswith("partition.")]
    found = []
    for line in actions.to_pylist():
        found.append(
            DataFile(
                path=line["path"],
                bytes=line["size_bytes"],
                rows=line["num_records"] or 0,
                ts_min=_bound(line.get("min.ts_event"), -(2**63)),
                ts_max=_bound(line.get("max.ts_event"), 2**63 - 1),
                first=(_bound(line.get("min.epoch"), 0), _bound(line.get("min.sequence"), 0)),
                last=(_bound(line.get("max.epoch"), 2**31), _bound(line.get("max.sequence"), 2**63)),
                partition={name.removeprefix("partition."): str(line[name]) for name in names},
            )
        )
    return found


def _bound(value: int | None, default: int) -> int:
    return default if value is None else value


# ── start-up ──────────────────────────────────────────────────────────────────────────────────────


def mend(root: Path) -> list[str]:
    """Takes a torn end of the log aside, so that the table opens at its last whole commit.

    Returns what was done, one sentence each. Only the table's writer may call this, before it opens it.
    """
    log = root / "_delta_log"
    done: list[str] = []
    if not log.is_dir():
        return done
    hint = log / "_last_checkpoint"
    for checkpoint in sorted(log.glob("*.checkpoint*.parquet")):
        if not _readable(checkpoint):
            _aside(root, checkpoint)
            done.append(f"{root.name}: checkpoint {checkpoint.name} cannot be read; put aside")
    if hint.exists() and not _names_checkpoint(log, hint):
        _aside(root, hint)
        done.append(f"{root.name}: _last_checkpoint names no checkpoint that is there; put aside")
    while entries := sorted(log.glob("[0-9]" * 20 + ".json")):
        newest = entries[-1]
        fault = _fault(newest)
        if fault is None:
            break
        _aside(root, newest)
        done.append(f"{root.name}: log entry {newest.name} {fault}; put aside")
    if done:
        sync(log)
    return done


def _fault(entry: Path) -> str | None:
    """What is wrong with a log entry; None when it is whole."""
    data = entry.read_bytes()
    if not data.strip():
        return "is empty"
    actions: list[dict[str, Any]] = []
    for line in data.splitlines():
        if not line.strip():
            continue
        try:
            action = json.loads(line)
        except ValueError:
            return "is cut or damaged"
        if not isinstance(action, dict):
            return "is damaged"
        actions.append(action)
    if int(entry.stem) == 0:
        kinds = {kind for action in actions for kind in action}
        return None if {"protocol", "metaData"} <= kinds else "lacks its schema"
    ours = any(_MARK in action.get("commitInfo", {}) for action in actions)
    if ours and "txn" not in actions[-1]:
        return "lacks its transaction"
    return None


def _readable(checkpoint: Path) -> bool:
    try:
        pq.read_table(checkpoint, columns=["txn"])
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return False
    return True


def _names_checkpoint(log: Path, hint: Path) -> bool:
    try:
        version = int(json.loads(hint.read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return any(log.glob(f"{version:020d}.checkpoint*.parquet"))


def _aside(root: Path, file: Path) -> None:
    """Keeps a damaged file where neither Delta nor vacuum look."""
    folder = root / "_torn"
    folder.mkdir(exist_ok=True)
    file.rename(folder / f"{time.time_ns()}-{file.name}")
    sync(folder)
    sync(file.parent)
