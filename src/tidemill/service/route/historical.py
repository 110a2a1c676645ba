"""Bars under the names that charts of old know, and leases on what was answered."""

from __future__ import annotations

import hashlib
import types
from typing import Annotated, Any

from fastapi import Body, Query, Request, Response

from tidemill.errors import NotFoundError
from tidemill.metadata import lease
from tidemill.metadata.database import now_ns
from tidemill.service import answer, cursor, instant, param, platform, schema, shape
from tidemill.service.command import command
from tidemill.service.instant import TimeFormat
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
) -> Response:
    """The newest 5,000 bars; `request_id` leads to older ones."""
    service = platform.of(request)
    low, high = instant.span(start, end)
    instrument = await service.run(service.view.resolve, symbol)
    asked: list[Any] = [instrument, interval, low, high, time]
    await _alive(request, service, session_id)
    body = await _chunk(service, session_id, instrument, interval, low, high, time)
    made = cursor.make(service.keeper, "historical", (), asked)
    return _told(body, made)


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
    instrument, interval, low, _, time = asked
    await _alive(request, service, session_id)
    end = instant.parse(before, "before")
    return _told(await _chunk(service, session_id, instrument, interval, low, end, time), request_id)


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
) -> Response:
    """Bars, as `/api/v1/data/{symbol}/bars` with format=rows."""
    service = platform.of(request)
    asked = shape.Asked(symbol, *instant.span(from_ts, to_ts), limit, cursor_, format_, time)
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
    service: Platform,
    lease_id: str | None,
    instrument: str,
    interval: str,
    start: int | None,
    end: int | None,
    time: TimeFormat,
) -> bytes:
    """JSON of one chunk. With a lease the same question has the same answer for as long as that lives."""

    def make() -> bytes:
        found: bytes = _series().chunk(service, instrument, interval, start, end, time)
        return found

    await service.run(lambda: _series().checked(interval))
    if lease_id is None:
        what = ("chunk", start, time)
        return await service.kept.body(service, instrument, interval, (start, end), what, make)
    asked = repr((instrument, interval, start, end, time)).encode()
    key = f"lease:{lease_id}:{hashlib.sha256(asked).hexdigest()[:32]}"
    return await service.run(lambda: service.cache.get_or_compute(key, make, float(lease.EXPIRES_S)))


def _told(body: bytes, request_id: str) -> Response:
    """The chunk, which is encoded already, with the id before it."""
    return Response(b'{"request_id":' + answer.encode(request_id) + b"," + body[1:], media_type=answer.JSON)


def _series() -> types.ModuleType:
    """Imported in a worker thread by the first who asks: numpy and pyarrow take their time."""
    from tidemill.service import series

    return series
