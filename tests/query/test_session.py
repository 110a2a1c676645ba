"""SQL over the lake: the rows are those that were stored, digit for digit."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.query.conftest import QUICK
from tests.servers.s3 import S3
from tests.stores.make import NAMES, VENUE, damage, mixed, trades
from tests.stores.test_live import World
from tidemill import wire
from tidemill.errors import DataQualityError, DeadlineError, ResourceError, TidemillError, UsageError
from tidemill.query import view
from tidemill.query.session import Session
from tidemill.stores.lake import Lake
from tidemill.stores.table import TABLES, TRADES


def ask(session: Session, sql: str, limit: int = 100_000) -> pa.Table:
    return session.fetch(sql, limit)[0]


def test_trades_are_those_of_the_journal(stored: World, session: Session) -> None:
    found = ask(session, f"SELECT * FROM trades WHERE instrument = '{NAMES[0]}' ORDER BY epoch, sequence")
    records, sequences = stored.trades(NAMES[0])
    assert found["sequence"].to_pylist() == sequences.tolist()
    assert found["ts_event"].type == pa.timestamp("ns")
    assert found["ts_event"].cast(pa.int64()).to_pylist() == records["ts_event"].tolist()
    exact = [Decimal(wire.text(int(r["price"]), int(r["price_scale"]))) for r in records]
    assert found["price"].to_pylist() == exact
    exact = [Decimal(wire.text(int(r["size"]), int(r["size_scale"]))) for r in records]
    assert found["size"].to_pylist() == exact
    assert set(found["aggressor"].to_pylist()) <= set(wire.AGGRESSORS)


def test_vwap_is_exact_where_it_can_be(stored: World, session: Session) -> None:
    notional, size = (
        ask(
            session,
            f"SELECT sum(price * size) AS n, sum(size) AS s FROM trades WHERE instrument = '{NAMES[1]}'",
        )
        .to_pylist()[0]
        .values()
    )
    records, _ = stored.trades(NAMES[1])
    sizes = [Decimal(int(r["size"])).scaleb(-int(r["size_scale"])) for r in records]
    prices = [Decimal(int(r["price"])).scaleb(-int(r["price_scale"])) for r in records]
    assert notional == sum(p * s for p, s in zip(prices, sizes, strict=True))
    assert size == sum(sizes)


def test_bars_are_one_row_a_start_and_the_newest(stored: World, session: Session) -> None:
    found = ask(
        session, f"SELECT * FROM bars WHERE interval = '1m' AND instrument = '{NAMES[0]}' ORDER BY ts"
    )
    expected = stored.bars(NAMES[0], "1m")
    assert found["ts"].cast(pa.int64()).to_pylist() == expected["start"].tolist()[: len(found)]
    closes = [Decimal(int(b["close"])).scaleb(-int(b["price_scale"])) for b in expected]
    assert found["close"].to_pylist() == closes[: len(found)]
    assert len(found) >= len(expected) - 1


def test_every_dataset_answers_and_says_its_columns(session: Session) -> None:
    for name in ("trades", "quotes", "levels", "bars", "gaps", "instruments", "status", "raw.details"):
        assert len(ask(session, f"DESCRIBE {name}")) == len(
            ask(session, f"SELECT * FROM {name} LIMIT 1").schema
        )
    shown = ask(session, "SHOW TABLES")["name"].to_pylist()
    assert {"trades", "bars", "gaps"} <= set(shown)
    names = ask(session, "SELECT instrument FROM instruments ORDER BY 1")["instrument"].to_pylist()
    assert names == sorted(NAMES)


def test_a_lake_with_nothing_answers_with_nothing(tmp_path: Path) -> None:
    session = Session(tmp_path, QUICK)
    for name in ("trades", "bars", "gaps", "raw.levels"):
        assert len(ask(session, f"SELECT * FROM {name}")) == 0
    _, truncated, result = session.fetch("SELECT count(*) FROM trades", 10)
    assert not truncated
    assert result.reads == {"store": "lake", "versions": {}, "note": None}


def test_more_than_asked_for_is_said(session: Session) -> None:
    table, truncated, _ = session.fetch("SELECT * FROM range(10)", 10)
    assert (len(table), truncated) == (10, False)
    table, truncated, _ = session.fetch("SELECT * FROM range(11)", 10)
    assert (len(table), truncated) == (10, True)
    assert session.fetch("SELECT 1 AS a, 2 AS a", 10)[0].column_names == ["a", "a_1"]


def test_what_is_stored_meanwhile_is_in_the_next_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = Session(world.home, QUICK)
    assert ask(session, "SELECT count(*) AS n FROM trades")["n"].to_pylist() == [0]
    for count in (100, 250):
        world.write(trades(100 if count == 100 else 150, first_id=count))
        world.record()
        assert ask(session, "SELECT count(*) AS n FROM trades")["n"].to_pylist() == [count]
    world.journal.close()


@pytest.mark.parametrize(("scale", "places"), [(12, 12), (13, 18), (18, 18)])
def test_as_many_places_as_a_row_needs(tmp_path: Path, scale: int, places: int) -> None:
    world = World(tmp_path)
    records = trades(50)
    records["size"], records["size_scale"] = np.arange(50) + 10**12 + 1, scale
    world.write(records)
    world.record()
    found = ask(Session(world.home, QUICK), "SELECT size FROM trades ORDER BY sequence")
    assert found["size"].type.scale == places
    assert found["size"].to_pylist() == [Decimal(int(v)).scaleb(-scale) for v in records["size"]]
    world.journal.close()


def test_too_many_places_are_no_zero() -> None:
    made = view.definition("trades", "stored", view.PLACES_WIDE)
    columns = ", ".join(f"{f.name}" for f in TRADES.schema if f.name not in ("price_scale", "price"))
    with duckdb.connect() as connection:
        connection.register("_rows", TRADES.empty())
        connection.execute("CREATE TABLE stored AS SELECT * FROM _rows")
        connection.execute("INSERT INTO stored (price, price_scale, size, size_scale) VALUES (1, 19, 1, 1)")
        with pytest.raises(duckdb.Error, match=view.TOO_MANY_PLACES):
            connection.execute(f"SELECT price FROM ({made})").fetchall()
        assert len(connection.execute(f"SELECT {columns} FROM stored").fetchall()) == 1


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("selec 1", "line 1, column 1: "),
        ("SELECT foo\n  FROM trades", "line 1, column 8: "),
        ("SELECT 1,\n  bar(3)", "line 2, column 3: "),
        ("SELECT *\nFROM trade", "line 2, column 6: "),
        ("SELECT 'ü', * FROM\n nothing", "line 2, column 2: "),
        ("", ""),
        ("-- nothing", ""),
        ("SELECT 1; SELECT 2", ""),
        ("SELECT \0", ""),
        ("SELECT " + "(" * 4_000 + "1" + ")" * 4_000, ""),
        ("SELECT " + "1+" * 20_000 + "1", ""),
        ("SELECT '" + "x" * 100_000 + "'", ""),
    ],
)
def test_what_cannot_run_is_told_with_its_place(session: Session, sql: str, where: str) -> None:
    with pytest.raises(UsageError) as told:
        ask(session, sql)
    assert told.value.code == "query_invalid"
    assert told.value.message.startswith(where)
    assert told.value.hint


def test_a_query_ends_when_its_time_is_over(stored: World) -> None:
    session = Session(stored.home, replace(QUICK, timeout_s=0.4))
    began = time.monotonic()
    with pytest.raises(DeadlineError) as told:
        ask(session, "SELECT sum(a.range * b.range) FROM range(10000000000) a, range(1000000) b")
    assert told.value.code == "query_timeout"
    assert time.monotonic() - began < 5
    with pytest.raises(DeadlineError):
        ask(session, "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t")
    assert len(ask(Session(stored.home, QUICK), "SELECT 1")) == 1


def test_memory_and_bytes_have_bounds(session: Session) -> None:
    with pytest.raises(ResourceError) as told:
        ask(session, "SELECT range AS a, hash(range) AS b FROM range(1000000000) ORDER BY b", 10_000_000)
    assert told.value.code == "query_memory"
    with pytest.raises(ResourceError) as told:
        ask(session, "SELECT repeat('x', 100000) AS a FROM range(1000)")
    assert told.value.code == "query_too_large"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(mixed(500))
    world.record()
    [file, *_] = (world.home / "lake" / "trades").rglob("*.parquet")
    damage(file, "cut")
    with pytest.raises(DataQualityError, match=file.name) as told:
        ask(Session(world.home, QUICK), "SELECT sum(price) FROM trades")
    assert told.value.code == "data_unreadable"
    world.journal.close()


def test_a_home_whose_name_is_a_pattern(tmp_path: Path) -> None:
    world = World(tmp_path / "it's [a] home*")
    world.write(trades(100))
    world.record()
    assert ask(Session(world.home, QUICK), "SELECT count(*) AS n FROM trades")["n"].to_pylist() == [100]
    world.journal.close()


def test_a_lake_on_s3_answers_the_same(
    stored: World, session: Session, s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    lake = Lake(s3.bucket("query"))
    for name in ("trades", "bars"):
        rows = Lake(stored.home / "lake").read(TABLES[name])
        lake.append(TABLES[name], rows, {"journal/x/1": len(rows)})
    monkeypatch.setenv("TIDEMILL_LAKE_URL", str(lake.path))
    there = Session(tmp_path, QUICK)
    for sql in (
        f"SELECT * FROM trades WHERE venue = '{VENUE}' ORDER BY epoch, sequence",
        "SELECT instrument, sum(volume) AS v FROM bars WHERE interval = '1m' GROUP BY 1 ORDER BY 1",
    ):
        assert ask(there, sql).to_pylist() == ask(session, sql).to_pylist()
    with pytest.raises(TidemillError):
        ask(there, "SELECT * FROM read_parquet('s3://query/**')")
