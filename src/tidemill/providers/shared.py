"""A bucket in Redis, for a key that several machines use.

The clock is the server's. Should it be set forward, whoever has seen a pause still keeps it by a clock of
their own; should it be set back, what was left to wait is left still. While Redis does not answer, the
machine's own bucket stands in: each machine then takes the whole limit for its own.
"""

from __future__ import annotations

import logging
import struct
import time
from typing import Any, cast

from tidemill import address
from tidemill.errors import ConfigError
from tidemill.providers.api import Limits
from tidemill.providers.bucket import Keeper, State, paused, rebased, taken, uptime

_log = logging.getLogger(__name__)
_RECORD = struct.Struct("<ddd")
_TIMEOUT_S = 0.5
_AWAY_S = 5.0
"""After an error, how long Redis is not asked."""
_KEEP_MS = 86_400_000


class Redis:
    """See `bucket.Keeper`."""

    def __init__(self, url: str, name: str, limits: Limits, own: Keeper) -> None:
        """`own` is this machine's. Connects at the first call. Raises `ConfigError` without redis-py."""
        try:
            import redis
        except ImportError as error:
            raise ConfigError(
                "extra_missing",
                f"{address.shown(url)} needs redis-py, which is not installed",
                hint="pip install 'tidemill[redis]'",
            ) from error
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._key = f"tidemill:bucket:{name}"
        self._limits, self._own = limits, own
        self._paused_until = 0.0
        self._away_until = 0.0

    def take(self, cost: int) -> float:
        left = self._paused_until - uptime()
        if left > 0:
            return left

        def step(state: State, now: float) -> tuple[State, float]:
            if state.paused_until > now:
                self._paused_until = uptime() + state.paused_until - now
            return taken(state, self._limits, cost, now)

        wait = self._changed(step)
        return self._own.take(cost) if wait is None else wait

    def pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, uptime() + seconds)
        self._own.pause(seconds)
        self._changed(lambda state, now: (paused(state, self._limits, seconds, now), 0.0))

    def _changed(self, step: Any) -> float | None:
        """What `step` says of the state, which is kept as it leaves it; None while Redis is away."""
        if time.monotonic() < self._away_until:
            return None

        def within(pipe: Any) -> Any:
            raw, (whole, micro) = pipe.get(self._key), pipe.time()
            now = whole + micro / 1e6
            before = State(*_RECORD.unpack(raw)) if raw and len(raw) == _RECORD.size else State(seen=now)
            after, wait = step(rebased(before, now, 0), now)
            pipe.multi()
            pipe.set(self._key, _RECORD.pack(after.full_at, after.paused_until, now), px=_KEEP_MS)
            return wait

        try:
            wait: Any = self._client.transaction(cast(Any, within), self._key, value_from_callable=True)
        except self._errors as error:
            self._away_until = time.monotonic() + _AWAY_S
            _log.warning("limits are this machine's own while Redis is away: %s", type(error).__name__)
            return None
        return float(wait)
