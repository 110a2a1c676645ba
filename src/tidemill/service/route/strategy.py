"""Strategies: listed, shown, kept in versions, put on a chart. Code that came this way is never run here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Header, Path, Query, Request, Response
from sqlalchemy import Connection

from tidemill import errors
from tidemill.metadata import event
from tidemill.metadata import strategy as stored
from tidemill.service import answer, cursor, instant, param, platform
from tidemill.service import strategy as schema
from tidemill.service.command import command

if TYPE_CHECKING:
    from tidemill.research.applied import Applied
    from tidemill.research.history import History
    from tidemill.stores.live import LiveView
    from tidemill.strategies.description import Description
    from tidemill.strategies.library import Entry

Name = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]*$")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=100)]
# A path below /strategies that is no strategy's.
_RESERVED = {"list", "create", "apply", "describe", "diagnose", "check", "template", "language"}


async def _list(
    request: Request,
    search: str | None,
    origin: str | None,
    kind: str | None,
    limit: int,
    cursor_: str | None,
    time: instant.TimeFormat,
) -> Response:
    service = platform.of(request)
    filters = (search, origin, kind)
    key = cursor.read(service.keeper, "strategies", filters, cursor_)
    after = (str(key[0]), str(key[1])) if key else ("", "")
    found = [one for one in await _entries(service) if _fits(one, search, origin, kind)]
    page = [one for one in found if (one.name, one.origin) > after]
    # The library's order is by name, then by who has it first; a cursor goes by text.
    page.sort(key=lambda one: (one.name, one.origin))
    following = None
    if len(page) > limit:
        page = page[:limit]
        following = cursor.make(service.keeper, "strategies", filters, [page[-1].name, page[-1].origin])
    items = [_summary(one, time) for one in page]
    return answer.json({"items": items, "total": len(found), "next": following})


Search = Annotated[str | None, Query(max_length=100, description="in name, title or description")]
OfOrigin = Annotated[schema.Origin | None, Query()]
OfKind = Annotated[schema.Kind | None, Query()]


@command("strategies", "GET", "/strategies", scope="data", model=schema.Strategies)
async def strategies(
    request: Request,
    search: Search = None,
    origin: OfOrigin = None,
    kind: OfKind = None,
    limit: Annotated[int, param.Limit(100, 1000)] = 100,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Strategies by name, with their parameters and what is wrong with them."""
    return await _list(request, search, origin, kind, limit, cursor_, time)


