"""`tidemill data generate`: invented history, entered as a job that says how far it is and how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli import main
from tidemill.home import Home
from tidemill.metadata import Metadata, event, job
from tidemill.recorder import generated


def jobs(home: Home) -> list[job.Job]:
    metadata = Metadata.open(home.database)
    with metadata.read() as connection:
        found = job.page(connection, limit=10)
    metadata.close()
    return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def test_the_history_is_a_job_with_progress(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def keep(home: Home, protocols: list[str], _seed: int, _days: int) -> int:
        seen.append(jobs(home)[0].progress)
        return len(protocols)

    monkeypatch.setattr(generated, "keep", keep)
    words = ["data", "generate", "--venues", "kraken,binance", "--days", "3", "--home", str(home.path)]
    assert main(words) == 0
    [done] = jobs(home)
    assert (done.kind, done.state, done.progress) == ("history", "done", 1.0)
    assert done.created == done.started < (done.ended or 0)
    assert done.detail == {"venues": ["sim-kraken", "sim-binance"], "days": 3, "seed": 42}
    assert seen == [0.0, 0.5]
    metadata = Metadata.open(home.database)
    with metadata.read() as connection:
        told = [row.data["state"] for row in event.after(connection, 0, 10) if row.subject == done.id]
    metadata.close()
    assert told == ["running", "running", "done"]


def test_one_that_fails_or_is_killed_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    def killed(*_arguments: object) -> int:
        raise SystemExit(9)

    words = ["data", "generate", "--venues", "kraken", "--home", str(home.path)]
    monkeypatch.setattr(generated, "keep", fail)
    with pytest.raises(OSError, match="No space left"):
        main(words)
    [failed] = jobs(home)
    assert failed.state == "failed"
    assert failed.error is not None
    assert "No space left on device" in failed.error["message"]
    monkeypatch.setattr(generated, "keep", killed)
    with pytest.raises(SystemExit):
        main(words)
    monkeypatch.setattr(generated, "keep", lambda *_: 0)
    assert main(words) == 0
    assert [(one.state, (one.error or {}).get("code")) for one in jobs(home)][:2] == [
        ("done", None),
        ("failed", "killed"),
    ]
