"""History from providers: who there is, what a fetch would take, and the fetch as a job."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response

from tidemill import errors
from tidemill.service import answer, param, platform, schema
from tidemill.service.command import command

SEARCH_S = 20.0
Name = Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9-]+$", description="polygon, or sim-polygon")]


@command("providers", "GET", "/providers", scope="data", model=schema.Providers)
async def providers(request: Request) -> Response:
    """Who has history, what of it, and whether their keys are set."""
    return answer.json({"items": await platform.of(request).run(_providers)})


def _providers() -> list[dict[str, Any]]:
    from tidemill import providers as found
    from tidemill.providers import credential

    items = []
    for name in found.names():
        provider = found.load(name)
        have = credential.found(provider)
        secrets = [
            {
                "name": one.name,
                "variables": list(one.variables),
                "required": one.required,
                "set": one.name in have,
            }
            for one in provider.credentials
        ]
        limits = provider.limits
        items.append(
            {
                "name": name, "summary": provider.summary, "site": provider.site,
                "kinds": list(provider.kinds), "intervals": list(provider.intervals),
                "limits": {"per_s": limits.per_s, "burst": limits.burst, "workers": limits.workers},
                "delay_s": provider.delay_s, "credentials": secrets,
                "ready": all(one["set"] or not one["required"] for one in secrets),
            }
        )  # fmt: skip
    return items


@command("providers.symbols", "GET", "/providers/{name}/symbols", scope="data", model=schema.ProviderSymbols)
async def symbols(
    request: Request,
    name: Name,
    search: Annotated[str, Query(min_length=1, max_length=100, pattern=r"^[^\x00]*$")],
    limit: Annotated[int, param.Limit(20, 200)] = 20,
) -> Response:
    """Symbols whose name or spelling holds a text, as the provider knows them now."""
    service = platform.of(request)

    def look() -> list[dict[str, Any]]:
        # In a thread and a loop of its own: a provider that reads a long list holds up nobody.
        return asyncio.run(_bounded(_search(service, name, search, limit), name))

    return answer.json({"items": await service.run(look)})


async def _bounded(work: Coroutine[Any, Any, list[dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    try:
        async with asyncio.timeout(SEARCH_S):
            return await work
    except TimeoutError as error:
        raise errors.DeadlineError(
            "provider_slow", f"{name} did not answer within {SEARCH_S:g} s", hint="ask again"
        ) from error


async def _search(service: platform.Platform, name: str, text: str, limit: int) -> list[dict[str, Any]]:
    from tidemill import providers as found

    provider = found.open(name, service.home)
    items = []
    try:
        for one in (await provider.search(text, limit))[:limit]:
            try:
                instrument = provider.instrument(one.symbol)
            except errors.UsageError:
                continue  # it cannot be fetched
            items.append({"symbol": one.symbol, "instrument": instrument, "name": one.name, "kind": one.kind})
    finally:
        await provider.close()
    return items


@command("fetch", "POST", "/data/fetch", scope="jobs", effect="write", model=schema.FetchJob, status=202)
async def fetch(request: Request, body: Annotated[schema.Fetch, Body()]) -> Response:
    """Fetch history as a job. With a key of a fetch of the caller that has not ended, that is the answer."""
    return await _submit(request, body)


@command(
    "stocks.fetch", "POST", "/stocks/fetch", scope="jobs", effect="write", model=schema.FetchJob, status=202
)
async def fetch_stocks(request: Request, body: Annotated[schema.StocksFetch, Body()]) -> Response:
    """Fetch bars of stocks as a job."""
    return await _submit(request, body)


@command("fetch.estimate", "POST", "/data/fetch/estimate", scope="data", model=schema.FetchEstimate)
async def estimate(request: Request, body: Annotated[schema.FetchAsk, Body()]) -> Response:
    """What a fetch would take: rows, requests, seconds and bytes of what is not held yet."""
    service = platform.of(request)

    def look() -> dict[str, Any]:
        from tidemill.jobs.fetch import plan
        from tidemill.jobs.fetch.order import Order

        order = Order.of(body.detail())
        return service.view.call(lambda view: plan.estimate(order, view.store))

    return answer.json(await service.run(look))


async def _submit(request: Request, body: schema.FetchAsk) -> Response:
    from tidemill.jobs import submit as submitting

    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    # What makes no sense is told before the database is asked for anything.
    detail = await service.run(_checked, body.detail())
    priority, key = getattr(body, "priority", 0), getattr(body, "key", None)
    entered, new = await service.write(
        lambda connection: submitting.enter(
            connection, "fetch", owner=actor, detail=detail, priority=priority, key=key, cause=cause
        )
    )
    if new:
        await service.run(submitting.nudge, service.home, entered.id)
    said = {"job_id": entered.id, "state": entered.state, "new": new}
    return answer.json(said, 202, {"Location": f"/api/v1/jobs/{entered.id}"})


def _checked(detail: dict[str, Any]) -> dict[str, Any]:
    from tidemill.jobs import kind

    return kind.load("fetch").check(detail)
