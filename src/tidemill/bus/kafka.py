"""A bus on Kafka: one topic of one partition per venue, written in transactions, read by a consumer group.

The transactional id belongs to a home and a venue, so a publisher that was taken for dead is refused, and
what it had begun is undone. The group's assignment gives a venue to one reader at a time; what makes that
sure is the store, which takes rows only behind the offset they follow. `docs/delivery.md` has all topics.
https://docs.confluent.io/platform/current/clients/confluent-kafka-python/
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from tidemill.address import shown
from tidemill.bus.api import BusError, Delivery, Depth, Group, LostError, Request
from tidemill.bus.entry import Entry, EntryError, head
from tidemill.errors import ConfigError
from tidemill.stores.api import Position

PREFIX: Final = "tidemill"
ANSWER_S: Final = 10.0
KEPT_MS: Final = 7 * 86_400_000
"""So long the broker keeps entries, whether they were read or not; what is read later comes by a refill."""
ANSWER_KEPT_MS: Final = 3_600_000
MESSAGE_BYTES: Final = 16 << 20
SESSION_MS_MIN: Final = 6_000
"""Brokers take a dead reader for alive for at least so long (`group.min.session.timeout.ms`)."""
POLL_MS_MAX: Final = 900_000
"""A reader that waits so long for its store gives the venue up."""
JOIN_S: Final = 0.2
GROUPS_S: Final = 5.0


def _key(position: Position) -> bytes:
    return f"{position[0]}-{position[1]}".encode()


def _position(key: bytes | None) -> Position | None:
    try:
        epoch, _, sequence = (key or b"").decode().partition("-")
        return int(epoch), int(sequence)
    except ValueError:
        return None


class KafkaBus:
    """One cluster: `kafka://HOST:9092,HOST:9092`, `kafkas://USER:PASSWORD@HOST:9093` for TLS and SASL. The
    query may hold `prefix` (of every topic), `ca` (a file) and `mechanism` (PLAIN)."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises `ConfigError` where the library is not installed."""
        try:
            import confluent_kafka
            from confluent_kafka import admin
        except ImportError as error:
            raise ConfigError(
                "extra_missing",
                f"{shown(url)} needs the Python package confluent-kafka",
                hint="pip install 'tidemill[kafka]'",
            ) from error
        self.library: Any = confluent_kafka
        self._admin_library: Any = admin
        self.url = url
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.prefix = query.get("prefix", PREFIX)
        secure = parts.scheme == "kafkas"
        user, _, hosts = parts.netloc.rpartition("@")
        self.settings: dict[str, Any] = {
            "bootstrap.servers": hosts,
            "security.protocol": ("SASL_" if user else "") + ("SSL" if secure else "PLAINTEXT"),
            "socket.timeout.ms": int(ANSWER_S * 1000),
            "log_level": 0,
        }
        if user:
            name, _, password = user.partition(":")
            self.settings |= {
                "sasl.mechanism": query.get("mechanism", "PLAIN"),
                "sasl.username": unquote(name),
                "sasl.password": unquote(password),
            }
        if "ca" in query:
            self.settings["ssl.ca.location"] = query["ca"]
        self._admin: Any = None
        self._producer: Any = None
        self._requests: Any = None
        self._made: set[str] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Turns what Kafka says of errors into `BusError`."""
        try:
            yield
        except (self.library.KafkaException, BufferError, RuntimeError, OSError) as error:
            if isinstance(error, BusError | LostError):
                raise
            # A future that is not done in time says nothing at all.
            raise BusError(f"{shown(self.url)}: {str(error) or 'no answer in time'}") from error

    def topic(self, *words: str) -> str:
        return ".".join((self.prefix, *words))

    @property
    def admin(self) -> Any:
        with self._lock:
            if self._admin is None:
                self._admin = self._admin_library.AdminClient(self.settings)
            return self._admin

    def make(self, topic: str, kept_ms: int = KEPT_MS) -> str:
        """Makes a topic where there is none."""
        if topic not in self._made:
            wanted = self._admin_library.NewTopic(
                topic,
                num_partitions=1,
                config={"retention.ms": str(kept_ms), "max.message.bytes": str(MESSAGE_BYTES)},
            )
            for future in self.admin.create_topics([wanted], operation_timeout=ANSWER_S).values():
                try:
                    future.result(ANSWER_S)
                except self.library.KafkaException as error:
                    if error.args[0].code() != self.library.KafkaError.TOPIC_ALREADY_EXISTS:
                        raise
            self._made.add(topic)
        return topic

    def consumer(self, **settings: Any) -> Any:
        return self.library.Consumer(
            {
                **self.settings,
                "group.id": f"{self.prefix}-look-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                **{name.replace("_", "."): value for name, value in settings.items()},
            }
        )

    def send(self, topic: str, key: bytes, value: bytes, headers: dict[str, bytes] | None = None) -> None:
        """One message, kept by the broker when this returns."""
        with self._lock:
            if self._producer is None:
                self._producer = self.library.Producer(
                    {**self.settings, "enable.idempotence": True, "message.max.bytes": MESSAGE_BYTES}
                )
        failed: list[Any] = []

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(error)

        self._producer.produce(topic, value, key, headers=headers or {}, on_delivery=delivered)
        left = self._producer.flush(ANSWER_S)
        if left or failed:
            self._producer.purge()
            raise BusError(f"{shown(self.url)} did not take a message: {failed or 'no answer'}")

    def outlet(self, venue: str, home: str) -> KafkaOutlet:
        return KafkaOutlet(self, venue, home)

    def member(self, group: str, lease_s: float) -> KafkaMember:
        return KafkaMember(self, group, lease_s)

    def requests(self, timeout_ms: int) -> list[Request]:
        found: list[Request] = []
        with self.asking():
            if self._requests is None:
                # What was asked before this start is asked again by whoever still needs it.
                reader = self.consumer()
                _assign_end(self, reader, self.make(self.topic("refill"), ANSWER_KEPT_MS))
                self._requests = reader
            for message in _poll(self._requests, 100, timeout_ms):
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    found.append(Request.of(json.loads(message.value())))
        return found

    def answer(self, request: Request, entry: Entry) -> bool:
        with self.asking():
            topic = self.make(self.topic("refill", request.venue), ANSWER_KEPT_MS)
            self.send(topic, request.id.encode(), entry.encode())
        return True

    def close(self) -> None:
        if self._requests is not None:
            self._requests.close()


def _poll(consumer: Any, count: int, timeout_ms: int) -> list[Any]:
    """Up to `count` messages, as soon as there is one."""
    first = consumer.poll(timeout_ms / 1000)
    if first is None:
        return []
    found = [first, *consumer.consume(count - 1, 0.0)] if count > 1 else [first]
    for message in found:
        if message.error() is not None:
            raise BusError(f"Kafka: {message.error()}")
    return found


def _assign_end(bus: KafkaBus, consumer: Any, topic: str) -> None:
    """The consumer reads what comes from now on."""
    _, high = consumer.get_watermark_offsets(bus.library.TopicPartition(topic, 0), timeout=ANSWER_S)
    consumer.assign([bus.library.TopicPartition(topic, 0, high)])


class Peek:
    """Looks at single messages of a topic, beside whoever reads it."""

    def __init__(self, bus: KafkaBus, topic: str) -> None:
        self._bus = bus
        self._topic = topic
        self._consumer: Any = None
        self._high = -1
        self._last: Any = None
        self._lock = threading.Lock()

    def bounds(self) -> tuple[int, int]:
        """The first offset there is, and the one behind the last."""
        if self._consumer is None:
            self._consumer = self._bus.consumer(enable_partition_eof=True)
        partition = self._bus.library.TopicPartition(self._topic, 0)
        low, high = self._consumer.get_watermark_offsets(partition, timeout=ANSWER_S)
        return low, high

    def last(self) -> Any:
        """The newest committed message; None where there is none."""
        with self._lock:
            low, high = self.bounds()
            if high == self._high:
                return self._last
            back = 8
            found = None
            # The ends of transactions take offsets, too.
            while found is None and high > low:
                start = max(low, high - back)
                for message in self._read(start, high):
                    found = message
                if start == low:
                    break
                back *= 8
            self._high, self._last = high, found
            return found

    def at(self, offset: int) -> Any:
        """The first message from an offset on; None where there is none."""
        with self._lock:
            low, high = self.bounds()
            return next(iter(self._read(max(low, offset), high)), None)

    def _read(self, start: int, end: int) -> Iterator[Any]:
        if start >= end:
            return
        library = self._bus.library
        self._consumer.assign([library.TopicPartition(self._topic, 0, start)])
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            message = self._consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield message
                if message.offset() + 1 >= end:
                    return
            elif error.code() == library.KafkaError._PARTITION_EOF:
                return
            else:
                raise BusError(f"Kafka: {error}")
        raise BusError(f"{self._topic} could not be read up to its end")

    def close(self) -> None:
        with self._lock:  # whoever looks at this moment is waited for: a consumer ends under nobody's hands
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                consumer.close()


class KafkaOutlet:
    """A venue's topic as its publisher writes it."""

    def __init__(self, bus: KafkaBus, venue: str, home: str) -> None:
        self._bus = bus
        self._venue = venue
        self._topic = bus.topic("records", venue)
        self._id = f"{bus.prefix}-{venue}-{hashlib.sha256(home.encode()).hexdigest()[:16]}"
        self._home = home
        self._producer: Any = None
        self._added: Position | None = None
        """What this producer has committed. Readers may see it a moment later, and nobody else writes."""
        self._peek = Peek(bus, self._topic)
        self._depth = Depth()
        self._depth_at = float("-inf")

    def _begin(self) -> None:
        if self._producer is not None:
            return
        self._bus.make(self._topic)
        producer = self._bus.library.Producer(
            {
                **self._bus.settings,
                "transactional.id": self._id,
                "message.max.bytes": MESSAGE_BYTES,
                "linger.ms": 0,
            }
        )
        # What an earlier publisher had begun is finished or undone before the topic is looked at.
        producer.init_transactions(ANSWER_S)
        self._producer, self._added = producer, None

    def last(self) -> Position | None:
        with self._bus.asking():
            self._begin()
            if self._added is not None:
                return self._added
            message = self._peek.last()
        if message is None:
            return None
        before = dict(message.headers() or ()).get("home", self._home.encode()).decode()
        if before != self._home:
            raise BusError(
                f"{self._topic} is written by the home {before!r}, this one is {self._home!r}: give venues of"
                " different homes different names; if that home is gone for good, delete the topic"
            )
        return _position(message.key())

    def add(self, entries: Sequence[Entry]) -> None:
        with self._bus.asking():
            self._begin()
            producer, self._producer = self._producer, None
            producer.begin_transaction()
            for entry in entries:
                headers = {"home": self._home.encode()}
                producer.produce(self._topic, entry.encode(), _key(entry.position), headers=headers)
            producer.commit_transaction(ANSWER_S)
            # After an error a new producer begins, and so finds out what became of this transaction.
            self._producer, self._added = producer, entries[-1].position

    def depth(self) -> Depth:
        if time.monotonic() - self._depth_at < GROUPS_S:
            return self._depth
        with self._bus.asking():
            depth = Depth()
            low, high = self._peek.bounds()
            depth.entries = high - low
            last = self._peek.last()
            end = _position(last.key()) if last is not None else None
            first = self._peek.at(low)
            if end and first is not None:
                depth.records = max(0, end[1] + 1 - _first(first))
            for name in self._groups():
                depth.groups[name] = self._group(name, high, end)
        self._depth, self._depth_at = depth, time.monotonic()
        return depth

    def _groups(self) -> list[str]:
        found = self._bus.admin.list_consumer_groups(request_timeout=ANSWER_S).result(ANSWER_S)
        ends, begins = f".{self._venue}", f"{self._bus.prefix}.group."
        names = [group.group_id for group in found.valid]
        return [
            name[len(begins) : -len(ends)]
            for name in names
            if name.startswith(begins) and name.endswith(ends)
        ]

    def _group(self, name: str, high: int, end: Position | None) -> Group:
        library = self._bus.library
        partition = library.TopicPartition(self._topic, 0)
        asked = library.ConsumerGroupTopicPartitions(self._bus.topic("group", name, self._venue), [partition])
        futures = self._bus.admin.list_consumer_group_offsets([asked], request_timeout=ANSWER_S)
        offset = max(0, next(iter(futures.values())).result(ANSWER_S).topic_partitions[0].offset)
        oldest = self._peek.at(offset) if offset < high else None
        if oldest is None or end is None:
            return Group()
        age = max(0.0, time.time() - oldest.timestamp()[1] / 1000)
        return Group(high - offset, max(0, end[1] + 1 - _first(oldest)), 0, age)

    def trim(self) -> int:
        return 0  # the broker's own retention

    def close(self) -> None:
        self._peek.close()


