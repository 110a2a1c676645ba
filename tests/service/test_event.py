"""Events over REST and WebSocket: everything after an id, in order, once, and then what comes."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.service.conftest import Service, close_code
from tidemill.metadata import Metadata, event


def write(service: Service, count: int) -> list[int]:
    metadata = Metadata.open(service.home.database)
    with contextlib.closing(metadata), metadata.write() as connection:
        return [event.append(connection, "test", f"s{i}", actor="cli", data={"i": i}) for i in range(count)]


def follow(service: Service, query: str = "") -> ClientConnection:
    url = f"ws://{service.address}/ws/events{query}"
    return connect(url, additional_headers=service.bearer, proxy=None, close_timeout=0.2)


def take(socket: ClientConnection, count: int) -> list[int]:
    return [json.loads(socket.recv(10))["id"] for _ in range(count)]


def test_a_follower_gets_the_past_and_then_the_present(service: Service) -> None:
    first = write(service, 1200)
    with follow(service, f"?after={first[0] - 1}") as socket:
        assert json.loads(socket.recv(5)) == {"type": "hello", "version": 1, "after": first[0] - 1}
        assert take(socket, 1200) == first
        later = write(service, 3)
        assert take(socket, 3) == later
    with follow(service, f"?after={later[0]}") as socket:
        socket.recv(5)
        assert take(socket, 2) == later[1:]


def test_without_an_id_only_what_comes_is_told(service: Service) -> None:
    write(service, 5)
    with follow(service) as socket:
        socket.recv(5)
        written = write(service, 2)
        assert take(socket, 2) == written


def test_a_follower_sees_a_change_made_by_a_request_at_once(service: Service) -> None:
    with follow(service) as socket:
        socket.recv(5)
        service.client.post("/api/v1/collection/start", json={"venue": "sim-kraken"})
        said = json.loads(socket.recv(5))
        assert (said["type"], said["kind"], said["subject"]) == ("event", "collector_started", "sim-kraken")
        service.client.delete("/api/v1/collection/stop", params={"venue": "sim-kraken"})
        assert json.loads(socket.recv(5))["kind"] == "collector_stopped"


def test_followers_that_come_while_events_are_written_miss_and_repeat_nothing(service: Service) -> None:
    done = threading.Event()
    written: list[int] = []

    def writer() -> None:
        while not done.is_set():
            written.extend(write(service, 7))

    start = write(service, 1)[0]
    thread = threading.Thread(target=writer)
    thread.start()
    try:
        for _ in range(5):
            with follow(service, f"?after={start}") as socket:
                socket.recv(5)
                seen = take(socket, 60)
                assert seen == list(range(start + 1, start + 61))
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?after=1.0", "?after=" + "9" * 30, "?after="])
def test_a_wrong_id_is_told_in_the_one_shape(service: Service, query: str) -> None:
    with follow(service, query) as socket:
        assert json.loads(socket.recv(5))["code"] == "parameter_invalid"
        assert close_code(socket) == 4422


@pytest.mark.parametrize("query", ["?aftr=1", "?after=1&after=2", "?ticket=x"])
def test_an_unknown_parameter_refuses_the_handshake(service: Service, query: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        follow(service, query)
    assert refused.value.response.status_code == 422
    assert json.loads(refused.value.response.body)["code"] in ("parameter_unknown", "parameter_repeated")


def test_an_unknown_websocket_is_a_404_with_the_known_ones(service: Service) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{service.address}/ws/nothing", additional_headers=service.bearer, proxy=None)
    assert refused.value.response.status_code == 404
    assert "/ws/events" in json.loads(refused.value.response.body)["hint"]


def test_a_ping_is_answered_and_a_flood_is_cut(service: Service) -> None:
    with follow(service) as socket:
        socket.recv(5)
        socket.send('{"op":"ping","id":9}')
        assert json.loads(socket.recv(5)) == {"type": "pong", "id": 9}
        with contextlib.suppress(ConnectionClosed):
            for i in range(1000):
                socket.send(json.dumps({"op": "ping", "id": i}))
        assert close_code(socket) == 4429


def test_a_message_beyond_the_protocols_bound_is_cut(service: Service) -> None:
    with follow(service) as socket:
        socket.recv(5)
        socket.send("x" * 200_000)
        assert close_code(socket) == 1009


def test_pages_of_events_chain(service: Service) -> None:
    ids = write(service, 25)
    seen: list[int] = []
    after = ids[0] - 1
    while True:
        page = service.client.get("/api/v1/events", params={"after": after, "limit": 7}).json()
        seen += [row["id"] for row in page["items"]]
        if not page["items"]:
            break
        after = page["next"]
    assert seen == ids
    iso = service.client.get("/api/v1/events", params={"after": ids[-2], "time": "iso"}).json()["items"][0]
    assert iso["ts"].endswith("Z")
