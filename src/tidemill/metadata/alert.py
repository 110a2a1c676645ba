"""Alert rules and what has fired, as rows. What a rule's terms and channels mean is `tidemill.alerts`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from tidemill.errors import NotFoundError, ResourceError
from tidemill.metadata import event
from tidemill.metadata.database import now_ns
from tidemill.metadata.table import alerts, firings

RULES_MAX = 1_000
FIRINGS_MAX = 10_000
"""What is kept of the newest."""


@dataclass(frozen=True)
class Rule:
    """One of them. Times in ns UTC."""

    id: str
    name: str
    terms: dict[str, Any]
    channels: list[dict[str, Any]]
    cooldown_s: int
    once: bool
    enabled: bool
    expires: int | None
    owner: str
    created: int
    changed: int
    state: dict[str, Any]
    """What its kind keeps between two looks."""
    fired: int | None
    """When it last did."""
    count: int
    """How often."""
    trouble: str | None
    """Why it cannot be looked at now."""


@dataclass(frozen=True)
class Firing:
    """What happened, and to whom it was told."""

    id: int
    alert: str
    name: str
    kind: str
    subject: str
    ts: int
    noticed: int
    value: str
    message: str
    test: bool
    channels: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    """Of each channel: channel, state (waiting, sent, failed), tries, error, ts."""
    waiting: bool


def create(
    connection: Connection, values: Mapping[str, Any], *, owner: str, cause: str | None = None
) -> Rule:
    """A new rule, looked at from now on. Raises `ResourceError` `alerts_full`."""
    if int(connection.execute(select(func.count()).select_from(alerts)).scalar() or 0) >= RULES_MAX:
        raise ResourceError(
            "alerts_full", f"there are {RULES_MAX:,} alerts already", hint="delete those that are over",
            http_status=507,
        )  # fmt: skip
    name, now = secrets.token_hex(8), now_ns()
    row = {"id": name, "owner": owner, "created": now, "changed": now, "state": {}, "count": 0, **values}
    connection.execute(insert(alerts).values(row))
    event.append(connection, "alert_created", name, actor=owner, cause=cause, data={"name": row["name"]})
    return one(connection, name)


def one(connection: Connection, alert_id: str) -> Rule:
    """Raises `NotFoundError` `alert_unknown`."""
    row = connection.execute(select(alerts).where(alerts.c.id == alert_id)).one_or_none()
    if row is None:
        raise NotFoundError(
            "alert_unknown", f"no alert is named {alert_id[:100]!r}", hint="GET /api/v1/alerts lists them"
        )
    return Rule(**row._mapping)


def every(connection: Connection, *, enabled: bool | None = None) -> list[Rule]:
    """All of them, the newest first."""
    found = select(alerts).order_by(alerts.c.created.desc(), alerts.c.id.desc())
    if enabled is not None:
        found = found.where(alerts.c.enabled == enabled)
    return [Rule(**row._mapping) for row in connection.execute(found)]


def change(
    connection: Connection,
    alert_id: str,
    values: Mapping[str, Any],
    *,
    actor: str,
    cause: str | None = None,
) -> Rule:
    """Sets these fields. One whose terms change, or that is switched on again, begins afresh."""
    before = one(connection, alert_id)
    values = dict(values)
    if values.get("terms", before.terms) != before.terms or (values.get("enabled") and not before.enabled):
        values["state"] = {}
    changed = {**values, "changed": now_ns(), "trouble": None}
    connection.execute(update(alerts).where(alerts.c.id == alert_id).values(changed))
    event.append(connection, "alert_changed", alert_id, actor=actor, cause=cause, data={"name": before.name})
    return one(connection, alert_id)


def remove(connection: Connection, alert_id: str, *, actor: str, cause: str | None = None) -> Rule:
    """Forgets it; what it fired stays."""
    found = one(connection, alert_id)
    connection.execute(delete(alerts).where(alerts.c.id == alert_id))
    event.append(connection, "alert_deleted", alert_id, actor=actor, cause=cause, data={"name": found.name})
    return found


def keep(connection: Connection, rule: Rule, values: Mapping[str, Any]) -> bool:
    """Sets what a look found, unless the rule was changed since it was read; whether it was not."""
    same = (alerts.c.id == rule.id, alerts.c.changed == rule.changed)
    return bool(connection.execute(update(alerts).where(*same).values(dict(values))).rowcount)


def fire(connection: Connection, rule: Rule, values: Mapping[str, Any], *, test: bool = False) -> Firing:
    """Writes what happened, with the event `alert_fired`; its channels are waited for."""
    kind = str(rule.terms.get("kind", ""))
    row = {
        "alert": rule.id, "name": rule.name, "kind": kind, "noticed": now_ns(), "test": test,
        "channels": rule.channels, "waiting": bool(rule.channels),
        "deliveries": [{"channel": one["channel"], "state": "waiting", "tries": 0} for one in rule.channels],
        **values,
    }  # fmt: skip
    key = connection.execute(insert(firings).values(row)).inserted_primary_key
    assert key is not None  # noqa: S101 - an insert of one row has one key
    fired = Firing(id=int(key[0]), **row)
    told = ("name", "kind", "value", "message", "test")
    data = {name: getattr(fired, name) for name in told} | {
        "subject": fired.subject, "ts": str(fired.ts), "firing": str(fired.id),
    }  # fmt: skip
    event.append(connection, "alert_fired", rule.id, actor="service", data=data)
    return fired


def fired(
    connection: Connection, *, limit: int, alert: str | None = None, before: int | None = None
) -> list[Firing]:
    """What has fired, the newest first; those below the id `before`."""
    found = select(firings).order_by(firings.c.id.desc()).limit(limit)
    if alert is not None:
        found = found.where(firings.c.alert == alert)
    if before is not None:
        found = found.where(firings.c.id < before)
    return [Firing(**row._mapping) for row in connection.execute(found)]


def untold(connection: Connection, limit: int) -> list[Firing]:
    """Those that a channel still waits for, the oldest first."""
    found = select(firings).where(firings.c.waiting).order_by(firings.c.id).limit(limit)
    return [Firing(**row._mapping) for row in connection.execute(found)]


def told(connection: Connection, firing_id: int, deliveries: Sequence[Mapping[str, Any]]) -> None:
    """How far its channels are."""
    waiting = any(one["state"] == "waiting" for one in deliveries)
    values = {"deliveries": [dict(one) for one in deliveries], "waiting": waiting}
    connection.execute(update(firings).where(firings.c.id == firing_id).values(values))


def trim(connection: Connection) -> int:
    """Deletes firings beyond the newest `FIRINGS_MAX`; returns how many."""
    newest = int(connection.execute(select(func.max(firings.c.id))).scalar() or 0)
    return connection.execute(delete(firings).where(firings.c.id <= newest - FIRINGS_MAX)).rowcount
