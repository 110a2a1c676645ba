"""`tidemill bench store`: figures of a lake and of a database, and nothing left behind."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.servers.postgres import Postgres as Server
from tests.stores.make import trades
from tests.stores.test_contract import rows
from tidemill.cli import bench, main
from tidemill.stores.postgres import Postgres
from tidemill.stores.table import TRADES


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "READS", 3)
    monkeypatch.setattr(bench, "BARS", 6_000)


def test_a_lake_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "store", "--rows", "10000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 10_000
    assert told["lake"]["append_rows_s"] > 0
    assert told["lake"]["csv_ratio"] > 1
    assert 0 < told["lake"]["last_5000_bars_ms"]["p50"] <= told["lake"]["last_5000_bars_ms"]["p99"]
    assert "store" not in told


@pytest.mark.parametrize("kind", ["postgres", "timescale"])
def test_a_database_is_measured_in_a_schema_of_its_own(
    request: pytest.FixtureRequest, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server: Server = request.getfixturevalue(kind)
    url = server.database()
    theirs = Postgres(url)
    theirs.append(TRADES, rows(TRADES, trades(10)), {"mine": 1})
    assert main(["bench", "store", "--store", url, "--rows", "10000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["store"]["append_rows_s"] > 0
    assert told["store"]["hypertables"] == (kind == "timescale")
    assert set(told["store_to_lake"]) == {"append_rows_s", "week_vwap_s", "bytes_per_row"}
    assert len(theirs.read(TRADES)) == 10
    theirs.close()
    with psycopg.connect(url) as connection:
        left = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tidemill_bench%'")
        assert left.fetchone() == (0,)


def test_other_stores_are_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "store", "--store", "arctic://user:secret@host"]) == 2
    told = capsys.readouterr().err
    assert "store_unmeasured" in told
    assert "secret" not in told
