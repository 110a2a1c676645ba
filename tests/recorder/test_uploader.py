"""Uploaders that share venues: one dies and another takes over; one that hung comes back, harming nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import redis as redis_library

from tests.bus.parts import Part, check, killed, load, publisher, stored, uploader, wait_stored
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.stores.make import VENUE
from tests.system.harness import until
from tidemill import control, wire
from tidemill.bus.stream import Heard
from tidemill.cli import platform
from tidemill.home import Home
from tidemill.log import Log
from tidemill.recorder.recorder import Recorder
from tidemill.recorder.run import Tail
from tidemill.recorder.uploader import Uploader, _parser
from tidemill.stores.api import Position, Query
from tidemill.stores.memory import Memory
from tidemill.stores.opening import open_store
from tidemill.stores.source import Batch, Hole
from tidemill.stores.table import BARS, COMMITTED

IDLE_S = 2.0
RATE = 1_000


@pytest.mark.alone
@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_another_takes_over(how: signal.Signals, tmp_path: Path, redis: Redis) -> None:
    """Within twice the idle time; nothing is stored twice, and nothing stays pending."""
    bus = redis.url(6)
    client = redis_library.Redis.from_url(bus)
    client.flushdb()
    here, lake = tmp_path / "here", tmp_path / "lake"
    lake.mkdir()
    crew: list[Part] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "lake").symlink_to(lake)
        crew.append(uploader(tmp_path / name, bus, idle_s=IDLE_S))
    out = publisher(here, bus)
    with load(here, RATE, (VENUE,)) as writing, killed(out, *crew):
        for part in (out, *crew):
            part.start()
        until(lambda: stored(lake, (VENUE,))[VENUE] > 0, "rows are stored", 60)
        lease = f"tidemill:lease:tests:{VENUE}"
        # The other has to be ready to be a fair standby.
        until(lambda: client.zcard("tidemill:members:tests") == 2, "both are there", 60)
        first = next(one for one in crew if f"-{one.pid}-" in (client.get(lease) or b"").decode())
        second = next(one for one in crew if one is not first)
        os.kill(first.pid, how)
        began = time.monotonic()
        until(lambda: f"-{second.pid}-" in (client.get(lease) or b"").decode(), "the other has it", 30)
        took = time.monotonic() - began
        before = stored(lake, (VENUE,))[VENUE]
        until(lambda: stored(lake, (VENUE,))[VENUE] > before, "rows are stored again", 30)
        print(f"taken over after {took:.2f} s, storing after {time.monotonic() - began:.2f} s")
        assert took < 2 * IDLE_S + 0.5
        if how == signal.SIGSTOP:
            os.kill(first.pid, signal.SIGCONT)
            until(lambda: VENUE not in first.status().get("venues", {VENUE: 0}), "it lets go", 30)
        wait_stored(lake, writing.stop())
        time.sleep(2 * IDLE_S)
        assert client.xpending(f"tidemill:records:{VENUE}", "tests")["pending"] == 0
        said = second.status()
        assert said["venues"][VENUE]["unacked_entries"] == 0
        text = control.ask_now(Home(second.home).control("uploader"), "metrics")["text"]
        assert "tidemill_uploader_acked_entries_total" in text
        assert f'tidemill_uploader_lag_records{{venue="{VENUE}"}} 0' in text
        text = control.ask_now(Home(here).control("publisher"), "metrics")["text"]
        assert f'tidemill_publisher_group_entries{{venue="{VENUE}",group="tests"}} 0' in text
        # A home without a platform shows them all the same.
        shown = platform.platform_status(Home(second.home))
        assert [(part["part"], part["pid"]) for part in shown["parts"]] == [("uploader", second.pid)]
        assert "0 records behind" in shown["parts"][0]["detail"]
        assert not (second.home / "run" / "offsets").exists(), "an uploader frees no journal"
    check(here, lake, (VENUE,))


class Endless:
    """A source that always has more."""

    def seek(self, after: Position | None) -> None:
        return None

    def read(self, max_records: int, timeout_ms: int) -> Batch:
        return Batch(1, 1, np.zeros(max_records, wire.RECORD))

    def holes(self) -> list[Hole]:
        return []


def test_what_comes_of_a_venue_that_was_left_is_dropped(tmp_path: Path) -> None:
    """Tails that wait for room when another takes over must not fill the room of those that follow."""
    home = Home(tmp_path / "home")
    home.create()
    words = ["--bus", "redis://127.0.0.1:1", "--group", "g", "--store", "postgresql://127.0.0.1:1/none"]
    made = Uploader(home, _parser().parse_args(words), Log("uploader"))
    made._recorder = Recorder(home.path, Memory(), frees_journal=False)
    for number in range(6):
        venue = made._recorder.add(f"sim-{number}", 1, Heard(f"sim-{number}"))
        made._tails[venue.name] = Tail(made, venue, Endless())  # type: ignore[arg-type]
    tails = list(made._tails.values())
    for tail in tails:
        tail.start()
    until(lambda: made._pending >= made._pending_max, "they wait for room")
    made._leave(set(made._tails))
    for tail in tails:
        tail.join(5)
        assert not tail.is_alive()
    assert made._pending == 0
    assert not made._inbox


def test_a_bus_that_is_none(tmp_path: Path) -> None:
    for name in ("uploader", "publisher"):
        for words, code in ((("--bus", "carrier://pigeon"), 3), ((), 2)):
            part = Part(name, tmp_path / "home", *words).start()
            assert part.process
            assert part.process.wait(60) == code, part.tale()


@pytest.mark.timeout(180)
def test_from_a_journal_through_a_bus_into_postgresql(
    tmp_path: Path, redis: Redis, postgres: Postgres
) -> None:
    bus, store = redis.url(7), postgres.database()
    redis_library.Redis.from_url(bus).flushdb()
    here, there = tmp_path / "here", tmp_path / "there"
    out, up = publisher(here, bus), uploader(there, bus, "--store", store)
    with load(here, RATE, (VENUE,)) as writing, killed(out, up):
        out.start()
        up.start()
        until(lambda: up.status().get("metrics", {}).get("records", 0) > RATE, "rows are stored", 60)
        up.kill()
        up.start()
        last = writing.stop()[VENUE]
        rows = open_store(there, store)
        until(lambda: rows.position(BARS, VENUE, 100) == (1, last), "all is stored", 60)
        assert up.stop() == 0
    found = [
        sequence
        for table in COMMITTED
        if table is not BARS
        for sequence in rows.read(table, Query(venues=(VENUE,)))["sequence"].to_pylist()
    ]
    assert sorted(found) == list(range(1, last + 1))
    rows.close()
