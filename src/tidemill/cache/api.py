"""What a cache and a channel are. Values are bytes of whoever asks (JSON, Arrow): never a pickle.

A key says the version of the data it was made of, so that newer data has another key; where answers differ
by user it says the user, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Heard = Callable[[str | None], None]
"""Takes a message; None says that some may have been missed. Called in a thread, must not block."""


class Cache(Protocol):
    """Thread-safe. What was put may be gone at any time."""

    def get(self, key: str) -> bytes | None:
        """What was put last under `key`, while it is young enough."""

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps `value` for at most `ttl_s`."""

    def drop(self, prefix: str) -> None:
        """Forgets every key that begins with `prefix`."""


class Channel(Protocol):
    """Small messages to every process that subscribed; at most once, in no promised order."""

    def publish(self, topic: str, message: str = "") -> None:
        """Tells every subscriber of `topic`, those of this process included."""

    def subscribe(self, topic: str, heard: Heard) -> None:
        """Calls `heard` for each message on `topic` from now on."""


@dataclass
class Counts:
    """What a cache has done since it was made."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    """Let go of for want of room, not for age."""
