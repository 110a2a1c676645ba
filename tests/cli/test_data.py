"""`tidemill data`: what people type, and what comes out."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import psycopg
import pyarrow.ipc
import pytest

from tests.servers.postgres import Postgres
from tests.stores.make import NAMES, SECOND, START, VENUE, damage, mixed, number, trades
from tests.stores.test_live import World
from tidemill import wire
from tidemill.cli import main
from tidemill.model.interval import DAY
from tidemill.stores import export
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView
from tidemill.stores.opening import open_store
from tidemill.stores.table import TRADES


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "home")
    world.write(mixed(3_000))
    world.record()
    world.write(mixed(1_000, start=START + 86_000 * SECOND, first_id=9_000, seed=4))  # over midnight
    world.record()
    world.write(mixed(500, start=START + 86_500 * SECOND, first_id=19_000, seed=5))
    yield world
    world.journal.close()


def run(world: World, *words: str) -> int:
    return main(["data", *words, "--home", str(world.home)])


def wanted(
    world: World, kinds: tuple[int, ...], name: str | None = NAMES[0]
) -> tuple[np.ndarray, np.ndarray]:
    records = world.records
    mine = np.isin(records["kind"], kinds)
    if name:
        mine &= records["instrument"] == number(name)
    return records[mine], np.flatnonzero(mine) + 1


def test_export_csv_is_the_journal_digit_for_digit(
    world: World, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(world, "export", "trades", "BTC-USD") == 0
    lines = list(csv.DictReader(io.StringIO(capfdbinary.readouterr().out.decode())))
    records, sequences = wanted(world, (1,))
    assert list(lines[0]) == [
        "venue", "instrument", "epoch", "sequence", "ts_event", "ts_recv", "price", "size", "aggressor", "id",
    ]  # fmt: skip
    assert [int(line["sequence"]) for line in lines] == sequences.tolist()
    for line, record in zip(lines, records, strict=True):
        assert line["price"] == wire.text(int(record["price"]), int(record["price_scale"]))
        assert line["size"] == wire.text(int(record["size"]), int(record["size_scale"]))
        assert line["aggressor"] == wire.AGGRESSORS[int(record["flags"]) & 3]
        assert (int(line["id"]), int(line["ts_recv"])) == (record["id"], record["ts_recv"])


@pytest.mark.parametrize("kind", ["trades", "quotes", "levels", "bars", "gaps"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow"])
def test_every_format_holds_the_same_rows(world: World, tmp_path: Path, kind: str, form: str) -> None:
    path = tmp_path / f"out.{form}"
    assert run(world, "export", kind, NAMES[0], "--format", form, "-o", str(path)) == 0
    readers = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet, "arrow": pl.read_ipc}
    frame = readers[form](path)
    kinds = {"trades": (1,), "quotes": (2,), "levels": (3, 4)}
    if kind in kinds:
        _, sequences = wanted(world, kinds[kind])
        assert frame["sequence"].to_list() == sequences.tolist()
        assert set(frame["venue"]) == {VENUE}
    elif kind == "bars":
        expected = world.bars(NAMES[0], "1m")
        assert frame["ts"].cast(pl.Int64).to_list() == expected["start"].tolist()[: len(frame)]
        assert 0 <= len(expected) - len(frame) <= 1  # the open one is left out
    else:
        records, _ = wanted(world, (6,))
        assert len(frame) == len(records)
    assert list(tmp_path.glob(".*tmp")) == []


def test_export_of_a_venue_a_span_and_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    assert run(world, "export", "trades", VENUE, "--format", "parquet", "-o", str(path)) == 0
    assert sorted(pl.read_parquet(path)["sequence"]) == wanted(world, (1,), None)[1].tolist()
    records, _ = wanted(world, (1,))
    low, high = int(records["ts_event"][10]), int(records["ts_event"][20])
    assert (
        run(world, "export", "trades", NAMES[0], "--start", str(low), "--end", str(high), "-o", str(path))
        == 0
    )
    assert len(pl.read_csv(path)) == 10
    for form in ("csv", "jsonl", "parquet", "arrow"):
        words = ("--end", "2020-01-01", "--format", form, "-o", str(path))
        assert run(world, "export", "trades", NAMES[0], *words) == 0
    with pyarrow.ipc.open_file(path) as file:
        assert file.read_all().num_rows == 0


def test_arrow_on_stdout_is_a_stream(world: World) -> None:
    words = [sys.executable, "-m", "tidemill", "data", "export", "trades", NAMES[0], "--format", "arrow"]
    done = subprocess.run([*words, "--home", str(world.home)], capture_output=True, check=True)
    rows = pyarrow.ipc.open_stream(done.stdout).read_all()
    assert rows["sequence"].to_pylist() == wanted(world, (1,))[1].tolist()


def test_book(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(world, "book", NAMES[0], "--at", "1:2500", "--depth", "3", "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert set(answer) == {"instrument", "epoch", "sequence", "ts_event", "ts_recv", "valid", "bids", "asks"}
    assert answer["sequence"] <= 2_500
    assert len(answer["bids"]) <= 3
    prices = [Decimal(price) for price, _ in answer["bids"]]
    assert prices == sorted(prices, reverse=True)
    assert run(world, "book", NAMES[0]) == 0
    assert NAMES[0] in capfd.readouterr().out


def test_ls_and_show(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(world, "ls", "--json") == 0
    items = {item["id"]: item for item in json.loads(capfd.readouterr().out)["items"]}
    stored = len(wanted(world, (1,))[1]) - int(
        (world.records[4_000:]["kind"] == 1)[world.records[4_000:]["instrument"] == number(NAMES[0])].sum()
    )
    assert items[f"{NAMES[0]}:trades"]["rows"] == stored
    assert run(world, "ls") == 0
    assert run(world, "show", NAMES[0], "--json") == 0
    out = capfd.readouterr().out
    assert json.loads(out[out.index("{") :])["instrument"]["base"] == "BTC"
    assert run(world, "show", "btc/usd") == 0


def test_verify_finds_what_is_planted(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(world, "verify", "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["clean"]
    report = answer["venues"][0]
    assert report["rows"] == 4_000
    assert report["bars"] > 100
    # One file of trades loses its rows, as a bad compaction would do it.
    lake = Lake(world.home / "lake")
    snapshot = lake.snapshot(TRADES)
    assert snapshot
    from tidemill.recorder.housekeeping import removals

    file = snapshot.files[0]
    lake.maintain(TRADES, removals([file], dict(file.partition), data_change=True), "planted")
    assert run(world, "verify", VENUE) == 10
    assert "not whole" in capfd.readouterr().out


def test_verify_works_where_the_store_is_a_database(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    url = postgres.database()
    monkeypatch.setenv("TIDEMILL_STORE_URL", url)
    store = open_store(tmp_path, url)
    world = World(tmp_path, store)
    world.write(mixed(1_000))
    world.record()
    world.journal.close()
    store.close()
    assert run(world, "verify", "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert (answer["clean"], answer["venues"][0]["rows"]) == (True, 1_000)
    assert run(world, "verify") == 0
    assert "1,000 rows, stored through 1:1000" in capfd.readouterr().out
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM raw_trades WHERE sequence = (SELECT min(sequence) FROM raw_trades)")
    assert run(world, "verify") == 10


def test_verify_needs_no_journal_but_something_to_verify(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy, empty = tmp_path / "copy", tmp_path / "empty"
    shutil.copytree(world.home / "lake", copy / "lake")
    assert main(["data", "verify", "--home", str(copy), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["venues"][0]["rows"] == 4_000
    empty.mkdir()
    assert main(["data", "verify", "--home", str(empty)]) == 5
    assert "nothing is stored" in capfd.readouterr().err
    damage(next((copy / "lake" / "trades").rglob("*.parquet")), "cut")
    assert main(["data", "verify", "--home", str(copy)]) == 10
    assert "cannot be read" in capfd.readouterr().out
    for words in (["export", "trades", NAMES[0]], ["ls"], ["show", NAMES[0]]):
        assert main(["data", *words, "--home", str(copy)]) == 10
        assert "error data_unreadable" in capfd.readouterr().err


def test_errors_have_one_shape(world: World, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(world, "export", "trades", "BTC-USD.krakn") == 5
    assert "nearest: BTC-USD.sim-kraken" in capfd.readouterr().err.replace("\n", " ")
    assert run(world, "export", "trades", NAMES[0], "--start", "soon") == 2
    assert run(world, "export", "ticks", NAMES[0]) == 2
    assert run(world, "export", "bars", NAMES[0], "--interval", "1x") == 2
    assert run(world, "export", "trades", NAMES[0], "-o", str(tmp_path / "no" / "file.csv")) == 3
    assert run(world, "book", NAMES[0], "--at", "1:x", "--json") == 2
    error = json.loads(capfd.readouterr().err.strip().splitlines()[-1])["error"]
    assert (error["code"], error["category"]) == ("time_invalid", "usage")


def test_an_export_holds_no_more_than_a_piece_of_what_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "home")
    for day in range(3):
        records = mixed(2_000, start=START + day * DAY, first_id=1 + day * 2_000, seed=day)
        records["ts_event"] = START + day * DAY + np.arange(2_000) * 10 * SECOND
        world.write(records)
    for rows_max in (10**6, 100):  # in days, then in hours
        monkeypatch.setattr(export, "_CHUNK_ROWS", rows_max)
        view = LiveView(world.home, follow=False)
        pieces = list(export.ticks(view, "trades", VENUE, NAMES[0], None, None))
        assert max(map(len, pieces)) < len(wanted(world, (1,))[1]) / (2 if rows_max > 1_000 else 6)
        assert pl.concat(map(pl.from_arrow, pieces))["sequence"].to_list() == wanted(world, (1,))[1].tolist()  # type: ignore[type-var]
    world.journal.close()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--start", "2026-11-22", "--end", "2026-11-20"], "range_reversed"),
        (["--start", ""], "time_invalid"),
        (["--start", "9999-01-01"], "time_invalid"),
        (["--end", "0001-01-01"], "time_invalid"),
        (["--start", "-99999999999"], "time_invalid"),
    ],
)
def test_a_span_that_cannot_be_is_told(
    world: World, capfd: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    for kind in ("trades", "bars", "gaps"):
        assert run(world, "export", kind, NAMES[0], *words) == 2
        assert f"error {code}" in capfd.readouterr().err


def test_a_position_that_cannot_be_is_told(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    for at in ("1:99999999999999999999", "99999999999:1"):
        assert run(world, "book", NAMES[0], "--at", at, "--json") == 2
        assert json.loads(capfd.readouterr().err)["error"]["code"] == "position_invalid"


def test_gaps_leave_with_the_ids_at_their_edges_and_within_the_span(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    edges = trades(2, step=10 * SECOND)
    edges["kind"], edges["flags"], edges["instrument"] = wire.KIND_GAP, [1, 2], number(NAMES[0])
    edges["price_scale"], edges["size_scale"] = 1, 3
    edges["price"], edges["size"], edges["id"] = [100, 104], [-1, 3], [0, 1]
    world.write(edges)
    path = tmp_path / "gaps.parquet"

    def exported(*words: str) -> list[dict[str, object]]:
        assert run(world, "export", "gaps", NAMES[0], *words, "--format", "parquet", "-o", str(path)) == 0
        return pl.read_parquet(path).to_dicts()

    (gap,) = exported()
    assert (gap["venue_sequence_open"], gap["venue_sequence_end"], gap["missing"]) == (100, 104, 3)
    world.record()
    assert exported() == [gap]
    assert exported("--start", str(START + 5 * SECOND), "--end", str(START + 6 * SECOND)) == [gap]
    assert exported("--start", str(START + 11 * SECOND)) == []
    assert exported("--end", str(START)) == []
    world.journal.close()


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_a_killed_export_leaves_the_old_file(world: World, tmp_path: Path, kills: int) -> None:
    path = tmp_path / "trades.parquet"
    words = [sys.executable, "-m", "tidemill", "data", "export", "trades", VENUE, "--format", "parquet"]
    words += ["-o", str(path), "--home", str(world.home)]
    began = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    took = time.monotonic() - began
    whole = pl.read_parquet(path).height
    dice = random.Random(kills)
    for _ in range(kills):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(took * dice.uniform(0.3, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert pl.read_parquet(path).height == whole
