"""The cache in process: its bytes have a bound, values an age, keys no mixing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.cache import Memory
from tidemill.cache.memory import ENTRY_BYTES

keys = st.text("ab:", min_size=1, max_size=4)


@given(st.lists(st.tuples(st.sampled_from("pgd"), keys, st.binary(max_size=300)), max_size=80))
def test_it_is_a_bounded_part_of_a_dictionary(steps: list[tuple[str, str, bytes]]) -> None:
    """What it returns is what was put last; it may have forgotten, and never holds more than it may."""
    cache, model = Memory(2000), dict[str, bytes]()
    for step, key, value in steps:
        if step == "p":
            cache.put(key, value, 60)
            model[key] = value
        elif step == "d":
            cache.drop(key)
            model = {name: kept for name, kept in model.items() if not name.startswith(key)}
        else:
            assert cache.get(key) in (None, model.get(key))
        assert 0 <= cache.bytes <= 2000
    if not cache.counts.evictions:
        assert all(cache.get(key) == value for key, value in model.items() if len(value) < 1000)


def test_the_longest_unused_goes_first() -> None:
    cache = Memory(3 * (ENTRY_BYTES + 11))
    for key in "abc":
        cache.put(key, b"x" * 10, 60)
    assert cache.get("a") is not None
    cache.put("d", b"x" * 10, 60)
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    assert cache.counts.evictions == 1
    cache.put("huge", b"x" * 10_000, 60)
    assert cache.get("huge") is None
    assert cache.get("a") is not None


def test_what_is_too_old_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Memory()
    cache.put("a", b"1", 5)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5.1)
    assert cache.get("a") is None
    assert cache.bytes == 0
    assert (cache.counts.hits, cache.counts.misses) == (0, 1)


def test_a_message_reaches_who_subscribed_to_its_topic() -> None:
    channel, heard = Memory(), list[str | None]()
    channel.subscribe("event", heard.append)
    channel.publish("event", "7")
    channel.publish("session", "x")
    assert heard == ["7"]
