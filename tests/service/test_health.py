"""Health: alive at once, ready when everything wanted is, and otherwise the culprit by name."""

from __future__ import annotations

import itertools
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from websockets.sync.client import connect

from tests.service.conftest import FakePart, Service, close_code
from tidemill.home import Home
from tidemill.metadata import Metadata

Part = Callable[..., FakePart]


def health(service: Service) -> tuple[int, dict[str, dict[str, object]]]:
    answer = service.client.get("/api/v1/health")
    body = answer.json()
    assert body["ready"] is (answer.status_code == 200)
    assert body["live"] is True
    return answer.status_code, {row["part"]: row for row in body["parts"]}


def culprits(service: Service) -> set[str]:
    _, parts = health(service)
    return {name for name, row in parts.items() if not row["ready"]}


def test_readiness_names_what_is_missing(start: Callable[..., Service], part: Part, home: Home) -> None:
    metadata = Metadata.open(home.database)
    metadata.want("kraken", "kraken", actor="cli")
    metadata.close()
    service = start()
    everything = {"bridge", "recorder", "collector-kraken"}
    for count in range(4):
        for down in itertools.combinations(sorted(everything), count):
            running = [part(name) for name in everything - set(down)]
            until(lambda down=down: culprits(service) == set(down))
            code, parts = health(service)
            assert code == (503 if down else 200)
            assert all(parts[name]["detail"] for name in down)
            assert service.stranger.get("/api/v1/health/live").json() == {"live": True}
            assert service.stranger.get("/", headers={"Accept": "text/html"}).status_code in (200, 503)
            for one in running:
                one.close()


def test_a_collectors_own_word_counts(start: Callable[..., Service], part: Part) -> None:
    part("bridge")
    part("recorder")
    collector = part("collector-sim-kraken", venue="sim-kraken", error={"message": "the venue said no"})
    service = start()
    service.client.post("/api/v1/collection/start", json={"venue": "sim-kraken"})
    for state in ("idle", "starting", "stale", "reconnecting", "failed", "live"):
        collector.status["state"] = state
        until(lambda state=state: health(service)[1]["collector-sim-kraken"]["state"] == state)
        code, parts = health(service)
        assert (code == 200) is (state in ("live", "idle"))
        assert parts["collector-sim-kraken"]["detail"] == "the venue said no"


def test_what_is_not_wanted_keeps_nobody_waiting(start: Callable[..., Service], part: Part) -> None:
    for name in ("bridge", "recorder"):
        part(name)
    part("collector-kraken", venue="kraken").status["state"] = "draining"
    assert culprits(start()) == set()


def test_a_process_that_the_supervisor_cannot_keep_up_is_named(
    start: Callable[..., Service], part: Part
) -> None:
    part("bridge")
    part("recorder")
    part("supervisor", parts=[{"part": "relay", "state": "failed", "pid": None, "last_exit": 3}])
    _, parts = health(start())
    assert parts["relay"]["state"] == "failed"
    assert "last exit 3" in str(parts["relay"]["detail"])


def test_a_broken_table_breaks_only_what_needs_it(
    start: Callable[..., Service], part: Part, home: Home
) -> None:
    part("bridge")
    part("recorder")
    service = start()
    with sqlite3.connect(home.database) as database:
        database.execute("DROP TABLE collectors")
    database.close()
    assert culprits(service) == {"database"}  # as the hint of `database_down` promises
    assert "no such table" in str(health(service)[1]["database"]["detail"])
    assert service.client.get("/api/v1/config").json()["code"] == "database_down"
    assert service.stranger.get("/api/v1/health/live").status_code == 200
    assert service.client.get("/api/v1/jobs").status_code == 200
    answer = service.client.get("/api/v1/collection/status")
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_down"


def test_a_drain_is_red_first_then_finishes_what_runs(start: Callable[..., Service], part: Part) -> None:
    part("bridge")
    part("recorder")
    service = start()
    socket = connect(f"ws://{service.address}/ws/events", additional_headers=service.bearer, proxy=None)
    socket.recv(5)
    answers: list[int] = []
    begun = threading.Event()

    def slow_body() -> object:
        begun.set()
        yield b'{"venue":'
        time.sleep(1.0)
        yield b'"sim-kraken"}'

    def request() -> None:
        with httpx.Client(headers=service.bearer, trust_env=False, timeout=20) as client:
            answers.append(
                client.post(
                    f"{service.url}/api/v1/collection/start", content=slow_body(),  # type: ignore[arg-type]
                    headers={"Content-Type": "application/json"},
                ).status_code
            )  # fmt: skip

    worker = threading.Thread(target=request)
    worker.start()
    begun.wait(5)
    time.sleep(0.1)
    started = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    seen_red = False
    while not seen_red and time.monotonic() - started < 0.5:
        code, parts = health(service)
        seen_red = code == 503 and parts["service"]["state"] == "draining"
    assert seen_red
    assert close_code(socket) == 1012
    worker.join(10)
    assert answers == [202]
    assert service.process.wait(60) == 0
    assert time.monotonic() - started < 10
    assert not service.home.control("service").exists()


def test_the_end_of_stdin_ends_a_supervised_service(start: Callable[..., Service]) -> None:
    service = start(None, "--supervised")
    assert service.process.stdin is not None
    service.process.stdin.close()
    assert service.process.wait(60) == 0


def test_a_supervised_service_told_to_end_leaves_with_0_while_its_pipe_is_open(
    start: Callable[..., Service],
) -> None:
    service = start(None, "--supervised")
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0


def test_a_service_told_to_end_before_it_serves_leaves_with_0(home: Home) -> None:
    code = (
        "import os, signal, sys\n"
        "from tidemill.service import main, server\n"
        "server._listen = lambda config: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "--home", str(home.path)], capture_output=True, timeout=30
    )
    assert (run.returncode, run.stderr) == (0, b"")


def until(holds: Callable[[], bool]) -> None:
    """Waits for what the next look at the parts will show."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--host", "0.0.0.0"], "bind_refused"),  # noqa: S104
        (["--host", "::"], "bind_refused"),
        (["--host", "192.168.1.5"], "bind_refused"),
        (["--host", "example.com"], "bind_refused"),
        (["--host", ""], "bind_refused"),
        (["--port", "70000"], "port_invalid"),
        (["--port", "http"], "port_invalid"),
        (["--port", "-1"], "port_invalid"),
    ],
)
def test_an_unsafe_or_senseless_setting_is_refused_with_78(home: Home, words: list[str], code: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tidemill", "serve", "--home", str(home.path), *words],
        capture_output=True,
        timeout=30,
    )
    assert run.returncode == 78
    line = json.loads(run.stderr.splitlines()[-1])
    assert line.keys() == {"ts", "level", "part", "message", "error"}
    assert (line["error"]["code"], line["error"]["category"]) == (code, "config")


def test_a_port_that_is_held_is_a_conflict(service: Service, home: Home) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tidemill", "serve", "--home", str(home.path), "--port", str(service.port)],
        capture_output=True, timeout=30,
    )  # fmt: skip
    assert run.returncode == 6
    assert b"port_held" in run.stderr
