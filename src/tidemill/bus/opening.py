"""From an address to a bus."""

from __future__ import annotations

from tidemill.address import named, scheme
from tidemill.bus.api import Bus
from tidemill.errors import UsageError


def open_bus(url: str | None) -> Bus:
    """The bus at `url`, or where TIDEMILL_BUS_URL says. Raises `UsageError` where neither does, `ConfigError`
    for another scheme or a library that is not installed."""
    address = named("TIDEMILL_BUS_URL", url)
    if address is None:
        raise UsageError(
            "bus_missing",
            "no bus is named",
            hint="write --bus redis://HOST:6379 or kafka://HOST:9092, or set TIDEMILL_BUS_URL",
        )
    if scheme(address).startswith("kafka"):
        from tidemill.bus.kafka import KafkaBus

        return KafkaBus(address)
    from tidemill.bus.redis import RedisBus

    return RedisBus(address)
