"""Runs are kept whole or not at all, whoever is killed; lists have every run once, however sorted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.research import hand
from tests.servers.postgres import Postgres
from tidemill.errors import ConfigError, ConflictError, DataQualityError, NotFoundError, UsageError
from tidemill.research import store
from tidemill.research.run import Settings
from tidemill.research.store import SCHEMAS, SORTS, Filters, Row, Runs


def row(number: int = 0, **rest: Any) -> Row:
    numbers = rest.pop("numbers", {"sharpe": float(number % 5), "trades": number})
    base = Row(
        strategy="sma_cross", instruments=("BTC-USD.kraken",), interval="1h", start=1, end=2, engine="fast",
        params={"fast": number}, settings={"cash": "1", "costs": {}}, source="class A: ...",
        source_digest="s" * 64, data_digest="d" * 64, fingerprint=f"{number:064}", version="0", rows=3,
        duration_s=float(number % 3), origin="python", summary={"numbers": numbers, "notes": ["a"]},
        id=f"{number:011x}abcdef", created=10**18 + number // 2,
    )  # fmt: skip
    return replace(base, **rest)


def tables() -> dict[str, pa.Table]:
    outcome = hand.outcome(hand.history(24 * 5), Settings())
    return {name: getattr(outcome, name) for name in ("orders", "fills", "equity", "trades")}


@pytest.fixture(params=["sqlite", "postgres"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runs]:
    place = None
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        place = server.database()
    with Runs(tmp_path / "runs", place) as found:
        yield found


def test_what_is_kept_comes_back(runs: Runs) -> None:
    kept, rows = row(7, log="said", stress=[{"factor": 2.0}]), tables()
    runs.keep(kept, rows)
    assert runs.get(kept.id) == kept
    for name, shape in SCHEMAS.items():
        found = runs.table(kept.id, name)
        assert found.schema == shape
        assert found.equals(rows.get(name, shape.empty_table())), name
    assert runs.table(kept.id, "equity", ["ts"]).column_names == ["ts"]
    assert runs.of_fingerprint(kept.fingerprint) == kept
    assert runs.of_fingerprint("no") is None


def test_a_failed_run_has_no_tables(runs: Runs) -> None:
    kept = runs.keep(row(1, state="failed", error={"code": "x"}, summary=None), {})
    assert runs.get(kept.id).error == {"code": "x"}
    with pytest.raises(ConflictError) as refused:
        runs.table(kept.id, "fills")
    assert refused.value.code == "run_failed"
    assert runs.of_fingerprint(kept.fingerprint) is None


def test_an_id_may_be_shortened_while_it_is_clear(runs: Runs) -> None:
    first = runs.keep(row(1, id="0190aaaaaaa111111"), {})
    runs.keep(row(2, id="0190bbbbbbb111111"), {})
    assert runs.get("0190a").id == first.id
    for name, code in (
        ("0190", "run_ambiguous"),
        ("9", "run_unknown"),
        ("", "run_unknown"),
        ("%", "run_unknown"),
    ):
        with pytest.raises((ConflictError, NotFoundError)) as refused:
            runs.get(name)
        assert refused.value.code == code


def test_filters(runs: Runs) -> None:
    runs.keep(row(1), {})
    runs.keep(row(2, strategy="breakout", engine="nautilus"), {})
    runs.keep(row(3, instruments=("ETH-USD.kraken", "BTC-USD.coinbase"), params={"side": "100%_long"}), {})
    runs.keep(row(4, state="failed"), {})

    def found(**rest: Any) -> list[int]:
        return sorted(int(one.id[:11], 16) for one in runs.page(10, Filters(**rest)))

    assert found() == [1, 2, 3, 4]
    assert found(strategy="sma_cross") == [1, 3, 4]
    assert found(instrument="BTC-USD.coinbase") == [3]
    assert found(instrument="USD") == []
    assert found(engine="nautilus") == [2]
    assert found(state="failed") == [4]
    assert found(text="BREAK") == [2]
    assert found(text="100%_") == [3]
    assert found(text="0%0") == []
    assert found(text="eth-usd") == [3]
    assert found(where="strategy:SMA*") == [1, 3, 4]
    assert found(where="strategy:sma_cros") == found(where="strategy:sma%cross") == []
    assert found(where="instrument:*coinbase") == [3]
    assert found(where="sharpe>1 sharpe<=3") == [2, 3]
    assert found(where="sharpe>1 trades=3 100%_") == [3]
    assert found(where="param:fast=2 engine:nautilus") == [2]
    assert found(where="param:fast=") == []
    assert found(where="created>2001-09-10") == []
    assert found(where="created>=2001-09-09") == [1, 2, 3, 4]
    assert runs.count(Filters(where="sharpe>1 eth")) == 1
    with pytest.raises(UsageError, match="sharp'"):
        found(where="sharp>1")


@pytest.fixture(scope="module")
def many(module_path: Path) -> Iterator[tuple[Runs, list[Row]]]:
    """Runs of every number that a list is sorted by, each with equal ones and with some that lack it."""
    dice = random.Random(7)
    with Runs(module_path / "runs") as runs:
        kept = [
            runs.keep(
                row(number, numbers={sort: dice.choice([None, 0, 1.5, -1.5, -0.0, 3]) for sort in SORTS}), {}
            )
            for number in range(25)
        ]
        yield runs, kept


@pytest.mark.parametrize("sort", SORTS)
def test_pages_have_every_run_once(many: tuple[Runs, list[Row]], sort: str) -> None:
    runs, kept = many
    for ascending in (False, True):
        seen: list[Row] = []
        after = None
        while page := runs.page(4, sort=sort, ascending=ascending, after=after):
            seen += page
            after = store.key(page[-1], sort, ascending)
        assert {one.id for one in seen} == {one.id for one in kept}
        assert len(seen) == len(kept)
        places = [store.key(one, sort, ascending) for one in seen]
        assert places == sorted(places)
        if sort not in ("created", "duration_s"):
            values = [one.numbers.get(sort) for one in seen]
            some = [value for value in values if value is not None]
            assert some == sorted(some, reverse=not ascending)
            assert values[len(some) :] == [None] * (len(values) - len(some))


def test_a_removed_run_is_gone_with_its_files(runs: Runs) -> None:
    kept = runs.keep(row(1), tables())
    runs.remove(kept.id)
    assert not (runs.folder / kept.id).exists()
    for call in (runs.get, runs.remove):
        with pytest.raises(NotFoundError):
            call(kept.id)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with Runs(tmp_path / "runs") as runs:
        kept = runs.keep(row(1), tables())
        (runs.folder / kept.id / "fills.parquet").write_bytes(b"PAR1" + bytes(40))
        with pytest.raises(DataQualityError, match=r"fills\.parquet"):
            runs.table(kept.id, "fills")
        (runs.folder / kept.id / "orders.parquet").unlink()
        with pytest.raises(DataQualityError):
            runs.table(kept.id, "orders")
        assert len(runs.table(kept.id, "equity"))


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    with Runs(tmp_path / "runs") as runs, runs._used(write=True) as connection:
        connection.exec_driver_sql("UPDATE about SET version = 99")
    with pytest.raises(ConfigError) as refused:
        Runs(tmp_path / "runs")
    assert refused.value.code == "database_newer"


KEEPER = """
import sys
from pathlib import Path
from tests.research.test_store import row, tables
from tidemill.research.store import Runs
runs, rows = Runs(Path(sys.argv[1])), tables()
print("ready", flush=True)
for number in range(10_000):
    runs.keep(row(number), rows)
    print(number, flush=True)
