"""Torn logs, lost answers, stale handles: the lake ends at its last whole commit, and goes on from there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.stores.make import VENUE, name, trades
from tidemill.stores import delta, place
from tidemill.stores.api import journal_application
from tidemill.stores.lake import Lake
from tidemill.stores.table import TABLES, TRADES, rows_of

APP = journal_application(VENUE, 1)


def put(lake: Lake, batch: int) -> bool:
    records = trades(100, seed=batch)
    sequences = np.arange(1 + batch * 100, 101 + batch * 100)
    return lake.append(TRADES, rows_of(TRADES, records, sequences, 1, VENUE, name), {APP: (batch + 1) * 100})


def entries(lake: Lake) -> list[Path]:
    assert isinstance(lake.path, Path)
    return sorted((lake.path / "trades" / "_delta_log").glob("*.json"))


def sequences(lake: Lake) -> list[int]:
    return sorted(lake.read(TRADES)["sequence"].to_pylist())


def cuts(data: bytes) -> list[bytes]:
    lines = data.splitlines(keepends=True)
    return [
        b"",
        b"\0" * len(data),
        lines[0],
        b"".join(lines[:-1]),  # the txn line is the last one: this opens silently
        b"".join(lines[:-1]).rstrip(b"\n"),
        data[: len(data) // 2],
        data[:-2],
        data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2),
    ]


@pytest.mark.parametrize("cut", range(8))
def test_a_torn_log_entry_is_put_aside_and_its_batch_comes_again(tmp_path: Path, cut: int) -> None:
    for batch in range(3):
        put(Lake(tmp_path), batch)
    newest = entries(Lake(tmp_path))[-1]
    newest.write_bytes(cuts(newest.read_bytes())[cut])
    lake = Lake(tmp_path)
    assert len(lake.mend(list(TABLES.values()))) == 1
    assert lake.offset(TRADES, APP) == 200
    assert sequences(lake) == list(range(1, 201))
    assert put(lake, 2)
    assert not put(lake, 1)
    assert sequences(lake) == list(range(1, 301))
    assert list((tmp_path / "trades" / "_torn").iterdir())


def test_a_torn_first_entry_leaves_no_table(tmp_path: Path) -> None:
    put(Lake(tmp_path), 0)
    for entry in entries(Lake(tmp_path)):
        entry.write_bytes(b"")
    lake = Lake(tmp_path)
    assert len(lake.mend([TRADES])) == 2
    assert put(lake, 0)
    assert sequences(lake) == list(range(1, 101))


def test_a_whole_log_is_left_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, 0)
    assert lake.mend(list(TABLES.values())) == []


def test_a_commit_of_another_program_is_left_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, 0)
    entry = entries(lake)[-1].with_name(f"{2:020d}.json")
    entry.write_text(json.dumps({"commitInfo": {"operation": "SET TBLPROPERTIES"}}) + "\n")
    assert Lake(tmp_path).mend([TRADES]) == []


@pytest.mark.parametrize("damage", ["cut", "zero", "gone"])
def test_an_unreadable_checkpoint_costs_only_its_hint(tmp_path: Path, damage: str) -> None:
    lake = Lake(tmp_path)
    for batch in range(3):
        put(lake, batch)
    lake.checkpoint(TRADES)
    put(lake, 3)
    log = tmp_path / "trades" / "_delta_log"
    [checkpoint] = log.glob("*.checkpoint.parquet")
    if damage == "gone":
        checkpoint.unlink()
    elif damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-20])
    else:
        checkpoint.write_bytes(bytes(checkpoint.stat().st_size))
    lake = Lake(tmp_path)
    assert len(lake.mend([TRADES])) == (1 if damage == "gone" else 2)
    assert sequences(lake) == list(range(1, 401))
    assert not put(lake, 3)
    assert put(lake, 4)


def test_a_checkpoint_keeps_rows_and_offsets(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for batch in range(5):
        put(lake, batch)
    lake.checkpoint(TRADES)
    assert lake.mend([TRADES]) == []
    fresh = Lake(tmp_path)
    assert fresh.offset(TRADES, APP) == 500
    assert sequences(fresh) == list(range(1, 501))


def test_a_stale_writer_counts_nothing_twice(tmp_path: Path) -> None:
    one, two = Lake(tmp_path), Lake(tmp_path)
    put(one, 0)
    assert two.offset(TRADES, APP) == 100
    put(one, 1)
    assert not put(two, 1)
    assert put(two, 2)
    assert put(one, 3)
    assert sequences(one) == list(range(1, 401))


def test_a_commit_whose_answer_was_lost_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path)
    put(lake, 0)
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    real = DeltaTable.create_write_transaction
    calls = []

    def lost(self: DeltaTable, *args: object, **kwargs: object) -> None:
        calls.append(1)
        real(self, *args, **kwargs)  # type: ignore[arg-type]
        if len(calls) == 1:
            raise DeltaError("connection reset")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", lost)
    assert put(lake, 1)
    assert len(calls) == 1
    assert sequences(lake) == list(range(1, 201))


def test_a_failed_fsync_is_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    put(lake, 0)

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(place.os, "fsync", fails)
    with pytest.raises(delta.SyncError, match="fsync failed"):
        put(lake, 1)


def test_files_are_small_and_sorted(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    lake = Lake(tmp_path)
    records = trades(20_000)
    lake.append(TRADES, rows_of(TRADES, records, np.arange(1, 20_001), 1, VENUE, name), {APP: 20_000})
    snapshot = lake.snapshot(TRADES)
    assert snapshot
    [file] = snapshot.files
    rows = pq.ParquetFile(tmp_path / "trades" / file.path)
    assert rows.metadata.num_rows == 20_000
    names = rows.read(columns=["instrument"])["instrument"].to_pylist()
    assert names == sorted(names)
    assert file.bytes / file.rows < 20  # random prices and sizes; real ones take about 11
    assert (file.ts_min, file.ts_max) == (records["ts_event"][0], records["ts_event"][-1])
    assert (file.first, file.last) == ((1, 1), (1, 20_000))
