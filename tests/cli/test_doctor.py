"""`tidemill doctor` on broken homes: it names the cause and the fix, and one finding hides no other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.servers.process import free_port
from tests.servers.redis import Redis
from tests.stores.make import mixed
from tests.stores.test_live import World
from tidemill.cli import doctor, main
from tidemill.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("TIDEMILL_PORT", raising=False)
    home = Home.at(tmp_path / "home")
    home.create()
    return home


def findings(home: Home, capsys: pytest.CaptureFixture[str], check: str) -> list[dict[str, str]]:
    capsys.readouterr()
    main(["doctor", "--json", "--home", str(home.path)])
    return [line for line in json.loads(capsys.readouterr().out) if line["check"] == check]


def test_a_port_that_is_none(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("abc", "0", "65536", "-1", "٣"):
        monkeypatch.setenv("TIDEMILL_PORT", text)
        [port] = findings(home, capsys, "port")
        assert port["verdict"] == "fail"
        assert repr(text) in port["found"]


def test_a_check_that_fails_itself_is_a_finding(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def _broken(_home: Home) -> None:
        raise PermissionError(13, "Permission denied", "/x")

    monkeypatch.setattr(doctor, "CHECKS", (_broken, *doctor.CHECKS))
    [broken] = findings(home, capsys, "broken")
    assert broken["verdict"] == "fail"
    assert "Permission denied" in broken["found"]
    assert findings(home, capsys, "disk")


def test_a_damaged_database(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.database.write_bytes(b"no database" * 1000)
    [database] = findings(home, capsys, "database")
    assert database["verdict"] == "fail"
    assert "damaged" in database["found"]
    assert "move it aside" in database["fix"]


def test_a_home_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    [home] = findings(Home.at(file), capsys, "home")
    assert (home["verdict"], home["found"]) == ("fail", f"{file} is not a folder")


def test_files_of_another_user(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert not findings(home, capsys, "owner")
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(home.run, 4242, 4242)
    [owner] = findings(home, capsys, "owner")
    assert owner["verdict"] == "fail"
    assert f"{home.run} belongs to user 4242" in owner["found"]
    assert f"chown -R root {home.path}" in owner["fix"]


def test_a_damaged_segment_of_a_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path / "home")
    world.write(mixed(3_000))
    world.write(mixed(3_000, first_id=9_000, seed=4))
    world.journal.close()
    home = Home.at(world.home)
    [whole] = findings(home, capsys, "journal")
    assert whole["verdict"] == "ok"
    [segment] = home.journal.glob("*/*.seg")
    with segment.open("r+b") as file:
        file.seek(100_000)
        file.write(b"\xff" * 16)
    [damaged] = findings(home, capsys, "journal")
    assert damaged["verdict"] == "fail"
    assert "are damaged, the first at 1:" in damaged["found"]
    assert "tidemill data verify" in damaged["fix"]


def test_a_damaged_file_of_the_lake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path / "home")
    world.write(mixed(500))
    world.record()
    world.journal.close()
    home = Home.at(tmp_path / "home")
    [sound] = findings(home, capsys, "lake")
    assert sound["verdict"] == "ok"
    trades = next((home.lake / "trades").rglob("*.parquet"))
    trades.write_bytes(trades.read_bytes()[:-20])
    log = max((home.lake / "bars" / "_delta_log").glob("*.json"))
    log.write_text("{")
    found = findings(home, capsys, "lake")
    assert [one["verdict"] for one in found] == ["fail", "fail"]
    assert any(str(trades) in one["found"] for one in found)
    assert any("bars" in one["found"] for one in found)


def test_what_is_not_wanted_is_not_wrong(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidemill.cli import platform

    parts = [{"part": "collector-x", "state": "stopped"}, {"part": "bridge", "state": "failed"}]
    monkeypatch.setattr(doctor, "read_state", lambda home: {"pid": 1, "port": 1})
    monkeypatch.setattr(platform, "platform_status", lambda home: {"parts": parts})
    assert not findings(home, capsys, "collector-x")
    assert findings(home, capsys, "bridge")


def test_each_redis_is_asked(
    home: Home, redis: Redis, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_REDIS_URL", redis.url())
    monkeypatch.setenv("TIDEMILL_BROKER_URL", f"redis://:secret@127.0.0.1:{free_port()}/1")
    [answers] = findings(home, capsys, "redis")
    assert answers["verdict"] == "ok"
    [away] = findings(home, capsys, "broker")
    assert away["verdict"] == "fail"
    assert "TIDEMILL_BROKER_URL" in away["fix"]
    assert "secret" not in json.dumps(away)
    assert not findings(home, capsys, "bus")
