"""Where IQConnect listens: a host and a port for each of its services."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tidemill.errors import ConfigError

SCHEME = "iqfeed"
# Whose names other clients of IQFeed read too.
VARIABLES = {
    "admin": "IQFEED_PORT_ADMIN",
    "lookup": "IQFEED_PORT_LOOKUP",
    "level1": "IQFEED_PORT_QUOTE",
    "derivative": "IQFEED_PORT_DERIV",
}
HOST_VARIABLE = "IQFEED_HOST"


@dataclass(frozen=True)
class Address:
    """One IQConnect. It listens on loopback alone; elsewhere a forwarder stands before it."""

    host: str = "127.0.0.1"
    admin: int = 9300
    lookup: int = 9100
    level1: int = 5009
    derivative: int = 9400

    @classmethod
    def of(cls, url: str | None = None) -> Address:
        """The address that `url` says, else the environment, else IQConnect's own ports on this machine.

        `iqfeed://HOST?admin=9300&lookup=9100&level1=5009&derivative=9400`, where any port may be left out;
        or what `run/sim.json` says of a simulated one, as JSON. Raises `ConfigError` for anything else.
        """
        if url and url.startswith("{"):
            return cls._simulated(url)
        if url:
            return cls._parse(url)
        ports = {name: text for name, variable in VARIABLES.items() if (text := os.environ.get(variable))}
        return cls._made(os.environ.get(HOST_VARIABLE) or cls.host, ports, "the environment's IQFEED_…")

    @property
    def url(self) -> str:
        """As `of` reads it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}://{host}?" + "&".join(f"{name}={getattr(self, name)}" for name in VARIABLES)

    @classmethod
    def _simulated(cls, text: str) -> Address:
        """`{"admin": "127.0.0.1:40001", "lookup": …}`."""
        try:
            said = json.loads(text)
            split = {name: said[name].rpartition(":") for name in VARIABLES if name in said}
        except (ValueError, AttributeError):
            raise _invalid(text) from None
        hosts = {host for host, _, _ in split.values()} or {cls.host}
        return cls._made(hosts.pop(), {name: port for name, (_, _, port) in split.items()}, text)

    @classmethod
    def _parse(cls, url: str) -> Address:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        extra = parts.path.strip("/") or parts.username or parts.fragment or set(query) - set(VARIABLES)
        if parts.scheme != SCHEME or not parts.hostname or extra:
            raise _invalid(url.partition("?")[0])
        return cls._made(parts.hostname, query, url)

    @classmethod
    def _made(cls, host: str, ports: Mapping[str, str], where: str) -> Address:
        if not all(text.isascii() and text.isdigit() and 0 < int(text) < 65_536 for text in ports.values()):
            raise _invalid(where)
        return cls(host, **{name: int(text) for name, text in ports.items()})


def _invalid(where: str) -> ConfigError:
    return ConfigError(
        "address_invalid",
        f"{where[:120]} does not say where IQConnect listens",
        hint="write iqfeed://HOST?admin=9300&lookup=9100&level1=5009&derivative=9400, any port left out",
    )
