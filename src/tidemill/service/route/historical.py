"""Bars under the names that charts of old know, and leases on what was answered."""

from __future__ import annotations

import hashlib
import types
from typing import Annotated, Any

from fastapi import Body, Query, Request, Response

from tidemill.errors import NotFoundError
from tidemill.metadata import fact, lease
from tidemill.metadata.database import now_ns
from tidemill.model.fact import Fact
from tidemill.service import answer, cursor, instant, packed, param, platform, schema, shape
from tidemill.service.command import command
from tidemill.service.platform import Platform

Symbol = Annotated[
    str, Query(max_length=200, description="BTC-USD.kraken, or BTC-USD where one venue has it")
]
IntervalText = Annotated[str, Query(max_length=16, description="<n><unit>, unit s, m, h, d, w, mo")]
LeaseId = Annotated[
    str | None,
    Query(max_length=64, pattern=r"^[0-9a-f]*$", description="answers stay as they are while it lives"),
]


@command("historical", "GET", "/historical", scope="data", model=schema.Historical, base="")
async def historical(
    request: Request,
    symbol: Symbol,
    interval: IntervalText = "1m",
    start: instant.Start = None,
    end: instant.End = None,
    session_id: LeaseId = None,
    time: instant.As = "ns",
    adjusted: shape.AdjustedBy = "raw",
    known: shape.KnownAt = None,
) -> Response:
    """The newest 5,000 bars; `request_id` leads to older ones."""
    service = platform.of(request)
    low, high = instant.span(start, end)
    instrument = await service.run(service.view.resolve, symbol)
    asked = shape.Asked(
        instrument, low, high, 0, None, "columns", time, adjusted=adjusted,
        known=instant.parse(known, "known"),
    )  # fmt: skip
    await _alive(request, service, session_id)
    said: list[Any] = [instrument, interval, low, high, time, asked.adjusted, asked.known]
    request_id = cursor.make(service.keeper, "historical", (), said)
    return packed.response(await _chunk(service, session_id, asked, interval, request_id))


@command("historical.chunk", "GET", "/historical/chunk", scope="data", model=schema.Historical, base="")
async def chunk(
    request: Request,
    request_id: Annotated[str, Query(max_length=1000, description="of the first answer")],
    before: Annotated[str, Query(max_length=64, description="`before` of the answer before")],
    session_id: LeaseId = None,
) -> Response:
    """The 5,000 bars before those that are here."""
    service = platform.of(request)
    asked = cursor.read(service.keeper, "historical", (), request_id)
    assert asked is not None  # noqa: S101 - a text was given
    instrument, interval, low, _, time, adjusted, known = asked
    await _alive(request, service, session_id)
    end = instant.parse(before, "before")
    older = shape.Asked(
        instrument, low, end, 0, None, "columns", time, adjusted=adjusted, known=known
    )  # fmt: skip
    return packed.response(await _chunk(service, session_id, older, interval, request_id))


@command(
    "candles",
    "GET",
    "/candles",
    scope="data",
    model=schema.BarRows,
    media=tuple(shape.MEDIA.values()),
    base="",
)
async def candles(
    request: Request,
    symbol: Symbol,
    interval: IntervalText = "1m",
    from_ts: Annotated[str | None, Query(max_length=64, description="from (inclusive)")] = None,
    to_ts: Annotated[str | None, Query(max_length=64, description="to (exclusive)")] = None,
    limit: Annotated[int, param.Limit(5000, shape.BARS_MAX)] = 5000,
    cursor_: param.Cursor = None,
    format_: shape.As = "rows",
    time: instant.As = "ns",
    adjusted: shape.AdjustedBy = "raw",
    known: shape.KnownAt = None,
) -> Response:
    """Bars, as `/api/v1/data/{symbol}/bars` with format=rows."""
    service = platform.of(request)
    asked = shape.Asked(
        symbol, *instant.span(from_ts, to_ts), limit, cursor_, format_, time, adjusted=adjusted,
        known=instant.parse(known, "known"),
    )  # fmt: skip
    return await service.kept.bars(service, asked, interval)


@command("leases.begin", "GET", "/utils/session/initiate", scope="data", model=schema.Lease, base="")
async def initiate(request: Request) -> Response:
    """A lease on answers: those asked for with it stay as they are while it lives."""
    service = platform.of(request)
    subject = param.actor(request)
    return _lease(await service.write(lambda connection: lease.begin(connection, subject)))


@command(
    "leases.renew", "POST", "/utils/session/heartbeat", scope="data", effect="write", model=schema.Lease,
    base="",
)  # fmt: skip
async def heartbeat(request: Request, body: Annotated[schema.LeaseBeat, Body()]) -> Response:
    """Keep a lease alive: once a minute; half an hour without, and it is over."""
    service = platform.of(request)
    subject = param.actor(request)
    if not await service.write(lambda connection: lease.beat(connection, body.session_id, subject)):
        raise _over(body.session_id)
    return _lease(body.session_id)


def _lease(lease_id: str) -> Response:
    expires = now_ns() + lease.EXPIRES_S * 1_000_000_000
    return answer.json(
        {"session_id": lease_id, "heartbeat_s": lease.HEARTBEAT_S, "expires": instant.show(expires, "ns")}
    )


def _over(lease_id: str) -> NotFoundError:
    return NotFoundError(
        "session_unknown",
        f"there is no lease {lease_id[:40]!r}, or it is over",
        hint="GET /utils/session/initiate begins one",
    )


async def _alive(request: Request, service: Platform, lease_id: str | None) -> None:
    if lease_id is None:
        return
    subject = param.actor(request)
    if not await service.read(lambda connection: lease.alive(connection, lease_id, subject)):
        raise _over(lease_id)


async def _chunk(
    service: Platform, lease_id: str | None, asked: shape.Asked, interval: str, request_id: str
) -> bytes:
    """Packed JSON of one chunk. With a lease the same question has the same answer for as long as that
    lives."""
    instrument, start, end = asked.symbol, asked.start, asked.end
    told: list[Fact] = []
    if asked.adjusting:
        told = await service.read(lambda connection: fact.every(connection, instrument))

    def make() -> bytes:
        found: bytes = _series().chunk(
            service, instrument, interval, start, end, asked.time, request_id, asked.adjusting, told
        )
        return found

    await service.run(lambda: _series().checked(interval))
    if lease_id is not None:
        question = repr((instrument, interval, start, end, asked.time, request_id)).encode()
        key = f"lease:{lease_id}:{hashlib.sha256(question).hexdigest()[:32]}"
        return await service.run(lambda: service.cache.get_or_compute(key, make, float(lease.EXPIRES_S)))
    if asked.adjusting:
        return await service.run(make)  # facts have no version
    what = ("chunk", start, asked.time, request_id)
    return await service.kept.body(service, instrument, interval, (start, end), what, make)


def _series() -> types.ModuleType:
    """Imported in a worker thread by the first who asks: numpy and pyarrow take their time."""
    from tidemill.service import series

    return series
