"""`tidemill jobs`: straight on the database, data on stdout, talk on stderr, exit codes as documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidemill.cli import main
from tidemill.home import Home
from tidemill.metadata import Metadata, job


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def asked(home: Home, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """What the command said on stdout, as JSON."""
    assert main(["jobs", *words, "--home", str(home.path), "--json"]) == code
    said = capsys.readouterr()
    return json.loads(said.out if code in (0, 130) else said.err)


def test_a_job_from_submit_to_its_end(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    first = asked(home, capsys, "submit", "tidy", "--key", "k", "--priority", "3")
    assert (first["state"], first["priority"], first["owner"]) == ("queued", 3, "owner")
    assert asked(home, capsys, "submit", "tidy", "--key", "k")["id"] == first["id"]
    done = asked(home, capsys, "submit", "tidy", "--key", "k", "--wait")
    assert (done["id"], done["state"]) == (first["id"], "done")
    assert done["result"] == {"sessions": 0, "keys": 0, "events": 0, "jobs": 0, "leases": 0, "firings": 0}
    other = asked(home, capsys, "submit", "verify")
    items = asked(home, capsys, "ls")["items"]
    assert [one["id"] for one in items] == [other["id"], first["id"]]
    assert [one["id"] for one in asked(home, capsys, "ls", "--state", "queued")["items"]] == [other["id"]]
    assert asked(home, capsys, "cancel", other["id"])["state"] == "cancelled"
    assert asked(home, capsys, "cancel", other["id"])["state"] == "cancelled"
    metadata = Metadata.open(home.database)
    with metadata.write() as connection:
        name = job.submit(connection, "tidy", owner="owner")[0].id
        mine = job.claim(connection, "w", lease_s=9)
        assert mine is not None
        job.log(connection, name, mine.token, [(10**18, "info", "[bold]said")])
    metadata.close()
    shown = asked(home, capsys, "show", name, "--logs")
    assert shown["logs"] == [{"ts": str(10**18), "level": "info", "text": "[bold]said"}]
    assert "token" not in shown
    assert main(["jobs", "show", name, "--logs", "--home", str(home.path)]) == 0
    assert "[bold]said" in capsys.readouterr().out
    assert main(["jobs", "ls", "--home", str(home.path)]) == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["show", "nobody"], 5, "job_unknown"),
        (["cancel", "nobody"], 5, "job_unknown"),
        (["submit", "tidi"], 5, "kind_unknown"),
        (["submit", "tidy", "--detail", '{"a": 1}'], 2, "detail_unfit"),
        (["submit", "export", "--detail", '{"kind": "bars"}'], 2, "detail_unfit"),
        (["submit", "history", "--detail", '{"venues": ["kraken"]}'], 5, "venue_unknown"),
        (["submit", "tidy", "--detail", "[]"], 2, "arguments_unfit"),
        (["ls", "--state", "tired"], 2, "arguments_unfit"),
    ],
)
def test_what_cannot_be(
    home: Home, capsys: pytest.CaptureFixture[str], words: list[str], code: int, error: str
) -> None:
    assert asked(home, capsys, *words, code=code)["error"]["code"] == error


def test_export_and_verify_are_jobs_too(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    history = {"venues": ["sim-kraken"], "days": 1}
    assert asked(home, capsys, "submit", "history", "--wait", "--detail", json.dumps(history))
    detail = {"kind": "bars", "instrument": "BTC-USD.sim-kraken", "interval": "1h", "format": "jsonl"}
    done = asked(home, capsys, "submit", "export", "--wait", "--detail", json.dumps(detail))
    assert done["state"] == "done", done
    file = home.path / done["result"]["file"]
    assert file == home.path / "exports" / f"{done['id']}.jsonl"
    assert len(file.read_text().splitlines()) == done["result"]["rows"] >= 23
    assert file.stat().st_size == done["result"]["bytes"]
    what = json.dumps({"what": "BTC-USD.sim-kraken"})
    checked = asked(home, capsys, "submit", "verify", "--wait", "--detail", what)
    assert checked["state"] == "done", checked
    assert checked["result"]["clean"]
    assert [one["venue"] for one in checked["result"]["venues"]] == ["sim-kraken"]
    unknown = json.dumps(detail | {"instrument": "BTC-USB"})
    assert main(["jobs", "submit", "export", "--wait", "--detail", unknown, "--home", str(home.path)]) == 5


def test_what_a_job_says_is_no_markup(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    entered = asked(home, capsys, "submit", "verify", "--key", "[/red]")
    with Metadata.of(home).write() as connection:
        mine = job.claim(connection, "w", lease_s=9)
        assert mine is not None
        assert job.advance(
            connection, mine.id, mine.token, job.Progress(1, 2, "[bold]", note="at [/red] [x]")
        )
        assert job.log(connection, mine.id, mine.token, [(1, "info", "[/red]")])
    for words in (["ls"], ["show", entered["id"], "--logs"]):
        assert main(["jobs", *words, "--home", str(home.path)]) == 0
        assert "at [/red] [x]" in capsys.readouterr().out