def _first(message: Any) -> int:
    try:
        return head(message.value()).first
    except EntryError:
        return (_position(message.key()) or (0, 0))[1]


class _Held:
    """A venue's consumer in the group."""

    def __init__(self, bus: KafkaBus, group: str, venue: str, lease_s: float) -> None:
        self.topic = bus.topic("records", venue)
        self.assigned = False
        self.opened = False
        self.early: list[Any] = []
        self.lock = threading.Lock()
        session = max(SESSION_MS_MIN, int(lease_s * 1000))
        self.consumer = bus.consumer(
            group_id=bus.topic("group", group, venue),
            session_timeout_ms=session,
            heartbeat_interval_ms=session // 3,
            max_poll_interval_ms=POLL_MS_MAX,
        )
        self.consumer.subscribe(
            [self.topic],
            on_assign=lambda *_: self._set(True),
            on_revoke=lambda *_: self._set(False),
            on_lost=lambda *_: self._set(False),
        )

    def _set(self, assigned: bool) -> None:
        self.assigned = assigned

    def join(self) -> None:
        """Until somebody reads it this is what joins the group; what comes already is kept."""
        if self.opened:  # its reader may be in a long wait
            return
        with self.lock:
            if not self.opened:
                self.early += _poll(self.consumer, 1, 0)

    def close(self) -> None:
        with self.lock:
            self.assigned, self.opened = False, True
            self.consumer.close()


