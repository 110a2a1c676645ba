"""Answers that are kept: the newest bars are never old, and everyone can read what was packed."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import shutil
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.conftest import Service, short_home
from tests.service.journal import MINUTE, START, Venue
from tests.service.test_redis import NAME, keep, number
from tests.service.test_redis import START as KEPT_FROM
from tidemill.cache import Shared
from tidemill.service import packed
from tidemill.service.kept import Kept

BTC = "BTC-USD.sim-kraken"
SECOND = 1_000_000_000
PATHS = (
    "/api/v1/data/{name}/bars?interval={interval}",
    "/api/v1/data/{name}/bars?interval={interval}&format=rows",
    "/candles?symbol={name}&interval={interval}",
    "/historical?symbol={name}&interval={interval}",
)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Service, Venue]]:
    home = short_home()
    venue = Venue.make(home, "sim-kraken", "BTC-USD")
    venue.write(venue.trades("BTC-USD", 900, START, SECOND))
    keep(home, 0, 300, "first")
    service = Service(home)
    yield service, venue
    service.stop()
    shutil.rmtree(home.path, ignore_errors=True)


def shown(service: Service, path: str, name: str, interval: str = "1m") -> dict[str, Any]:
    answer = service.client.get(path.format(name=name, interval=interval))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def starts(found: dict[str, Any]) -> list[int]:
    return [int(ts) for ts in found["ts"]] if "ts" in found else [int(row["ts"]) for row in found["items"]]


@given(st.binary(max_size=3_000), st.binary(max_size=200), st.booleans())
def test_what_is_packed_in_two_parts_is_one_gzip(first: bytes, end: bytes, large: bool) -> None:
    first = first * 40 if large else first
    made = packed.whole(packed.begin(first), end)
    short = len(first) < 1024
    assert (made if short else gzip.decompress(made)) == first + end
    assert (made[:2] == b"\x1f\x8b") != short or made == first + end


def test_newest_bars_are_kept_until_the_data_moves(world: tuple[Service, Venue]) -> None:
    service = world[0]
    for path in PATHS:
        first = shown(service, path, NAME)
        before = number(service, "tidemill_cache_hits_total", ',layer="memory"')
        assert shown(service, path, NAME) == first
        assert number(service, "tidemill_cache_hits_total", ',layer="memory"') == before + 1
    for step in range(1, 4):
        keep(service.home, 300 + step * 10, 10, f"more-{step}")
        for path in PATHS:
            found = starts(shown(service, path, NAME))
            assert (len(found), found[-1]) == (300 + step * 10, KEPT_FROM + (309 + step * 10) * MINUTE)
    keep(service.home, 5, 1, "again")  # in the middle, where another price is told
    assert all(
        starts(shown(service, path, NAME)) == sorted(set(starts(shown(service, path, NAME))))
        for path in PATHS
    )


def test_live_bars_are_never_old(world: tuple[Service, Venue]) -> None:
    service, venue = world
    at = START + 900 * SECOND
    for step in range(40):
        trade = venue.trades("BTC-USD", 1, at + step * 3 * SECOND, SECOND, seed=100 + step)
        sequence = venue.write(trade)
        wanted = venue.bars("BTC-USD", MINUTE)
        for path in PATHS:
            found = shown(service, path, BTC)
            assert found["through"] == {"epoch": venue.writer.epoch, "sequence": sequence}
            newest = max(wanted)
            closed = _closed(found)
            assert found["current"]["close"] == float(wanted[newest][3])
            assert int(found["current"]["ts"]) == newest
            assert closed.keys() == wanted.keys() - {newest}
            assert all(closed[ts] == pytest.approx([float(n) for n in wanted[ts][:4]]) for ts in closed)
    # A late trade changes a bar that had closed: its high.
    late = venue.trades("BTC-USD", 1, START + 30 * SECOND, SECOND, seed=77)
    late["price"] = 999_999
    venue.write(late)
    for path in PATHS:
        assert _closed(shown(service, path, BTC))[START // MINUTE * MINUTE][1] == 99_999.9


def _closed(found: dict[str, Any]) -> dict[int, list[float]]:
    if "ts" in found:
        columns = [found[name] for name in ("open", "high", "low", "close")]
        return {int(ts): list(row) for ts, *row in zip(found["ts"], *columns, strict=True)}
    return {
        int(row["ts"]): [float(Decimal(row[name])) for name in ("open", "high", "low", "close")]
        for row in found["items"]
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [NAME, BTC])
def test_who_takes_no_gzip_gets_the_same_plain(world: tuple[Service, Venue], path: str, name: str) -> None:
    service = world[0]
    told = []
    for accept in ("gzip", "identity", "gzip;q=0"):
        connection = http.client.HTTPConnection(service.address)
        headers = {**service.bearer, "Accept-Encoding": accept}
        for method in ("GET", "HEAD"):
            connection.request(method, path.format(name=name, interval="1m"), headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert (answer.headers["Content-Encoding"] == "gzip") == (accept == "gzip")
            if method == "GET":
                assert int(answer.headers["Content-Length"]) == len(body)
                told.append(orjson.loads(gzip.decompress(body) if accept == "gzip" else body))
        connection.close()
    assert told[0] == told[1] == told[2]


class Told:
    """What `Kept` needs of a platform: a view whose version a test sets."""

    def __init__(self) -> None:
        self.version, self.exact, self.made = 1, True, 0
        self.view = self
        self.kept = Kept(Shared(None, "test"))

    def call(self, ask: Callable[[Any], tuple[str, bool]]) -> tuple[str, bool]:
        return ask(SimpleNamespace(version=lambda *_: (str(self.version), self.exact)))

    async def run(self, work: Callable[[], Any]) -> Any:
        return work()

    def asked(self, moves: int = 0) -> bytes:
        def make() -> bytes:
            self.made += 1
            self.version += moves
            return f"made {self.made}".encode()

        platform: Any = self
        body = self.kept.body(platform, BTC, "1m", (None, None), "everything", make)
        return asyncio.run(_done(body))


async def _done(body: Awaitable[bytes]) -> bytes:
    return await body


def test_an_answer_is_made_once_for_each_version() -> None:
    told = Told()
    assert [told.asked(), told.asked()] == [b"made 1"] * 2
    told.version += 1
    assert [told.asked(), told.asked()] == [b"made 2"] * 2
    told.exact = False
    assert [told.asked(), told.asked()] == [b"made 3", b"made 4"]
    told.exact = True
    assert told.asked() == b"made 2"
    told.version += 1
    # What changes while it is made belongs to nobody's version.
    assert [told.asked(moves=1), told.asked(), told.asked()] == [b"made 5", b"made 6", b"made 6"]


def test_many_at_once_have_one_answer(world: tuple[Service, Venue]) -> None:
    service = world[0]

    def ask(_: int) -> bytes:
        answer = service.client.get(f"/api/v1/data/{NAME}/bars", params={"limit": "77"})
        assert answer.status_code == 200
        return answer.content

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(60)))) == 1
