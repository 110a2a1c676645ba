"""Fault A17: nobody who shares a key sends before the provider said so, in virtual time and over a kill."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.redis import Redis as RedisServer
from tidemill.errors import RateLimitError
from tidemill.providers import bucket
from tidemill.providers.api import Limits
from tidemill.providers.bucket import Bucket, File, Memory, State
from tidemill.providers.shared import Redis

EPISODES = 1_000


def episode(rng: random.Random) -> tuple[int, int, float]:
    """Several workers share a bucket before a server that limits them: early requests, requests, and the
    largest share of any minute's budget that was used."""
    limits = Limits(per_s=rng.choice([0.1, 1.0, 4.0, 80.0]), burst=rng.choice([1, 3, 20]))
    now, asleep = 1_000.0, []
    memory = Memory(limits, lambda: now)
    wakes = [(now + rng.random(), worker) for worker in range(rng.randint(1, 8))]
    closed_until, early, sent = 0.0, 0, []
    while len(sent) < 30:
        wakes.sort()
        now, worker = wakes.pop(0)
        wait = memory.take(1)
        if wait > 0:
            # Some sleep too short: what a sleep says is not what lets a request go.
            asleep.append(wait)
            wakes.append((now + wait * rng.choice([1.0, 1.0, 0.5]) + 1e-6, worker))
            continue
        sent.append(now)
        early += now < closed_until
        if rng.random() < 0.15:
            seconds = rng.choice([0.0, 0.5, 2.0, 30.0, rng.random() * 100])
            closed_until = max(closed_until, now + seconds)
            memory.pause(seconds)
        wakes.append((now + rng.random() * 0.2, worker))
    window = 60.0
    most = max(sum(1 for at in sent if start <= at < start + window) for start in sent)
    return early, len(sent), most / (limits.burst + limits.per_s * window + 1e-6)


def test_no_request_is_early_and_no_budget_is_overdrawn() -> None:
    rng = random.Random(17)
    early = requests = 0
    share = 0.0
    for _ in range(EPISODES):
        of_this, count, used = episode(rng)
        early, requests, share = early + of_this, requests + count, max(share, used)
    assert (early, requests) == (0, EPISODES * 30)
    assert share <= 1.0 + 1 / 60


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "pause", "step", "boot"]), st.floats(0.001, 50), st.integers(1, 5)
        ),
        max_size=60,
    )
)
@settings(deadline=None, max_examples=200)
def test_a_clock_that_is_set_or_begins_anew_lets_nobody_go_early(moves: list[tuple[str, float, int]]) -> None:
    """`real` is what truly passes; what the bucket reads may be set back, or begin anew with another boot."""
    limits = Limits(per_s=2.0, burst=4)
    state, real, shown, clock, closed = State(), 100.0, 100.0, 1, 0.0
    state = State(seen=shown, clock=clock)
    for what, amount, cost in moves:
        real, shown = real + amount / 10, shown + amount / 10
        if what == "step":
            shown -= amount
        elif what == "boot":
            shown, clock = amount, clock + 1
        state = bucket.rebased(state, shown, clock)
        if what == "pause":
            closed = max(closed, real + amount)
            state = bucket.paused(state, limits, amount, shown)
        else:
            state, wait = bucket.taken(state, limits, cost, shown)
            assert wait > 0 or real >= closed - 1e-6
            assert wait <= 200
        state = dataclasses.replace(state, seen=shown)


def test_costs_count_and_one_larger_than_the_bucket_goes_when_it_is_full() -> None:
    now = 0.0
    memory = Memory(Limits(per_s=10.0, burst=20), lambda: now)
    assert memory.take(15) == 0
    assert memory.take(15) == pytest.approx(1.0)
    now = 1.0
    assert memory.take(15) == 0
    now = 3.0
    assert memory.take(100) == 0
    assert memory.take(1) == pytest.approx(8.1)


def test_after_a_pause_there_is_no_crowd() -> None:
    now = 0.0
    memory = Memory(Limits(per_s=1.0, burst=10), lambda: now)
    memory.pause(30.0)
    assert memory.take(1) == 30.0
    now = 30.0
    assert memory.take(1) == 0
    assert memory.take(1) == pytest.approx(1.0)


