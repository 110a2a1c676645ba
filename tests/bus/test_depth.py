"""A deep queue: memory does not grow with it, neither where it is filled nor where it is emptied."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis as redis_library

from tests.bus.parts import check, killed, publisher, stored, uploader
from tests.servers.redis import Redis
from tests.stores.make import START, VENUE, mixed, writer
from tests.system import report
from tests.system.harness import until

MIB = 1 << 20


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("entries", [2_000, pytest.param(100_000, marks=pytest.mark.soak)], ids=str)
def test_a_deep_queue_is_drained_without_growth_in_memory(entries: int, tmp_path: Path, redis: Redis) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "run").mkdir(parents=True)
    with redis_library.Redis.from_url(redis.url(5)) as client:
        client.flushdb()
    with writer(here) as journal:
        for at in range(0, entries, 1_000):
            records = mixed(1_000, first_id=1 + at, seed=at, start=START + at * 10**8)
            journal.append(records)
    # An entry of each record: as deep as a queue of so many records can be.
    out = publisher(here, redis.url(5), "--entry-records", "1", "--gather-ms", "0")
    up = uploader(there, redis.url(5))
    with killed(out, up):
        out.start()
        began = time.monotonic()
        until(lambda: out.status().get("metrics", {}).get("records") == entries, "all is published", 900)
        filled = time.monotonic() - began
        filler = out.rss()
        assert out.status()["metrics"]["stream_entries"] >= entries * 0.9
        up.start()
        began = time.monotonic()
        until(lambda: stored(there / "lake", (VENUE,))[VENUE] > entries / 10, "a tenth is stored", 300)
        before = peak = up.rss()
        while stored(there / "lake", (VENUE,))[VENUE] < entries:
            peak = max(peak, up.rss())
            assert time.monotonic() - began < 900, "the queue is not drained"
            time.sleep(0.1)
        drained = time.monotonic() - began
        until(lambda: out.status()["metrics"]["stream_entries"] == 0, "what is stored is let go", 30)
        said = up.status()["metrics"]
        assert (said["unacked_entries"], said["acked_entries"]) == (0, entries)
        assert up.stop() == 0
        assert out.stop() == 0
    assert check(here, there / "lake", (VENUE,)) == entries
    assert peak - before < 64 * MIB
    row = {
        "entries": entries,
        "filled s": filled,
        "drained s": drained,
        "publisher MiB": filler // MIB,
        "uploader at a tenth MiB": before // MIB,
        "at most MiB": peak // MIB,
    }
    print(row)
    if entries == 100_000:
        report.note("A queue of 100,000 entries", {"Bus": [row]}, "soak-bus")
