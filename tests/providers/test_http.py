"""Requests: what is tried again, and what never happens to a key. The suite of all providers has the rest."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from tests.providers.server import Fault, Reply, Request, Server, refuse
from tidemill.errors import AuthError, NotFoundError, TidemillError, UpstreamError
from tidemill.providers import http
from tidemill.providers.http import Http, Patience

KEY = "SECRET-55aa"


class Echo:
    base = ""

    def answer(self, request: Request) -> Reply:
        return Reply(200, {"path": request.path, "key": request.headers.get("authorization")})


class Open:
    """A gate that lets everybody through and counts."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.pauses: list[float] = []

    async def enter(self, cost: int = 1) -> None:
        self.entered.append(cost)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def ask(*faults: Fault | None, cost: int = 1, **patience: Any) -> tuple[Any, Open, Server]:
    """One request against a server with these faults: the answer or the error, the gate and the server."""

    async def main() -> tuple[Any, Open, Server]:
        gate = Open()
        async with Server(Echo()).running() as server:
            server.faults = list(faults)
            quick = Patience(**{"backoff_s": 0.001, "silence_s": 0.3, **patience})
            client = Http(
                "it", server.url, gate, headers=lambda: {"Authorization": f"Bearer {KEY}"}, patience=quick
            )
            try:
                return (await client.get("/x", cost=cost)).data, gate, server
            except TidemillError as error:
                return error, gate, server
            finally:
                assert KEY not in repr(client)
                await client.close()

    return asyncio.run(main())


def test_each_try_passes_the_gate_at_its_cost() -> None:
    answer, gate, _ = ask(refuse(500), refuse(429, {"retry-after": "3"}), cost=4)
    assert answer["key"] == f"Bearer {KEY}"
    assert (gate.entered, gate.pauses) == ([4, 4, 4], [3.0])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"date": "Tue, 10 Mar 2026 13:30:00 GMT", "retry-after": "Tue, 10 Mar 2026 13:30:40 GMT"}, 41.0),
        ({"date": "Tue, 10 Mar 2026 13:30:00 GMT", "x-ratelimit-reset": "1773149430"}, 31.0),
        ({"retry-after": "soon"}, 5.0),
        ({"retry-after": "-3"}, 5.0),
        ({"retry-after": "nan"}, 5.0),
        ({}, 5.0),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    _, gate, _ = ask(refuse(429, headers))
    assert gate.pauses == [seconds]


def test_a_body_beyond_the_bound_is_refused_however_small_it_came() -> None:
    bomb = gzip.compress(b" " * 3_000_000)

    def packed(reply: Reply) -> Reply:
        return Reply(200, bomb, {"content-encoding": "gzip"})

    error, gate, _ = ask(packed, body_bytes_max=1 << 20)
    assert isinstance(error, UpstreamError)
    assert error.code == "provider_body"
    assert len(gate.entered) == 1


@pytest.mark.parametrize(("status", "kind"), [(401, AuthError), (403, AuthError), (404, NotFoundError)])
def test_what_says_no_is_not_asked_again_and_its_words_hold_no_key(
    status: int, kind: type[TidemillError]
) -> None:
    error, gate, _ = ask(refuse(status, data={"error": f"Unknown API Key {KEY}"}))
    assert isinstance(error, kind)
    assert len(gate.entered) == 1
    assert KEY not in str(error)
    assert "Unknown API Key …" in str(error)


def test_an_answer_that_trickles_has_an_end() -> None:
    class Drip(Server):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n")
            for _ in range(100):
                writer.write(b" ")
                await asyncio.sleep(0.02)
            writer.close()

    async def main() -> None:
        async with Drip(Echo()).running() as server:
            client = Http("it", server.url, Open(), patience=Patience(whole_s=0.2, tries=1))
            try:
                await client.get("/x")
            finally:
                await client.close()

    with pytest.raises(UpstreamError, match="in time"):
        asyncio.run(main())


def test_another_name_of_the_same_service_is_its_own() -> None:
    hosts = ("api.polygon.io", "api.massive.com")
    client = Http("it", "https://api.polygon.io", Open(), hosts=hosts)
    asked: list[str] = []

    async def get(path: str, **_: Any) -> Any:
        asked.append(path)

    client.get = get  # type: ignore[method-assign,assignment]
    asyncio.run(client.next("https://api.massive.com/v3/x?cursor=a%2Fb"))
    assert asked == ["/v3/x?cursor=a%2Fb"]
    for link in (
        "http://api.massive.com/v3/x",
        "https://api.massive.com.evil.example/",
        "https://api.massive.com@evil.example/",
        "https://api.polygon.io:8443/",
        "/v3/x",
    ):
        with pytest.raises(UpstreamError, match="next page"):
            asyncio.run(client.next(link))
    assert len(asked) == 1


def test_words_are_found_in_every_shape() -> None:
    assert http.said({"message": "a"}) == ": a"
    assert http.said({"error": ["a"]}) == http.said([]) == http.said(None) == ""