def test_a_long_pause_is_told_instead_of_waited_for() -> None:
    gate = Bucket(Memory(Limits(per_s=1.0, burst=1)))
    gate.pause(3 * 86_400)
    with pytest.raises(RateLimitError) as caught:
        asyncio.run(gate.enter())
    assert caught.value.retry_after_s > 86_400


def test_those_who_wait_hear_of_a_pause() -> None:
    """Whoever sleeps for a token when the pause comes must not wake up and go."""

    async def main() -> list[float]:
        gate = Bucket(Memory(Limits(per_s=50.0, burst=1)))
        went: list[float] = []
        begun = time.monotonic()

        async def one() -> None:
            await gate.enter()
            went.append(time.monotonic() - begun)

        tasks = [asyncio.create_task(one()) for _ in range(4)]
        await asyncio.sleep(0.03)
        gate.pause(0.3)
        paused_at = time.monotonic() - begun
        await asyncio.gather(*tasks)
        return [at - paused_at for at in went]

    went = asyncio.run(main())
    assert len(went) == 4
    assert all(at < 0.01 or at >= 0.3 for at in went)
    assert sum(at >= 0.3 for at in went) >= 2


LIMITS = Limits(per_s=5.0, burst=2)


def test_processes_share_a_file_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.bucket"
    script = f"""
import asyncio, sys, time
from pathlib import Path
from tidemill.providers.api import Limits
from tidemill.providers.bucket import Bucket, File, uptime
async def main():
    gate = Bucket(File(Path({str(path)!r}), Limits(per_s=40.0, burst=2)))
    while True:
        await gate.enter()
        print(uptime(), flush=True)
asyncio.run(main())
"""
    workers = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        time.sleep(0.4)
        workers[0].send_signal(signal.SIGKILL)
        before = bucket.uptime()
        File(path, LIMITS).pause(0.5)
        time.sleep(0.9)
    finally:
        for worker in workers:
            worker.kill()
    times = sorted(float(line) for worker in workers for line in worker.communicate()[0].split())
    assert not [at for at in times if before + 0.02 < at < before + 0.5]
    assert [at for at in times if at >= before + 0.5]
    # Two at once, then 40 a second: never more in any half second, whoever asked.
    assert all(sum(start <= at < start + 0.5 for at in times) <= 2 + 20 + 1 for start in times)


def test_a_file_that_was_cut_or_is_another_machines_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.bucket"
    File(path, LIMITS).pause(100.0)
    # The same file after the machine was started anew: what was left is left.
    monkeypatch.setattr(bucket, "boot", lambda: 42)
    monkeypatch.setattr(bucket, "uptime", lambda: 3.0)
    assert 99.0 < File(path, LIMITS).take(1) <= 100.0
    for broken in (path.read_bytes()[:-1], b"\xff" * 40, b"\0" * 40, path.read_bytes() + b"more"):
        path.write_bytes(broken)
        assert 0 < File(path, LIMITS).take(2) <= 100.0
    assert path.stat().st_mode & 0o077 == 0


def test_machines_share_a_redis(redis: RedisServer, tmp_path: Path) -> None:
    import redis as library

    library.Redis.from_url(redis.url()).delete("tidemill:bucket:shared-test")
    limits = Limits(per_s=20.0, burst=2)
    one, two = (
        Redis(redis.url(), "shared-test", limits, File(tmp_path / name, limits)) for name in ("one", "two")
    )
    assert one.take(1) == two.take(1) == 0
    assert 0 < one.take(1) <= 0.05
    assert 0 < two.take(1) <= 0.05
    two.pause(0.4)
    begun = time.monotonic()
    while (wait := one.take(1)) > 0:
        time.sleep(min(wait, 0.02))
    assert time.monotonic() - begun >= 0.38
    # Its own bucket heard of the pause too, should Redis go away.
    two.pause(50.0)
    assert File(tmp_path / "two", limits).take(1) > 49.0


def test_without_redis_the_machines_own_bucket_stands_in(tmp_path: Path) -> None:
    own = File(tmp_path / "own", LIMITS)
    away = Redis("redis://127.0.0.1:1/0", "x", LIMITS, own)
    assert [away.take(1) > 0 for _ in range(3)] == [False, False, True]
    away.pause(20.0)
    assert away.take(1) > 19.0
