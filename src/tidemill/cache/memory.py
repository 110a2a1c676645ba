"""The cache in this process: so many bytes, the longest unused goes first, each for its time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict

from tidemill.cache.api import Counts, Heard

BYTES_MAX = 64 << 20
ENTRY_BYTES = 200
"""What an entry costs beside its key and value, about."""


class Memory:
    """A `Cache` and a `Channel` for one process."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._heard: defaultdict[str, list[Heard]] = defaultdict(list)
        self.counts = Counts()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found[0] > time.monotonic():
                self._kept.move_to_end(key)
                self.counts.hits += 1
                return found[1]
            if found is not None:
                self._remove(key)
            self.counts.misses += 1
            return None

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        with self._lock:
            if key in self._kept:
                self._remove(key)
            if _size(key, value) > self._bytes_max:
                return
            self._kept[key] = time.monotonic() + ttl_s, value
            self._bytes += _size(key, value)
            while self._bytes > self._bytes_max:
                self._remove(next(iter(self._kept)))
                self.counts.evictions += 1

    def drop(self, prefix: str) -> None:
        with self._lock:
            for key in [key for key in self._kept if key.startswith(prefix)]:
                self._remove(key)

    @property
    def bytes(self) -> int:
        """What is kept now, keys and all."""
        return self._bytes

    def publish(self, topic: str, message: str = "") -> None:
        self.hear(topic, message)

    def subscribe(self, topic: str, heard: Heard) -> None:
        with self._lock:
            self._heard[topic].append(heard)

    def hear(self, topic: str | None, message: str | None) -> None:
        """Hands a message to the subscribers of `topic`, or of every topic."""
        with self._lock:
            if topic is None:
                listeners = [one for every in self._heard.values() for one in every]
            else:
                listeners = list(self._heard.get(topic, ()))
        for heard in listeners:
            heard(message)

    def _remove(self, key: str) -> None:
        _, value = self._kept.pop(key)
        self._bytes -= _size(key, value)


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_BYTES
