"""The platform of a team, by configuration alone: rows and metadata on PostgreSQL, cache, jobs and bus on
Redis, a second database that an uploader fills. The database is killed and Redis emptied while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis as client
from websockets.sync.client import connect

from tests.bus.parts import Part
from tests.recorder.test_kill import offsets_of
from tests.servers import redis as redis_server
from tests.servers.postgres import Postgres, with_timescale
from tests.servers.redis import Redis
from tests.system.check import lake_equals_journal
from tests.system.harness import Journal, Platform, running, until
from tidemill.cli import main
from tidemill.model import time as times
from tidemill.stores.opening import open_store

VENUE = "sim-kraken"
PAIRS = ("BTC-USD", "ETH-USD")
NAMES = tuple(f"{pair}.{VENUE}" for pair in PAIRS)
BAR = ("open", "high", "low", "close", "volume", "trades")


@pytest.fixture
def database() -> Iterator[Postgres]:
    """Its own, because it is killed."""
    programs = with_timescale()
    if programs is None:
        pytest.skip("TimescaleDB could not be unpacked: see .cache/timescaledb.log")
    with Postgres(programs, timescale=True) as server:
        yield server


@pytest.fixture
def redis() -> Iterator[Redis]:
    """Its own, because it is emptied."""
    program = redis_server.program()
    if program is None:
        pytest.skip("no Redis here: install Debian's redis-server")
    with Redis(program) as server:
        yield server


@pytest.mark.timeout(300)
def test_a_team_by_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Postgres, redis: Redis
) -> None:
    first, second = database.database(), database.database()
    for variable, address in (
        ("TIDEMILL_STORE_URL", first),
        ("TIDEMILL_DATABASE_URL", first),
        ("TIDEMILL_REDIS_URL", redis.url(0)),
        ("TIDEMILL_BROKER_URL", redis.url(1)),
        ("TIDEMILL_BUS_URL", redis.url(2)),
    ):
        monkeypatch.setenv(variable, address)
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    (home / "tidemill.toml").write_text(
        f'[[collector]]\nprotocol = "kraken"\nname = "{VENUE}"\ninstruments = {json.dumps(PAIRS)}\n'
    )
    publisher = Part("publisher", home)
    uploader = Part("uploader", other, "--store", second, "--idle-s", "2")
    try:
        with running(home, "--venues", VENUE, rate=40, history=False) as platform:
            publisher.start()
            uploader.start()
            assert set(platform.collector(VENUE)["instruments"]) == set(NAMES)
            assert platform.get("/api/v1/config")[1]["profile"] == "team"
            with connect(
                f"ws://127.0.0.1:{platform.port}/ws/events",
                additional_headers={"Authorization": f"Bearer {platform.home.read_token()}"},
                proxy=None,
            ) as events:
                done(platform)
                while (told := json.loads(events.recv(timeout=20))).get("kind") != "job_progress":
                    pass
                assert told["data"]["kind"] == "export"

            kept = stored(home)
            client.Redis.from_url(redis.url()).flushall()
            database.process.kill()
            until(lambda: platform.get("/api/v1/health")[0] == 503, "health says that the database is away")
            before = newest(platform)
            until(lambda: newest(platform) > before, "trades go on meanwhile")
            database.process.start()
            until(lambda: platform.get("/api/v1/health")[0] == 200, "everything is well again", 60)
            until(lambda: stored(home) > max(kept, before), "rows are kept again", 60)
            done(platform)
            for name in NAMES:
                same(platform, first, name)

        # What is collected is all there: both stores have to say the same as the journal.
        journal = Journal(home, VENUE)
        last = int(journal.sequences[-1])
        until(lambda: uploaded(uploader) >= last, f"the second database has all {last} records", 60)
        assert publisher.stop() == 0
        assert uploader.stop() == 0
    finally:
        publisher.kill()
        uploader.kill()

    for url in (first, second):
        store = open_store(home if url == first else other, url)
        lake_equals_journal(home, journal, store)
        store.close()
    assert main(["data", "verify", "--home", str(home)]) == 0
    ids = "SELECT instrument, id FROM trades ORDER BY instrument, epoch, sequence"
    assert (mine := query(first, ids)) == query(second, ids)
    assert len(mine) == len({*mine}) > 0


def done(platform: Platform) -> None:
    """A job through Celery, to its end."""
    detail = {"kind": "trades", "instrument": NAMES[0], "format": "csv"}
    status, job = platform.request("POST", "/api/v1/jobs", {"kind": "export", "detail": detail})
    assert status in (200, 201, 202), job

    def state() -> str:
        said = platform.get(f"/api/v1/jobs/{job['id']}")[1]
        assert said.get("state") not in ("failed", "poisoned", "cancelled"), said
        return str(said.get("state"))

    until(lambda: state() == "done", "the job has ended", 60)


def same(platform: Platform, url: str, name: str) -> None:
    """What REST says and what a person sees in the database's views, of trades and of one-second bars."""
    rows = query(
        url,
        "SELECT epoch, sequence, id, price, size FROM trades WHERE instrument = %s"
        " ORDER BY epoch DESC, sequence DESC LIMIT 200",
        name,
    )
    status, page = platform.get(f"/api/v1/data/{name}/ticks?limit=5000")
    assert status == 200, page
    said = {
        (int(one["epoch"]), int(one["sequence"])): (
            int(one["id"]),
            Decimal(one["price"]),
            Decimal(one["size"]),
        )
        for one in page["items"]
    }
    assert rows
    for epoch, sequence, number, price, size in rows:
        assert said[int(epoch), int(sequence)] == (int(number), price, size)

    status, bars = platform.get(f"/api/v1/data/{name}/bars?interval=1s&limit=5000")
    assert status == 200, bars
    shown = {
        ts: [Decimal(str(bars[field][at])) for field in BAR]
        for at, ts in enumerate(map(times_ns, bars["ts"]))
    }
    found = query(
        url,
        f"SELECT DISTINCT ON (ts_event) ts_event, {', '.join(BAR[:-1])}, trades_count FROM bars"
        " WHERE instrument = %s AND \"interval\" = '1s' ORDER BY ts_event, revision DESC",
        name,
    )
    assert len(found) > 5
    for start, *values in found[:-2]:  # the newest may be revised meanwhile
        assert shown[int(start)] == values, start


def times_ns(said: Any) -> int:
    return int(said) if str(said).isdigit() else times.parse(str(said))


def query(url: str, text: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(text, values).fetchall()  # type: ignore[arg-type]


def newest(platform: Platform) -> int:
    status, said = platform.get(f"/api/v1/data/{NAMES[0]}/ticks?limit=1")
    assert status == 200, said
    return max(int(one["sequence"]) for one in said["items"])


def stored(home: Path) -> int:
    """The last record that the recorder has kept, 0 before the first."""
    return offsets_of(home, VENUE)


def uploaded(uploader: Part) -> int:
    """The last record that the second database has."""
    return int(uploader.status().get("venues", {}).get(VENUE, {}).get("sequence", 0))
