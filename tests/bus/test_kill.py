"""kill -9 of publisher and uploaders under load, and a Redis that is flushed, stopped and filled meanwhile:
every record of the journals is in one row, and none in two."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_library

from tests.bus.parts import VENUES, Part, check, killed, load, publisher, stored, uploader, wait_stored
from tests.servers import redis as redis_server
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis
from tests.system import report
from tests.system.harness import seeded, until

RATE = 1_500
IDLE_S = 3.0
# A limit on the function itself would win over the one of its sixty rounds.
SHORT = pytest.mark.timeout(600)
LONG = pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(3_600)])


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis that a test may flush, stop and fill."""
    program = redis_server.program()
    if program is None:
        pytest.skip("no Redis here: install Debian's redis-server")
    with redis_server.Redis(program) as server:
        yield server


def crew(tmp_path: Path, bus: str, count: int = 2) -> tuple[Path, Path, Part, list[Part]]:
    """The home of the journals, a lake, a publisher, and uploaders with homes of their own that share the
    lake, as they would share an S3 bucket."""
    here, lake = tmp_path / "here", tmp_path / "lake"
    lake.mkdir()
    uploaders = []
    for number in range(count):
        home = tmp_path / f"up{number}"
        home.mkdir(mode=0o700)
        (home / "lake").symlink_to(lake)
        uploaders.append(uploader(home, bus, idle_s=IDLE_S))
    return here, lake, publisher(here, bus), uploaders


def is_at_work(part: Part) -> bool:
    return part.status().get("metrics", {}).get("records", 0) > 0


def kills(
    rounds: int, tmp_path: Path, bus: str, dice: random.Random
) -> tuple[int, Counter[str], list[float]]:
    """Kills one of the parts, or all, again and again. Returns records judged, kills by what was killed, and
    the seconds after each until rows were stored again."""
    here, lake, out, uploaders = crew(tmp_path, bus)
    victims: Counter[str] = Counter()
    again = []
    with load(here, RATE) as writing, killed(out, *uploaders):
        for part in (out, *uploaders):
            part.start()
        until(lambda: min(stored(lake).values()) > 0, "the first rows are stored", 120)
        for round_ in range(rounds):
            choices = {"publisher": [out], "uploader": [dice.choice(uploaders)], "all": [out, *uploaders]}
            name = ("publisher", "uploader", "all")[round_ % 3] if rounds < 10 else dice.choice(list(choices))
            time.sleep(dice.uniform(0, 0.5))
            for part in choices[name]:
                part.kill()
            victims[name] += len(choices[name])
            before, began = stored(lake), time.monotonic()
            for part in choices[name]:
                part.start()
            until(
                lambda before=before: all(stored(lake)[venue] > before[venue] + RATE / 4 for venue in VENUES),
                f"both venues are stored again after kill {round_} ({name})",
                120,
            )
            again.append(time.monotonic() - began)
        wait_stored(lake, writing.stop())
        for part in (*uploaders, out):
            assert part.stop() == 0
        assert not dead(bus)
    return check(here, lake), victims, again


def dead(bus: str) -> list[bytes]:
    """Dead letters of the venues, where the bus is a Redis."""
    if not bus.startswith("redis"):
        return []
    with redis_library.Redis.from_url(bus) as client:
        return [raw for venue in VENUES for _, raw in client.xrange(f"tidemill:dead:{venue}")]


def judge(rounds: int, tmp_path: Path, bus: str, name: str) -> None:
    dice = seeded() if rounds > 3 else random.Random(7)
    total, victims, again = kills(rounds, tmp_path, bus, dice)
    row: dict[str, Any] = {
        "rounds": rounds,
        **{f"kill -9 {victim}": count for victim, count in sorted(victims.items())},
        "storing again p50 s": report.percentile(again, 50),
        "p99 s": report.percentile(again, 99),
        "records": total,
        "lost": 0,
        "doubled": 0,
    }
    print(row)
    if rounds > 3:
        report.note(
            f"{rounds} rounds of kill -9 around {name}, {2 * RATE:,} records a second", {"Bus": [row]}
        )


