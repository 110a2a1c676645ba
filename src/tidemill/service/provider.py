"""Which providers there are, and whether their keys are set: looked up at most once in ten seconds."""

from __future__ import annotations

import threading
import time

LOOK_S = 10.0


class Providers:
    """What environment and keyring say of providers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, bool | None] = {}
        self._at = float("-inf")

    def ready(self) -> dict[str, bool | None]:
        """Of each provider whether the keys that it needs are set; None where it needs none. For worker
        threads: a keyring may take its time."""
        with self._lock:
            if time.monotonic() - self._at > LOOK_S:
                self._found, self._at = _look(), time.monotonic()
            return self._found


def _look() -> dict[str, bool | None]:
    from tidemill import providers
    from tidemill.providers import credential

    found: dict[str, bool | None] = {}
    for name in providers.names():
        provider = providers.load(name)
        needed = [one.name for one in provider.credentials if one.required]
        have = credential.found(provider) if needed else {}
        found[name] = all(one in have for one in needed) if needed else None
    return found