class KafkaMember:
    """One of the readers of a group: a consumer per venue, of which the group has one at work."""

    def __init__(self, bus: KafkaBus, group: str, lease_s: float) -> None:
        self._bus = bus
        self._group = group
        self._lease_s = lease_s
        self._held: dict[str, _Held] = {}
        self._peeks: dict[str, Peek] = {}
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="join", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._closed.wait(JOIN_S):
            for held in list(self._held.values()):
                with contextlib.suppress(BusError), self._bus.asking():
                    held.join()

    def venues(self) -> list[str]:
        with self._bus.asking():
            begins = self._bus.topic("records", "")
            topics = self._bus.admin.list_topics(timeout=ANSWER_S).topics
            for venue in sorted(name[len(begins) :] for name in topics if name.startswith(begins)):
                if venue not in self._held:
                    self._held[venue] = _Held(self._bus, self._group, venue, self._lease_s)
        return sorted(venue for venue, held in self._held.items() if held.assigned)

    def open(self, venue: str) -> KafkaIntake:
        held = self._held[venue]
        with held.lock:
            again, held.opened = held.opened, True
        if again:
            # What was sent to the reader before this one and not acknowledged comes again.
            with self._bus.asking():
                partition = self._bus.library.TopicPartition(held.topic, 0)
                offset = held.consumer.committed([partition], timeout=ANSWER_S)[0].offset
                low, _ = held.consumer.get_watermark_offsets(partition, timeout=ANSWER_S)
                held.consumer.seek(self._bus.library.TopicPartition(held.topic, 0, max(low, offset)))
                held.early = []
        return KafkaIntake(self._bus, held, venue)

    def release(self, venue: str) -> None:
        held = self._held.pop(venue, None)
        if held:
            held.close()

    def newest(self, venue: str) -> Position | None:
        peek = self._peeks.setdefault(venue, Peek(self._bus, self._bus.topic("records", venue)))
        with self._bus.asking():
            message = peek.last()
        return None if message is None else _position(message.key())

    def close(self) -> None:
        self._closed.set()
        self._keeper.join(ANSWER_S)
        for venue in list(self._held):
            self.release(venue)
        for peek in self._peeks.values():
            peek.close()


