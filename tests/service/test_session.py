"""Keys, cookies and tickets: in once, out for good, and never by a forgery."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hmac
import json
import sqlite3
import time
from collections.abc import Callable

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.service.conftest import Service, close_code
from tidemill.home import Home
from tidemill.metadata import Metadata, access, event


def new_key(home: Home) -> str:
    metadata = Metadata.open(home.database)
    with contextlib.closing(metadata):
        return metadata.new_key(actor="cli")


def exchange(service: Service, key: str) -> httpx.Response:
    return httpx.post(f"{service.url}/api/v1/session", json={"key": key}, trust_env=False, timeout=20)


def signed(home: Home, text: str) -> str:
    secret = bytes.fromhex(home.secret.read_text().strip())
    mac = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def events_socket(service: Service) -> ClientConnection:
    return connect(f"ws://{service.address}/ws/events", proxy=None)


def test_a_key_works_once_and_its_cookie_is_out_of_a_scripts_reach(service: Service) -> None:
    key = new_key(service.home)
    answer = exchange(service, key)
    assert answer.status_code == 200
    assert answer.json()["subject"] == "owner"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"tidemill_{service.port}=v1.")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    again = exchange(service, key)
    assert (again.status_code, again.json()["code"]) == (401, "key_refused")


def test_of_many_at_once_one_key_lets_one_in(service: Service) -> None:
    key = new_key(service.home)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        codes = [answer.status_code for answer in pool.map(lambda _: exchange(service, key), range(32))]
    assert sorted(codes) == [200] + [401] * 31


def test_a_key_is_stored_as_its_hash_only(service: Service) -> None:
    key = new_key(service.home)
    with contextlib.closing(sqlite3.connect(service.home.database)) as database:
        assert key not in "\n".join(database.iterdump())


def test_a_key_older_than_ten_minutes_is_refused(service: Service) -> None:
    key = new_key(service.home)
    with contextlib.closing(sqlite3.connect(service.home.database, timeout=10)) as database, database:
        database.execute("UPDATE keys SET expires = ? WHERE used IS NULL", (time.time_ns() - 1,))
    assert exchange(service, key).status_code == 401


def test_signing_out_ends_the_cookie_and_its_connections(service: Service) -> None:
    with contextlib.closing(service.browser()) as browser:
        assert browser.get("/api/v1/session").json()["subject"] == "owner"
        header = {"Cookie": f"{service.cookie}={browser.cookies[service.cookie]}"}
        url = f"ws://{service.address}/ws/events"
        own = Origin(service.url)
        with connect(url, additional_headers=header, origin=own, proxy=None) as socket:
            assert "hello" in str(socket.recv(5))
            started = time.monotonic()
            assert browser.delete("/api/v1/session", headers={"Origin": service.url}).status_code == 200
            assert close_code(socket) == 4401
            assert time.monotonic() - started < 5
    old = httpx.get(f"{service.url}/api/v1/session", headers=header, trust_env=False)
    assert (old.status_code, old.json()["code"]) == (401, "not_signed_in")


def test_forged_and_foreign_cookies_are_refused(service: Service) -> None:
    metadata = Metadata.open(service.home.database)
    with contextlib.closing(metadata), metadata.write() as connection:
        session = access.open_session(connection, "owner")
    expires = session.expires // 1_000_000_000
    good = signed(service.home, f"v1.{expires}.owner-{session.id}.session")
    forged = [
        signed(service.home, f"v1.{expires}.owner-{session.id}.ticket"),
        signed(service.home, f"v1.{int(time.time()) - 1}.owner-{session.id}.session"),
        signed(service.home, f"v2.{expires}.owner-{session.id}.session"),
        signed(service.home, f"v1.{expires}.eve-{session.id}.session"),
        signed(service.home, f"v1.{expires}.owner-{'0' * 16}.session"),
        signed(service.home, f"v1.{expires}.owner.session"),
        signed(service.home, f"v1.-{expires}.owner-{session.id}.session"),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good.replace("owner", "Owner"),
        good + "=",
        good.rsplit(".", 1)[0] + ".",
        good.rsplit(".", 1)[0],
        "", ".", "....", "v1....", "x" * 5000, "v1." + "9" * 400 + ".owner-x.session.x",
    ]  # fmt: skip

    def ask(cookie: str) -> int:
        header = {"Cookie": f"{service.cookie}={cookie}"}
        return httpx.get(f"{service.url}/api/v1/session", headers=header, trust_env=False).status_code

    assert ask(good) == 200
    assert [ask(cookie) for cookie in forged] == [401] * len(forged)
    # Cookies of other programs on this host come along; a page's own is found all the same.
    foreign = [
        'foo={"a":1}; {own}',
        "path=/x; {own}",
        "flag; {own}",
        "{own}; a=b c",
        '{name}=old; {own}; =; "',
    ]
    for line in foreign:
        header = {
            "Cookie": line.replace("{own}", f"{service.cookie}={good}").replace("{name}", service.cookie)
        }
        assert httpx.get(f"{service.url}/api/v1/session", headers=header, trust_env=False).status_code == 200
    # Another service of the same home has let it in; one of another home signs with another secret.
    for value, status in ((good, 200), (f"{good[:-6]}AAAAAA", 401)):
        other = {"Cookie": f"tidemill_{service.port + 1}={value}"}
        answer = httpx.get(f"{service.url}/api/v1/session", headers=other, trust_env=False)
        assert answer.status_code == status


def test_a_ticket_lets_a_stream_in_and_nothing_else(service: Service) -> None:
    told = service.client.post("/api/v1/stream/ticket").json()
    assert 0 < int(told["expires"]) / 1e9 - time.time() <= 30
    with events_socket(service) as socket:
        socket.send(json.dumps({"op": "auth", "ticket": told["ticket"]}))
        assert json.loads(socket.recv(5))["type"] == "hello"
    for header in (
        {"Authorization": f"Bearer {told['ticket']}"},
        {"Cookie": f"{service.cookie}={told['ticket']}"},
    ):
        assert httpx.get(f"{service.url}/api/v1/config", headers=header, trust_env=False).status_code == 401


def test_a_session_that_is_signed_out_is_written_down_for_the_bridge(start: Callable[..., Service]) -> None:
    service = start()
    with contextlib.closing(service.browser()) as browser:
        ticket = browser.post("/api/v1/stream/ticket", headers={"Origin": service.url}).json()["ticket"]
        version, _, subject, purpose, until, _ = ticket.split(".")
        assert (version, subject[:6], purpose) == ("v1", "owner-", "ticket")
        session = browser.get("/api/v1/session").json()
        assert int(until) == int(session["expires"]) // 1_000_000_000
        service.home.revoked.write_text("99 owner-old\n99999999999 owner-other\n")
        assert browser.delete("/api/v1/session", headers={"Origin": service.url}).status_code == 200
    assert service.home.revoked.read_text() == f"99999999999 owner-other\n{until} {subject}\n"
    assert service.keeper().ticket(ticket) is None


def test_the_end_that_a_ticket_names_is_signed_too(service: Service) -> None:
    with contextlib.closing(service.browser()) as browser:
        ticket = browser.post("/api/v1/stream/ticket", headers={"Origin": service.url}).json()["ticket"]
    keeper = service.keeper()
    assert keeper.ticket(ticket) is not None
    *said, until, mac = ticket.split(".")
    assert keeper.ticket(".".join([*said, str(int(until) + 1), mac])) is None
    assert keeper.ticket(".".join([*said, mac])) is None


@pytest.mark.parametrize(
    "message",
    ['{"op":"auth"}', '{"op":"auth","ticket":1}', '{"op":"auth","ticket":"v1.9999999999.owner.ticket.AAAA"}',
     '{"op":"ping"}', "[]", "null", "x",
     '"' + "y" * 20_000 + '"', "{" * 9000, '{"op":"auth","ticket":"\\ud800"}'],
)  # fmt: skip
def test_a_stream_without_a_good_ticket_is_told_and_closed(service: Service, message: str) -> None:
    with events_socket(service) as socket:
        socket.send(message)
        said = json.loads(socket.recv(5))
        assert said["type"] == "error"
        assert {"code", "category", "message", "hint", "retryable", "docs", "request_id"} < set(said)
        assert close_code(socket) in (4401, 4422)


def test_a_stream_that_never_says_who_it_is_is_closed(service: Service) -> None:
    with events_socket(service) as socket:
        assert close_code(socket) == 4401


def test_every_entry_is_an_event(start: Callable[..., Service]) -> None:
    service = start()
    with contextlib.closing(service.browser()) as browser:
        browser.delete("/api/v1/session", headers={"Origin": service.url})
    metadata = Metadata.open(service.home.database)
    with contextlib.closing(metadata), metadata.read() as connection:
        kinds = [(row.kind, row.actor) for row in event.after(connection, 0, 10)]
    assert kinds == [("key_issued", "cli"), ("session_opened", "owner"), ("session_closed", "owner")]


@pytest.mark.parametrize("name", ["token", "secret"])
def test_a_secret_that_others_can_read_stops_the_start(home: Home, name: str) -> None:
    (home.path / name).chmod(0o644)
    with pytest.raises(AssertionError, match=f"{name}_exposed"):
        Service(home)


def test_an_empty_token_stops_the_start_and_lets_nobody_in(home: Home) -> None:
    home.token.write_text("")
    with pytest.raises(AssertionError, match="token_short"):
        Service(home)


def test_a_short_secret_stops_the_start(home: Home) -> None:
    home.secret.write_text("ab" * 31)
    with pytest.raises(AssertionError, match="secret_short"):
        Service(home)
