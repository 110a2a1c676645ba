"""Parquet and Arrow: the same rows whatever the types, and no damage that does more than raise."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.importer.place import read
from tests.system import report
from tidemill.errors import TidemillError
from tidemill.importer import columnar, limited, sniff
from tidemill.importer.source import open_source

ROWS = 300


def table() -> pa.Table:
    return pa.table(
        {
            "timestamp": pa.array(
                [datetime(2024, 5, 13, 9, minute // 60, minute % 60, tzinfo=UTC) for minute in range(ROWS)],
                pa.timestamp("us", "UTC"),
            ),
            "symbol": pa.array(["AAPL"] * ROWS).dictionary_encode(),
            "price": [187.15 + at / 100 for at in range(ROWS)],
            "size": [Decimal(at).scaleb(-3) for at in range(ROWS)],
            "side": ["buy", "sell", None] * (ROWS // 3),
        }
    )


def save(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table(), path, row_group_size=100, write_page_checksum=True)
    else:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        new = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
        with new(path, table().schema, options=options) as writer:
            writer.write_table(table(), max_chunksize=100)
    return path


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.arrows"])
def test_columnar_files_are_read_exactly(tmp_path: Path, name: str) -> None:
    rows, bad, recipe = read(save(tmp_path / name))
    assert (len(rows), bad, recipe.kind) == (ROWS, {}, "trades")
    assert rows[1]["price"] == "187.16"
    assert rows[2]["size"] == "0.002"
    assert [line["aggressor"] for line in rows[:3]] == ["buy", "sell", "none"]
    assert rows[0]["instrument"] == "AAPL.import"


def test_the_noise_of_floats_is_told_and_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "btc-usd.parquet"
    prices = [0.1 + 0.2, 0.7, 1.1 * 3, 2.5]
    pq.write_table(
        pa.table({"time": [1_700_000_000_000 + at for at in range(4)], "price": prices, "size": prices}), path
    )
    rows, _, recipe = read(path)
    assert recipe.price_places == 1
    assert [line["price"] for line in rows] == ["0.3", "0.7", "3.3", "2.5"]
    exact, _, _ = read(path, {"price_places": None, "size_places": None})
    assert exact[0]["price"] == "0.30000000000000004"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return {name: save(folder / name).read_bytes() for name in ("x.parquet", "x.arrow")}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["x.parquet", "x.arrow"]), st.data())
def test_flipped_bytes_and_cut_ends_only_ever_raise_with_the_name(
    tmp_path: Path, whole: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    """Rows that are read from a damaged file are refused, or those of the whole one where nothing that
    matters was hit."""
    bytes_ = bytearray(whole[name])
    if data.draw(st.booleans()):
        del bytes_[data.draw(st.integers(0, len(bytes_) - 1)) :]
    for at in data.draw(st.lists(st.integers(0, max(len(bytes_) - 1, 0)), max_size=4)):
        if at < len(bytes_):
            bytes_[at] ^= data.draw(st.integers(1, 255))
    check_damaged(tmp_path / name, bytes(bytes_))


def check_damaged(path: Path, bytes_: bytes) -> bool:
    """Whether it is read; what it raises names the file."""
    path.write_bytes(bytes_)
    told = path.name
    good = False
    with contextlib.suppress(TidemillError):
        try:
            source = open_source(path)
            if source.shape == "text":
                sniff.sniff(source)
                return True
            names = columnar.schema(source).names
            for _ in columnar.batches(source, names[:3]):
                pass
            good = True
        except TidemillError as error:
            told = error.message
            raise
    assert path.name in told
    return good


def read_damaged(path: Path, bytes_: bytes, first: int, end: int, counts: Any) -> None:
    """In a process of its own, as a file may end its decoder: counts what is read and refused."""
    for at in range(first, end):
        dice, damaged = random.Random(f"{path.name} {at}"), bytearray(bytes_)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] ^= dice.randint(1, 255)
        if dice.random() < 0.2:
            del damaged[dice.randrange(len(damaged)) :]
        counts[0] = at
        counts[1 if check_damaged(path, bytes(damaged)) else 2] += 1


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_twenty_five_thousand_damaged_files_are_refused_by_name(
    tmp_path: Path, whole: dict[str, bytes], name: str
) -> None:
    """Arrow's own code ends its process at some of them: the bounded process that files are first looked at
    in makes an answer of that."""
    path, count, first, died = tmp_path / name, 25_000, 0, 0
    spawn = multiprocessing.get_context("spawn")
    counts = spawn.Array("l", 3)
    while first < count:
        child = spawn.Process(target=read_damaged, args=(path, whole[name], first, count, counts))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode is not None
        assert child.exitcode < 0, "an error that is none of ours"
        died += 1
        with pytest.raises(TidemillError, match=name):
            limited.preview(path, name)
        first = counts[0] + 1
    assert counts[1] + counts[2] + died == count
    row = {"files": count, "read": counts[1], "refused": counts[2], "ended their process": died}
    report.note(f"Damaged {name.partition('.')[2]} files", {"Flipped and cut": [row]}, "soak-history")
