"""Who may ask: credentials, Host, Origin, forged requests, size and shape of what comes."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.service.conftest import Service, short_home
from tidemill.service.command import REGISTRY, Command
from tidemill.service.route import enter_all

enter_all()
SHAPE = {"code", "category", "message", "hint", "retryable", "docs", "request_id"}
REST = [c for c in REGISTRY.values() if c.method != "WS"]
# /stream has the bridge's own guard: its bytes never come this far.
SOCKETS = [c for c in REGISTRY.values() if c.method == "WS" and c.id != "stream"]


@pytest.fixture
def browser(service: Service) -> Iterator[httpx.Client]:
    with contextlib.closing(service.browser()) as client:
        yield client


@pytest.fixture(scope="module")
def signed_in(service: Service) -> Iterator[httpx.Client]:
    """The same for all tests that do not sign out."""
    with contextlib.closing(service.browser()) as client:
        yield client


def path_of(template: str) -> str:
    for name in ("{symbol}", "{id}", "{venue}"):
        template = template.replace(name, "x")
    return template


def is_refusal(answer: httpx.Response, code: str, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == SHAPE
    assert answer.json()["code"] == code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("command", REST, ids=lambda c: c.id)
def test_every_route_but_the_open_ones_needs_a_caller(service: Service, command: Command) -> None:
    answer = service.stranger.request(command.method, path_of(command.path))
    if command.scope == "open":
        assert answer.status_code != 401
    else:
        is_refusal(answer, "not_signed_in", 401)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_only_liveness_and_the_session_exchange_are_open() -> None:
    assert {c.id for c in REST if c.scope == "open"} == {"health.live", "session.open"}


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api", "/metrics", "/ws/events", "/stream", "/candles", "/api/v1/config/"]
)
def test_unknown_paths_of_the_interfaces_need_a_caller_too(service: Service, path: str) -> None:
    is_refusal(service.stranger.get(path), "not_signed_in", 401)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "bearer {token}x",
        "Basic {token}",
        "{token}",
        "Bearer {token} {token}",
        "Token {token}",
    ],
)
def test_a_wrong_token_is_refused(service: Service, header: str) -> None:
    answer = service.stranger.get(
        "/api/v1/config", headers={"Authorization": header.format(token=service.token).strip() or "x"}
    )
    is_refusal(answer, "not_signed_in", 401)
    assert service.token not in answer.text


def test_a_token_in_the_query_is_no_credential(service: Service) -> None:
    answer = service.stranger.get("/api/v1/config", params={"token": service.token})
    is_refusal(answer, "not_signed_in", 401)


def test_two_authorization_headers_are_refused(service: Service) -> None:
    headers = [("Authorization", f"Bearer {service.token}"), ("Authorization", f"Bearer {service.token}")]
    is_refusal(service.stranger.get("/api/v1/config", headers=headers), "not_signed_in", 401)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:1", "127.0.0.2:9", "[::1]", "[::1]:8484"]
)
def test_loopback_hosts_are_answered(service: Service, host: str) -> None:
    assert service.client.get("/api/v1/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:8484", "10.0.0.1",
     "0.0.0.0", "[::2]", "127.0.0.1@evil.example", "2130706433", ":8484"],  # noqa: S104
)  # fmt: skip
def test_other_hosts_are_not(service: Service, host: str) -> None:
    answer = service.client.get("/api/v1/health/live", headers={"Host": host})
    is_refusal(answer, "host_refused", 421)
    assert "TIDEMILL_ALLOWED_HOSTS" in answer.json()["hint"]


def test_no_host_and_two_hosts_are_refused(service: Service) -> None:
    for head in (
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ):
        assert b" 421 " in raw(service, head).split(b"\r\n", 1)[0]


FOREIGN = [
    "https://evil.example", "null", "http://localhost", "https://127.0.0.1:{port}", "http://127.0.0.1:{other}",
    "http://127.0.0.1:{port}.evil.example", "http://evil.example:{port}", "http://127.0.0.1:{port}@evil.example",
    "http://127.0.0.2:{port}", "http://[::1]:{port}", "ws://127.0.0.1:{port}", "http://127.0.0.1", "file://",
    "http://127.0.0.1:{port}/", "http://127.0.0.1:{port}#x", "chrome-extension://abc", "http://127.0.0.1:{port}:80",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_is_refused_with_any_credential(service: Service, origin: str) -> None:
    origin = origin.format(port=service.port, other=service.port + 1)
    answer = service.client.get("/api/v1/config", headers={"Origin": origin})
    is_refusal(answer, "origin_refused", 403)
    assert "TIDEMILL_ALLOWED_ORIGINS" in answer.json()["hint"]
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("command", SOCKETS, ids=lambda c: c.id)
@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_opens_no_websocket(service: Service, command: Command, origin: str) -> None:
    origin = origin.format(port=service.port, other=service.port + 1)
    with pytest.raises(InvalidStatus) as refused:
        connect(
            f"ws://{service.address}{path_of(command.path)}",
            additional_headers={**service.bearer, "Origin": origin}, proxy=None,
        )  # fmt: skip
    assert refused.value.response.status_code == 403
    assert b'"origin_refused"' in refused.value.response.body


def test_the_own_origin_is_answered(service: Service) -> None:
    answer = service.client.get("/api/v1/config", headers={"Origin": service.url.upper()})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == service.url


def test_listed_hosts_and_origins_are_answered(start: Callable[..., Service]) -> None:
    service = start(
        {
            "TIDEMILL_ALLOWED_HOSTS": "tide.example",
            "TIDEMILL_ALLOWED_ORIGINS": "https://desk.example/, http://x",
        }
    )
    headers = {"Host": "tide.example", "Origin": "https://desk.example"}
    assert service.client.get("/api/v1/config", headers=headers).status_code == 200
    preflight = service.stranger.options(
        "/api/v1/collection/start", headers={**headers, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://desk.example"
    is_refusal(
        service.client.get("/", headers={"Origin": "https://desk.example.evil"}), "origin_refused", 403
    )


UNSAFE = [c for c in REST if c.method not in ("GET", "HEAD") and c.scope != "open"]


@pytest.mark.parametrize("command", UNSAFE, ids=lambda c: c.id)
@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "{url}"}, False),
        ({"Origin": "{url}", "Sec-Fetch-Site": "same-origin"}, False),
    ],
)
def test_with_a_cookie_only_the_own_page_changes_anything(
    service: Service, request: pytest.FixtureRequest, command: Command, headers: dict[str, str], refused: bool
) -> None:
    browser = request.getfixturevalue("browser" if command.id.startswith("session.") else "signed_in")
    answer = browser.request(
        command.method,
        path_of(command.path),
        headers={name: value.format(url=service.url) for name, value in headers.items()},
    )
    if refused:
        is_refusal(answer, "cross_site_refused", 403)
    else:
        assert answer.status_code not in (401, 403)


def test_a_cookie_opens_a_websocket_only_with_its_origin(service: Service, browser: httpx.Client) -> None:
    cookie = {"Cookie": f"{service.cookie}={browser.cookies[service.cookie]}"}
    url = f"ws://{service.address}/ws/events"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, additional_headers=cookie, proxy=None)
    assert refused.value.response.status_code == 403
    with connect(url, additional_headers=cookie, origin=service.url, proxy=None) as socket:
        assert '"hello"' in str(socket.recv(5))


def test_every_answer_has_the_security_headers(service: Service) -> None:
    for answer in (
        service.client.get("/api/v1/config"),
        service.client.get("/api/v1/nothing"),
        service.stranger.get("/api/v1/config"),
        service.stranger.get("/", headers={"Accept": "text/html"}),
        service.stranger.get("/assets/none.js"),
        service.client.get("/", headers={"Host": "evil.example"}),
        service.client.get("/api/docs"),
        service.client.get("/metrics"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self';" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_a_body_over_the_limit_is_refused_before_it_is_read(service: Service) -> None:
    answer = service.client.post("/api/v1/collection/start", content=b"x" * (1 << 20) + b"x")
    is_refusal(answer, "body_too_large", 413)

    def pieces() -> object:
        for _ in range(40):
            yield b" " * 65536

    is_refusal(
        service.client.post(
            "/api/v1/collection/start", content=pieces(), headers={"Content-Type": "application/json"}
        ),
        "body_too_large",
        413,
    )


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[" * 100_000, {}),
        (b'{"venue":' * 50_000, {}),
        (b"\x1f\x8b\x08\x00", {"Content-Encoding": "gzip"}),
        (b"\xff\xfe", {}),
        (b'{"venue":"kraken","owner":"eve"}', {}),
        (b'{"venue":NaN}', {}),
        (b'{"venue":"\\ud800"}', {}),
        (b'{"venue":"kraken","instruments":["\\u0000"]}', {}),
        (b'{"venue":"kraken","protocol":1e400}', {}),
        (b'{"venue":"../x"}', {}),
        (b"venue=kraken", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"", {}),
        (b"null", {}),
    ],
)
def test_hostile_bodies_are_usage_errors(service: Service, body: bytes, headers: dict[str, str]) -> None:
    answer = service.client.post(
        "/api/v1/collection/start", content=body, headers={"Content-Type": "application/json", **headers}
    )
    assert 400 <= answer.status_code < 500, answer.text
    assert set(answer.json()) == SHAPE


def test_a_body_that_is_no_json_is_told_where_it_ends_to_be(service: Service) -> None:
    for body, where in (
        (b"nope", "character 0"),
        (b'{"venue":"kraken",}', "character 18"),
        (b'{"a', "character"),
    ):
        answer = service.client.post(
            "/api/v1/collection/start", content=body, headers={"Content-Type": "application/json"}
        )
        said = answer.json()
        assert (answer.status_code, said["code"]) == (400, "request_invalid")
        assert said["message"].startswith("the body is not JSON: ")
        assert where in said["message"]


@pytest.mark.parametrize("path", ["/api/v1/config", "/api/v1/health/live", "/metrics", "/api/docs"])
def test_head_is_get_without_the_body(service: Service, path: str) -> None:
    whole, head = service.client.get(path), service.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert int(head.headers["content-length"]) > 0
    assert service.stranger.head(path).status_code == (200 if path.endswith("live") else 401)


def test_what_only_takes_a_change_says_so_to_a_reader(service: Service) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = service.client.request(method, "/api/v1/collection/start")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = service.client.post("/api/v1/config")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_handshake_with_an_unfit_parameter_is_refused_in_the_one_shape(
    service: Service,
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(
            f"ws://{service.address}/ws/market/{'a' * 300}", proxy=None, additional_headers=service.bearer
        )
    response = refused.value.response
    assert response.status_code == 422
    assert json.loads(response.body or b"")["code"] == "parameter_invalid"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000, 431),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n", 431),
        (b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_not_http_is_answered_in_the_one_shape(service: Service, head: bytes, status: int) -> None:
    answer = raw(service, head)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert answer.count(b"x-request-id") == 1
    head_lines, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert said["hint"]
    assert f"x-request-id: {said['request_id']}".encode() in head_lines.splitlines()
    assert service.stranger.get("/api/v1/health/live").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /api/v1/",
        b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /api/v1/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_who_sends_too_slowly_is_let_go(slow: Service, sent: bytes) -> None:
    """Drips a byte now and then, which must not keep the connection open."""
    with socket.create_connection(("127.0.0.1", slow.port), timeout=10) as peer:
        peer.sendall(sent)
        peer.settimeout(0.2)
        started = time.monotonic()
        answer = b""
        while time.monotonic() - started < 15:
            try:
                piece = peer.recv(65536)
            except TimeoutError:
                if sent:
                    with contextlib.suppress(OSError):
                        peer.sendall(b"x")
                continue
            except ConnectionError:
                break
            if not piece:
                break
            answer += piece
        assert time.monotonic() - started < 8
    assert not answer or b" 408 " in answer or b" 401 " in answer


@pytest.fixture(scope="module")
def slow() -> Iterator[Service]:
    """A service with short patience."""
    running = Service(short_home(), code=SHORT)
    yield running
    running.stop()


SHORT = """
import sys
from tidemill.service import guard, main, stream
guard.BODY_S = stream.HEAD_S = stream.LINGER_S = 1.0
sys.exit(main(sys.argv[2:]))
"""


def test_sign_in_attempts_are_limited(start: Callable[..., Service]) -> None:
    service = start({"TIDEMILL_LIMIT_SESSION": "5/minute"})
    codes = [
        service.stranger.post(
            "/api/v1/session", json={"key": "k" * 32}, headers={"X-Forwarded-For": f"10.0.0.{i}"}
        ).status_code
        for i in range(8)
    ]
    assert codes == [401] * 5 + [429] * 3
    limited = service.stranger.post("/api/v1/session", json={"key": "k" * 32})
    is_refusal(limited, "too_many_requests", 429)
    assert int(limited.headers["retry-after"]) >= 1


def test_reads_are_limited_per_caller(start: Callable[..., Service]) -> None:
    service = start({"TIDEMILL_LIMIT_READ": "20/minute"})
    codes = [service.client.get("/api/v1/commands").status_code for _ in range(25)]
    assert codes == [200] * 20 + [429] * 5
    assert service.stranger.get("/api/v1/health/live").status_code == 200


def test_secrets_are_in_no_log(start: Callable[..., Service]) -> None:
    service = start()
    service.client.get("/api/v1/config", params={"canary": "CANARY-QUERY"})
    service.client.get("/api/v1/nothing/CANARY-PATH")
    service.stranger.post("/api/v1/session", json={"key": "CANARY-KEY-0123456789"})
    service.stranger.get("/api/v1/config", headers={"Authorization": "Bearer CANARY-BEARER"})
    with contextlib.closing(service.browser()) as browser:
        cookie = browser.cookies[service.cookie]
        browser.get("/api/v1/session")
    deadline = time.monotonic() + 5
    while (
        len([line for line in service.lines if line["message"] == "request"]) < 4
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    service.stop()
    text = str(service.lines)
    assert "CANARY" not in text
    assert service.token not in text
    assert cookie not in text


def raw(service: Service, data: bytes) -> bytes:
    """What comes back for these very bytes."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as peer:
        peer.sendall(data)
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
            if b"\r\n\r\n" in answer and (b"}" in answer or b"connection: close" not in answer):
                break
        return answer
