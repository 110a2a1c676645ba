"""`tidemill data query`: what people type, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from tests.stores.make import mixed
from tests.stores.test_live import World
from tidemill.cli import main


def test_what_is_typed_is_answered(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path / "home")
    world.write(mixed(500))
    world.record()
    home = ("--home", str(world.home))
    trades = int((world.records["kind"] == 1).sum())
    assert main(["data", "query", "SELECT count(*) AS n FROM trades", "--json", *home]) == 0
    assert json.loads(capfd.readouterr().out)["items"] == [{"n": str(trades)}]
    out = tmp_path / "out.parquet"
    assert main(["data", "query", "FROM trades", "--format", "parquet", "-o", str(out), *home]) == 0
    assert len(pl.read_parquet(out)) == trades
    assert main(["data", "query", "FROM trades", "--as-job", "--json", *home]) == 0
    assert json.loads(capfd.readouterr().out)["id"]
    world.journal.close()
