"""Studies: started, watched, paused, resumed; `/optimize` is their older name."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response
from sqlalchemy import Connection

from tidemill import errors
from tidemill.metadata import job
from tidemill.metadata import study as rows
from tidemill.service import answer, cursor, instant, param, platform, study
from tidemill.service.command import command

_WORD = r"^[^\x00]*$"
StudyId = Annotated[str, Path(alias="id", max_length=64, pattern=_WORD)]
JobId = Annotated[str, Path(max_length=100, pattern=_WORD)]


@command("studies.start", "POST", "/studies", scope="jobs", effect="write", model=study.StudyJob, status=202)
async def start(request: Request, body: Annotated[study.StudyAsk, Body()]) -> Response:
    """Start a study as a job."""
    return await _start(request, body)


@command(
    "optimize", "POST", "/optimize", scope="jobs", effect="write", model=study.StudyJob, status=202, base=""
)
async def optimize(request: Request, body: Annotated[study.StudyAsk, Body()]) -> Response:
    """Start a study as a job; its older name."""
    return await _start(request, body)


async def _start(request: Request, body: study.StudyAsk) -> Response:
    from tidemill.jobs import study as studies
    from tidemill.jobs import submit

    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    # What makes no sense is told before the database is asked for anything.
    plan = await service.run(_planned, service, body)
    made, work = await service.write(
        lambda connection: studies.start(
            connection, plan, owner=actor, workers=body.workers, priority=body.priority, cause=cause
        )
    )
    await service.run(submit.nudge, service.home, work.id)
    said = {"job_id": work.id, "study_id": made.id, "state": made.state}
    return answer.json(said, 202, {"Location": f"/api/v1/studies/{made.id}"})


def _planned(service: platform.Platform, body: study.StudyAsk) -> Any:
    from tidemill.research import plan, source

    asked = body.model_dump(exclude={"workers", "priority", "version"})
    if any(sign in body.strategy for sign in "./@"):
        raise errors.UsageError(
            "study_invalid",
            "a strategy is named by its name alone: no file of the server, and its version apart",
            hint="GET /api/v1/strategies/list has them",
        )
    code = source.find(service.home, service.metadata, body.strategy, own=False, version=body.version)
    return plan.of(asked, code=code)


@command("studies", "GET", "/studies", scope="jobs", model=study.Studies)
async def studies_(
    request: Request,
    state: Annotated[study.State | None, Query()] = None,
    limit: Annotated[int, param.Limit(50, 500)] = 50,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Studies, newest first."""
    service = platform.of(request)
    key = cursor.read(service.keeper, "studies", (state,), cursor_)
    before = (int(key[0]), str(key[1])) if key else None

    def read(connection: Connection) -> list[dict[str, Any]]:
        found = rows.page(connection, limit=limit + 1, state=state, before=before)
        return [_shown(connection, one) for one in found]

    items = await service.read(read)
    following = None
    if len(items) > limit:
        items = items[:limit]
        last = items[-1]
        following = cursor.make(service.keeper, "studies", (state,), [last["created"], last["id"]])
    return answer.json({"items": [_timed(one, time) for one in items], "next": following})


@command("studies.show", "GET", "/studies/{id}", scope="jobs", model=study.Progress)
async def show(request: Request, study_id: StudyId, time: instant.As = "ns") -> Response:
    """One study, how far it is, and its result once it is done."""
    found = await platform.of(request).read(lambda connection: _progress(connection, study_id))
    return answer.json(_timed(found, time))


@command("optimize.show", "GET", "/optimize/{job_id}", scope="jobs", model=study.Progress, base="")
async def optimized(request: Request, job_id: JobId, time: instant.As = "ns") -> Response:
    """The study of a job, how far it is, and its result once it is done."""

    def read(connection: Connection) -> dict[str, Any]:
        found = rows.of_job(connection, job_id)
        if found is None:
            raise errors.NotFoundError(
                "study_unknown",
                f"no study belongs to the job {job_id[:100]!r}",
                hint="GET /api/v1/studies lists them",
            )
        return _progress(connection, found.id)

    return answer.json(_timed(await platform.of(request).read(read), time))


