"""Series and books of one instrument, stored and live as one."""

from __future__ import annotations

import types
from typing import Annotated

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from tidemill.metadata import gap
from tidemill.service import answer, instant, param, platform, schema, shape
from tidemill.service.command import command
from tidemill.service.route import dataset as datasets
from tidemill.service.route import instrument as instruments
from tidemill.service.route.configuration import INTERVALS

MEDIA = tuple(shape.MEDIA.values())
GAPS_SHOWN = 100


@command(
    "data.bars",
    "GET",
    "/data/{symbol:path}/bars",
    scope="data",
    model=schema.Bars | schema.BarRows,
    media=MEDIA,
)
async def bars(
    request: Request,
    symbol: param.Symbol,
    interval: Annotated[str, Query(max_length=16, description="<n><unit>, unit s, m, h, d, w, mo")] = "1m",
    start: instant.Start = None,
    end: instant.End = None,
    limit: Annotated[int, param.Limit(5000, shape.BARS_MAX)] = 5000,
    cursor_: param.Cursor = None,
    format_: shape.As = "columns",
    time: instant.As = "ns",
    zone: Annotated[
        str | None, Query(max_length=64, description="days of this IANA zone, such as America/New_York")
    ] = None,
    calendar: Annotated[
        str | None, Query(max_length=64, description="sessions of this exchange, such as XNYS; 24/7 is UTC")
    ] = None,
    hours: Annotated[shape.Hours, Query(description="of a calendar")] = "regular",
    adjusted: shape.AdjustedBy = "raw",
    known: shape.KnownAt = None,
) -> Response:
    """Bars, ascending: the newest up to `end` and `next` leads to older ones; or from `start` on. Cut in UTC,
    by the days of a zone or by the sessions of an exchange. Prices as printed, or adjusted by splits and
    dividends."""
    service = platform.of(request)
    asked = shape.Asked(
        symbol, *instant.span(start, end), limit, cursor_, format_, time, zone, calendar, hours, adjusted,
        instant.parse(known, "known"),
    )  # fmt: skip
    return await service.kept.bars(service, asked, interval)


@command("data.ticks", "GET", "/data/{symbol:path}/ticks", scope="data", model=schema.Trades, media=MEDIA)
async def ticks(
    request: Request,
    symbol: param.Symbol,
    start: instant.Start = None,
    end: instant.End = None,
    limit: Annotated[int, param.Limit(1000, shape.TICKS_MAX)] = 1000,
    cursor_: param.Cursor = None,
    format_: shape.As = "rows",
    time: instant.As = "ns",
) -> Response:
    """Trades, ascending: the newest up to `end` and `next` leads to older ones; or from `start` on."""
    service = platform.of(request)
    asked = shape.Asked(symbol, *instant.span(start, end), limit, cursor_, format_, time)
    return await service.run(lambda: _series().trades(service, asked))


@command("data.quotes", "GET", "/data/{symbol:path}/quotes", scope="data", model=schema.Quotes, media=MEDIA)
async def quotes(
    request: Request,
    symbol: param.Symbol,
    start: instant.Start = None,
    end: instant.End = None,
    limit: Annotated[int, param.Limit(1000, shape.TICKS_MAX)] = 1000,
    cursor_: param.Cursor = None,
    format_: shape.As = "rows",
    time: instant.As = "ns",
) -> Response:
    """Best bids and offers, as ticks."""
    service = platform.of(request)
    asked = shape.Asked(symbol, *instant.span(start, end), limit, cursor_, format_, time)
    return await service.run(lambda: _series().quotes(service, asked))


@command("data.book", "GET", "/data/{symbol:path}/book", scope="data", model=schema.Book)
async def book(
    request: Request,
    symbol: param.Symbol,
    depth: Annotated[int, Query(ge=1, le=1000, description="levels of each side")] = 20,
    at: Annotated[str | None, Query(max_length=64, description="as it was then; now when left out")] = None,
    time: instant.As = "ns",
) -> Response:
    """The order book; `valid` is false while it is not known to be whole."""
    service = platform.of(request)
    moment = instant.parse(at, "at")
    return await service.run(lambda: _series().book(service, symbol, moment, depth, time))


@command("data.metadata", "GET", "/data/{symbol:path}/metadata", scope="data", model=schema.DataMetadata)
async def metadata(request: Request, symbol: param.Symbol, time: instant.As = "ns") -> Response:
    """The instrument, its datasets and its gaps."""
    service = platform.of(request)
    name = await service.run(service.view.resolve, symbol)
    row = (await service.run(service.view.listed))[name]
    stored = await datasets.every(service, param.actor(request))

    def read(connection: Connection) -> list[gap.Entry]:
        return gap.page(connection, limit=GAPS_SHOWN, venue=row["venue"], instrument=name)

    gaps = await service.read(read)
    return answer.json(
        {
            "instrument": instruments.show(row, time),
            "datasets": [datasets.show(one, time) for one in stored if one["instrument"] == name],
            "intervals": list(INTERVALS),
            "gaps": await service.run(lambda: [_series().show_gap(one, time) for one in gaps]),
        }
    )


def _series() -> types.ModuleType:
    """Imported in a worker thread by the first who asks: numpy and pyarrow take their time."""
    from tidemill.service import series

    return series
