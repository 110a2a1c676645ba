"""The catalogue: what is stored, one dataset per instrument and kind, and what people say of it."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import Body, Path, Query, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from tidemill import errors
from tidemill.errors import UsageError
from tidemill.metadata import catalogue, collector
from tidemill.model.interval import DAY
from tidemill.query import catalogue as joining
from tidemill.query import field
from tidemill.service import answer, cursor, instant, param, platform, schema
from tidemill.service.command import command
from tidemill.service.platform import Platform
from tidemill.service.route import job as jobs
from tidemill.stores.opening import is_lake

Kind = Literal["trades", "quotes", "levels", "bars"]
Delivery = Literal["live", "history", "generated"]
Access = Literal["built-in", "public", "key-set", "needs-key", "own"]
RECENT_DAYS = 60
Newest = Annotated[
    int, Query(ge=0, le=RECENT_DAYS, description="so many of its newest days with each dataset")
]
_WORD = r"^[^\x00]*$"
DatasetId = Annotated[str, Path(alias="id", max_length=200, pattern=_WORD)]
ORDER_S = 600.0
"""How long the order of a list by what may change is kept for its pages."""


@command("datasets", "GET", "/datasets", scope="data", model=schema.Datasets)
async def datasets(
    request: Request,
    q: Annotated[str | None, Query(max_length=200, description="words that all must be in its texts")] = None,
    venue: param.Venue = None,
    kind: Annotated[Kind | None, Query()] = None,
    category: Annotated[str | None, Query(max_length=64)] = None,
    status: Annotated[Literal["collecting", "stored"] | None, Query()] = None,
    resolution: Annotated[str | None, Query(max_length=16)] = None,
    delivery: Annotated[Delivery | None, Query()] = None,
    access: Annotated[Access | None, Query()] = None,
    days: Newest = 0,
    sort: Annotated[
        str,
        Query(max_length=32, description="id, name, rows, bytes, start, end, …; -rows: the greatest first"),
    ] = "id",
    limit: Annotated[int, param.Limit(200, 2000)] = 200,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Stored datasets, with how many there are of each venue, kind, category and status."""
    service = platform.of(request)
    only = {
        "venue": venue, "kind": kind, "category": category, "status": status, "resolution": resolution,
        "delivery": delivery, "access": access,
    }  # fmt: skip
    rows = await every(service, param.actor(request))
    found = joining.ordered(joining.search(rows, q, only), sort)
    filters = (q, *only.values(), sort)
    key = cursor.read(service.keeper, "datasets", filters, cursor_)
    page, after = _page(service, found, sort, key, limit)
    following = None if after is None else cursor.make(service.keeper, "datasets", filters, after)
    return answer.json(
        {
            "items": [show(row, time, days) for row in page],
            "total": len(found),
            "facets": joining.facets(rows, q, only),
            "next": following,
        }
    )


def _page(
    service: Platform, found: list[dict[str, Any]], sort: str, key: list[Any] | None, limit: int
) -> tuple[list[dict[str, Any]], list[int | str] | None]:
    """The rows behind `key`, and the key of what follows. Ids never change: the last one is the key. In
    another order rows change places while they grow, so the order of the first page holds for the others."""
    if sort in ("id", "-id"):
        if key is not None:
            last = str(key[0])
            found = [row for row in found if (row["id"] > last if sort == "id" else row["id"] < last)]
        more = len(found) > limit
        return found[:limit], [found[limit - 1]["id"]] if more else None
    if key is None:
        if len(found) <= limit:
            return found, None
        token, at = secrets.token_hex(8), 0
        order = [row["id"] for row in found]
        service.cache.put(f"order:{token}", orjson.dumps(order), ORDER_S)
    else:
        token, at = str(key[0]), int(key[1])
        kept = service.cache.get(f"order:{token}")
        if kept is None:
            raise UsageError(
                "cursor_invalid",
                f"the cursor is older than {ORDER_S / 60:g} minutes",
                hint="leave it out to get the first page",
            )
        order = orjson.loads(kept)
    by_id = {row["id"]: row for row in found}
    page = [by_id[name] for name in order[at : at + limit] if name in by_id]
    return page, [token, at + limit] if at + limit < len(order) else None


@command("datasets.show", "GET", "/datasets/{id}", scope="data", model=schema.Dataset)
async def dataset(
    request: Request, dataset_id: DatasetId, days: Newest = 0, time: instant.As = "ns"
) -> Response:
    """One dataset."""
    row = await _one(platform.of(request), dataset_id, param.actor(request))
    return answer.json(show(row, time, days))


@command("datasets.coverage", "GET", "/datasets/{id}/coverage", scope="data", model=schema.Days)
async def coverage(
    request: Request,
    dataset_id: DatasetId,
    start: instant.Start = None,
    end: instant.End = None,
) -> Response:
    """Rows and completeness of each UTC day that a dataset reaches over, or of those of a span."""
    service = platform.of(request)
    low, high = instant.span(start, end)
    row = await _one(service, dataset_id, "")
    first, last = None if low is None else low // DAY, None if high is None else (high - 1) // DAY
    found = await service.run(
        service.view.call, lambda live: live.coverage(row["instrument"], row["kind"], first, last)
    )
    if found is None:
        raise errors.unknown("dataset", dataset_id, ())
    return answer.json(found)