"""


@pytest.mark.parametrize(
    "number", [0, 3, *(pytest.param(number, marks=pytest.mark.soak) for number in (1, 2, *range(4, 20)))]
)
def test_a_kill_leaves_whole_runs_and_orphans_that_go(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(3 + number)]
    # Somewhere within the next run.
    dice = random.Random(number)
    try:
        process.wait(dice.uniform(0.0, 0.02))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    told = [line for line in said[1:] if line.strip()]
    with Runs(tmp_path) as runs:
        kept = runs.page(1000)
        assert len(kept) >= len(told)
        for one in kept:
            assert len(runs.table(one.id, "equity")) == 24 * 5
            assert len(runs.table(one.id, "fills")) > 0
        runs.tidy(older_s=-1)
        assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {one.id for one in kept}


def test_a_young_orphan_may_be_a_run_that_is_being_kept(tmp_path: Path) -> None:
    with Runs(tmp_path) as runs:
        (tmp_path / ".new-x").mkdir()
        assert runs.tidy() == 0
        os.utime(tmp_path / ".new-x", (0, 0))
        assert runs.tidy() == 1


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))
def test_any_text_may_be_looked_for(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Runs(tmp_path_factory.mktemp("runs")) as runs:
        runs.keep(row(1, params={"note": text}), {})
        assert len(runs.page(5, Filters(text=text.strip()))) <= 1
