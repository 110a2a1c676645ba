"""The job `query`: the whole answer in a file, of which nothing is seen before it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.stores.make import mixed
from tests.stores.test_live import World
from tidemill.home import Home
from tidemill.jobs import kind
from tidemill.jobs.kind.api import Stopped


class Context:
    """A job that runs here."""

    resumed: Any = None

    def __init__(self, home: Path, *, cancel_after: int = 1 << 60, keep: bool = False) -> None:
        self.home = Home(home)
        self.job_id = "j1"
        self._left = cancel_after
        self.rows = 0
        self._keep = keep

    def progress(
        self, done: int, total: int | None = None, unit: str | None = None, note: str | None = None
    ) -> None:
        self.rows = done

    def checkpoint(self, value: Any) -> None:
        assert self._keep

    def log(self, text: str, level: str = "info") -> None:
        pass

    def cancelled(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "arrow"])
def test_all_rows_in_every_format(tmp_path: Path, form: str) -> None:
    world = World(tmp_path)
    world.write(mixed(800))
    world.record()
    work, context = kind.load("query"), Context(tmp_path)
    asked = work.check({"sql": "SELECT ts_event, price, '=1+1' AS f FROM trades", "format": form})
    result = work.run(context, asked)
    readers = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet, "arrow": pl.read_ipc}
    found = readers[form](tmp_path / result["file"])
    expected = int((world.records["kind"] == 1).sum())
    assert len(found) == result["rows"] == context.rows == expected
    assert set(found["f"]) == {"'=1+1" if form in ("csv", "jsonl") else "=1+1"}
    assert result["bytes"] == (tmp_path / result["file"]).stat().st_size
    world.journal.close()


def test_a_cancelled_one_leaves_nothing(tmp_path: Path) -> None:
    work = kind.load("query")
    asked = work.check({"sql": "SELECT * FROM range(10000000)", "format": "csv"})
    with pytest.raises(Stopped):
        work.run(Context(tmp_path, cancel_after=5), asked)
    assert list((tmp_path / "exports").iterdir()) == []
