"""The metadata database goes away: pages open all the same, and who was signed in stays so. On a server of
its own, which is killed."""

from __future__ import annotations

import shutil
import time

import httpx
import pytest

from tests.servers.postgres import Postgres, plain
from tests.service.conftest import Service, short_home
from tidemill.metadata import Metadata
from tidemill.service.auth import SESSION_CHECK_S


def test_who_was_in_stays_in_while_the_database_is_away() -> None:
    programs = plain()
    if programs is None:
        pytest.skip("no PostgreSQL here: install Debian's postgresql")
    home = short_home()
    with Postgres(programs) as server:
        url = server.database()
        service = Service(home, {"TIDEMILL_DATABASE_URL": url})
        try:
            inside, ended, late = (cookie(service, url) for _ in range(3))
            for one in (inside, ended):
                assert service.stranger.get("/api/v1/session", headers=one).status_code == 200
            assert (
                service.stranger.delete(
                    "/api/v1/session", headers=ended | {"Origin": service.url}
                ).status_code
                == 200
            )

            server.process.kill()
            time.sleep(SESSION_CHECK_S + 0.2)
            for path in ("/", "/charts?instrument=BTC-USD.sim-kraken", "/data/collect"):
                answer = service.stranger.get(path, headers=inside | {"Accept": "text/html"})
                assert answer.headers["content-type"].startswith("text/html"), answer.text
            for _ in range(2):
                said = service.stranger.get("/api/v1/session", headers=inside)
                assert (said.status_code, said.json()["subject"]) == (200, "owner")
                time.sleep(SESSION_CHECK_S + 0.2)
            # Of those that this process has not seen, or has seen end, nobody can say anything.
            for one in (ended, late):
                assert refused(service.stranger.get("/api/v1/session", headers=one))

            server.process.start()
            deadline = time.monotonic() + 20
            while refused(service.stranger.get("/api/v1/session", headers=late)):
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert service.stranger.get("/api/v1/session", headers=ended).status_code == 401
        finally:
            service.stop()
            shutil.rmtree(home.path, ignore_errors=True)


def refused(answer: httpx.Response) -> bool:
    return answer.status_code in (401, 503)


def cookie(service: Service, url: str) -> dict[str, str]:
    """The header of a browser that was let in."""
    metadata = Metadata.open(url)
    key = metadata.new_key(actor="cli")
    metadata.close()
    answer = service.stranger.post("/api/v1/session", json={"key": key}, headers={"Origin": service.url})
    assert answer.status_code == 200, answer.text
    service.stranger.cookies.clear()
    return {"Cookie": f"{service.cookie}={answer.cookies[service.cookie]}"}
