"""A provider ready to use: its limits shared with whoever else asks it, and its address if simulated."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

from tidemill import address
from tidemill.errors import ConfigError, NotFoundError
from tidemill.home import Home
from tidemill.model.collector import SIM_PREFIX
from tidemill.providers import bucket, credential
from tidemill.providers.api import Gate, Limits, Provider

SIMULATED = Limits(per_s=200.0, burst=50)
"""What the simulator is asked where nothing else is set: it is ours."""


def opened(
    name: str,
    provider: type[Provider],
    home: Home,
    url: str | None,
    through: Callable[[Gate], Gate] = lambda gate: gate,
) -> Provider:
    """See `tidemill.providers.open`."""
    simulated = name.startswith(SIM_PREFIX)
    if simulated and url is None:
        url = _simulated_at(name, home)
    return provider(name, through(gate(name, provider, home)), url)


def gate(name: str, provider: type[Provider], home: Home) -> bucket.Bucket:
    """The bucket of this provider and key, shared by every process of the home, or by all that name the same
    Redis."""
    simulated = name.startswith(SIM_PREFIX)
    limits = limited(name, SIMULATED if simulated else provider.limits)
    secret = "" if simulated else "\0".join(credential.found(provider).values())
    # A mark of the key, which nobody gets it back from, so that two keys have two buckets.
    mark = hashlib.sha256(f"{name}\0{secret}".encode()).hexdigest()[:12]
    home.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = bucket.File(home.run / f"{name}-{mark}.bucket", limits)
    where = address.named("TIDEMILL_REDIS_URL")
    if where is None or simulated:
        return bucket.Bucket(file)
    from tidemill.providers.shared import Redis

    return bucket.Bucket(Redis(where, f"{name}-{mark}", limits, file))


def limited(name: str, limits: Limits) -> Limits:
    """The limits, or what `TIDEMILL_LIMIT_<PROVIDER>` says in their place: `100/second`, `5/minute`."""
    variable = f"TIDEMILL_LIMIT_{name.upper().replace('-', '_')}"
    text = os.environ.get(variable, "").strip()
    if not text:
        return limits
    from limits import parse

    try:
        said = parse(text)
    except ValueError:
        raise ConfigError(
            "limit_invalid", f"{variable} is {text[:40]!r}", hint="write 5/minute or 100/second"
        ) from None
    # A fifth of it at once, and no more than all of it within any one period.
    burst = max(1, said.amount // 5)
    return Limits((said.amount - burst or 1) / said.get_expiry(), burst, limits.workers)


def _simulated_at(name: str, home: Home) -> str:
    """Where the simulator of this home plays the provider. Raises `NotFoundError` where it does not."""
    file = home.run / "sim.json"
    try:
        said: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        said = {}
    where = said.get("providers", {}).get(name, {})
    venue = said.get("venues", {}).get(name, {})
    url = where.get("rest") or venue.get("rest_url")
    if not url and not where:
        plain = name.removeprefix(SIM_PREFIX)
        raise NotFoundError(
            "not_running",
            f"no simulator of this home plays {name}",
            hint=f"tidemill sim --providers {plain} or --venues {plain}",
        )
    return str(url) if url else json.dumps(where)