# Of publisher, one uploader and all, each once.
@pytest.mark.parametrize("rounds", [pytest.param(3, marks=SHORT), LONG], ids=str)
def test_kills_around_redis(rounds: int, tmp_path: Path, own_redis: Redis) -> None:
    judge(rounds, tmp_path, own_redis.url(), "Redis")


@pytest.mark.parametrize("rounds", [pytest.param(1, marks=SHORT), LONG], ids=str)
def test_kills_around_kafka(rounds: int, tmp_path: Path, kafka: Kafka) -> None:
    judge(rounds, tmp_path, f"{kafka.url}?prefix=kill{rounds}", "Kafka")


# ── what Redis may do ─────────────────────────────────────────────────────────────────────────────


def flush(server: Redis, uploaders: list[Part], _: random.Random) -> None:
    """All keys go while entries wait."""
    with paused(uploaders, 0.7), redis_library.Redis(port=server.port) as client:
        client.flushall()


def trim(server: Redis, uploaders: list[Part], _: random.Random) -> None:
    """Somebody else's MAXLEN."""
    with paused(uploaders, 0.7), redis_library.Redis(port=server.port) as client:
        for venue in VENUES:
            client.xtrim(f"tidemill:records:{venue}", maxlen=1, approximate=False)


def stop(server: Redis, _: list[Part], dice: random.Random) -> None:
    server.process.stop() if dice.random() < 0.5 else server.process.kill()
    time.sleep(0.5)
    server.process.start()


def hang(server: Redis, _: list[Part], dice: random.Random) -> None:
    server.process.pause()
    time.sleep(dice.uniform(0.5, 2.5))
    server.process.resume()


def fill(server: Redis, _: list[Part], dice: random.Random) -> None:
    with redis_library.Redis(port=server.port) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 1)
        time.sleep(dice.uniform(1.0, 2.0))
        client.config_set("maxmemory", 0)


class paused:
    """Uploaders stand still from before until after."""

    def __init__(self, parts: list[Part], seconds: float) -> None:
        self._pids = [part.pid for part in parts]
        self._seconds = seconds

    def __enter__(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(self._seconds)

    def __exit__(self, *_: object) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGCONT)


FAULTS = (flush, trim, stop, hang, fill)


@pytest.mark.parametrize("rounds", [pytest.param(len(FAULTS), marks=SHORT), LONG], ids=str)
def test_redis_is_flushed_trimmed_stopped_hung_and_filled(
    rounds: int, tmp_path: Path, own_redis: Redis
) -> None:
    """Lost 0, and every hole in the stream found: what is missing there comes from the journal."""
    dice = seeded() if rounds > len(FAULTS) else random.Random(11)
    here, lake, out, uploaders = crew(tmp_path, own_redis.url(), count=1)
    happened: Counter[str] = Counter()
    again = []
    with load(here, RATE) as writing, killed(out, *uploaders):
        for part in (out, *uploaders):
            part.start()
        until(lambda: min(stored(lake).values()) > 0, "the first rows are stored", 120)
        for round_ in range(rounds):
            fault = FAULTS[round_ % len(FAULTS)]
            fault(own_redis, uploaders, dice)
            happened[fault.__name__] += 1
            before, began = stored(lake), time.monotonic()
            until(
                lambda before=before: all(stored(lake)[venue] > before[venue] + RATE / 4 for venue in VENUES),
                f"both venues are stored again after round {round_} ({fault.__name__})",
                120,
            )
            again.append(time.monotonic() - began)
        wait_stored(lake, writing.stop())
        said, asked = uploaders[0].status()["metrics"], out.status()["metrics"]
        for part in (*uploaders, out):
            assert part.stop() == 0
    total = check(here, lake)
    holed = happened["flush"] + happened["trim"]
    assert said["refills"] >= holed, "a hole in the stream went unnoticed"
    row: dict[str, Any] = {
        "rounds": rounds,
        **happened,
        "refills": said["refills"],
        "records of refills": asked["refilled_records"],
        "storing again p50 s": report.percentile(again, 50),
        "p99 s": report.percentile(again, 99),
        "records": total,
        "lost": 0,
        "doubled": 0,
    }
    print(row)
    if rounds > len(FAULTS):
        report.note(f"{rounds} faults of Redis, {2 * RATE:,} records a second", {"Bus": [row]}, "soak-bus")
