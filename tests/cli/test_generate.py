"""`tidemill data generate`: invented history, entered as a job that says how far it is and how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli import main
from tidemill.home import Home
from tidemill.metadata import Metadata, event, job


def jobs(home: Home) -> list[job.Job]:
    metadata = Metadata.open(home.database)
    with metadata.read() as connection:
        found = job.page(connection, limit=10)
    metadata.close()
    return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def test_the_history_is_a_job_with_progress(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "generate", "--venues", "kraken,binance", "--days", "1", "--home", str(home.path)]
    assert main(words) == 0
    [done] = jobs(home)
    assert (done.kind, done.state, done.progress, done.owner) == ("history", "done", 1.0, "owner")
    assert done.detail == {"venues": ["sim-kraken", "sim-binance"], "days": 1, "seed": 42}
    assert (done.done, done.total, done.unit, done.attempts) == (2, 2, "venues", 1)
    kept = (done.result or {})["instruments"]
    assert kept > 4
    assert f"{kept} instruments got 1 days" in capsys.readouterr().err.replace("\n", " ")
    assert home.generated("kraken").exists()
    metadata = Metadata.open(home.database)
    with metadata.read() as connection:
        told = [row.data["state"] for row in event.after(connection, 0, 100) if row.subject == done.id]
    metadata.close()
    assert told[0] == "queued"
    assert set(told[1:-1]) == {"running"}
    assert told[-1] == "done"
    # Again, it keeps nothing: what an instrument has stays.
    assert main(words) == 0
    assert jobs(home)[0].result == {"instruments": 0}


def test_one_that_fails_says_so_with_the_exit_code_of_its_cause(home: Home) -> None:
    home.create()
    (home.lake / "bars").write_text("no folder")
    assert main(["data", "generate", "--venues", "kraken", "--home", str(home.path)]) != 0
    [failed] = jobs(home)
    assert failed.state == "failed"
    assert failed.error is not None
