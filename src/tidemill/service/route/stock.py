"""Stocks: tables of bars with what charts of stocks show, and rows that are projected."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response

from tidemill.errors import UsageError
from tidemill.metadata import projection
from tidemill.model.time import parse
from tidemill.service import answer, instant, param, platform, schema
from tidemill.service.command import command
from tidemill.service.platform import Platform
from tidemill.service.route import dataset as datasets

ROWS_MAX = 50_000
TableName = Annotated[
    str, Path(max_length=200, pattern=r"^[^\x00]*$", description="of the catalogue: AAPL.polygon:bars")
]
IntervalText = Annotated[str, Query(max_length=16, description="<n><unit>, unit s, m, h, d, w, mo")]
Projections = Annotated[bool, Query(description="rows that are projected follow the last bar")]


@command("stocks.tables", "GET", "/stocks/tables", scope="data", model=schema.StockTables)
async def tables(request: Request, time: instant.As = "ns") -> Response:
    """Every dataset of bars, by its name in the catalogue."""
    rows = await datasets.every(platform.of(request), param.actor(request))
    items = [
        {
            "table": row["id"], "instrument": row["instrument"], "venue": row["venue"],
            "category": row["category"], "rows": row["rows"], "start": instant.show(row["start"], time),
            "end": instant.show(row["end"], time),
        }
        for row in rows
        if row["kind"] == "bars"
    ]  # fmt: skip
    return answer.json({"items": items})


@command("stocks.data", "GET", "/stocks/data/{table}", scope="data", model=schema.StockData)
async def data(
    request: Request,
    table: TableName,
    interval: IntervalText = "1d",
    start: instant.Start = None,
    end: instant.End = None,
    limit: Annotated[int, param.Limit(1000, ROWS_MAX)] = 1000,
    projections: Projections = True,
    time: instant.As = "ns",
) -> Response:
    """Bars with vwap, market time and indicators: the newest up to `end`, or from `start` on."""
    service = platform.of(request)
    found = await _rows(service, table, interval, *instant.span(start, end), limit, projections, time)
    items = found.pop("rows")
    return answer.json({**found, "items": items})


@command("stocks.chart", "POST", "/stocks/chart-data", scope="data", model=schema.StockChart)
async def chart(request: Request, body: Annotated[schema.StockChartAsk, Body()]) -> Response:
    """The same as columns of numbers, for a chart."""
    service = platform.of(request)
    span = instant.span(body.start, body.end)
    found = await _rows(service, body.table, body.interval, *span, body.limit, body.projections, "ns")
    rows = found.pop("rows")
    columns: dict[str, list[Any]] = {"ts": [row["ts"] for row in rows]}
    for name in ("open", "high", "low", "close", "volume"):
        columns[name] = [None if row[name] is None else float(row[name]) for row in rows]
    for name in (
        "vwap",
        "transactions",
        "market_time",
        "is_projection",
        "projection_source",
        *body.indicators,
    ):
        columns[name] = [row[name] for row in rows]
    return answer.json({**found, "columns": columns})


@command(
    "stocks.delete", "DELETE", "/stocks/table/{table}", scope="data", effect="write", model=schema.Job,
    status=202,
)  # fmt: skip
async def delete(
    request: Request,
    table: TableName,
    confirm: Annotated[bool, Query(description="needed where it was collected live")] = False,
) -> Response:
    """Delete a table, as DELETE /api/v1/datasets/{id}."""
    return await datasets.remove(request, table, confirm)


@command(
    "projections.put", "POST", "/data/{symbol:path}/projections", scope="data", effect="write",
    model=schema.Projected,
)  # fmt: skip
async def put(
    request: Request, symbol: param.Symbol, body: Annotated[schema.Projections, Body()]
) -> Response:
    """Keep rows that a model projects: shown after the last bar, never among bars."""
    service = platform.of(request)
    instrument = await service.run(service.view.resolve, symbol)
    rows = [{**row.model_dump(exclude={"ts"}), "ts": _time(row.ts)} for row in body.rows]
    count = await service.write(
        lambda connection: projection.put(connection, instrument, body.interval, body.source, rows)
    )
    return answer.json({"instrument": instrument, "rows": count})


@command(
    "projections.delete", "DELETE", "/data/{symbol:path}/projections", scope="data", effect="write",
    model=schema.Projected,
)  # fmt: skip
async def drop(
    request: Request,
    symbol: param.Symbol,
    interval: IntervalText,
    source: Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")],
) -> Response:
    """Let go of what one source has projected."""
    service = platform.of(request)
    instrument = await service.run(service.view.resolve, symbol)
    count = await service.write(lambda connection: projection.drop(connection, instrument, interval, source))
    return answer.json({"instrument": instrument, "rows": count})


def _time(text: str) -> int:
    ts = parse(text)
    if not 0 <= ts < 2**63:
        raise UsageError("time_invalid", f"{text!r} is no time of a bar", hint="write ISO 8601 or an epoch")
    return ts


async def _rows(
    service: Platform,
    table: str,
    interval: str,
    start: int | None,
    end: int | None,
    limit: int,
    projections: bool,
    time: instant.TimeFormat,
) -> dict[str, Any]:
    def work() -> dict[str, Any]:
        from tidemill.service import stock

        name = stock.table_name(service, table)
        return stock.rows(service, name, interval, start, end, limit, projections, time)

    return await service.run(work)
