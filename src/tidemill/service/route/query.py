"""SQL over what is stored: answered by a process beside the service (`tidemill.query`)."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated

from fastapi import Body, Request, Response

from tidemill.errors import UsageError
from tidemill.query.pool import Answer
from tidemill.service import answer, param, platform, schema, shape
from tidemill.service.command import command
from tidemill.service.platform import Platform
from tidemill.service.route import job as jobs

JSON_ROWS_MAX = 100_000
LOOK_S = 0.25
"""How often it is looked whether the asker is still there."""
FACTS_BYTES_MAX = 4096


@command(
    "data.query",
    "POST",
    "/data/query",
    scope="data",
    model=schema.QueryAnswer | schema.Job,
    media=tuple(shape.MEDIA.values()),
)
async def query(request: Request, body: Annotated[schema.Query, Body()]) -> Response:
    """The answer to one SELECT; its size with `preview`; with `as_job` a job that writes it to a file."""
    service = platform.of(request)
    if body.as_job:
        return await _job(request, service, body)
    json = body.format in ("columns", "rows")
    if json and body.limit > JSON_ROWS_MAX:
        raise UsageError(
            "limit_invalid",
            f"limit {body.limit} is above {JSON_ROWS_MAX}, the most rows of JSON",
            hint="ask for format=arrow, csv or parquet, or as_job",
        )
    found = await _asked(request, service, body)
    if body.preview:
        return answer.json(found.facts)
    if json:
        return Response(found.body, media_type=answer.JSON)
    headers = {"Content-Disposition": f'attachment; filename="query.{body.format}"'}
    facts = answer.encode(found.facts).decode()
    if facts.isascii() and len(facts) < FACTS_BYTES_MAX:
        headers["X-Tidemill-Facts"] = facts
    return Response(found.body, headers=headers, media_type=shape.MEDIA[body.format])


async def _asked(request: Request, service: Platform, body: schema.Query) -> Answer:
    """As `Pool.ask`; who goes away takes the query along."""
    cancel = threading.Event()

    def ask() -> Answer:
        return service.queries.ask(
            body.sql, limit=body.limit, form=body.format, time_form=body.time, preview=body.preview,
            timeout_s=body.timeout_s, cancel=cancel,
        )  # fmt: skip

    work = asyncio.ensure_future(service.run(ask))
    try:
        while not (await asyncio.wait({work}, timeout=LOOK_S))[0]:
            if await request.is_disconnected():
                cancel.set()
    except asyncio.CancelledError:
        cancel.set()
        raise
    return work.result()


async def _job(request: Request, service: Platform, body: schema.Query) -> Response:
    from tidemill.jobs import submit

    form = "parquet" if body.format in ("columns", "rows") else body.format
    detail = {"sql": body.sql, "format": form}
    await service.run(service.queries.check, body.sql)
    actor, cause = param.actor(request), answer.request_id.get()
    entered, _ = await service.write(
        lambda connection: submit.enter(connection, "query", owner=actor, detail=detail, cause=cause)
    )
    await service.run(submit.nudge, service.home, entered.id)
    return answer.json(jobs.show(entered, "ns"), 202, {"Location": f"/api/v1/jobs/{entered.id}"})
