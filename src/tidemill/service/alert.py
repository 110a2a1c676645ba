"""The shapes of alerts, in and out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tidemill.alerts.channel import Channel
from tidemill.alerts.kind import Terms
from tidemill.alerts.rule import CHANNELS_MAX
from tidemill.service.schema import Answer, Time


class AlertChange(Answer):
    """Those fields that are to be other than they are."""

    terms: Terms | None = None
    name: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")] | None = None
    channels: Annotated[list[Channel], Field(max_length=CHANNELS_MAX)] | None = None
    cooldown_s: Annotated[int, Field(ge=0, le=7 * 86_400)] | None = None
    once: bool | None = None
    enabled: bool | None = None
    expires: Annotated[str, Field(max_length=64, description="empty: never")] | None = None


class Alert(Answer):
    """A rule; `trouble` says why it cannot be looked at now."""

    id: str
    name: str
    sentence: str
    terms: dict[str, Any]
    channels: list[dict[str, Any]]
    cooldown_s: int
    once: bool
    enabled: bool
    expires: Time | None
    owner: str
    created: Time
    changed: Time
    fired: Time | None
    count: int
    trouble: str | None


class AlertList(Answer):
    items: list[Alert]


class Delivery(Answer):
    """How far one channel is."""

    channel: str
    state: Literal["waiting", "sent", "failed"]
    tries: int
    error: str | None
    ts: Time | None


class Firing(Answer):
    """What happened at `ts`, noticed at `noticed`, and to whom it was told."""

    id: str
    alert: str
    name: str
    kind: str
    subject: str
    ts: Time
    noticed: Time
    value: str
    message: str
    test: bool
    deliveries: list[Delivery]


class Firings(Answer):
    items: list[Firing]
    next: str | None
