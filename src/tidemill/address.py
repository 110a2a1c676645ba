"""Where the platform keeps things beyond its home: addresses of stores, databases and brokers.

Each is an environment variable and None where it is not set: then everything stays in the home. Addresses
hold passwords, so whatever is told or logged goes through `shown`.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from tidemill.errors import ConfigError

VARIABLES = {
    "TIDEMILL_STORE_URL": ("lake", "postgresql", "arctic"),
    "TIDEMILL_LAKE_URL": ("s3",),
    "TIDEMILL_DATABASE_URL": ("postgresql",),
    "TIDEMILL_RUNS_URL": ("postgresql",),
    "TIDEMILL_REDIS_URL": ("redis", "rediss"),
    "TIDEMILL_BROKER_URL": ("redis", "rediss"),
    "TIDEMILL_BUS_URL": ("redis", "rediss", "kafka", "kafkas"),
}
"""Each variable and the schemes that it may name."""


def named(variable: str, given: str | None = None) -> str | None:
    """The address that a command line (`given`) or else the environment names; None where neither does.

    Raises `ConfigError` for another scheme than this setting takes.
    """
    text = given or os.environ.get(variable) or None
    schemes = VARIABLES[variable]
    if text is not None and scheme(text) not in schemes:
        raise ConfigError(
            "address_invalid",
            f"{variable}, or the option in its place, is {shown(text)!r}; it must begin with "
            f"{' or '.join(schemes)}",
            hint="docs/config.md has an example of each",
        )
    return text


def scheme(url: str) -> str:
    """What an address begins with: `lake` alone is one too."""
    return url.partition(":")[0].partition("+")[0].lower()


def shown(url: str) -> str:
    """The address without what must not be seen: user and password stay away, and so do query values.

    Where a password may be in another part, as one that holds a `/` is, only the scheme is shown.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{scheme(url)}:…"
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme or '…'}:…"
    if not parts.scheme:
        return url if "=" not in url else "…"
    return f"{parts.scheme}://{host}{port}{parts.path}"
