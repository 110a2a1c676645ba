"""`tidemill up`, `down`, `status`: which platform runs, and what is said of it where."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tidemill.cli import main, platform
from tidemill.control import Silent, Unreachable
from tidemill.errors import NotFoundError, UsageError
from tidemill.home import Home, Lock
from tidemill.log import Log
from tidemill.metadata import Metadata
from tidemill.supervisor.supervisor import read_state

HOLDER = (
    "import sys; from pathlib import Path; from tidemill.home import Lock\n"
    "lock = Lock(Path(sys.argv[1]), 'it'); print('held', flush=True); sys.stdin.read()"
)


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Another process that has the lock at `path`; its pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    try:
        yield process.pid
    finally:
        process.communicate(timeout=10)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.create()
    return home


def state_of(home: Home, pid: int) -> None:
    (home.run / "supervisor.json").write_text(json.dumps({"pid": pid, "port": 8484}))


def test_a_killed_supervisors_pid_that_lives_again_is_nobodys_platform(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """`down` must never end a stranger that got the pid of a supervisor of yesterday."""
    state_of(home, os.getpid())
    home.lock.write_text(f"{os.getpid()}\n")
    assert read_state(home) is None
    assert main(["down", "--home", str(home.path)]) == 5
    assert "no platform runs" in capsys.readouterr().err


def test_the_state_counts_for_the_process_that_has_the_lock(home: Home) -> None:
    with held(home.lock) as pid:
        state_of(home, os.getpid())  # left by the one before
        assert read_state(home) is None
        state_of(home, pid)
        assert read_state(home) == {"pid": pid, "port": 8484}
    assert read_state(home) is None


def test_a_look_at_a_lock_does_not_keep_its_next_holder_out(home: Home) -> None:
    import fcntl

    with home.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.03, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        Lock(home.lock, "home").close()


def test_the_log_of_a_detached_platform_gets_no_key(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "health", lambda home, port: {"ready": True, "parts": []})
    platform._announce(home, 8484, False, 0.0, Log("supervisor"))
    out, err = capsys.readouterr()
    assert not out
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["the platform answers"]
    assert "key" not in err
    platform._announce(home, 8484, False, 0.0, None)
    assert "#key=" in capsys.readouterr().err


def test_an_error_of_a_detached_platform_is_found_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "supervisor.jsonl"
    log.write_text('{"error":{"code":"old"}}\n')
    begins = log.stat().st_size
    assert platform._last_error(log, begins) is None
    with log.open("a") as lines:
        lines.write(
            '{"message":"x","error":{"code":"home_held","category":"conflict","message":"held"}}\nTrace\n'
        )
    found = platform._last_error(log, begins)
    assert found is not None
    assert (found.code, found.exit_code) == ("home_held", 6)


def test_every_error_of_the_command_line_has_the_one_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code, exit_code in (
        (["frob", "--json"], "arguments_unfit", 2),
        (["status", "--bogus", "--json"], "arguments_unfit", 2),
        (["data", "ls", "--json", "--home", str(tmp_path / "none")], "home_unknown", 5),
    ):
        assert main(words) == exit_code
        error = json.loads(capsys.readouterr().err)["error"]
        assert error.keys() == UsageError("", "").as_dict().keys()
        assert error["code"] == code
        assert error["message"]
        assert error["hint"]


@pytest.mark.parametrize("words", [[], ["data"]])
def test_no_command_shows_the_commands_and_complains_of_nothing(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert "Usage: tidemill" in out + err
    assert "error" not in out + err


def test_a_log_line_says_an_error_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["up", "--home", str(file), "--log-lines"]) == 3
    line = json.loads(capsys.readouterr().err)
    assert (line["part"], line["level"], line["error"]["code"]) == ("supervisor", "error", "home_unwritable")
    assert "it is not a folder" in line["message"]


def test_status_names_what_is_free_before_there_is_a_home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--json", "--home", str(tmp_path / "not" / "yet")]) == 5
    assert json.loads(capsys.readouterr().out)["disk"]["free_bytes"] > 0


@pytest.mark.parametrize("venue", ["kraken,coinbase", "kraken coinbase", ""])
def test_connect_takes_one_venue(venue: str, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", venue, "--home", str(home.path)]) == 5
    assert not home.database.exists()


def test_connect_refuses_what_is_no_instrument(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "kraken", "--instruments", "btc", "--home", str(home.path)]) == 2
    assert "write BASE-QUOTE" in capsys.readouterr().err


def test_connect_refuses_a_venue_whose_key_is_missing(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is wanted: its collector would only end, again and again."""
    for name in ("ALPACA_API_KEY", "ALPACA_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    assert main(["connect", "alpaca", "--home", str(home.path)]) == 4
    assert "ALPACA_API_KEY" in capsys.readouterr().err
    assert not home.database.exists()


def test_connect_waits_until_the_collector_collects_what_was_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"state": "live", "instruments": ["BTC-USD.kraken"], "error": None}
    new = {"state": "live", "instruments": ["ETH-USD.kraken", "BTC-USD.kraken"], "error": None}
    answers: list[object] = [Silent("the supervisor is busy"), old, Unreachable("not yet"), new]

    def ask(path: Path, op: str) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(platform, "read_state", lambda home: {"pid": 1, "port": 1})
    monkeypatch.setattr(platform.control, "ask_now", ask)
    words = ["connect", "kraken", "--instruments", "BTC-USD,ETH-USD", "--home", str(home.path)]
    assert main(words) == 0
    assert not answers
    assert "kraken is live: ETH-USD.kraken, BTC-USD.kraken" in capsys.readouterr().err
    error = NotFoundError("instrument_unknown", "kraken lists no 'ETH-USD'").as_dict()
    answers = [{}, old, {**old, "error": error}]
    assert main(words) == NotFoundError.exit_code
    assert "kraken lists no 'ETH-USD'" in capsys.readouterr().err


