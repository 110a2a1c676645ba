"""A bus on Redis Streams: one stream per venue, whose ids are (epoch, last sequence) of each entry.

Redis refuses an id that is not above the stream's newest, so a repeated XADD cannot double an entry, and
the newest id says where a publisher goes on. `docs/delivery.md` has all keys.
https://redis.io/docs/latest/develop/data-types/streams/
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tidemill.address import shown
from tidemill.bus.api import BehindError, BusError, Delivery, Depth, Group, LostError, Request
from tidemill.bus.entry import NOTHING, Entry, EntryError, head
from tidemill.errors import ConfigError
from tidemill.stores.api import Position

VENUES: Final = "tidemill:venues"
REFILL: Final = "tidemill:refill"
FIELD: Final = b"entry"
CONNECT_S: Final = 3.0
ANSWER_S: Final = 10.0
"""So long an answer of Redis may take; what blocks there by order blocks for less."""
DEAD_ENTRIES: Final = 10_000
"""Dead letters kept of a venue; the oldest go first, each was told of in the log."""
REQUESTS: Final = 1_000
ANSWER_ENTRIES: Final = 64
"""Entries of a refill that may wait for their reader."""
ANSWER_KEPT_S: Final = 600
ASKER_GONE_S: Final = 20.0
IDLE_CONSUMER_MS: Final = 600_000

# What empties a full Redis must work in a full one: these few bytes are let in.
_FULL = "#!lua flags=allow-oom\n"
_ACQUIRE = f"{_FULL}return redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2])"
_PRESENT = f"{_FULL}redis.call('zadd', KEYS[1], ARGV[2], ARGV[1])"
_ABSENT = "redis.call('zremrangebyscore', KEYS[1], 0, ARGV[3])"
_CREATE = f"{_FULL}return redis.call('xgroup', 'create', KEYS[1], ARGV[1], '0', 'mkstream')"
# Only who has the lease may renew it or give it up.
_MINE = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end "
_RENEW = f"{_MINE} return redis.call('pexpire', KEYS[1], ARGV[2])"
_RELEASE = f"{_MINE} return redis.call('del', KEYS[1])"


def stream(venue: str) -> str:
    return f"tidemill:records:{venue}"


def dead(venue: str) -> str:
    return f"tidemill:dead:{venue}"


def owner(venue: str) -> str:
    return f"tidemill:owner:{venue}"


def lease(group: str, venue: str) -> str:
    return f"tidemill:lease:{group}:{venue}"


def members(group: str) -> str:
    return f"tidemill:members:{group}"


def answer(request: Request) -> str:
    return f"{REFILL}:{request.venue}:{request.id}"


def _id(position: Position) -> str:
    return f"{position[0]}-{position[1]}"


def _position(key: bytes | str) -> Position:
    epoch, _, sequence = (key.decode() if isinstance(key, bytes) else key).partition("-")
    return int(epoch), int(sequence)


def _reached(said: dict[str, Any]) -> Position | None:
    """Where a stream stands; None before its first entry: a reader makes it before there is one."""
    found = _position(said["last-generated-id"])
    return None if found == NOTHING else found


class RedisBus:
    """One Redis, or a compatible server, from version 7.0 on."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises `ConfigError` where the library is not installed."""
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise ConfigError(
                "extra_missing",
                f"{shown(url)} needs the Python package redis",
                hint="pip install 'tidemill[redis]'",
            ) from error
        self.url = url
        self._errors = redis
        # A repeated command whose first try may have worked is the caller's decision.
        self.client: Any = redis.Redis.from_url(
            url,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._request_id: str | None = None

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Turns what may pass (down, loading, full, failing over, no rights yet) into `BusError`."""
        errors = self._errors
        try:
            yield
        except (errors.ConnectionError, errors.TimeoutError, OSError) as error:
            raise BusError(f"{shown(self.url)} cannot be reached: {error}") from error
        except errors.ResponseError as error:
            raise BusError(f"{shown(self.url)} refuses: {error}") from error

    def outlet(self, venue: str, home: str) -> RedisOutlet:
        return RedisOutlet(self, venue, home)

    def member(self, group: str, lease_s: float) -> RedisMember:
        return RedisMember(self, group, lease_s)

    def requests(self, timeout_ms: int) -> list[Request]:
        found: list[Request] = []
        with self.asking():
            if self._request_id is None:
                # What was asked before this start is asked again by whoever still needs it.
                newest = self.client.xrevrange(REFILL, count=1)
                self._request_id = newest[0][0].decode() if newest else "0-0"
            said = self.client.xread({REFILL: self._request_id}, count=100, block=max(1, timeout_ms))
            for key, fields in _entries(said):
                self._request_id = key
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    found.append(Request.of(json.loads(fields[b"request"])))
        return found

    def answer(self, request: Request, entry: Entry) -> bool:
        key = answer(request)
        until = time.monotonic() + ASKER_GONE_S
        with self.asking():
            while self.client.xlen(key) >= ANSWER_ENTRIES:
                if time.monotonic() > until:
                    self.client.delete(key)
                    return False
                time.sleep(0.02)
            pipe = self.client.pipeline()
            pipe.xadd(key, {FIELD: entry.encode()})
            pipe.expire(key, ANSWER_KEPT_S)
            pipe.execute()
        return True

    def close(self) -> None:
        self.client.close()


def _entries(said: Any) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    """Ids and fields in an answer of XREAD or XREADGROUP: of one stream, in either protocol's shape."""
    streams = said.values() if isinstance(said, dict) else [found for _, found in said or ()]
    for found in streams:
        for key, fields in found[0] if found and isinstance(found[0], list) else found:
            yield key.decode(), fields or {}


class RedisOutlet:
    """A venue's stream as its publisher writes it; without a home as others look at it."""

    def __init__(self, bus: RedisBus, venue: str, home: str | None = None) -> None:
        self._bus = bus
        self._client = bus.client
        self._venue = venue
        self._home = home
        self._owned = False
        self._key = stream(venue)

    def last(self) -> Position | None:
        with self._bus.asking():
            self._own()
            said = self._about()
        return None if said is None else _reached(said)

    def _own(self) -> None:
        """Two homes that publish venues of one name would mix their records without a trace: the first to
        come has the stream. Nothing is written that is there: a full Redis must still be emptied."""
        if self._home is None:
            return
        key = owner(self._venue)
        before = self._client.get(key) or self._client.set(key, self._home, nx=True, get=True)
        if before is not None and before.decode() != self._home:
            raise BusError(
                f"{self._key} is written by the home {before.decode()!r}, this one is {self._home!r}: give"
                " venues of different homes different names; if that home is gone for good,"
                f" DEL {key} {self._key}"
            )
        if not self._client.sismember(VENUES, self._venue):
            self._client.sadd(VENUES, self._venue)
        self._owned = True

    def _about(self) -> dict[str, Any] | None:
        try:
            said: dict[str, Any] = self._client.xinfo_stream(self._key)
        except self._bus._errors.ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        return said

    def add(self, entries: Sequence[Entry]) -> None:
        # One after the other: behind an entry that was refused none may be added.
        with self._bus.asking():
            if not self._owned:
                self._own()
            for entry in entries:
                try:
                    self._client.xadd(self._key, {FIELD: entry.encode()}, id=_id(entry.position))
                except self._bus._errors.ResponseError as error:
                    if "equal or smaller" in str(error):
                        raise BehindError(f"{self._key} is at or beyond {_id(entry.position)}") from error
                    raise

    def depth(self) -> Depth:
        with self._bus.asking():
            said = self._about()
            if said is None:
                return Depth()
            last = _position(said["last-generated-id"])
            depth = Depth(int(said["length"]))
            memory = self._client.info("memory")
            if memory.get("maxmemory"):
                depth.full = memory["used_memory"] / memory["maxmemory"]
            oldest = said["first-entry"]
            if oldest:
                depth.records = max(0, last[1] + 1 - _first(oldest[0], oldest[1]))
            for group in self._client.xinfo_groups(self._key):
                depth.groups[group["name"].decode()] = self._group(group, last)
        return depth

    def _group(self, said: dict[str, Any], last: Position) -> Group:
        unacked = self._unacked(said)
        found = self._client.xrange(self._key, min=unacked, count=1)
        if not found:
            return Group()
        key, fields = found[0]
        pending = int(said["pending"])
        lag = said.get("lag")
        try:
            age = max(0.0, (time.time_ns() - head(fields[FIELD]).published_ns) / 1e9)
        except (EntryError, KeyError):
            age = 0.0
        return Group(pending + int(lag or 0), max(0, last[1] + 1 - _first(key, fields)), pending, age)

    def _unacked(self, said: dict[str, Any]) -> str:
        """The lowest id that a group may still need."""
        if int(said["pending"]):
            lowest = self._client.xpending(self._key, said["name"])["min"]
            if lowest is not None:
                return str(lowest.decode())
        epoch, sequence = _position(said["last-delivered-id"])
        return _id((epoch, sequence + 1))

    def trim(self) -> int:
        with self._bus.asking():
            if not self._client.exists(self._key):
                return 0
            groups = self._client.xinfo_groups(self._key)
            if not groups:
                return 0
            lowest = min((self._unacked(group) for group in groups), key=_position)
            # The group is asked before anything goes: one that is made meanwhile asks for a refill.
            return int(self._client.xtrim(self._key, minid=lowest, approximate=False))

    def close(self) -> None:
        pass


def _first(key: bytes | str, fields: dict[bytes, bytes]) -> int:
    """Sequence of an entry's first record; of its last where its bytes do not say."""
    try:
        return head(fields[FIELD]).first
    except (EntryError, KeyError):
        return _position(key)[1]


class RedisMember:
    """One of the readers of a group. A lease per venue keeps two from reading it at once; what makes that
    sure even when a lease ran out is the store, which takes rows only behind the offset they follow."""

    def __init__(self, bus: RedisBus, group: str, lease_s: float) -> None:
        self._bus = bus
        self._client = bus.client
        self.group = group
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._lease_ms = int(lease_s * 1000)
        self._held: dict[str, float] = {}
        """Venues of ours, and until when (monotonic) that is sure."""
        self._opened = 0
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._keeper.start()

    def venues(self) -> list[str]:
        with self._bus.asking():
            known = sorted(name.decode() for name in self._client.smembers(VENUES))
            self._present()
            share = self._share(len(known))
            for venue in known:
                if len(self.held()) >= share:
                    break
                self._acquire(venue)
        held = self.held()
        # Another member has come: it gets what is above our share. It finds what was not acknowledged.
        for venue in held[share:]:
            self.release(venue)
        return held[:share]

    def held(self) -> list[str]:
        """Venues that are surely ours now."""
        now = time.monotonic()
        with self._lock:
            for venue in [venue for venue, until in self._held.items() if until <= now]:
                del self._held[venue]
            return list(self._held)

    def _present(self) -> None:
        now = time.time()
        until = now + self._lease_ms / 1000
        self._client.eval(f"{_PRESENT} {_ABSENT}", 1, members(self.group), self.name, until, now)

    def _share(self, venues: int) -> int:
        here = max(1, int(self._client.zcard(members(self.group))))
        return -(-venues // here)

    def _acquire(self, venue: str) -> None:
        with self._lock:
            if venue in self._held:
                return
            until = time.monotonic() + self._lease_ms / 1000
            if self._client.eval(_ACQUIRE, 1, lease(self.group, venue), self.name, self._lease_ms):
                self._held[venue] = until

    def release(self, venue: str) -> None:
        with self._lock:
            self._held.pop(venue, None)
        with contextlib.suppress(BusError), self._bus.asking():
            self._client.eval(_RELEASE, 1, lease(self.group, venue), self.name)

    def _keep(self) -> None:
        while not self._closed.wait(self._lease_ms / 3000):
            with contextlib.suppress(BusError), self._bus.asking():
                self._present()
                for venue in self.held():
                    until = time.monotonic() + self._lease_ms / 1000
                    key = lease(self.group, venue)
                    renewed = self._client.eval(_RENEW, 1, key, self.name, self._lease_ms)
                    with self._lock:
                        if not renewed:
                            self._held.pop(venue, None)
                        elif venue in self._held:
                            self._held[venue] = until

    def open(self, venue: str) -> RedisIntake:
        # A name of its own each time: what an earlier connection was sent and never got is found again.
        self._opened += 1
        return RedisIntake(self._bus, self, venue, f"{self.name}-{self._opened}")

    def newest(self, venue: str) -> Position | None:
        return RedisOutlet(self._bus, venue).last()

    def close(self) -> None:
        self._closed.set()
        self._keeper.join(ANSWER_S)
        for venue in list(self._held):
            self.release(venue)
        with contextlib.suppress(BusError), self._bus.asking():
            self._client.zrem(members(self.group), self.name)


class RedisIntake:
    """A venue's stream as the one member reads it that has the lease."""

    def __init__(self, bus: RedisBus, member: RedisMember, venue: str, name: str) -> None:
        self._bus = bus
        self._client = bus.client
        self._member = member
        self._venue = venue
        self._key = stream(venue)
        self._group = member.group
        self._name = name
        self._read = "0-0"
        with bus.asking():
            self._create()
            self._sweep()

    def _mine(self) -> None:
        if self._venue not in self._member.held():
            raise LostError(f"{self._venue} is read by another member of {self._group!r} now")

    def _create(self) -> None:
        try:
            self._client.eval(_CREATE, 1, self._key, self._group)
        except self._bus._errors.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _sweep(self) -> None:
        """Forgets consumers of the past that hold nothing."""
        for one in self._client.xinfo_consumers(self._key, self._group):
            if not one["pending"] and one["idle"] > IDLE_CONSUMER_MS:
                self._client.xgroup_delconsumer(self._key, self._group, one["name"])

    def recover(self) -> list[Delivery]:
        self._mine()
        counts: dict[str, int] = {}
        with self._bus.asking():
            try:
                said = self._client.xpending(self._key, self._group)
            except self._bus._errors.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                return []
            for consumer in said["consumers"] if said["pending"] else ():
                if (name := consumer["name"].decode()) == self._name:
                    continue
                # What this process took and never looked at, because its connection broke or its lease ran
                # out, is no sign of poison: only a process that is gone counts.
                died = not name.startswith(f"{self._member.name}-")
                for one in self._client.xpending_range(self._key, self._group, "-", "+", 100, name):
                    counts[one["message_id"].decode()] = int(one["times_delivered"]) + died
            wanted = sorted(counts, key=_position)[:100]
            if not wanted:
                return []
            found: dict[str, dict[bytes, bytes]] = {}
            for count in sorted({counts[key] for key in wanted}):
                # What the stream has no more leaves the list of pending entries by this, too.
                claimed = self._client.xclaim(
                    self._key, self._group, self._name, 0,
                    [key for key in wanted if counts[key] == count], retrycount=count,
                )  # fmt: skip
                found |= {key.decode(): fields for key, fields in claimed if key is not None}
        return [
            Delivery(key, _position(key), found[key].get(FIELD, b""), counts[key])
            for key in wanted
            if key in found
        ] or self.recover()

    def take(self, count: int, timeout_ms: int) -> list[Delivery]:
        self._mine()
        # BLOCK 0 would wait for ever; without BLOCK it does not wait.
        block = timeout_ms or None
        with self._bus.asking():
            try:
                said = self._client.xreadgroup(self._group, self._name, {self._key: ">"}, count, block)
            except self._bus._errors.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self._create()  # Redis was flushed
                return []
        return [Delivery(key, _position(key), fields.get(FIELD, b"")) for key, fields in _entries(said)]

    def ack(self, keys: Sequence[str]) -> None:
        with self._bus.asking():
            for at in range(0, len(keys), 500):
                self._client.xack(self._key, self._group, *keys[at : at + 500])

    def bury(self, delivery: Delivery, reason: str) -> None:
        self._mine()
        fields = {"entry": delivery.raw, "id": delivery.key, "group": self._group, "reason": reason}
        with self._bus.asking():
            pipe = self._client.pipeline(transaction=True)
            pipe.xadd(dead(self._venue), fields, maxlen=DEAD_ENTRIES)
            pipe.xack(self._key, self._group, delivery.key)
            pipe.execute()

    def newest(self) -> Position | None:
        return RedisOutlet(self._bus, self._venue).last()

    def ask(self, request: Request) -> None:
        self._mine()
        self._read = "0-0"
        with self._bus.asking():
            self._client.xadd(REFILL, {"request": json.dumps(request.as_dict())}, maxlen=REQUESTS)

    def answers(self, request: Request, timeout_ms: int) -> list[bytes]:
        self._mine()
        key = answer(request)
        found: list[bytes] = []
        with self._bus.asking():
            for id_, fields in _entries(
                self._client.xread({key: self._read}, count=16, block=timeout_ms or None)
            ):
                self._read = id_
                found.append(fields.get(FIELD, b""))
            if found:
                epoch, sequence = _position(self._read)
                self._client.xtrim(key, minid=_id((epoch, sequence + 1)), approximate=False)
        return found

    def done(self, request: Request) -> None:
        with self._bus.asking():
            self._client.delete(answer(request))

    def close(self) -> None:
        pass
