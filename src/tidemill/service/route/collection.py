"""Collectors: how they are, and who should run. Changing who should run is all a start or stop does here."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path as FilePath
from typing import Annotated, Any

import orjson
from fastapi import Body, Path, Query, Request, Response, WebSocket

from tidemill import control, errors
from tidemill.metadata import collector
from tidemill.model.collector import (
    DEFAULT_INSTRUMENTS,
    EXCHANGES,
    PROTOCOLS,
    SIM_PREFIX,
    Collector,
    plain,
)
from tidemill.service import answer, collecting, param, platform, schema
from tidemill.service import websocket as sockets
from tidemill.service.command import command
from tidemill.service.platform import Platform

LOG_BYTES = 512 << 10


@command("collection.status", "GET", "/collection/status", scope="collection", model=schema.CollectionStatus)
async def status(request: Request) -> Response:
    """Every collector and part: state, rate, lag, gaps, cost, and the last five minutes."""
    return answer.json(await collecting.status(platform.of(request)))


@command(
    "collection.start",
    "POST",
    "/collection/start",
    scope="collection",
    effect="write",
    model=schema.CollectionWanted,
    status=202,
)
async def start(request: Request, body: Annotated[schema.CollectionStart, Body()]) -> Response:
    """Want a collector, or give it other instruments."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()

    def change(connection: Any) -> tuple[Collector, bool]:
        asked = _asked(body, collector.one(connection, body.venue))
        return collector.want(connection, asked, actor=actor, cause=cause)

    after, changed = await service.write(change)
    if changed:
        await _reconcile(service)
    return answer.json(_wanted(after, changed), 202)


@command(
    "collection.stop",
    "DELETE",
    "/collection/stop",
    scope="collection",
    effect="write",
    model=schema.CollectionWanted,
    status=202,
)
async def stop(request: Request, venue: Annotated[str, Query(max_length=64)]) -> Response:
    """Want a collector no longer: it drains and ends; what it collected stays."""
    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()

    def change(connection: Any) -> tuple[Collector | None, bool, list[str]]:
        changed = collector.unwant(connection, venue, actor=actor, cause=cause)
        return collector.one(connection, venue), changed, [c.name for c in collector.every(connection)]

    after, changed, known = await service.write(change)
    if after is None:
        raise errors.unknown("venue", venue, known)
    if changed:
        await _reconcile(service)
    return answer.json(_wanted(after, changed), 202)


@command("collection.logs", "GET", "/collection/{venue}/logs", scope="collection", model=schema.Logs)
async def logs(
    request: Request,
    venue: Annotated[str, Path(max_length=64)],
    limit: Annotated[int, param.Limit(200, 2000)] = 200,
) -> Response:
    """The last lines a collector wrote, oldest first."""
    service = platform.of(request)
    files = await service.run(_log_files, service.home.logs)
    known = {
        name.removeprefix("collector-"): file for name, file in files.items() if name.startswith("collector-")
    }
    if venue not in known:
        wanted = {c.name for c in await service.read(collector.every)}
        if venue in wanted:
            return answer.json({"items": []})
        raise errors.unknown("venue", venue, wanted | known.keys())
    return answer.json({"items": await service.run(tail, known[venue], limit)})


@command("collection.follow", "WS", "/ws/collection", scope="collection", base="")
async def follow(websocket: WebSocket) -> None:
    """The collection status, every second."""
    async with sockets.enter(websocket, "collection.follow") as principal:
        service = platform.of(websocket)

        async def work() -> None:
            while True:
                found = await collecting.status(service, age_s=2.0)
                await sockets.send(websocket, {"type": "collection", **found})
                async with service.watch.changed:
                    await service.watch.changed.wait()

        await sockets.attend(websocket, principal, work())


def _asked(body: schema.CollectionStart, before: Collector | None) -> Collector:
    protocol = body.protocol or (before.protocol if before else body.venue.removeprefix(SIM_PREFIX))
    if protocol not in PROTOCOLS:
        if body.protocol is None:
            raise errors.unknown(
                "venue", body.venue, [*PROTOCOLS, *(SIM_PREFIX + name for name in PROTOCOLS)]
            )
        raise errors.unknown("protocol", protocol, PROTOCOLS)
    if body.instruments is not None:
        instruments = tuple(dict.fromkeys(plain(name, protocol, body.venue) for name in body.instruments))
    elif before is not None:
        instruments = before.instruments
    else:
        whole = body.venue.startswith(SIM_PREFIX) and protocol in EXCHANGES
        instruments = () if whole else DEFAULT_INSTRUMENTS[protocol]
    # An address is only ever set on this machine: a request must not send a collector anywhere else.
    url, rest_url = (before.url, before.rest_url) if before else (None, None)
    return Collector(body.venue, protocol, instruments, url, rest_url)


def _wanted(found: Collector, changed: bool) -> dict[str, Any]:
    return {
        "venue": found.name,
        "protocol": found.protocol,
        "instruments": list(found.instruments),
        "wanted": found.wanted,
        "changed": changed,
    }


async def _reconcile(service: Platform) -> None:
    """Tells the supervisor at once what it would find out by itself; where there is none, none is told."""
    with contextlib.suppress(control.Unreachable):
        await service.watch.ask("supervisor", "reconcile")


def _log_files(folder: FilePath) -> dict[str, FilePath]:
    try:
        return {file.stem: file for file in folder.iterdir() if file.suffix == ".jsonl"}
    except OSError:
        return {}


def tail(file: FilePath, limit: int) -> list[dict[str, Any]]:
    """The last `limit` lines of a log as objects; a line that is no JSON is a message of its own."""
    try:
        with file.open("rb") as lines:
            size = lines.seek(0, os.SEEK_END)
            lines.seek(max(0, size - LOG_BYTES))
            text = lines.read(LOG_BYTES)
    except OSError:
        return []
    found = text.split(b"\n")
    if size > LOG_BYTES:
        found = found[1:]  # begins in the middle
    return [_line(line, file.stem) for line in [line for line in found if line.strip()][-limit:]]


def _line(line: bytes, part: str) -> dict[str, Any]:
    try:
        said = orjson.loads(line)
        if not isinstance(said, dict):
            raise ValueError
    except ValueError:
        return {"ts": None, "level": "info", "part": part, "message": line.decode("utf-8", "replace")[:4000]}
    ts = said.pop("ts", None)
    return {
        "level": str(said.pop("level", "info")),
        "part": str(said.pop("part", part)),
        "message": str(said.pop("message", "")),
        **said,
        "ts": str(ts) if ts is not None else None,
    }