@command("datasets.fields", "GET", "/datasets/{id}/fields", scope="data", model=schema.DatasetFields)
async def fields(request: Request, dataset_id: DatasetId) -> Response:
    """The columns of a dataset: types, units, and which may be null."""
    row = await _one(platform.of(request), dataset_id, "")
    return answer.json({"dataset": dataset_id, "items": [asdict(one) for one in field.FIELDS[row["kind"]]]})


@command("datasets.edit", "PATCH", "/datasets/{id}", scope="data", effect="write", model=schema.Dataset)
async def edit(
    request: Request, dataset_id: DatasetId, body: Annotated[schema.DatasetEdit, Body()]
) -> Response:
    """Change what is said of a dataset, or how long it is kept."""
    service = platform.of(request)
    await _one(service, dataset_id, "")
    changes = body.model_dump(exclude_unset=True)
    actor, cause = param.actor(request), answer.request_id.get()
    if changes:
        await service.write(
            lambda connection: catalogue.edit(connection, dataset_id, changes, actor=actor, cause=cause)
        )
    return answer.json(show(await _one(service, dataset_id, actor), "ns"))


@command(
    "datasets.delete", "DELETE", "/datasets/{id}", scope="data", effect="write", model=schema.Job, status=202
)
async def delete(
    request: Request,
    dataset_id: DatasetId,
    confirm: Annotated[bool, Query(description="needed where it was collected live")] = False,
) -> Response:
    """Delete a dataset from the lake, for good, by a job."""
    return await remove(request, dataset_id, confirm)


async def remove(request: Request, dataset_id: str, confirm: bool) -> Response:
    """The job that deletes a dataset; refused where `catalogue.deletable` refuses it."""
    from tidemill.jobs import submit

    service = platform.of(request)
    row = await _one(service, dataset_id, "")
    wanted = await service.read(lambda connection: collector.every(connection, wanted=True))
    joining.deletable(row, {one.name for one in wanted}, confirm=confirm, lake_alone=is_lake())
    actor, cause = param.actor(request), answer.request_id.get()
    detail = {"dataset": dataset_id, "confirm": confirm}
    entered, _ = await service.write(
        lambda connection: submit.enter(
            connection, "delete", owner=actor, detail=detail, key=f"delete {dataset_id}"[:100], cause=cause
        )
    )
    await service.run(submit.nudge, service.home, entered.id)
    return answer.json(jobs.show(entered, "ns"), 202, {"Location": f"/api/v1/jobs/{entered.id}"})


@command(
    "datasets.subscribe", "POST", "/datasets/{id}/subscribe", scope="data", effect="write",
    model=schema.Subscription,
)  # fmt: skip
async def subscribe(request: Request, dataset_id: DatasetId) -> Response:
    """Be told of this dataset's growth, by the event `stock_update`."""
    service = platform.of(request)
    actor = param.actor(request)
    await _one(service, dataset_id, actor)
    changed = await service.write(lambda connection: catalogue.subscribe(connection, dataset_id, actor))
    return answer.json({"dataset": dataset_id, "subscribed": True, "changed": changed})


@command(
    "datasets.unsubscribe", "DELETE", "/datasets/{id}/subscribe", scope="data", effect="write",
    model=schema.Subscription,
)  # fmt: skip
async def unsubscribe(request: Request, dataset_id: DatasetId) -> Response:
    """Be told no longer."""
    service = platform.of(request)
    actor = param.actor(request)
    changed = await service.write(lambda connection: catalogue.unsubscribe(connection, dataset_id, actor))
    return answer.json({"dataset": dataset_id, "subscribed": False, "changed": changed})


async def every(service: Platform, subject: str) -> list[dict[str, Any]]:
    """All datasets, with what people said of them and whether `subject` follows them."""
    stored = await service.run(service.view.datasets)
    ready = await service.run(service.providers.ready)

    def access(venue: str) -> str:
        return joining.access_of(venue, ready)

    def read(connection: Any) -> tuple[Any, set[str], set[str]]:
        wanted = {one.name for one in collector.every(connection, wanted=True)}
        return catalogue.every(connection), wanted, catalogue.subscribed(connection, subject)

    try:
        said = await service.read(read)
    except SQLAlchemyError:
        # What is stored can be listed without what people said of it; health names the database.
        return joining.joined(stored.values(), {}, (), (), access)
    return joining.joined(stored.values(), *said, access)


async def _one(service: Platform, dataset_id: str, subject: str) -> dict[str, Any]:
    rows = {row["id"]: row for row in await every(service, subject)}
    if dataset_id not in rows:
        raise errors.unknown("dataset", dataset_id, rows)
    return rows[dataset_id]


def show(row: dict[str, Any], time: instant.TimeFormat, days: int = 0) -> dict[str, Any]:
    """A dataset as it leaves, with so many of its newest days."""
    made = {name: instant.show(row[name], time) for name in ("start", "end", "accessed")}
    shown = {name: row[name] for name in schema.Dataset.model_fields if name not in {*made, "recent"}}
    return shown | made | {"recent": _newest(row.get("recent"), days)}


def _newest(recent: dict[str, Any] | None, days: int) -> dict[str, Any] | None:
    if not recent or not days:
        return None
    skipped = max(0, len(recent["completeness"]) - days)
    first = date.fromisoformat(recent["first"]) + timedelta(days=skipped)
    rows = recent["rows"]
    return {
        "first": first.isoformat(),
        "rows": rows and rows[skipped:],
        "completeness": recent["completeness"][skipped:],
    }
