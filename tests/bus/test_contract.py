"""What every bus promises, over real brokers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import redis as redis_server
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis
from tests.stores.make import VENUE, mixed
from tests.system.harness import until
from tidemill.bus.api import BehindError, Bus, BusError, Delivery, Intake, LostError, Member, Request
from tidemill.bus.entry import NOTHING, Entry, decode
from tidemill.bus.opening import open_bus
from tidemill.errors import ConfigError, UsageError
from tidemill.stores.source import Batch

LEASE_S = 1.0


class Made:
    """A bus with nothing in it, as often as it is asked for."""

    def __init__(self, url: str, venue: str) -> None:
        self.url = url
        self.venue = venue
        self._buses: list[Bus] = []

    def bus(self) -> Bus:
        self._buses.append(open_bus(self.url))
        return self._buses[-1]

    def close(self) -> None:
        for bus in self._buses:
            bus.close()


@pytest.fixture(params=["redis", "kafka"])
def made(request: pytest.FixtureRequest) -> Iterator[Made]:
    server: Redis | Kafka = request.getfixturevalue(request.param)
    venue = f"sim-{uuid.uuid4().hex[:12]}"
    url = server.url(3) if isinstance(server, Redis) else f"{server.url}?prefix=c{uuid.uuid4().hex[:8]}"
    if isinstance(server, Redis):
        # A database of this file alone.
        import redis

        with redis.Redis.from_url(url) as client:
            client.flushdb()
    found = Made(url, venue)
    yield found
    found.close()


def entries(venue: str, count: int, first: int = 1, size: int = 10) -> list[Entry]:
    made = []
    for at in range(count):
        sequence = first + at * size
        after = (1, sequence - 1) if sequence > 1 else NOTHING
        made.append(Entry.of_batch(venue, Batch(1, sequence, mixed(size, seed=sequence)), after, ()))
    return made


def held(member: Member, venue: str, seconds: float = 30) -> Intake:
    until(lambda: venue in member.venues(), f"{venue} is this member's", seconds)
    return member.open(venue)


def take(intake: Intake, count: int, seconds: float = 20) -> list[Delivery]:
    found: list[Delivery] = intake.recover()
    until(
        lambda: found.extend(intake.take(64, 100)) or len(found) >= count, f"{count} are delivered", seconds
    )
    return found


def test_entries_come_in_order_and_the_stream_says_where_it_stands(made: Made) -> None:
    bus = made.bus()
    outlet = bus.outlet(made.venue, "/home/a")
    assert outlet.last() is None
    sent = entries(made.venue, 5)
    outlet.add(sent[:2])
    outlet.add(sent[2:])
    assert outlet.last() == (1, 50)
    # Another start of the publisher goes on from there.
    assert made.bus().outlet(made.venue, "/home/a").last() == (1, 50)
    member = bus.member("g", LEASE_S)
    intake = held(member, made.venue)
    assert member.newest(made.venue) == intake.newest() == (1, 50)
    found = take(intake, 5)
    assert [one.position for one in found] == [one.position for one in sent]
    assert [decode(one.raw).first for one in found] == [1, 11, 21, 31, 41]
    intake.ack([one.key for one in found])
    intake.close()
    member.close()


def test_what_was_not_acknowledged_goes_to_the_next_member(made: Made) -> None:
    outlet = made.bus().outlet(made.venue, "/home/a")
    outlet.add(entries(made.venue, 6))
    first = made.bus().member("g", LEASE_S)
    intake = held(first, made.venue)
    found = take(intake, 6)
    intake.ack([one.key for one in found[:2]])
    intake.close()
    first.close()
    second = made.bus().member("g", LEASE_S)
    again = take(held(second, made.venue), 4)
    assert [one.position for one in again] == [(1, 30), (1, 40), (1, 50), (1, 60)]
    # Another group has it all.
    other = made.bus().member("other", LEASE_S)
    assert len(take(held(other, made.venue), 6)) == 6
    second.close()
    other.close()


def test_one_member_has_a_venue_at_a_time(made: Made) -> None:
    made.bus().outlet(made.venue, "/home/a").add(entries(made.venue, 1))
    first, second = made.bus().member("g", LEASE_S), made.bus().member("g", LEASE_S)
    held(first, made.venue)
    for _ in range(5):
        both = made.venue in first.venues(), made.venue in second.venues()
        assert both != (True, True)
        time.sleep(0.1)
    first.close()
    second.close()


def test_a_refill_is_asked_for_and_answered(made: Made) -> None:
    bus, home = made.bus(), made.bus()
    home.outlet(made.venue, "/home/a").add(entries(made.venue, 1))
    assert home.requests(1) == []
    member = bus.member("g", LEASE_S)
    intake = held(member, made.venue)
    request = Request(uuid.uuid4().hex, made.venue, NOTHING, (1, 30))
    intake.ask(request)
    asked: list[Request] = []
    until(lambda: asked.extend(home.requests(200)) or asked, "the request arrives")
    assert asked == [request]
    for entry in [*entries(made.venue, 3), Entry.mark(made.venue, (1, 30), (1, 30))]:
        assert home.answer(request, entry)
    found: list[bytes] = []
    until(lambda: found.extend(intake.answers(request, 200)) or len(found) == 4, "the answer arrives")
    assert [decode(raw).position for raw in found] == [(1, 10), (1, 20), (1, 30), (1, 30)]
    intake.done(request)
    intake.close()
    member.close()


def test_depth_counts_what_a_group_has_not_acknowledged(made: Made) -> None:
    bus = made.bus()
    outlet = bus.outlet(made.venue, "/home/a")
    for entry in entries(made.venue, 4):
        outlet.add([entry])
    member = bus.member("g", LEASE_S)
    intake = held(member, made.venue)
    found = take(intake, 4)
    intake.ack([one.key for one in found[:3]])
    outlet = made.bus().outlet(made.venue, "/home/a")
    outlet.last()
    depth = outlet.depth()
    assert depth.records == 40
    assert depth.groups["g"].records == 10
    assert depth.groups["g"].entries >= 1
    assert 0 < depth.groups["g"].oldest_s < 60
    intake.ack([found[3].key])
    outlet = made.bus().outlet(made.venue, "/home/a")
    outlet.last()
    assert (outlet.depth().groups["g"].records, outlet.depth().groups["g"].oldest_s) == (0, 0)
    intake.close()
    member.close()


def test_a_stream_has_one_home(made: Made) -> None:
    """Two homes with a venue of one name must not mix their records."""
    made.bus().outlet(made.venue, "home-a").add(entries(made.venue, 2))
    other = made.bus().outlet(made.venue, "home-b")
    with pytest.raises(BusError, match="home-a"):
        other.last()
    assert made.bus().outlet(made.venue, "home-a").last() == (1, 20)


def test_a_dead_letter_is_not_delivered_again(made: Made) -> None:
    made.bus().outlet(made.venue, "/home/a").add(entries(made.venue, 2))
    member = made.bus().member("g", LEASE_S)
    intake = held(member, made.venue)
    found = take(intake, 2)
    intake.bury(found[0], "for a test")
    intake.ack([found[1].key])
    intake.close()
    member.close()
    again = made.bus().member("g", LEASE_S)
    intake = held(again, made.venue)
    assert intake.recover() == []
    assert intake.take(10, 500) == []
    intake.close()
    again.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "kafka://127.0.0.1:1"])
def test_nobody_at_the_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.bus.kafka.ANSWER_S", 1.0)
    with pytest.raises(BusError):
        open_bus(url).outlet(VENUE, "/home/a").last()


def test_addresses() -> None:
    with pytest.raises(ConfigError):
        open_bus("carrier://pigeon")
    with pytest.raises(UsageError):
        open_bus(None)


# ── Redis alone ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def on_redis(redis: Redis) -> Iterator[Made]:
    found = Made(redis.url(4), f"sim-{uuid.uuid4().hex[:12]}")
    import redis as library

    with library.Redis.from_url(found.url) as client:
        client.flushdb()
    yield found
    found.close()


def test_a_repeated_entry_is_refused(on_redis: Made) -> None:
    outlet = on_redis.bus().outlet(on_redis.venue, "/home/a")
    sent = entries(on_redis.venue, 3)
    outlet.add(sent)
    for again in sent:
        with pytest.raises(BehindError):
            outlet.add([again])
    assert outlet.depth().entries == 3


def test_only_what_every_group_has_acknowledged_is_let_go(on_redis: Made) -> None:
    bus = on_redis.bus()
    outlet = bus.outlet(on_redis.venue, "/home/a")
    outlet.add(entries(on_redis.venue, 6))
    assert outlet.trim() == 0, "nobody has read it"
    members: list[Member] = []
    found: Callable[[str], tuple[Intake, list[Delivery]]]

    def found(group: str) -> tuple[Intake, list[Delivery]]:
        members.append(bus.member(group, 5.0))
        intake = held(members[-1], on_redis.venue)
        return intake, take(intake, 6)

    (one, ones), (two, twos) = found("one"), found("two")
    one.ack([delivery.key for delivery in ones])
    assert outlet.trim() == 0, "the other group needs all of it"
    two.ack([twos[0].key, twos[1].key, twos[3].key])
    assert outlet.trim() == 2, "what lies behind an entry that is not acknowledged stays"
    two.ack([twos[2].key, twos[4].key, twos[5].key])
    assert outlet.trim() == 4
    assert outlet.last() == (1, 60)
    for member in members:
        member.close()


@pytest.mark.alone
def test_a_member_that_is_silent_loses_its_venues(on_redis: Made) -> None:
    """Figures: the next member has the venue within twice the lease."""
    on_redis.bus().outlet(on_redis.venue, "/home/a").add(entries(on_redis.venue, 1))
    first = on_redis.bus().member("g", LEASE_S)
    intake = held(first, on_redis.venue)
    first._closed.set()  # type: ignore[attr-defined]  # its process hangs
    began = time.monotonic()
    second = on_redis.bus().member("g", LEASE_S)
    held(second, on_redis.venue)
    took = time.monotonic() - began
    assert took < 2 * LEASE_S + 0.5
    with pytest.raises(LostError):
        intake.take(1, 0)
    second.close()


def test_venues_are_shared_out(on_redis: Made) -> None:
    bus = on_redis.bus()
    names = [f"{on_redis.venue}-{letter}" for letter in "abcde"]
    for name in names:
        bus.outlet(name, "/home/a").last()
    first, second = on_redis.bus().member("g", 5.0), on_redis.bus().member("g", 5.0)
    assert sorted(first.venues()) == names
    until(
        lambda: (
            sorted([*first.venues(), *second.venues()]) == names
            and abs(len(first.venues()) - len(second.venues())) == 1
        ),
        "each has its share",
    )
    second.close()
    until(lambda: sorted(first.venues()) == names, "what was given up is taken")
    first.close()


def test_only_processes_that_are_gone_count_as_deliveries(on_redis: Made) -> None:
    """A connection that breaks ten times while the store is away makes no poison of what nobody looked at."""
    on_redis.bus().outlet(on_redis.venue, "/home/a").add(entries(on_redis.venue, 2))
    member = on_redis.bus().member("g", 5.0)
    intake = held(member, on_redis.venue)
    assert [one.deliveries for one in take(intake, 2)] == [1, 1]
    for _ in range(10):
        intake = member.open(on_redis.venue)
        assert [one.deliveries for one in intake.recover()] == [1, 1]
    member.close()
    for times in (2, 3):
        member = on_redis.bus().member("g", 5.0)
        assert [one.deliveries for one in held(member, on_redis.venue).recover()] == [times, times]
        member.close()


def test_a_full_redis_can_still_be_emptied() -> None:
    import redis as library

    program = redis_server.program() or Path()
    with redis_server.Redis(program) as server, library.Redis(port=server.port) as client:
        bus = open_bus(server.url())
        outlet = bus.outlet(VENUE, "home-a")
        assert outlet.last() is None
        outlet.add(entries(VENUE, 3))
        member = bus.member("g", 5.0)
        intake = held(member, VENUE)
        intake.ack([one.key for one in take(intake, 3)])
        client.config_set("maxmemory", 1)
        with pytest.raises(BusError):
            outlet.add(entries(VENUE, 1, first=31))
        assert outlet.last() == (1, 30)
        assert outlet.trim() == 3
        member.close()
        bus.close()
