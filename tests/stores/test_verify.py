"""The proof of what is stored: what it finds, and what it does not take for a fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.stores.make import SECOND, START, VENUE, damage, mixed
from tests.stores.test_live import World, lake_alone
from tidemill import wire
from tidemill.recorder.housekeeping import removals
from tidemill.stores.lake import Lake
from tidemill.stores.source import Batch
from tidemill.stores.table import LEVELS, TRADES
from tidemill.stores.verify import verify


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "home")
    yield world
    world.journal.close()


def take(world: World, epoch: int, first: int, records: wire.Records) -> None:
    world.recorder.take(world.venue, Batch(epoch, first, records))
    world.recorder.flush()


def after_a_power_cut(world: World) -> None:
    """Records 701 to 1,000 were stored before the cut; the journal never got them to its disk, and its next
    writer goes on at 701."""
    take(world, 1, 1, mixed(1_000))
    take(world, 2, 701, mixed(600, start=START + 200 * SECOND, first_id=5_000, seed=2))


def test_sequences_that_came_again_after_a_power_cut_are_other_records(world: World) -> None:
    after_a_power_cut(world)
    report = verify(world.home, VENUE)
    assert report.clean, report
    assert (report.rows, report.through, report.dense_from) == (1_600, (2, 1_300), (1, 1))
    assert report.bars > 0


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_row_that_is_gone_is_missed_though_another_epoch_has_its_number(world: World, epoch: int) -> None:
    after_a_power_cut(world)
    lake = Lake(world.home / "lake")
    snapshot = lake.snapshot(LEVELS)
    assert snapshot
    [file] = [file for file in snapshot.files if file.first[0] == epoch]
    gone = lake.rows(LEVELS, [file])["sequence"].to_pylist()
    lake.maintain(LEVELS, removals([file], dict(file.partition), data_change=True), "planted")
    report = verify(world.home, VENUE)
    assert report.missing == len(gone)
    assert report.missing_first[0] == f"{epoch}:{min(gone)}"


def test_gaps_that_opened_at_one_number_of_two_epochs_are_two(world: World, tmp_path: Path) -> None:
    edge = mixed(1)
    edge["kind"], edge["flags"], edge["instrument"], edge["size"] = wire.KIND_GAP, 1, 0, -1
    edge["price_scale"], edge["size_scale"], edge["id"] = 1, 1, 0
    end = edge.copy()
    end["flags"], end["id"], end["size"] = 2, 11, 0
    take(world, 1, 1, np.concatenate([mixed(10), edge, mixed(4, seed=2)]))
    take(world, 2, 11, np.concatenate([edge, mixed(4, seed=3), end]))
    found = [gap for gap in lake_alone(world, tmp_path / "copy").gaps() if gap["sequence"] == 11]
    assert [(gap["epoch"], gap["state"]) for gap in found] == [(1, "open"), (2, "filled")]


@pytest.mark.parametrize("harm", ["flip", "rot", "cut", "gone"])
def test_every_file_that_cannot_be_read_is_named(world: World, harm: str) -> None:
    for seed in range(3):
        take(world, 1, 1 + seed * 300, mixed(300, start=START + seed * 60 * SECOND, seed=seed))
    harmed = [sorted((world.home / "lake" / name).rglob("*.parquet"))[0] for name in ("trades", "levels")]
    for path in harmed:
        damage(path, harm)
    report = verify(world.home, VENUE)
    assert not report.clean
    for path in harmed:
        assert [line for line in report.unreadable if line.startswith(f"{path} cannot be read")]


def test_a_lake_without_its_journal_is_verified(world: World, tmp_path: Path) -> None:
    world.write(mixed(1_000))
    world.record()
    alone = lake_alone(world, tmp_path / "elsewhere")
    report = verify(alone.home, VENUE)
    assert report.clean
    assert (report.rows, report.through) == (1_000, (1, 1_000))
    lake = Lake(alone.home / "lake")
    snapshot = lake.snapshot(TRADES)
    assert snapshot
    file = snapshot.files[0]
    lake.maintain(TRADES, removals([file], dict(file.partition), data_change=True), "planted")
    assert verify(alone.home, VENUE).missing > 0
