"""Tells the channels what has fired: each firing until it arrived, or was refused, or was tried enough.

What waits is in the database, so a service that is killed goes on where it was; what it had just told may
be told again.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tidemill.alerts.channel import Channel
from tidemill.alerts.channel.api import Refused, Way
from tidemill.metadata import Metadata, alert
from tidemill.metadata.alert import Firing

TRIES = 4
PAUSE_S = 2.0
"""After the first try that failed; it doubles."""
AT_ONCE = 100
SENDERS = 8
_CHANNEL: TypeAdapter[Way] = TypeAdapter(Channel)


class Post:
    """One round of it blocks for as long as the slowest channel does."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def read(self) -> int:
        """One round; returns how many deliveries were tried."""
        with self._metadata.read() as connection:
            waiting = alert.untold(connection, AT_ONCE)
        if not waiting:
            return 0
        # A channel that hangs keeps its own firings, and not those of the others.
        with ThreadPoolExecutor(SENDERS) as senders:
            return sum(senders.map(self._tell, waiting))

    def _tell(self, firing: Firing) -> int:
        deliveries, tried = list(firing.deliveries), 0
        for at, delivery in enumerate(deliveries):
            if delivery["state"] == "waiting" and time.time_ns() >= int(delivery.get("next", 0)):
                deliveries[at] = deliver(firing, firing.channels[at], delivery)
                tried += 1
        if tried:
            with self._metadata.write() as connection:
                alert.told(connection, firing.id, deliveries)
        return tried


def deliver(firing: Firing, channel: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """One try, and how it went."""
    tries = int(before["tries"]) + 1
    now = time.time_ns()
    said = {"channel": channel.get("channel"), "tries": tries, "ts": str(now)}
    try:
        _CHANNEL.validate_python(channel).send(firing)
    except ValidationError:
        return {**said, "state": "failed", "error": "this version of Tidemill does not know this channel"}
    except Refused as refused:
        if not refused.again or tries >= TRIES:
            return {**said, "state": "failed", "error": str(refused)}
        pause_ns = int(PAUSE_S * 2 ** (tries - 1) * 1e9)
        return {**said, "state": "waiting", "error": str(refused), "next": str(now + pause_ns)}
    return {**said, "state": "sent"}