@command("strategies.list", "GET", "/strategies/list", scope="data", model=schema.Strategies)
async def listed(
    request: Request,
    search: Search = None,
    origin: OfOrigin = None,
    kind: OfKind = None,
    limit: Annotated[int, param.Limit(100, 1000)] = 100,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """The same under another name."""
    return await _list(request, search, origin, kind, limit, cursor_, time)


@command("strategies.named", "GET", "/strategies", scope="data", model=schema.Strategies, base="")
async def named(
    request: Request,
    search: Search = None,
    origin: OfOrigin = None,
    kind: OfKind = None,
    limit: Annotated[int, param.Limit(100, 1000)] = 100,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """The same under another name."""
    return await _list(request, search, origin, kind, limit, cursor_, time)


@command(
    "strategies.describe", "POST", "/strategies/describe", scope="data", effect="write",
    model=schema.StrategyDescription,
)  # fmt: skip
async def describe(request: Request, body: Annotated[schema.StrategyText, Body()]) -> Response:
    """Read a text without keeping or running it: its parameters, and what is wrong with it."""
    about = await platform.of(request).run(_read, body.code)
    return answer.json({"class_name": about.class_name, **_about(about)})


@command(
    "strategies.create", "POST", "/strategies/create", scope="data", effect="write", model=schema.Strategy,
    status=201,
)  # fmt: skip
async def create(request: Request, body: Annotated[schema.StrategyCreate, Body()]) -> Response:
    """Keep a strategy. Its text is read, not run; one that is no Python is refused with line and column."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    if body.name in _RESERVED or body.name in {
        one.name for one in await service.run(_library, service, []) if one.origin != "database"
    }:
        raise errors.ConflictError(
            "strategy_exists",
            f"the name {body.name!r} is taken by a strategy of the package or of DIR/strategies",
            hint="choose another name",
        )
    text = stored.Text(body.code, body.description, body.author or actor, body.parameters)
    await service.run(_checked, body.name, text)
    made = await service.write(
        lambda connection: stored.create(connection, body.name, text, actor=actor, cause=cause)
    )
    headers = {"Location": f"/api/v1/strategies/{made.name}", "ETag": f'"{made.version}"'}
    return answer.json(_whole(await service.run(_kept, made), "ns"), 201, headers)


@command(
    "strategies.apply", "POST", "/strategies/apply", scope="data", effect="write",
    model=schema.StrategyApplied,
)  # fmt: skip
async def apply(request: Request, body: Annotated[schema.StrategyApply, Body()]) -> Response:
    """Put a strategy on a chart: what it wants at each of the last bars, and where it trades. One that is not
    ours becomes a backtest in the sandbox instead: 202 with its job."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    entry = await _found(service, body.strategy)
    names = [await service.run(service.view.resolve, one) for one in (body.instrument, *body.others)]
    given = {**(entry.stored.newest.parameters if entry.stored else {}), **body.parameters}
    asked = (service, entry, given, names, body.interval, body.limit)
    found: Applied | None = None
    if entry.trusted:
        parameters, found = await service.run(_applied, *asked)
    else:
        parameters, detail = await service.run(_backtest, *asked)
    said: dict[str, Any] = {
        "instrument": names[0], "interval": body.interval, "parameters": parameters,
        "version": entry.stored.version if entry.stored else None, "job_id": None,
    }  # fmt: skip

    def tell(connection: Connection) -> None:
        if found is None:
            from tidemill.jobs import submit

            job, _ = submit.enter(connection, "backtest", owner=actor, detail=detail, cause=cause)
            said["job_id"] = job.id
        event.append(connection, "strategy_applied", entry.name, actor=actor, cause=cause, data=said)

    await service.write(tell)
    shown = {"strategy": entry.name, "origin": entry.origin, "kind": entry.about.kind, **said}
    if found is not None:
        return answer.json({**shown, **_drawn(found)})
    from tidemill.jobs import submit

    await service.run(submit.nudge, service.home, said["job_id"])
    nothing: dict[str, Any] = {"shown": [], "warm_up": None, "targets": [], "markers": []}
    return answer.json({**shown, **nothing}, 202, {"Location": f"/api/v1/jobs/{said['job_id']}"})


def _drawn(found: Applied) -> dict[str, Any]:
    return {
        "shown": ["targets", "markers"] if found.targets else ["markers"],
        "warm_up": found.warm_up,
        "targets": [
            {"instrument": name, "ts": [str(ts) for ts in starts.tolist()], "target": target.tolist()}
            for name, (starts, target) in found.targets.items()
        ],
        "markers": [{**one.__dict__, "ts": str(one.ts)} for one in found.markers],
    }


@command("strategies.show", "GET", "/strategies/{name}", scope="data", model=schema.Strategy)
async def show(request: Request, name: Name, time: instant.As = "ns") -> Response:
    """One strategy, with its text."""
    entry = await _found(platform.of(request), name)
    headers = {"ETag": f'"{entry.stored.version}"'} if entry.stored else {}
    return answer.json(_whole(entry, time), headers=headers)


@command(
    "strategies.change", "PUT", "/strategies/{name}", scope="data", effect="write", model=schema.Strategy
)
async def change(
    request: Request,
    name: Name,
    body: Annotated[schema.StrategyChange, Body()],
    match: IfMatch = None,
) -> Response:
    """Make the next version of a strategy. Refused (409) where it has changed since the one you name."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    expected = _expected(body.version, match)
    before = await service.read(lambda connection: _writable(connection, name))
    code = before.newest.code if body.code is None else body.code
    text = stored.Text(
        code,
        before.newest.description if body.description is None else body.description,
        before.newest.author if body.author is None else body.author,
        before.newest.parameters if body.parameters is None else body.parameters,
    )
    await service.run(_checked, name, text)
    made = await service.write(
        lambda connection: stored.change(connection, name, text, expected=expected, actor=actor, cause=cause)
    )
    headers = {"ETag": f'"{made.version}"'}
    return answer.json(_whole(await service.run(_kept, made), "ns"), headers=headers)


@command(
    "strategies.delete", "DELETE", "/strategies/{name}", scope="data", effect="write", model=schema.Strategy
)
async def delete(request: Request, name: Name) -> Response:
    """Hide a strategy; it is the answer. Its versions stay."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()

    def hide(connection: Connection) -> stored.Stored:
        _writable(connection, name)
        return stored.delete(connection, name, actor=actor, cause=cause)

    return answer.json(_whole(await service.run(_kept, await service.write(hide)), "ns"))


@command(
    "strategies.versions", "GET", "/strategies/{name}/versions", scope="data", model=schema.StrategyVersions
)
async def versions(
    request: Request,
    name: Name,
    limit: Annotated[int, param.Limit(50, 500)] = 50,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Its versions, newest first, without their text; also of one that was deleted."""
    service = platform.of(request)
    key = cursor.read(service.keeper, "strategies.versions", name, cursor_)
    before = int(key[0]) if key else None

    rows = await service.read(
        lambda connection: stored.versions(connection, name, limit=limit + 1, before=before)
    )
    if not rows and before is None:
        await _found(service, name)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursor.make(service.keeper, "strategies.versions", name, [rows[-1].version])
    return answer.json({"items": [_version(one, time) for one in rows], "next": following})


@command(
    "strategies.version", "GET", "/strategies/{name}/versions/{number}", scope="data",
    model=schema.StrategyVersionText,
)  # fmt: skip
async def version(request: Request, name: Name, number: Number, time: instant.As = "ns") -> Response:
    """One version, with its text."""
    found = await platform.of(request).read(lambda connection: stored.version(connection, name, number))
    return answer.json({**_version(found, time), "code": found.code})


# ── in worker threads, where what they import may take its time ───────────────────────────────────


def _library(service: platform.Platform, kept: list[stored.Stored]) -> list[Entry]:
    from tidemill.strategies import library

    return library.entries(service.home, kept)


def _kept(one: stored.Stored) -> Entry:
    from tidemill.strategies import library

    return library.kept(one)


def _read(code: str) -> Description:
    from tidemill.strategies import description

    return description.read(code)


def _checked(name: str, text: stored.Text) -> None:
    """Refuses what is no Python, and parameters that the text does not have."""
    about = _read(text.code)
    if not about.class_name and about.faults and about.faults[0].line is not None:
        from tidemill.strategies import description

        refused = description.refusal(about, name)
        assert refused is not None  # noqa: S101 - it has a fault
        raise refused
    about.values(text.parameters or {})


def _applied(
    service: platform.Platform,
    entry: Entry,
    given: dict[str, Any],
    names: list[str],
    interval: str,
    limit: int,
) -> tuple[dict[str, Any], Applied]:
    """The parameters of one of ours, and what there is to show."""
    from tidemill.research import applied
    from tidemill.strategies import library

    strategy = library.load(entry)(**given)
    return strategy.params, applied.apply(strategy, _newest(service, names, interval, limit))


def _backtest(
    service: platform.Platform,
    entry: Entry,
    given: dict[str, Any],
    names: list[str],
    interval: str,
    limit: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of any other, and what to ask the job of: the same bars."""
    from tidemill.jobs import kind
    from tidemill.strategies import description

    if (refused := description.refusal(entry.about, entry.name)) is not None:
        raise refused
    parameters = entry.about.values(given)
    history = _newest(service, names, interval, limit)
    start = min(int(track.start[0]) for track in history.tracks.values())
    detail = {
        "strategy": entry.name, "instruments": names, "interval": interval, "start": str(start),
        "params": parameters, "stress": False,
    }  # fmt: skip
    return parameters, kind.load("backtest").check(detail)


def _newest(service: platform.Platform, names: list[str], interval: str, limit: int) -> History:
    from tidemill.research import history

    def read(view: LiveView) -> History:
        return history.newest(view, names, interval, limit)

    return service.view.call(read)


async def _entries(service: platform.Platform) -> list[Entry]:
    kept = await service.read(stored.every)
    return await service.run(_library, service, kept)


async def _found(service: platform.Platform, name: str) -> Entry:
    entries = await _entries(service)
    for one in entries:
        if one.name == name:
            return one
    raise errors.unknown("strategy", name, {one.name for one in entries})


def _writable(connection: Connection, name: str) -> stored.Stored:
    """One of the database. Raises `NotFoundError`; `ConflictError` `strategy_fixed` for a file."""
    found = stored.find(connection, name)
    if found is None and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        from tidemill.strategies import library

        if name in library.ours():
            raise errors.ConflictError(
                "strategy_fixed",
                f"{name} is part of Tidemill: it has no versions and cannot be changed",
                hint="create one of your own from its code, under another name",
            )
    return found or stored.one(connection, name)


def _expected(version: int | None, match: str | None) -> int:
    tag = re.fullmatch(r'(?:W/)?"(\d{1,9})"', match.strip()) if match is not None else None
    if match is not None and tag is None:
        raise errors.UsageError(
            "parameter_invalid", f"If-Match {match[:60]!r} is no version", hint='send the ETag: "3"'
        )
    named = {int(tag[1])} if tag else set()
    named |= {version} if version is not None else set()
    if len(named) != 1:
        raise errors.UsageError(
            "version_missing",
            "which version was changed is not said" if not named else "If-Match and `version` differ",
            hint="send the ETag as If-Match, or `version`",
        )
    return named.pop()


def _fits(one: Entry, search: str | None, origin: str | None, kind: str | None) -> bool:
    if (origin is not None and one.origin != origin) or (kind is not None and one.about.kind != kind):
        return False
    words = f"{one.name} {one.about.title} {one.description}".casefold()
    return all(word in words for word in (search or "").casefold().split())


def _about(about: Description) -> dict[str, Any]:
    return {
        "kind": about.kind,
        "title": about.title,
        "description": about.text,
        "author": about.author,
        "params": list(about.params),
        "faults": [one.__dict__ for one in about.faults],
    }


def _summary(one: Entry, time: instant.TimeFormat) -> dict[str, Any]:
    kept = one.stored
    return {
        "name": one.name,
        "origin": one.origin,
        **_about(one.about),
        "description": one.description,
        "author": one.author,
        "trusted": one.trusted,
        "sha256": one.sha256,
        "version": kept.version if kept else None,
        "parameters": kept.newest.parameters if kept else {},
        "performance_metrics": kept.metrics if kept else None,
        "created": instant.show(kept.created if kept else None, time),
        "changed": instant.show(kept.changed if kept else one.changed, time),
    }


def _whole(one: Entry, time: instant.TimeFormat) -> dict[str, Any]:
    path = str(one.path) if one.path is not None and one.origin == "folder" else None
    return {**_summary(one, time), "code": one.source, "path": path}


def _version(one: stored.Version, time: instant.TimeFormat) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": one.version,
        "description": one.description,
        "author": one.author,
        "sha256": one.sha256,
        "parameters": one.parameters,
        "created": instant.show(one.created, time),
    }
