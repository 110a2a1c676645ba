"""`/stream`: bytes to the bridge and back, unchanged, with the pressure of the slower side."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, unix_serve
from websockets.typing import Origin

from tests.service.conftest import Service, close_code
from tests.service.journal import Venue
from tidemill.home import Home


@contextlib.contextmanager
def bridge(home: Home, handler: Callable[[ServerConnection], None]) -> Iterator[None]:
    """A WebSocket server where the bridge's would be."""
    path = home.run / "bridge.sock"
    path.unlink(missing_ok=True)
    with unix_serve(handler, str(path), max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()
    path.unlink(missing_ok=True)


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def upgrade(service: Service) -> bytes:
    """The head of a handshake for /stream."""
    return (
        f"GET /stream HTTP/1.1\r\nHost: {service.address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def dial(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


def test_messages_of_any_size_and_kind_pass_unchanged(service: Service) -> None:
    messages: list[str | bytes] = ["", "x", "ü€😀" * 1000, os.urandom(3_000_000), b"", "y" * 70_000]
    with (
        bridge(service.home, echo),
        connect(f"ws://{service.address}/stream", proxy=None, max_size=None) as client,
    ):
        for message in messages:
            client.send(message)
            assert client.recv(10) == message


def test_the_bridge_sees_the_clients_own_headers_and_query(service: Service) -> None:
    seen: dict[str, str] = {}

    def look(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        seen.update({name.lower(): value for name, value in request.headers.raw_items()}, path=request.path)
        connection.send("seen")

    headers = {
        "Cookie": "tidemill_1=a.b; other=c",
        "Authorization": "Bearer abc",
        "X-Thing": "  spaced  value",
    }
    with bridge(service.home, look), connect(
        f"ws://{service.address}/stream?depth=5",
        origin=Origin("https://evil.example"), additional_headers=headers, proxy=None,
    ) as client:  # fmt: skip
        client.recv(5)
    assert seen["path"] == "/stream?depth=5"
    assert seen["host"] == service.address
    assert seen["origin"] == "https://evil.example"
    assert seen["cookie"] == headers["Cookie"]
    assert seen["authorization"] == "Bearer abc"
    assert seen["x-thing"] == "spaced  value"
    assert seen["sec-websocket-version"] == "13"


def test_bytes_are_piped_raw_and_a_refusal_of_the_bridge_reaches_the_client(service: Service) -> None:
    path = service.home.run / "bridge.sock"
    path.unlink(missing_ok=True)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        with dial(service) as client:
            early = os.urandom(100)
            client.sendall(upgrade(service) + early)
            upstream, _ = listener.accept()
            with upstream:
                got = b""
                while early not in got:
                    got += upstream.recv(65536)
                assert got.split(b"\r\n", 1)[0] == b"GET /stream HTTP/1.1"
                assert got.endswith(b"\r\n\r\n" + early)
                refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
                upstream.sendall(refusal)
                assert client.recv(65536) == refusal
            assert client.recv(10) == b""
    path.unlink()


def test_without_a_bridge_a_client_is_told_so(service: Service) -> None:
    (service.home.run / "bridge.sock").unlink(missing_ok=True)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{service.address}/stream", proxy=None)
    assert refused.value.response.status_code == 503
    said = json.loads(refused.value.response.body)
    assert (said["code"], said["retryable"]) == ("bridge_down", True)


def test_a_plain_request_to_the_stream_is_told_to_upgrade(service: Service) -> None:
    answer = service.client.get("/stream")
    assert answer.status_code == 426
    assert answer.json()["code"] == "upgrade_required"


def test_a_second_request_on_a_kept_connection_may_be_a_stream(service: Service) -> None:
    with (
        bridge(service.home, echo),
        dial(service) as client,
    ):
        client.sendall(f"GET /api/v1/health/live HTTP/1.1\r\nHost: {service.address}\r\n\r\n".encode())
        answer = b""
        while b'{"live":true}' not in answer:
            answer += client.recv(65536)
        client.sendall(upgrade(service))
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")


def test_a_client_that_does_not_read_stops_the_bridge_and_not_the_memory(service: Service) -> None:
    sent = 0
    blocked = threading.Event()

    def flood(connection: ServerConnection) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionClosed):
            while True:
                timer = threading.Timer(1.0, blocked.set)
                timer.start()
                connection.send(b"z" * 65536)
                timer.cancel()
                sent += 65536

    with (
        bridge(service.home, flood),
        dial(service) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        before = settled_rss_bytes(service.process.pid)
        client.sendall(upgrade(service))
        assert blocked.wait(20)
        assert sent < 32 << 20
        assert rss_bytes(service.process.pid) - before < 4 << 20


# The service with bounds that a test can wait for.
HASTY = """
import sys
from tidemill.service import main, stream
stream.STALL_S, stream.LINGER_S = 1.0, 0.5
sys.exit(main(sys.argv[2:]))
"""


def test_a_client_that_never_reads_again_is_left_and_the_bridge_is_told(home: Home) -> None:
    service = Service(home, code=HASTY)
    gone = threading.Event()

    def flood(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                connection.send(b"z" * 65536)
        gone.set()

    def words(connection: ServerConnection) -> None:
        connection.send(b"z" * 200_000)  # what the service takes, and the client does not
        connection.close(1012)
        gone.set()

    try:
        for handler in (flood, words):
            gone.clear()
            with bridge(home, handler), dial(service) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.sendall(upgrade(service))
                assert gone.wait(20)
                await_no_pipes(service)
    finally:
        service.stop()


def await_no_pipes(service: Service) -> None:
    deadline = time.monotonic() + 10
    while value(service, 'tidemill_stream_pipes{part="service"}') and time.monotonic() < deadline:
        time.sleep(0.01)
    assert value(service, 'tidemill_stream_pipes{part="service"}') == 0


def value(service: Service, name: str) -> float:
    for line in service.client.get("/metrics").text.splitlines():
        if line.startswith(name):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(name)


def test_when_the_bridge_goes_the_client_goes(service: Service) -> None:
    leave = threading.Event()

    def handler(connection: ServerConnection) -> None:
        leave.wait(10)
        connection.close(1012, "restart")

    with bridge(service.home, handler), connect(f"ws://{service.address}/stream", proxy=None) as client:
        leave.set()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


def test_a_service_that_leaves_says_1012_at_the_end_of_a_frame(
    start: Callable[..., Service], home: Home
) -> None:
    service = start()
    going = threading.Event()

    def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                connection.send("x" * 100_000)
                going.set()

    with bridge(home, handler), connect(f"ws://{service.address}/stream", proxy=None) as client:
        assert going.wait(5)
        service.process.terminate()
        assert close_code(client) == 1012
    assert service.process.wait(15) == 0


def test_who_floods_a_bridge_that_closes_still_hears_why(service: Service) -> None:
    """Bytes that nobody reads any more must not turn the close into a reset that takes the last words."""

    def handler(connection: ServerConnection) -> None:
        connection.recv(10)
        connection.send('{"type":"error"}')
        connection.socket.shutdown(socket.SHUT_RDWR)

    with bridge(service.home, handler), dial(service) as client:
        client.sendall(upgrade(service))
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        ping = bytes((0x81, 0x80 | 4, 0, 0, 0, 0)) + b"ping"
        client.sendall(ping)
        time.sleep(0.3)  # the bridge has closed by now; what follows meets nobody
        client.sendall(ping * 1000)
        said = b""
        while piece := client.recv(65536):
            said += piece
        assert b'{"type":"error"}' in said


def test_when_the_client_goes_the_bridge_is_told(service: Service) -> None:
    gone = threading.Event()

    def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for _ in connection:
                pass
        gone.set()

    with bridge(service.home, handler):
        client = connect(f"ws://{service.address}/stream", proxy=None)
        client.socket.shutdown(socket.SHUT_RDWR)
        assert gone.wait(5)


def test_pipes_are_counted(service: Service) -> None:
    with bridge(service.home, echo):
        before = value(service, 'tidemill_stream_bytes_total{part="service",direction="to_client"}')
        with connect(f"ws://{service.address}/stream", proxy=None) as client:
            client.send(os.urandom(1000))
            client.recv(5)
            assert value(service, 'tidemill_stream_pipes{part="service"}') == 1
        await_no_pipes(service)
        after = value(service, 'tidemill_stream_bytes_total{part="service",direction="to_client"}')
        assert after - before > 1000


def settled_rss_bytes(pid: int) -> int:
    """Memory once the libraries that load behind a start are in: the same twice, two seconds apart."""
    before = -1
    while abs((now := rss_bytes(pid)) - before) > 1 << 19:
        before = now
        time.sleep(2)
    return now


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_market_socket_is_subscribed_at_the_bridge(start: Callable[..., Service], home: Home) -> None:
    Venue.make(home, "sim-kraken", "BTC-USD").writer.close()
    service = start()
    asked: list[dict[str, object]] = []

    def handler(connection: ServerConnection) -> None:
        asked.extend(json.loads(connection.recv()) for _ in range(2))
        connection.send('{"type":"hello"}')
        connection.send('{"type":"trades","rows":[]}')
        connection.recv()

    url = f"ws://{service.address}/ws/market/btc%2Fusd"
    with bridge(home, handler), connect(url, additional_headers=service.bearer, proxy=None) as client:
        assert client.recv(10) == '{"type":"hello"}'
        assert client.recv(10) == '{"type":"trades","rows":[]}'
        auth, subscribe = asked
        assert service.keeper().ticket(str(auth["ticket"])) is not None
        assert subscribe["instruments"] == ["BTC-USD.sim-kraken"]
        assert subscribe["channels"] == ["trades", "quotes", "book", "bars:1s", "status"]

    def cut(connection: ServerConnection) -> None:
        connection.recv()
        connection.recv()
        connection.send('{"type":"cut"}')
        connection.close(4008, "slow")

    with bridge(home, cut), connect(url, additional_headers=service.bearer, proxy=None) as client:
        assert client.recv(10) == '{"type":"cut"}'
        assert json.loads(client.recv(10))["code"] == "client_slow"
        assert close_code(client) == 4008
    with connect(url, additional_headers=service.bearer, proxy=None) as client:
        assert json.loads(client.recv(10))["code"] == "bridge_down"
        assert close_code(client) == 1012
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(home.run / "bridge.sock"))
        hung.listen()
        with connect(url, additional_headers=service.bearer, proxy=None) as client:
            assert json.loads(client.recv(5))["code"] == "bridge_down"
            assert close_code(client) == 1012
    with connect(
        f"ws://{service.address}/ws/market/ETH-USD", additional_headers=service.bearer, proxy=None
    ) as client:
        assert json.loads(client.recv(10))["code"] == "instrument_unknown"
        assert close_code(client) == 4422