@command("studies.trials", "GET", "/studies/{id}/trials", scope="jobs", model=study.Trials)
async def trials(
    request: Request,
    study_id: StudyId,
    part: Annotated[str, Query(max_length=16, pattern=r"^(all|(in|out)\.[0-9]{1,3})$")] = "all",
    limit: Annotated[int, param.Limit(100, 5000)] = 100,
    cursor_: param.Cursor = None,
) -> Response:
    """The trials of a part of a study, by number."""
    service = platform.of(request)
    filters = (study_id, part)
    key = cursor.read(service.keeper, "studies.trials", filters, cursor_)
    after = int(key[0]) if key else -1

    def read(connection: Connection) -> list[rows.Row]:
        rows.one(connection, study_id)
        return rows.trials(connection, study_id, part, after=after, limit=limit + 1, returns=False)

    found = await service.read(read)
    following = None
    if len(found) > limit:
        found = found[:limit]
        following = cursor.make(service.keeper, "studies.trials", filters, [found[-1].number])
    items = [
        {
            "part": one.part, "number": one.number, "state": "done" if one.error is None else "failed",
            "params": one.params, "values": one.vals, "metrics": one.metrics, "error": one.error,
        }
        for one in found
    ]  # fmt: skip
    return answer.json({"items": items, "next": following})


@command("studies.result", "GET", "/studies/{id}/result", scope="jobs", model=study.StudyResult)
async def result(request: Request, study_id: StudyId) -> Response:
    """What came of a study."""
    found = await platform.of(request).read(lambda connection: rows.one(connection, study_id))
    if found.result is None:
        raise errors.NotFoundError(
            "study_open", f"study {study_id} has no result yet", hint="GET /api/v1/studies/{id} tells how far"
        )
    return answer.json({"id": found.id, **found.result})


@command(
    "studies.pause",
    "POST",
    "/studies/{id}/pause",
    scope="jobs",
    effect="write",
    model=study.Study,
    status=202,
)
async def pause(request: Request, study_id: StudyId) -> Response:
    """Stop a study for now; what was tried is kept. One that does not run stays as it is."""
    return await _stop(request, study_id, "paused")


@command(
    "studies.cancel", "POST", "/studies/{id}/cancel", scope="jobs", effect="write", model=study.Study,
    status=202,
)  # fmt: skip
async def cancel(request: Request, study_id: StudyId) -> Response:
    """End a study. One that does not run stays as it is."""
    return await _stop(request, study_id, "cancelled")


async def _stop(request: Request, study_id: str, to: str) -> Response:
    from tidemill.jobs import study as studies

    actor, cause = param.actor(request), answer.request_id.get()

    def write(connection: Connection) -> dict[str, Any]:
        return _shown(connection, studies.pause(connection, study_id, actor=actor, to=to, cause=cause))

    return answer.json(_timed(await platform.of(request).write(write), "ns"), 202)


@command(
    "studies.resume", "POST", "/studies/{id}/resume", scope="jobs", effect="write", model=study.StudyJob,
    status=202,
)  # fmt: skip
async def resume(request: Request, study_id: StudyId) -> Response:
    """Go on with a study that was stopped; no trial that is kept is made again."""
    from tidemill.jobs import study as studies
    from tidemill.jobs import submit

    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    found, work = await service.write(
        lambda connection: studies.resume(connection, study_id, owner=actor, cause=cause)
    )
    await service.run(submit.nudge, service.home, work.id)
    return answer.json({"job_id": work.id, "study_id": found.id, "state": "queued"}, 202)


@command("studies.delete", "DELETE", "/studies/{id}", scope="jobs", effect="write", model=study.Study)
async def delete(request: Request, study_id: StudyId) -> Response:
    """Forget a study that does not run, and its trials; it is the answer. The ledger keeps their number."""
    from tidemill.jobs import study as studies

    actor = param.actor(request)

    def write(connection: Connection) -> dict[str, Any]:
        shown = _shown(connection, rows.one(connection, study_id))
        studies.remove(connection, study_id, actor=actor)
        return shown

    return answer.json(_timed(await platform.of(request).write(write), "ns"))


def _shown(connection: Connection, found: rows.Study) -> dict[str, Any]:
    from tidemill.jobs import study as studies
    from tidemill.research import studio

    return studio.shown(studies.settled(connection, found), trials=rows.counted(connection, found.id))


def _progress(connection: Connection, study_id: str) -> dict[str, Any]:
    found = rows.one(connection, study_id)
    work = job.one(connection, found.job) if found.job else None
    pace = {"rate": work.rate, "eta_s": work.eta_s} if work else {"rate": None, "eta_s": None}
    return {**_shown(connection, found), **pace, "result": found.result}


def _timed(shown: dict[str, Any], time: instant.TimeFormat) -> dict[str, Any]:
    return shown | {name: instant.show(shown[name], time) for name in ("created", "ended")}
