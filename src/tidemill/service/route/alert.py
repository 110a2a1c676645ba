"""Alerts: what people want to be told of, and what has fired."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response
from sqlalchemy import Connection

from tidemill.alerts import rule as rules
from tidemill.alerts.rule import AlertAsk
from tidemill.metadata import alert as rows
from tidemill.metadata.database import now_ns
from tidemill.service import alert, answer, cursor, instant, param, platform
from tidemill.service.alerting import Seen
from tidemill.service.command import command

_WORD = r"^[^\x00]*$"
AlertId = Annotated[str, Path(alias="id", max_length=64, pattern=_WORD)]


@command("alerts", "GET", "/alerts", scope="platform", model=alert.AlertList)
async def alerts(request: Request, time: instant.As = "ns") -> Response:
    """What is watched, the newest first."""
    found = await platform.of(request).read(rows.every)
    return answer.json({"items": [_shown(one, time) for one in found]})


@command("alerts.create", "POST", "/alerts", scope="platform", effect="write", model=alert.Alert, status=201)
async def create(request: Request, body: Annotated[AlertAsk, Body()]) -> Response:
    """Watch something from now on."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    values = await service.run(rules.row, body, Seen(service.view))
    made = await service.write(lambda connection: rows.create(connection, values, owner=actor, cause=cause))
    return answer.json(_shown(made, "ns"), 201, {"Location": f"/api/v1/alerts/{made.id}"})


@command("alerts.firings", "GET", "/alerts/firings", scope="platform", model=alert.Firings)
async def firings(
    request: Request,
    of: Annotated[str | None, Query(alias="alert", max_length=64, pattern=_WORD)] = None,
    limit: Annotated[int, param.Limit(50, 500)] = 50,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """What has fired, the newest first."""
    service = platform.of(request)
    key = cursor.read(service.keeper, "alerts.firings", (of,), cursor_)
    before = int(key[0]) if key else None
    found = await service.read(
        lambda connection: rows.fired(connection, limit=limit + 1, alert=of, before=before)
    )
    following = None
    if len(found) > limit:
        found = found[:limit]
        following = cursor.make(service.keeper, "alerts.firings", (of,), [found[-1].id])
    return answer.json({"items": [_told(one, time) for one in found], "next": following})


@command("alerts.show", "GET", "/alerts/{id}", scope="platform", model=alert.Alert)
async def show(request: Request, alert_id: AlertId, time: instant.As = "ns") -> Response:
    """One of them."""
    found = await platform.of(request).read(lambda connection: rows.one(connection, alert_id))
    return answer.json(_shown(found, time))


@command("alerts.change", "PATCH", "/alerts/{id}", scope="platform", effect="write", model=alert.Alert)
async def change(request: Request, alert_id: AlertId, body: Annotated[alert.AlertChange, Body()]) -> Response:
    """Change it; with other terms it begins afresh."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    before = await service.read(lambda connection: rows.one(connection, alert_id))
    values = await service.run(_changed, before, body, Seen(service.view))
    after = await service.write(
        lambda connection: rows.change(connection, alert_id, values, actor=actor, cause=cause)
    )
    return answer.json(_shown(after, "ns"))


@command("alerts.delete", "DELETE", "/alerts/{id}", scope="platform", effect="write", model=alert.Alert)
async def delete(request: Request, alert_id: AlertId) -> Response:
    """Watch it no longer; what it fired stays in the history."""
    actor, cause = param.actor(request), answer.request_id.get()
    gone = await platform.of(request).write(
        lambda connection: rows.remove(connection, alert_id, actor=actor, cause=cause)
    )
    return answer.json(_shown(gone, "ns"))


@command(
    "alerts.test",
    "POST",
    "/alerts/{id}/test",
    scope="platform",
    effect="write",
    model=alert.Firing,
    status=202,
)
async def test(request: Request, alert_id: AlertId) -> Response:
    """Fire it as a test: its channels are told within seconds, and the history says how that went."""

    def write(connection: Connection) -> rows.Firing:
        found = rows.one(connection, alert_id)
        said = {"ts": now_ns(), "subject": "test", "value": "", "message": f"a test of: {_sentence(found)}"}
        return rows.fire(connection, found, said, test=True)

    return answer.json(_told(await platform.of(request).write(write), "ns"), 202)


def _changed(before: rows.Rule, body: alert.AlertChange, seen: Seen) -> dict[str, Any]:
    """The columns to set. What follows from the terms is made anew with them."""
    given = body.model_dump(exclude_unset=True)
    named = before.name != _sentence(before)
    asked = {
        "terms": before.terms, "channels": before.channels, "cooldown_s": before.cooldown_s,
        "once": before.once, "enabled": before.enabled, "name": before.name if named else "",
        **{name: value for name, value in given.items() if value is not None and name != "expires"},
    }  # fmt: skip
    values = rules.row(AlertAsk.model_validate(asked | {"expires": given.get("expires") or None}), seen)
    if "expires" not in given:
        values["expires"] = before.expires
    return values


def _sentence(found: rows.Rule) -> str:
    from pydantic import ValidationError

    try:
        return rules.terms_of(found.terms).sentence
    except ValidationError:
        return found.name


def _shown(found: rows.Rule, time: instant.TimeFormat) -> dict[str, Any]:
    kept = {name: value for name, value in vars(found).items() if name != "state"}
    times = {name: instant.show(kept[name], time) for name in ("expires", "created", "changed", "fired")}
    return {**kept, **times, "sentence": _sentence(found)}


def _told(found: rows.Firing, time: instant.TimeFormat) -> dict[str, Any]:
    deliveries = [
        {
            "channel": one["channel"], "state": one["state"], "tries": one["tries"],
            "error": one.get("error"),
            "ts": None if "ts" not in one else instant.show(int(one["ts"]), time),
        }
        for one in found.deliveries
    ]  # fmt: skip
    kept = {name: value for name, value in vars(found).items() if name not in ("channels", "waiting")}
    times = {name: instant.show(kept[name], time) for name in ("ts", "noticed")}
    return {**kept, **times, "id": str(found.id), "deliveries": deliveries}