class KafkaIntake:
    """A venue's topic as the one reader of its group reads it."""

    def __init__(self, bus: KafkaBus, held: _Held, venue: str) -> None:
        self._bus = bus
        self._held = held
        self._venue = venue
        self._peek = Peek(bus, held.topic)
        self._answers: Any = None
        self._asking = threading.Lock()
        self._acked = -1

    def _mine(self) -> None:
        if not self._held.assigned:
            raise LostError(f"{self._venue} is read by another member of its group now")

    def recover(self) -> list[Delivery]:
        return []  # what was not acknowledged comes again by itself

    def take(self, count: int, timeout_ms: int) -> list[Delivery]:
        self._mine()
        # `release` comes from another thread and must not end the consumer while this one is in it.
        with self._held.lock, self._bus.asking():
            self._mine()
            found, self._held.early = self._held.early, []
            if not found:
                found = _poll(self._held.consumer, count, timeout_ms)
        self._mine()
        return [Delivery(str(m.offset()), _position(m.key()), m.value() or b"") for m in found]

    def ack(self, keys: Sequence[str]) -> None:
        # Entries are stored in order, so everything before the newest of them is stored, too.
        newest = max(int(key) for key in keys)
        if newest <= self._acked:
            return
        partition = self._bus.library.TopicPartition(self._held.topic, 0, newest + 1)
        with self._bus.asking():
            self._held.consumer.commit(offsets=[partition], asynchronous=False)
        self._acked = newest

    def bury(self, delivery: Delivery, reason: str) -> None:
        self._mine()
        with self._bus.asking():
            topic = self._bus.make(self._bus.topic("dead", self._venue))
            self._bus.send(topic, delivery.key.encode(), delivery.raw, {"reason": reason.encode()})

    def newest(self) -> Position | None:
        with self._bus.asking():
            message = self._peek.last()
        return None if message is None else _position(message.key())

    def ask(self, request: Request) -> None:
        self._mine()
        with self._asking, self._bus.asking():
            topic = self._bus.make(self._bus.topic("refill", self._venue), ANSWER_KEPT_MS)
            if self._answers is None:
                self._answers = self._bus.consumer()
            _assign_end(self._bus, self._answers, topic)
            requests = self._bus.make(self._bus.topic("refill"), ANSWER_KEPT_MS)
            self._bus.send(requests, self._venue.encode(), json.dumps(request.as_dict()).encode())

    def answers(self, request: Request, timeout_ms: int) -> list[bytes]:
        with self._asking, self._bus.asking():
            self._mine()
            if self._answers is None:
                raise BusError(f"the reader of {self._venue} was closed")
            found = _poll(self._answers, 16, timeout_ms)
        return [message.value() for message in found if message.key() == request.id.encode()]

    def done(self, request: Request) -> None:
        pass

    def close(self) -> None:
        self._peek.close()
        with self._asking:
            answers, self._answers = self._answers, None
            if answers is not None:
                answers.close()
