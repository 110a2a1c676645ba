"""Several services of one home, with metadata on PostgreSQL: one platform, whichever of them is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.sync.client import connect

from tests.servers import postgres as server
from tests.servers.postgres import Postgres
from tests.servers.process import free_port
from tests.service.conftest import Service, short_home
from tidemill import control
from tidemill.metadata import Metadata, event


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture(scope="module")
def pair(url: str) -> Iterator[tuple[Service, Service]]:
    home = short_home()
    env = {"TIDEMILL_DATABASE_URL": url}
    both = Service(home, env), Service(home, env)
    yield both
    for one in both:
        one.stop()
    shutil.rmtree(home.path, ignore_errors=True)


def test_the_file_is_not_made(pair: tuple[Service, Service]) -> None:
    assert not pair[0].home.database.exists()
    said = pair[0].client.get("/api/v1/config").json()
    assert (said["database"], said["redis"]) == ("postgresql", "none")
    parts = {part["part"]: part for part in pair[0].client.get("/api/v1/health").json()["parts"]}
    assert parts["database"]["ready"]


def test_who_signs_in_at_one_is_known_at_the_other_until_signing_out(
    pair: tuple[Service, Service], url: str
) -> None:
    first, second = pair
    metadata = Metadata.open(url)
    key = metadata.new_key(actor="cli")
    metadata.close()
    answers = [
        service.stranger.post("/api/v1/session", json={"key": key}, headers={"Origin": service.url})
        for service in pair
    ]
    assert [answer.status_code for answer in answers] == [200, 401]  # the key works once, wherever
    cookie = {"Cookie": f"{first.cookie}={answers[0].cookies[first.cookie]}"}
    with httpx.Client(base_url=second.url, timeout=20, trust_env=False) as other:
        assert other.get("/api/v1/session", headers=cookie).json()["subject"] == "owner"
        gone = other.delete("/api/v1/session", headers={**cookie, "Origin": second.url})
        assert gone.status_code == 200
        assert other.get("/api/v1/session", headers=cookie).status_code == 401
    deadline = time.monotonic() + 4
    while first.stranger.get("/api/v1/session", headers=cookie).status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_collector_started_at_one_is_an_event_at_the_other(pair: tuple[Service, Service]) -> None:
    first, second = pair
    address = f"ws://{second.address}/ws/events"
    with connect(address, additional_headers=second.bearer, proxy=None, close_timeout=0.2) as socket:
        socket.recv(10)
        first.client.post("/api/v1/collection/start", json={"venue": "sim-kraken"})
        assert json.loads(socket.recv(10))["kind"] == "collector_started"
        started = second.client.get("/api/v1/collection/status").json()["collectors"]
        assert [row["wanted"] for row in started] == [True]
        first.client.delete("/api/v1/collection/stop", params={"venue": "sim-kraken"})
        assert json.loads(socket.recv(10))["kind"] == "collector_stopped"


def test_a_follower_hears_at_once_who_writes_past_the_service(
    pair: tuple[Service, Service], url: str
) -> None:
    """PostgreSQL tells: most waits are far below the half second after which the service looks by itself."""
    metadata = Metadata.open(url)
    address = f"ws://{pair[1].address}/ws/events"
    waits = []
    with connect(address, additional_headers=pair[1].bearer, proxy=None, close_timeout=0.2) as socket:
        socket.recv(10)
        for number in range(9):
            with metadata.write() as connection:
                event.append(connection, "note", str(number), actor="cli")
            started = time.monotonic()
            assert json.loads(socket.recv(10))["subject"] == str(number)
            waits.append(time.monotonic() - started)
    metadata.close()
    assert sorted(waits)[4] < 0.2


def test_what_the_database_cannot_take_is_no_failure_of_ours(pair: tuple[Service, Service]) -> None:
    client = pair[0].client
    for answer in (
        client.delete("/api/v1/collection/stop", params={"venue": "a\0b"}),
        client.get("/api/v1/jobs/a%00b"),
        client.get("/api/v1/gaps", params={"venue": "a\0b"}),
        client.get("/api/v1/events", params={"after": 2**62}),
        pair[0].stranger.post("/api/v1/session", json={"key": "\0" * 40}, headers={"Origin": pair[0].url}),
    ):
        assert answer.status_code < 500, answer.text


def test_each_has_a_control_socket_of_its_own(pair: tuple[Service, Service]) -> None:
    first, second = pair
    pids = [
        control.ask_now(first.home.control(name), "status")["pid"]
        for name in ("service", f"service-{second.port}")
    ]
    assert pids == [first.process.pid, second.process.pid]


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A server that a test may stop."""
    programs = server.plain()
    if programs is None:
        pytest.skip("no PostgreSQL here")
    with Postgres(programs) as running:
        yield running


def test_a_database_that_dies_takes_nothing_with_it_and_is_taken_back(own: Postgres) -> None:
    """Market data is answered, health names the database, what needs it says so: and nothing is a 500."""
    home = short_home()
    service = Service(home, {"TIDEMILL_DATABASE_URL": own.database()})
    try:
        own.process.kill()
        for _ in range(3):
            assert service.client.get("/api/v1/instruments").status_code == 200
            assert service.client.get("/api/v1/datasets").status_code == 200
            said = {part["part"]: part for part in service.client.get("/api/v1/health").json()["parts"]}
            assert (said["database"]["state"], said["database"]["ready"]) == ("failed", False)
            assert said["data"]["ready"]
            for answer in (
                service.client.get("/api/v1/collection/status"),
                service.client.get("/api/v1/events"),
                service.client.get("/api/v1/jobs"),
                service.client.get("/api/v1/config"),
                service.client.post("/api/v1/collection/start", json={"venue": "sim-kraken"}),
                service.stranger.post(
                    "/api/v1/session", json={"key": "k" * 40}, headers={"Origin": service.url}
                ),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "database_down"), answer.text
        assert service.stranger.get("/api/v1/health/live").status_code == 200
        own.process.start()
        deadline = time.monotonic() + 10
        while service.client.get("/api/v1/collection/status").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        service.stop()
        shutil.rmtree(home.path, ignore_errors=True)


def test_a_service_whose_database_is_away_does_not_start_and_says_why() -> None:
    home = short_home()
    words = [sys.executable, "-m", "tidemill", "serve", "--home", str(home.path), "--port", "0"]
    address = f"postgresql://me:CANARY@127.0.0.1:{free_port()}/tidemill"
    run = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TIDEMILL_DATABASE_URL": address},
    )
    shutil.rmtree(home.path, ignore_errors=True)
    said = run.stdout + run.stderr
    assert run.returncode not in (0, 1)
    assert "database_down" in said
    assert "refused" in said
    assert "CANARY" not in said
    assert "Traceback" not in said
