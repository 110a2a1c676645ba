"""The cache that the platform uses: in process, and through a breaker in Redis where one is configured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

from tidemill import address
from tidemill.cache.api import Counts, Heard
from tidemill.cache.breaker import Breaker
from tidemill.cache.memory import BYTES_MAX, Memory
from tidemill.cache.redis import VALUE_BYTES_MAX, Redis

T = TypeVar("T")
HOUR_S = 3600.0
AGAIN_S = 1.0
PROBE_S = 5.0


class Shared:
    """A `Cache` and a `Channel`. Never raises for what Redis does: it is left out until it is well again."""

    def __init__(self, url: str | None, name: str, bytes_max: int = BYTES_MAX) -> None:
        """`name` keeps apart who shares a Redis. Raises `ConfigError` for an address that cannot be one."""
        self.memory = Memory(bytes_max)
        self.breaker = Breaker()
        self.redis = Redis(url, name) if url else None
        self.counts = Counts()
        """Of Redis alone; `memory.counts` has the rest."""
        self._shown = address.shown(url) if url else ""
        self._making = [threading.RLock() for _ in range(16)]
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> Literal["off", "closed", "open", "half-open"]:
        """Of the way to Redis: `off` where none is configured, `closed` while it works."""
        return self.breaker.state if self.redis else "off"

    @property
    def trouble(self) -> str | None:
        """What is wrong with Redis; None where nothing is."""
        why = self.breaker.why
        return f"Redis at {self._shown} is left out: {why}"[:300] if self.redis and why else None

    def start(self, topics: tuple[str, ...]) -> None:
        """Listens to other processes in a thread until `close`, and looks whether Redis is well."""
        if self.redis and self._thread is None:
            self._thread = threading.Thread(target=self._listen, args=(topics,), name="cache", daemon=True)
            self._thread.start()
            threading.Thread(target=self._probe, name="cache-probe", daemon=True).start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2.0)
        if self.redis is not None:
            self.redis.close()

    # ── cache ─────────────────────────────────────────────────────────────────────────────────────

    def get(self, key: str) -> bytes | None:
        found = self.memory.get(key)
        redis = self.redis
        if found is not None or redis is None:
            return found
        there = self._call(lambda: redis.get(key), None)
        if there is None:
            self.counts.misses += 1
            return None
        value, left_s = there
        self.counts.hits += 1
        self.memory.put(key, value, left_s)
        return value

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        self.memory.put(key, value, ttl_s)
        redis = self.redis
        if redis is not None and len(value) <= VALUE_BYTES_MAX:
            self._call(lambda: redis.put(key, value, ttl_s), None)

    def get_or_compute(
        self, key: str, compute: Callable[[], bytes], ttl_s: float = HOUR_S, *, alone: bool = False
    ) -> bytes:
        """What is kept under `key`, else what `compute` makes, kept from then on. Threads that want the same
        at once wait for one making of it. With `alone` it is this process's, and no other's."""
        cache = self.memory if alone else self
        found = cache.get(key)
        if found is not None:
            return found
        with self._making[hash(key) % len(self._making)]:
            found = cache.get(key)
            if found is None:
                found = compute()
                cache.put(key, found, ttl_s)
            return found

    def drop(self, prefix: str) -> None:
        """In this process and in Redis; other processes are told by a message of whoever drops."""
        self.memory.drop(prefix)
        redis = self.redis
        if redis is not None:
            self._call(lambda: redis.drop(prefix), None)

    # ── channel ───────────────────────────────────────────────────────────────────────────────────

    def publish(self, topic: str, message: str = "") -> None:
        """Through Redis it comes back to this process as well: hearing it twice does no harm."""
        self.memory.publish(topic, message)
        redis = self.redis
        if redis is not None:
            self._call(lambda: redis.publish(topic, message), None)

    def subscribe(self, topic: str, heard: Heard) -> None:
        self.memory.subscribe(topic, heard)

    def _listen(self, topics: tuple[str, ...]) -> None:
        assert self.redis is not None  # noqa: S101 - `start` has looked
        handlers = {topic: self._handler(topic) for topic in topics}
        while not self._stopping.is_set():
            try:
                self.redis.listen(list(topics), handlers, self._stopping)
            except self.redis.errors:
                pass  # who calls notices it too, and says so to the breaker
            self._stopping.wait(AGAIN_S)

    def _handler(self, topic: str) -> Heard:
        return lambda message: self.memory.hear(topic, message)

    def _probe(self) -> None:
        """Where nobody asks, health still knows how Redis is."""
        assert self.redis is not None  # noqa: S101 - `start` has looked
        while not self._stopping.is_set():
            self._call(self.redis.ping, None, probe=True)
            self._stopping.wait(AGAIN_S if self.breaker.why else PROBE_S)

    def admit(self) -> bool:
        """Whether Redis may be asked now. Once started, a thread of ours goes to see: no request waits."""
        return self.breaker.admit(probe=self._thread is None)

    def _call(self, work: Callable[[], T], otherwise: T, *, probe: bool = False) -> T:
        """What Redis answers, or `otherwise` while it is not well."""
        assert self.redis is not None  # noqa: S101 - callers have looked
        if not (self.breaker.admit() if probe else self.admit()):
            return otherwise
        started = time.monotonic()
        try:
            found = work()
        except self.redis.errors as error:
            self.breaker.failed(_reason(error))
            return otherwise
        self.breaker.passed(time.monotonic() - started)
        return found


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
