"""Whatever a client sends to whatever route: an answer of known shape, no 5xx, and the service lives on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.service.conftest import Service, short_home
from tests.service.journal import MINUTE, START, Venue

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
SHAPE = {"code", "category", "message", "hint", "retryable", "docs", "request_id"}
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    # Signing out would end nothing for a token; the document itself is the same for everyone.
    if operation["operationId"] not in ("document.openapi", "document.page")
]

NASTY = [
    "", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "NaN", "nan", "Infinity", "-Infinity", "1e308", "1e400",
    "-0", "9" * 30, "-" + "9" * 30, "9" * 5000, "0x10", "1_000", "١٢٣", "1.5", "true", "null", "[]", "{}",
    "'", '"', "%", "%%00", "../../etc/passwd", "..\\..\\x", "' OR 1=1 --", "1; DROP TABLE gaps",
    "\u202e", "💥" * 50, "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "\r\nSet-Cookie: x=1",
    "A" * 1000, "a" * 70_000,
    "BTC/USD", "BTC-USD.", ".kraken", ".", "..", "/", "2026-13-01", "0000-00-00", "0001-01-01", "1e10",
    "9999-12-31T23:59:59.999999999Z", "2026-11-20T00:00:00+99:99", "0m", "-1m", "999999999mo", "1y",
    "m", "1 m",
    "eyJhIjoxfQ", "====", "AAAA", "v1.1.a.b.c",
]  # fmt: skip
text = st.one_of(st.sampled_from(NASTY), st.text(max_size=50), st.integers().map(str), st.floats().map(str))


places = st.one_of(st.just("BTC-USD"), st.just("BTC-USD.sim-kraken"), text)


def encoded(value: str) -> str:
    """As it goes into a URL: any code point, lone surrogates as the bytes they would be."""
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    home = short_home()
    venue = Venue.make(home, "sim-kraken", "BTC-USD")
    venue.write(venue.trades("BTC-USD", 100, START, MINUTE))
    venue.write(venue.quotes("BTC-USD", 10, START, MINUTE))
    venue.write(venue.book("BTC-USD", START))
    running = Service(home)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def connection(service: Service) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)


def ask(
    service: Service,
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    try:
        connection.request(
            method, target, body, {**service.bearer, "Host": service.address, **(headers or {})}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, OSError):
        # A connection that was closed after a refusal is opened anew; a service that is gone fails here.
        connection.close()
        connection.request("GET", "/api/v1/health/live", headers={"Host": service.address})
        assert connection.getresponse().read() == b'{"live":true}'
        return 400, b""


def check(status: int, body: bytes, what: str) -> None:
    if status < 400 or (status == 503 and b'"parts"' in body):
        return
    assert status < 500, f"{what}: {status} {body[:500]!r}"
    if body:
        said = json.loads(body)
        assert set(said) == SHAPE, what
        assert said["message"], what
        assert said["request_id"], what


@pytest.mark.parametrize("examples", [15, pytest.param(500, marks=pytest.mark.soak)], ids=str)
@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[o["operationId"] for _, _, o in OPERATIONS]
)
def test_no_input_is_a_server_error(
    service: Service,
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    operation: dict[str, object],
    examples: int,
) -> None:
    parameters = operation.get("parameters", [])
    assert isinstance(parameters, list)
    in_path = [p["name"] for p in parameters if p["in"] == "path"]
    in_query = [p["name"] for p in parameters if p["in"] == "query"]
    names = st.one_of(st.sampled_from(in_query), text) if in_query else text

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        values=st.lists(places, min_size=len(in_path), max_size=len(in_path)),
        query=st.lists(st.tuples(names, text), max_size=4),
        body=st.one_of(st.none(), st.binary(max_size=200), json_bodies()),
    )
    @example(values=["\x00"] * len(in_path), query=[(name, "NaN") for name in in_query], body=b"NaN")
    @example(
        values=["\ud800"] * len(in_path), query=[(name, "\ud800") for name in in_query], body=b'"\\ud800"'
    )
    @example(
        values=["x"] * len(in_path), query=[(name, "1") for name in in_query for _ in "ab"], body=b"[" * 5000
    )
    def run(values: list[str], query: list[tuple[str, str]], body: bytes | None) -> None:
        target = path
        for name, value in zip(in_path, values, strict=True):
            target = target.replace(f"{{{name}}}", encoded(value))
        if query:
            target += "?" + "&".join(f"{encoded(name)}={encoded(value)}" for name, value in query)
        payload = body if method in ("POST", "PUT", "PATCH") else None
        status, said = ask(service, connection, method, target, payload, {"Content-Type": "application/json"})
        check(status, said, f"{method} {target[:200]} {payload!r}")

    run()


def json_bodies() -> st.SearchStrategy[bytes]:
    values = st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["venue", "instruments", "protocol", "key", "x"]), inner, max_size=4
            ),
        ),
        max_leaves=6,
    )
    return values.map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=200).map(
            lambda t: f"GET /{t} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("utf-8", "replace")
        ),
    )
)
def test_bytes_that_are_no_request_leave_the_service_alive(service: Service, data: bytes) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as peer:
        peer.sendall(data + b"\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        answer = peer.recv(65536)
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer
    assert b" 500 " not in answer[:15], answer


def test_afterwards_it_is_as_ready_as_before(service: Service) -> None:
    assert service.stranger.get("/api/v1/health/live").status_code == 200
    assert service.process.poll() is None
    errors = [line for line in service.lines if line["level"] == "error"]
    assert errors == []
