"""Delta tables written with care: own Parquet files, offsets in the commit, fsync before it counts.

They lie in a folder or on S3 (`place`); there a commit is a conditional put, and needs no table of locks.

`deltalake` calls fsync nowhere, accepts a replay from a fresh handle, and opens a log that was cut at a
line's end without a word. The rules that answer this are in `docs/lake.md`; this file is where they live.
"""

from __future__ import annotations

import json
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
from tidemill.stores import place
from tidemill.stores.place import Place
from tidemill.stores.place import SyncError as SyncError
from tidemill.stores.place import sync as sync
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


class MovedError(RuntimeError):
    """Another writer has moved one of the commit's application ids since the table was looked at."""


def open_file(path: Place) -> pq.ParquetFile:
    """A file of rows. Reading what is not as it was written raises OSError or `pa.ArrowException`."""
    return pq.ParquetFile(
        place.arrow_path(path), filesystem=place.filesystem(path), page_checksum_verification=True
    )


def unreadable(path: Place, why: Exception) -> DataQualityError:
    """What is raised for a file of rows that is damaged, cut or missing."""
    return DataQualityError(
        "data_unreadable",
        f"{path} cannot be read: {why}",
        hint="`tidemill data verify` lists every such file; put it back from a copy of the lake",
        http_status=503,
    )


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


def write_file(root: Place, table: Table, partition: Mapping[str, str], rows: pa.Table) -> AddAction:
    """Writes rows (of one partition, its columns already gone) and makes them durable; not yet visible."""
    folder = root
    for column in table.partition:
        folder /= f"{column}={partition[column]}"
    place.make_folder(folder, root)
    path = folder / f"{uuid.uuid4()}.parquet"
    dictionary = [
        name for name in rows.column_names if name not in _SUCCESSIVE and name not in _SPLIT | _PLAIN
    ]
    encodings = {name: "DELTA_BINARY_PACKED" for name in rows.column_names if name in _SUCCESSIVE}
    encodings |= {name: "BYTE_STREAM_SPLIT" for name in rows.column_names if name in _SPLIT}
    pq.write_table(
        rows,
        place.arrow_path(path),
        filesystem=place.filesystem(path),
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
        path=str(path.relative_to(root)),  # type: ignore[arg-type]
        size=place.size(path),
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


def create(root: Place, table: Table) -> DeltaTable:
    """A new, empty table, durable."""
    if isinstance(root, Path):
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
            storage_options=place.options(root),
        )
    except DeltaError:
        if not place.exists(root / "_delta_log" / f"{0:020d}.json"):
            raise
    handle = DeltaTable(str(root), storage_options=place.options(root))
    sync_log(root, -1, handle.version())
    if isinstance(root, Path):
        sync(root)
        sync(root.parent)
    return handle


def open_table(root: Place) -> DeltaTable | None:
    """A fresh handle; None where there is no table."""
    if isinstance(root, Path) and not (root / "_delta_log").is_dir():
        return None
    try:
        return DeltaTable(str(root), storage_options=place.options(root))
    except TableNotFoundError:
        return None


def sync_log(root: Place, after: int, through: int) -> None:
    """Makes the log entries of versions after `after` up to `through` durable."""
    if not isinstance(root, Path):
        return
    log = root / "_delta_log"
    for version in range(after + 1, through + 1):
        entry = log / f"{version:020d}.json"
        if entry.exists():
            sync(entry)
    sync(log)


def commit(
    root: Place,
    handle: DeltaTable,
    table: Table,
    actions: Sequence[AddAction | RemoveAction],
    moved: Mapping[str, int],
    what: str,
    known: Mapping[str, int | None] | None = None,
) -> DeltaTable:
    """One durable commit; returns the handle that has seen it (another one after a conflict).

    Safe against a commit whose answer was lost: after any error a fresh handle is asked whether the
    transaction is there before it is tried again. Raises `MovedError`, and keeps nothing, when another
    writer has moved one of these offsets meanwhile. `known` are those at the handle's version, where they
    have been looked up.
    """
    before = handle.version()
    if known is None:
        known = Offsets(root).of(handle, moved)
    added = {action.path for action in actions if isinstance(action, AddAction)}
    removed = {action.path for action in actions if isinstance(action, RemoveAction)}
    properties = CommitProperties(
        custom_metadata={_MARK: what},
        app_transactions=[Transaction(name, version) for name, version in moved.items()],
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
        except DeltaError as error:
            fresh = open_table(root)
            if fresh is None or attempt + 1 == _COMMIT_TRIES:
                raise
            handle = fresh
            found = Offsets(root).of(handle, moved)
            there = {file.path for file in files(handle)}
            if found == dict(moved) and added <= there:
                break  # it was kept, only its answer was lost
            if found != known:
                raise MovedError(f"{table.name}: {known} became {found} before the {what}") from error
            if removed - there:
                raise  # somebody else took those files away: the caller must look again
            time.sleep(0.01 * 2**attempt)
    sync_log(root, before, handle.version())
    return handle


_FEW = 4
"""So many offsets are asked for one by one: each question reads the log since its last checkpoint."""


class Offsets:
    """The offset of every application id of a table, read from its log once and then on from there: thousands
    of chunks have one each."""

    def __init__(self, root: Place) -> None:
        self._root = root
        self._version = -1
        self._found: dict[str, int] = {}

    def of(self, handle: DeltaTable, names: Iterable[str]) -> dict[str, int | None]:
        """Offsets at the handle's version; None where there is none."""
        wanted = list(names)
        if len(wanted) > _FEW and self._read(handle.version()):
            return {name: self._found.get(name) for name in wanted}
        return {name: handle.transaction_version(name) for name in wanted}

    def _read(self, version: int) -> bool:
        """Reads on to a version; False where the log is not all there, and must be asked one by one."""
        if version < self._version:
            self._version, self._found = -1, {}
        log = self._root / "_delta_log"
        try:
            if self._version < 0:
                self._version, self._found = _checkpointed(log, version)
            for number in range(self._version + 1, version + 1):
                for text in place.read(log / f"{number:020d}.json").splitlines():
                    if b'"txn"' in text and (action := json.loads(text).get("txn")):
                        self._found[action["appId"]] = action["version"]
                self._version = number
        except FileNotFoundError:  # a checkpoint has taken the place of older entries
            self._version, self._found = -1, {}
            return False
        return True


def _checkpointed(log: Place, version: int) -> tuple[int, dict[str, int]]:
    """The newest checkpoint up to a version, and the offsets in it; -1 where there is none."""
    for name in sorted(place.names(log), reverse=True):
        number = name.removesuffix(".checkpoint.parquet")
        if number == name or not number.isdigit() or int(number) > version:
            continue
        lines = pq.read_table(
            place.arrow_path(log / name), filesystem=place.filesystem(log), columns=["txn"]
        )["txn"].to_pylist()
        named = (line for line in lines if line is not None and line["appId"] is not None)
        return int(number), {line["appId"]: line["version"] for line in named}
    return -1, {}


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


def mend(root: Place) -> list[str]:
    """Takes a torn end of the log aside, so that the table opens at its last whole commit.

    Returns what was done, one sentence each; on S3 no write is ever torn. Only the table's writer may call
    this, before it opens it.
    """
    done: list[str] = []
    if not isinstance(root, Path):
        return done
    log = root / "_delta_log"
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
