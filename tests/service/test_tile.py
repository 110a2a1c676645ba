"""Tiles over HTTP: the bytes of the layout, several at once, not sent again when nothing has changed."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from tests.service.conftest import Service, short_home
from tests.service.journal import MINUTE, START, Venue, store
from tidemill.service.route.tile import TILES

SECOND = 1_000_000_000
PATH = "/api/v1/data/BTC-USD.sim-kraken/tiles"
INDEX = START // (SECOND * 1_000)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Service, Venue]]:
    home = short_home()
    kraken = Venue.make(home, "sim-kraken", "BTC-USD")
    kraken.write(kraken.trades("BTC-USD", 2_400, START, SECOND))
    store(home, kraken)
    service = Service(home)
    yield service, kraken
    service.stop()
    shutil.rmtree(home.path, ignore_errors=True)


def ask(service: Service, headers: dict[str, str] | None = None, **params: int) -> httpx.Response:
    return service.client.get(PATH, params=params, headers=headers or {})


def heads(raw: bytes) -> list[tuple[int, ...]]:
    """Start, width and count of each tile in an answer; it ends where the last tile ends."""
    found, at = [], 0
    while at < len(raw):
        magic, version, _, _, _, start, width, count, _ = struct.unpack_from("<IBBBBqqII", raw, at)
        assert (magic, version) == (0x4C544D54, 1)
        found.append((start, width, count))
        at += 32 + 48 * count
    assert at == len(raw)
    return found


def test_tiles_follow_one_another_and_hold_every_trade(world: tuple[Service, Venue]) -> None:
    answer = ask(world[0], level=SECOND, index=INDEX, count=4)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == TILES
    found = heads(answer.content)
    assert [start for start, _, _ in found] == [(INDEX + n) * 1_000 * SECOND for n in range(4)]
    at, counted, highest = 0, 0, []
    for _, _, count in found:
        columns = np.frombuffer(answer.content, "<i8", 4 * count, at + 32).reshape(4, count)
        highest += columns[1].tolist()
        counted += int(np.frombuffer(answer.content, "<u4", count, at + 32 + 40 * count).sum())
        at += 32 + 48 * count
    assert counted == 2_400
    assert max(highest) == max(int(record["price"]) for _, record in world[1].records)


def test_what_has_not_changed_is_not_sent_again(world: tuple[Service, Venue]) -> None:
    service, venue = world
    first = ask(service, level=15 * MINUTE, index=START // (15 * MINUTE * 1_000))
    known = {"If-None-Match": first.headers["etag"]}
    again = ask(service, known, level=15 * MINUTE, index=START // (15 * MINUTE * 1_000))
    assert (again.status_code, again.content) == (304, b"")
    venue.write(venue.trades("BTC-USD", 3, START + 50 * MINUTE, SECOND, seed=9))
    changed = ask(service, known, level=15 * MINUTE, index=START // (15 * MINUTE * 1_000))
    assert changed.status_code == 200
    assert changed.content != first.content


@pytest.mark.parametrize(
    "params",
    [
        {"level": 7, "index": 1},
        {"level": -1, "index": 1},
        {"level": SECOND, "index": 2**62},
        {"level": SECOND, "index": 2**70},
        {"level": SECOND, "index": 1, "count": 17},
        {"level": SECOND, "index": 1, "count": 0},
        {"level": SECOND},
    ],
)
def test_what_is_no_tile_is_refused(world: tuple[Service, Venue], params: dict[str, int]) -> None:
    answer = ask(world[0], **params)
    assert answer.status_code == 422, answer.text
    assert answer.json()["category"] == "usage"


def test_an_unknown_instrument_is_named(world: tuple[Service, Venue]) -> None:
    answer = world[0].client.get(
        "/api/v1/data/BTC-USD.sim-krake/tiles", params={"level": SECOND, "index": INDEX}
    )
    assert answer.status_code == 404
    assert "BTC-USD.sim-kraken" in answer.json()["message"] + answer.json()["hint"]
