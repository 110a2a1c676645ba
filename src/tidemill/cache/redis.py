"""The cache in Redis, shared by processes that name the same one. Every call may raise `Redis.errors`.

https://redis.io/docs/latest/commands/
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from tidemill import address
from tidemill.cache.api import Heard
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    import redis.asyncio

TIMEOUT_S = 0.1
VALUE_BYTES_MAX = 512 << 10
"""A larger value would take longer than a call may, so it stays in process."""
LISTEN_S = 1.0
_SCAN_COUNT = 500


class Redis:
    """Keys begin with `name`, so that homes which share a Redis do not read each other's."""

    def __init__(self, url: str, name: str) -> None:
        """Connects at the first call. Raises `ConfigError` for a URL that is none, or without redis-py."""
        self.name = name
        self._url = url
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise ConfigError(
                "extra_missing",
                f"{address.shown(url)} needs redis-py, which is not installed",
                hint="pip install 'tidemill[redis]'",
            ) from error
        self.errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        retry = Retry(NoBackoff(), 0)  # the breaker decides when to try again
        try:
            self._client: redis.Redis = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry
            )
            self._listener: redis.Redis = redis.Redis.from_url(
                url, socket_timeout=5 * LISTEN_S, socket_connect_timeout=LISTEN_S, retry=retry,
                health_check_interval=5,
            )  # fmt: skip
        except ValueError as error:
            raise ConfigError(
                "address_invalid",
                f"{address.shown(url)} is no address of a Redis",
                hint="docs/config.md has an example",
            ) from error

    def get(self, key: str) -> tuple[bytes, float] | None:
        """The value and the seconds that it has left."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(self._key(key))
        pipeline.pttl(self._key(key))
        value, left_ms = pipeline.execute()
        return None if value is None or left_ms <= 0 else (bytes(value), left_ms / 1000)

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        self._client.set(self._key(key), value, px=max(1, int(ttl_s * 1000)))

    def drop(self, prefix: str) -> None:
        pattern = _literal(self._key(prefix)) + "*"
        cursor = 0
        while True:
            cursor, keys = self._client.scan(cursor, match=pattern, count=_SCAN_COUNT)
            if keys:
                self._client.unlink(*keys)
            if cursor == 0:
                return

    def ping(self) -> None:
        self._client.ping()

    def publish(self, topic: str, message: str) -> None:
        self._client.publish(self._key(topic), message)

    def listen(self, topics: list[str], heard: dict[str, Heard], stopping: threading.Event) -> None:
        """Hands on what comes, until `stopping` or an error. First says None to each: what was published
        before it listened is missed."""
        made: Any = self._listener
        with contextlib.closing(made.pubsub(ignore_subscribe_messages=True)) as pubsub:
            pubsub.subscribe(*(self._key(topic) for topic in topics))
            for topic in topics:
                heard[topic](None)
            while not stopping.is_set():
                message: dict[str, Any] | None = pubsub.get_message(timeout=LISTEN_S)
                if message is not None and message["type"] == "message":
                    topic = message["channel"].decode().removeprefix(self._key(""))
                    heard[topic](message["data"].decode("utf-8", "replace"))

    def pool(self) -> redis.asyncio.ConnectionPool:
        """Connections for what counts in an event loop, with the same limits."""
        import redis.asyncio
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return redis.asyncio.ConnectionPool.from_url(
            self._url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    def close(self) -> None:
        self._client.close()
        self._listener.close()

    def _key(self, key: str) -> str:
        return f"tidemill:{self.name}:{key}"


def _literal(text: str) -> str:
    """A pattern that matches exactly this text."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)