def test_a_venue_that_cannot_be_reached_is_named_and_not_waited_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"collector-kraken.ctl": {"error": {"message": "no address for api.kraken.com"}}}
    monkeypatch.setattr(platform.control, "ask_now", lambda path, op: said.get(path.name, {"error": None}))

    def parts(*rows: tuple[str, bool]) -> dict[str, object]:
        return {"ready": all(ready for _, ready in rows), "parts": [{"part": p, "ready": r} for p, r in rows]}

    reached = parts(("service", True), ("collector-kraken", False))
    assert platform._settled(home, reached)
    [notice] = platform._notices(home, reached)
    assert notice.startswith("kraken cannot be reached: no address for api.kraken.com; it goes on trying")
    assert "HTTPS_PROXY" in notice
    # What has only not come up yet is waited for, and so is everything on this machine.
    for row in (("collector-coinbase", False), ("collector-sim-kraken", False), ("recorder", False)):
        assert not platform._settled(home, parts(("collector-kraken", False), row))
        assert not platform._notices(home, parts(row))


def test_the_farewell_is_true() -> None:
    assert platform._farewell([]) == "stopped; everything collected is stored"
    said = platform._farewell(["collector-kraken", "recorder"])
    assert said.startswith("stopped; collector-kraken, recorder did not end in order")


@pytest.mark.parametrize(("name", "code"), [("token", "token_exposed"), ("secret", "secret_exposed")])
def test_nothing_starts_where_others_can_read_a_secret(
    home: Home, name: str, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.path / name).chmod(0o644)
    monkeypatch.setattr(platform.subprocess, "Popen", lambda *_, **__: pytest.fail("it started a process"))
    assert main(["up", "--detach", "--home", str(home.path)]) == 3
    assert code in capsys.readouterr().err


@pytest.mark.parametrize("words", [["connect", "kraken"], ["open", "--no-browser"]])
def test_a_damaged_database_is_told_in_words(
    words: list[str], home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Metadata.open(home.database).close()
    with home.database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (home.database.stat().st_size - 4096))
    monkeypatch.setattr(platform, "read_state", lambda home: {"pid": 1, "port": 1})
    assert main([*words, "--home", str(home.path)]) == 3
    assert "database_unreadable" in capsys.readouterr().err
    platform._invite(home, 8484, False)
    assert "no browser can be let in: the metadata database" in capsys.readouterr().err


def test_a_supervisor_that_is_stopped_is_stale_and_its_parts_go_on(home: Home) -> None:
    with (
        held(home.lock) as pid,
        socket.socket(socket.AF_UNIX) as deaf,
        socket.socket(socket.AF_UNIX) as recorder,
    ):
        state_of(home, pid)
        for listener, part in ((deaf, "supervisor"), (recorder, "recorder")):
            listener.bind(str(home.control(part)))
            listener.listen()

        def answer() -> None:
            peer, _ = recorder.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b'{"part":"recorder","state":"live","pid":7}\n')

        threading.Thread(target=answer, daemon=True).start()
        said = platform.platform_status(home)
    assert said["running"]
    supervisor, part = said["parts"]
    assert (supervisor["part"], supervisor["state"], supervisor["pid"]) == ("supervisor", "stale", pid)
    assert "its process runs" in supervisor["detail"]
    assert (part["part"], part["state"], part["pid"]) == ("recorder", "live", 7)
