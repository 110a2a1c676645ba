"""Queries in processes of their own: ended in time, whatever they do, and the next one is answered."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.query.test_attack import BOMBS
from tests.stores.test_live import World
from tidemill.errors import CancelledError, RateLimitError, ResourceError, TidemillError, UsageError
from tidemill.query import pool as pools
from tidemill.query.limit import Limits
from tidemill.query.pool import Pool

SMALL = Limits(timeout_s=1.5, memory_bytes=256 << 20, bytes=16 << 20)
ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000000) a, range(1000000) b"


@pytest.fixture(scope="module")
def pool(stored: World) -> Iterator[Pool]:
    pool = Pool(stored.home, SMALL)
    yield pool
    pool.close()


def rows(pool: Pool, sql: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(pool.ask(sql, limit=100, form="rows").body)["items"]
    return found


def test_an_answer_and_the_process_stays(pool: Pool) -> None:
    assert rows(pool, "SELECT 1 AS a, 12::BIGINT AS b, 1.50 AS c") == [{"a": 1, "b": "12", "c": "1.5"}]
    first = pool._idle[0]._process.pid
    with pytest.raises(UsageError):
        pool.ask("SELECT nothing", limit=1)
    assert rows(pool, "SELECT 2 AS a") == [{"a": 2}]
    assert pool._idle[0]._process.pid == first


def test_how_large_an_answer_would_be(pool: Pool) -> None:
    facts = pool.ask("SELECT range AS a FROM range(50000) -- all", limit=1, preview=True).facts
    assert facts["rows"] == 50_000
    assert 300_000 < facts["bytes"] < 500_000
    assert pool.check("SELECT 1 AS a, 'x' AS b")["types"] == ["INTEGER", "VARCHAR"]


@pytest.mark.soak
@pytest.mark.parametrize("sql", BOMBS)
def test_no_bomb_takes_longer_or_more(pool: Pool, sql: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(TidemillError):
        pool.ask(sql, limit=100)
    assert time.monotonic() - began < SMALL.timeout_s + pools.GRACE_S + 5
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]


def test_one_that_hears_nothing_is_killed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]
    child = pool._idle[0]._process
    os.kill(child.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(TidemillError) as told:
        pool.ask("SELECT 1", limit=1)
    assert told.value.code == "query_timeout"
    assert time.monotonic() - began < SMALL.timeout_s + pools.GRACE_S + 2
    assert child.poll() is not None
    assert rows(pool, "SELECT 3 AS a") == [{"a": 3}]


@pytest.mark.soak
def test_one_that_holds_too_much_is_killed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_held_bytes", lambda _pid: 1 << 40)
    with pytest.raises(ResourceError) as told:
        pool.ask(ENDLESS, limit=1)
    assert told.value.code == "query_memory"
    monkeypatch.undo()
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]


@pytest.mark.soak
def test_one_that_dies_is_no_end(pool: Pool) -> None:
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]
    child = pool._idle[0]._process
    threading.Timer(0.5, lambda: os.kill(child.pid, signal.SIGKILL)).start()
    with pytest.raises(ResourceError) as told:
        pool.ask(ENDLESS, limit=1)
    assert told.value.code == "query_died"
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]


@pytest.mark.alone
def test_who_goes_away_takes_the_query_along(pool: Pool) -> None:
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]
    child = pool._idle[0]._process
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        pool.ask(ENDLESS, limit=1, cancel=cancel)
    assert time.monotonic() - began < 1.4
    assert child.poll() is not None


def test_no_more_than_so_many_at_once(stored: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "WAIT_S", 0.05)
    pool = Pool(stored.home, SMALL, children=1)
    assert pool._turns.acquire(timeout=1)
    with pytest.raises(RateLimitError):
        pool.ask("SELECT 1", limit=1)
    pool._turns.release()
    pool.close()


@pytest.mark.soak
def test_a_process_ends_with_whoever_asked(pool: Pool) -> None:
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]
    child = pool._idle[0]._process
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(10) == 1
    assert rows(pool, "SELECT 1 AS a") == [{"a": 1}]
