"""The shared cache over a real Redis that is flushed, stopped, paused, full, or keeps its door shut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import redis as server
from tests.servers.process import free_port
from tidemill.cache import Shared
from tidemill.cache.redis import TIMEOUT_S, VALUE_BYTES_MAX
from tidemill.errors import ConfigError

BREAKER_S_MAX = 1.0
Made = Callable[..., Shared]


@pytest.fixture
def made() -> Iterator[Made]:
    """Makes caches that are closed with the test."""
    caches: list[Shared] = []

    def make(url: str | None, name: str = "home", **rest: int) -> Shared:
        caches.append(Shared(url, name, **rest))
        return caches[-1]

    yield make
    for one in caches:
        one.close()


@pytest.fixture
def own() -> Iterator[server.Redis]:
    """A Redis that a test may harm."""
    program = server.program()
    if program is None:
        pytest.skip("no Redis here: install Debian's redis-server")
    with server.Redis(program) as running:
        yield running


def until(done: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_one_process_puts_another_gets(redis: server.Redis, made: Made) -> None:
    one, two, other = made(redis.url(), "a"), made(redis.url(), "a"), made(redis.url(), "b")
    one.put("bars:1", b"x" * 1000, 60)
    assert two.get("bars:1") == b"x" * 1000
    assert other.get("bars:1") is None
    one.put("big", b"x" * (VALUE_BYTES_MAX + 1), 60)
    assert one.get("big") is not None  # in process all the same
    assert two.get("big") is None
    one.drop("bars:")
    assert one.get("bars:1") is None
    assert made(redis.url(), "a").get("bars:1") is None


def test_an_age_holds_in_every_layer(redis: server.Redis, made: Made) -> None:
    one, two = made(redis.url(), "age"), made(redis.url(), "age")
    one.put("a", b"1", 0.4)
    assert two.get("a") == b"1"
    time.sleep(0.5)
    assert (one.get("a"), two.get("a")) == (None, None)


@settings(max_examples=40)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("pd"), st.sampled_from("ab"), st.text("k:*?[", min_size=1, max_size=3)),
        max_size=12,
    )
)
def test_homes_that_share_a_redis_never_read_each_others(
    redis: server.Redis, steps: list[tuple[str, str, str]]
) -> None:
    run = f"{time.time_ns()}"
    homes = {name: Shared(redis.url(), f"{run}{name}") for name in "ab"}
    model: dict[tuple[str, str], bytes] = {}
    for step, name, key in steps:
        if step == "p":
            value = f"{name}{key}".encode()
            homes[name].put(key, value, 60)
            model[name, key] = value
        else:
            homes[name].drop(key)
            model = {at: v for at, v in model.items() if at[0] != name or not at[1].startswith(key)}
    for name, cache in homes.items():
        cache.memory.drop("")
        for key in {key for _, _, key in steps}:
            assert cache.get(key) == model.get((name, key))
        cache.close()


def test_a_message_reaches_the_other_process_at_once(redis: server.Redis, made: Made) -> None:
    one, two = made(redis.url(), "channel"), made(redis.url(), "channel")
    heard: list[str | None] = []
    two.subscribe("event", heard.append)
    two.start(("event",))
    until(lambda: None in heard)  # it listens: what was published before may be missed
    started = time.monotonic()
    one.publish("event", "7")
    until(lambda: "7" in heard)
    assert time.monotonic() - started < 2


def test_after_a_break_the_channel_says_that_messages_may_be_missing(own: server.Redis, made: Made) -> None:
    cache = made(own.url())
    heard: list[str | None] = []
    cache.subscribe("event", heard.append)
    cache.start(("event",))
    until(lambda: heard == [None])
    own.process.kill()
    own.process.start()
    until(lambda: heard == [None, None])
    until(lambda: cache.state == "closed")
    made(own.url()).publish("event", "8")
    until(lambda: heard == [None, None, "8"])


def harmed(own: server.Redis, harm: str) -> None:
    if harm == "paused":
        own.process.pause()
    elif harm == "killed":
        own.process.kill()


@pytest.mark.alone
@pytest.mark.parametrize("harm", ["paused", "killed"])
def test_a_redis_that_does_not_answer_is_left_out_within_a_second_and_taken_back(
    own: server.Redis, made: Made, harm: str
) -> None:
    cache = made(own.url())
    cache.start(())
    cache.put("a", b"1", 60)
    assert cache.state == "closed"
    harmed(own, harm)
    started, spent = time.monotonic(), []
    with ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> None:
            began = time.monotonic()
            assert cache.get(f"nothing-{number}") is None
            cache.put(f"key-{number}", b"2", 60)
            assert cache.get(f"key-{number}") == b"2"
            assert cache.get("a") == b"1"
            spent.append(time.monotonic() - began)

        while time.monotonic() - started < 2.0:
            list(pool.map(ask, range(len(spent), len(spent) + 8)))
            if cache.state == "open" and cache.breaker.opened == 1 and len(spent) <= 8:
                assert time.monotonic() - started < BREAKER_S_MAX
            time.sleep(0.01)
    assert cache.state in ("open", "half-open")
    assert cache.trouble is not None
    assert len(spent) > 50
    # Only the few that found out paid for it.
    assert sum(one > TIMEOUT_S for one in spent) <= 24
    if harm == "paused":
        own.process.resume()
    else:
        own.process.start()
    until(lambda: cache.state == "closed")
    assert cache.trouble is None


def test_a_flushed_redis_has_forgotten_and_nothing_else(own: server.Redis, made: Made) -> None:
    import redis as client

    one, two = made(own.url()), made(own.url())
    one.put("a", b"1", 60)
    with client.Redis(port=own.port) as direct:
        direct.flushall()
    assert two.get("a") is None
    assert one.get("a") == b"1"
    assert one.state == two.state == "closed"


def test_a_full_redis_costs_no_answer(made: Made) -> None:
    program = server.program()
    if program is None:
        pytest.skip("no Redis here: install Debian's redis-server")
    with server.Redis(program, "--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as own:
        cache = made(own.url())
        for number in range(40):
            cache.put(f"key-{number}", b"x" * 100_000, 60)
            assert cache.get(f"key-{number}") == b"x" * 100_000
        assert cache.breaker.opened >= 1
        assert cache.trouble is not None
        assert "memory" in cache.trouble.lower()


def test_a_wrong_password_costs_no_answer_and_is_not_told(made: Made) -> None:
    program = server.program()
    if program is None:
        pytest.skip("no Redis here: install Debian's redis-server")
    with server.Redis(program) as own:
        import redis as client

        with client.Redis(port=own.port) as direct:
            direct.config_set("requirepass", "right")
        cache = made(f"redis://owner:CANARY@127.0.0.1:{own.port}/0")
        cache.put("a", b"1", 60)
        assert cache.get("a") == b"1"
        assert cache.state == "open"
        assert "CANARY" not in str(cache.trouble)
        right = made(f"redis://:right@127.0.0.1:{own.port}/0")
        right.put("b", b"1", 60)
        assert right.state == "closed"


def test_a_redis_that_was_never_there_costs_no_answer(made: Made) -> None:
    cache = made(f"redis://127.0.0.1:{free_port()}/0")
    cache.start(("event",))
    heard = threading.Event()
    cache.subscribe("event", lambda _message: heard.set())
    cache.publish("event", "in process it is heard")
    assert heard.is_set()
    cache.put("a", b"1", 60)
    assert cache.get("a") == b"1"


def test_an_address_that_is_none_is_refused(made: Made) -> None:
    with pytest.raises(ConfigError) as refused:
        made("redis://127.0.0.1:port/0")
    assert refused.value.code == "address_invalid"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, made: Made) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError) as missing:
        made("redis://127.0.0.1/0")
    assert missing.value.code == "extra_missing"
    assert made(None).state == "off"
