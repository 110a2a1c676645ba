"""Files that people bring: taken in, looked at, imported; the recipes of their columns; dated facts."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response
from sqlalchemy import Connection

from tidemill import errors
from tidemill.home import Home
from tidemill.metadata import recipe as saved_recipes
from tidemill.service import answer, importing, instant, param, platform, schema
from tidemill.service.command import command
from tidemill.service.route.job import show as show_job

UPLOADS = "/data/uploads"
_PIECE_BYTES = 1 << 20
_LOOKS = asyncio.Semaphore(2)
"""Files that are looked at at a time: each is a process."""
Name = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$")]


@command(
    "data.uploads.create", "POST", UPLOADS, scope="data", effect="write", model=importing.Upload, status=201
)
async def upload(
    request: Request,
    name: Annotated[
        str, Query(max_length=300, description="the file's name, with the folders that tell what is in it")
    ] = "upload",
) -> Response:
    """Take in a file: the body is its bytes, as they are. It is kept for a day."""
    from tidemill.importer.upload import Receiver

    service = platform.of(request)
    receiver = await service.run(Receiver, service.home, name)
    kept = False
    try:
        held = bytearray()
        async for chunk in request.stream():
            held += chunk
            if len(held) >= _PIECE_BYTES:
                await service.run(receiver.write, bytes(held))
                held.clear()
        await service.run(receiver.write, bytes(held))
        made, digest = await service.run(receiver.keep)
        kept = True
    finally:
        if not kept:
            receiver.leave()
    shown = {"upload": made.id, "name": made.name, "bytes": made.bytes, "sha256": digest}
    return answer.json(shown, 201)


@command(
    "data.imports.preview",
    "POST",
    "/data/imports/preview",
    scope="data",
    effect="write",
    model=importing.Preview,
)
async def preview(request: Request, body: Annotated[importing.ImportAsk, Body()]) -> Response:
    """Look at an uploaded file: its columns, what they seem to mean, its first rows as they would be kept."""
    return answer.json(await _look(platform.of(request), body))


@command(
    "data.imports.start", "POST", "/data/imports", scope="jobs", effect="write", model=schema.Job, status=202
)
async def start(request: Request, body: Annotated[importing.ImportStart, Body()]) -> Response:
    """Import an uploaded file as a job. Where something must be said first, nothing is started."""
    from tidemill.jobs import submit

    service = platform.of(request)
    seen = await _look(service, body)
    if seen["recipe"] is None:
        raise errors.UsageError(
            "layout_unclear",
            f"{seen['name']}: {', '.join(seen['open'])} must be said; {'; '.join(seen['notes'])}"[:1000],
            hint="POST /api/v1/data/imports/preview shows the file; say it in `changes`",
        )
    actor, cause = param.actor(request), answer.request_id.get()
    detail: dict[str, Any] = {"upload": body.upload, "recipe": seen["recipe"], "strict": int(body.strict)}
    detail |= {"member": body.member} if body.member else {}

    def enter(connection: Connection) -> Any:
        if body.save_recipe is not None:
            saved_recipes.put(connection, body.save_recipe, seen["reusable"], actor=actor, cause=cause)
        return submit.enter(
            connection, "import", owner=actor, detail=detail, priority=body.priority, cause=cause
        )[0]

    entered = await service.write(enter)
    await service.run(submit.nudge, service.home, entered.id)
    return answer.json(show_job(entered, "ns"), 202, {"Location": f"/api/v1/jobs/{entered.id}"})


async def _look(service: platform.Platform, body: importing.ImportAsk) -> dict[str, Any]:
    """What a process of its own says of the file; this one decodes nothing."""
    saved = body.recipe if isinstance(body.recipe, dict) else None
    if isinstance(body.recipe, str):
        name = body.recipe
        saved = (await service.read(lambda connection: saved_recipes.one(connection, name))).recipe
    async with _LOOKS:
        return await service.run(_preview, service.home, body.upload, body.member, saved, body.changes)


def _preview(
    home: Home, upload_id: str, member: str | None, saved: dict[str, Any] | None, changes: dict[str, Any]
) -> dict[str, Any]:
    from tidemill.importer import limited
    from tidemill.importer import upload as uploads

    found = uploads.find(home, upload_id)
    return limited.preview(found.path, found.name, member=member, saved=saved, changes=changes)


# ── recipes ───────────────────────────────────────────────────────────────────────────────────────


@command("data.recipes", "GET", "/data/recipes", scope="data", model=importing.Recipes)
async def recipes(request: Request, time: instant.As = "ns") -> Response:
    """Saved recipes, by name."""
    found = await platform.of(request).read(saved_recipes.every)
    return answer.json({"items": [_shown(one, time) for one in found]})


@command("data.recipes.show", "GET", "/data/recipes/{name}", scope="data", model=importing.Recipe)
async def recipe(request: Request, name: Name, time: instant.As = "ns") -> Response:
    """One recipe."""
    found = await platform.of(request).read(lambda connection: saved_recipes.one(connection, name))
    return answer.json(_shown(found, time))


@command(
    "data.recipes.save", "PUT", "/data/recipes/{name}", scope="data", effect="write", model=importing.Recipe
)
async def save(request: Request, name: Name, body: Annotated[dict[str, Any], Body()]) -> Response:
    """Save a recipe under a name; what was there is replaced."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    checked = await service.run(_checked, body)
    found = await service.write(
        lambda connection: saved_recipes.put(connection, name, checked, actor=actor, cause=cause)
    )
    return answer.json(_shown(found, "ns"))


@command(
    "data.recipes.delete",
    "DELETE",
    "/data/recipes/{name}",
    scope="data",
    effect="write",
    model=importing.Recipe,
)
async def delete(request: Request, name: Name) -> Response:
    """Forget a recipe; it is the answer. What was imported with it stays."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()

    def forget(connection: Connection) -> saved_recipes.Saved:
        found = saved_recipes.one(connection, name)
        saved_recipes.drop(connection, name, actor=actor, cause=cause)
        return found

    return answer.json(_shown(await service.write(forget), "ns"))


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    from tidemill.importer import recipe as recipes

    return recipes.of(body).as_dict()


def _shown(found: saved_recipes.Saved, time: instant.TimeFormat) -> dict[str, Any]:
    return {
        "name": found.name,
        "recipe": found.recipe,
        "changed": instant.show(found.changed, time),
        "actor": found.actor,
    }


# ── facts ─────────────────────────────────────────────────────────────────────────────────────────


@command("data.facts", "GET", "/data/facts", scope="data", model=importing.Facts)
async def facts(
    request: Request,
    instrument: Annotated[str, Query(max_length=200, description="AAPL.lean")],
    known: Annotated[
        str | None, Query(max_length=64, description="as they were known then; now when left out")
    ] = None,
    time: instant.As = "ns",
) -> Response:
    """Splits, dividends, changes of symbol and delistings of an instrument, by date."""
    from tidemill.metadata import fact

    moment = instant.parse(known, "known")
    found = await platform.of(request).read(
        lambda connection: fact.known(connection, instrument, known_at=moment)
    )
    return answer.json(
        {"items": [{**one.as_dict(), "ts_known": instant.show(one.ts_known, time)} for one in found]}
    )
