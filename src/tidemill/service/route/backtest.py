"""Backtests: run as jobs, kept, listed, compared, reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Body, Path, Query, Request, Response

from tidemill.errors import UsageError
from tidemill.service import answer, backtest, cursor, instant, param, platform, shape
from tidemill.service.command import command
from tidemill.service.platform import Platform

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.research.store import Row

RUNS_COMPARED = 20
POINTS_MAX = 20_000
ROWS_MAX = 50_000
_WORD = r"^[^\x00]*$"
RunId = Annotated[str, Path(alias="id", max_length=40, pattern=_WORD)]
Word = Annotated[str | None, Query(max_length=200, pattern=_WORD)]
Where = Annotated[
    str,
    Query(
        max_length=500,
        pattern=_WORD,
        description="conditions and words, all of which hold: `strategy:sma* sharpe>1 max_drawdown>-10% btc`",
    ),
]
Form = Annotated[Literal["columns", "arrow"], Query(alias="format", description="shape of the answer")]
Sort = Literal[
    "created", "duration_s", "total_return", "cagr", "sharpe", "deflated_sharpe", "sortino", "max_drawdown",
    "volatility", "profit_factor", "win_rate", "trades", "exposure", "turnover", "costs",
]  # fmt: skip


@command(
    "backtests.run", "POST", "/backtests", scope="jobs", effect="write", model=backtest.BacktestStart,
    status=202,
)  # fmt: skip
async def run(request: Request, body: Annotated[backtest.BacktestAsk, Body()]) -> Response:
    """Run a strategy over history as a job; a kept run of the same fingerprint is the answer at once."""
    service = platform.of(request)
    detail = body.detail()
    checked, kept = await service.run(_looked, service, detail)
    if kept is not None:
        return answer.json({"job_id": None, "state": "done", "run": line(kept, "ns")})
    return await _submitted(request, checked)


def _looked(service: Platform, detail: dict[str, Any]) -> tuple[dict[str, Any], Row | None]:
    """What was asked, checked before the database is asked for anything; and the run that answers it."""
    from tidemill.jobs import kind
    from tidemill.research import conduct, guest, setting
    from tidemill.research.request import Request as Asked
    from tidemill.research.store import Filters
    from tidemill.strategies import library

    checked = kind.load("backtest").check(
        {**detail, "instruments": [service.view.resolve(one) for one in detail["instruments"]]}
    )
    found = conduct.entry(service.home, service.metadata, checked["strategy"], checked["version"] or None)
    subject = (
        conduct.subject(library.load(found)(**checked["params"]), found.name, found.source)
        if found.trusted
        else guest.subject(found, checked["params"])
    )
    if checked["again"]:
        return checked, None
    asked = Asked.of(**{name: value for name, value in checked.items() if name not in ("again", "version")})
    runs = service.results.runs()
    # History is only read where a run of the same in all else is kept.
    alike = [
        row
        for row in runs.page(200, Filters(strategy=found.name, engine=asked.settings.engine, state="done"))
        if row.source_digest == subject.source_digest
        and row.instruments == asked.instruments
        and row.interval == asked.interval
        and row.params == subject.params
        and row.settings == setting.json(asked.settings)
    ]
    if not alike:
        return checked, None
    ready = service.view.call(lambda view: conduct.prepare(view, asked, subject))
    return checked, runs.of_fingerprint(ready.fingerprint)


async def _submitted(request: Request, detail: dict[str, Any]) -> Response:
    from tidemill.jobs import submit

    service = platform.of(request)
    actor, cause = param.actor(request), answer.request_id.get()
    entered, _ = await service.write(
        lambda connection: submit.enter(connection, "backtest", owner=actor, detail=detail, cause=cause)
    )
    await service.run(submit.nudge, service.home, entered.id)
    said = {"job_id": entered.id, "state": entered.state, "run": None}
    return answer.json(said, 202, {"Location": f"/api/v1/jobs/{entered.id}"})


@command("backtests", "GET", "/backtests", scope="data", model=backtest.Backtests)
async def runs(
    request: Request,
    strategy: Word = None,
    instrument: Word = None,
    engine: Annotated[backtest.Engine | None, Query()] = None,
    state: Annotated[Literal["done", "failed"] | None, Query()] = None,
    text: Annotated[str, Query(max_length=200, pattern=_WORD, description="in id, names, parameters")] = "",
    where: Where = "",
    sort: Annotated[Sort, Query(description="best first, unless order is asc")] = "created",
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    limit: Annotated[int, param.Limit(50, 500)] = 50,
    cursor_: param.Cursor = None,
    time: instant.As = "ns",
) -> Response:
    """Kept runs, newest first, or by one of their numbers."""
    service = platform.of(request)
    asked = (strategy, instrument, engine, state, text, where, sort, order)
    after = cursor.read(service.keeper, "backtests", asked, cursor_)

    def read() -> tuple[list[dict[str, Any]], list[Any] | None, int | None]:
        from tidemill.research.store import Filters, key

        up = order == "asc"
        filters = Filters(strategy, instrument, engine, state, text, where=where)
        kept = service.results.runs()
        found = kept.page(limit + 1, filters, sort=sort, ascending=up, after=after)
        more = key(found[limit - 1], sort, up) if len(found) > limit else None
        total = kept.count(filters) if after is None else None
        return [line(row, time) for row in found[:limit]], more, total

    items, more, total = await service.run(read)
    following = None if more is None else cursor.make(service.keeper, "backtests", asked, more)
    return answer.json({"items": items, "next": following, "total": total})


@command("backtests.export", "GET", "/backtests/export", scope="data", media=("text/csv",))
async def export(
    request: Request,
    where: Where = "",
    sort: Annotated[Sort, Query(description="best first, unless order is asc")] = "created",
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
) -> Response:
    """Kept runs with all their numbers as CSV, 100,000 at most; times are ISO 8601, UTC."""
    service = platform.of(request)

    def written() -> bytes:
        from tidemill.research import listing

        return listing.csv(service.results.runs(), where, sort, ascending=order == "asc")

    headers = {"Content-Disposition": 'attachment; filename="backtests.csv"'}
    return Response(await service.run(written), headers=headers, media_type="text/csv")


@command("backtests.compare", "GET", "/backtests/compare", scope="data", model=backtest.BacktestComparison)
async def compare(
    request: Request,
    ids: Annotated[str, Query(max_length=1000, pattern=_WORD, description="two runs or more, by commas")],
    points: Annotated[int, Query(ge=2, le=POINTS_MAX, description="of the curves at most")] = 500,
    time: instant.As = "ns",
) -> Response:
    """Runs beside each other: what was different in what was asked, and their growth on one time."""
    service = platform.of(request)
    names = [name for name in ids.split(",") if name]
    if not 2 <= len(names) <= RUNS_COMPARED:
        raise UsageError(
            "parameter_invalid", f"{len(names)} runs cannot be compared", hint=f"name 2 to {RUNS_COMPARED}"
        )

    def read() -> dict[str, Any]:
        from tidemill.research import comparison

        kept = service.results.runs()
        rows = [kept.get(name) for name in names]
        days = [kept.table(row.id, "days") for row in rows]
        axis, growth = comparison.curves(days, points)
        return {
            "items": [line(row, time) for row in rows],
            "differences": comparison.differences(rows),
            "code": comparison.code(rows),
            "ts": [str(ts) for ts in axis.tolist()],
            "growth": growth,
        }

    return answer.json(await service.run(read))


@command("backtests.show", "GET", "/backtests/{id}", scope="data", model=backtest.Backtest)
async def one(request: Request, run_id: RunId, time: instant.As = "ns") -> Response:
    """One run, by its id or a beginning of it that no other has."""
    service = platform.of(request)
    row = await service.run(lambda: service.results.runs().get(run_id))
    return answer.json({**line(row, time), "source": row.source, "log": row.log})


@command(
    "backtests.delete", "DELETE", "/backtests/{id}", scope="jobs", effect="write", model=backtest.BacktestLine
)
async def delete(request: Request, run_id: RunId) -> Response:
    """Let a run go, for good; it is the answer. The ledger of trials keeps counting it."""
    service = platform.of(request)

    def remove() -> Row:
        kept = service.results.runs()
        row = kept.get(run_id)
        kept.remove(row.id)
        return row

    return answer.json(line(await service.run(remove), "ns"))


@command(
    "backtests.again", "POST", "/backtests/{id}/again", scope="jobs", effect="write",
    model=backtest.BacktestStart, status=202,
)  # fmt: skip
async def again(request: Request, run_id: RunId) -> Response:
    """Run it exactly once more, as a job whose result says whether the same came of it."""
    service = platform.of(request)
    row = await service.run(lambda: service.results.runs().get(run_id))
    return await _submitted(request, {"run": row.id})


@command(
    "backtests.equity", "GET", "/backtests/{id}/equity", scope="data", model=backtest.BacktestTable,
    media=(shape.ARROW,),
)  # fmt: skip
async def equity(
    request: Request,
    run_id: RunId,
    points: Annotated[int, Query(ge=2, le=POINTS_MAX, description="at most; peaks and troughs stay")] = 2000,
    form: Form = "columns",
) -> Response:
    """Equity after every step, and what positions were worth: as many points as a picture needs."""
    service = platform.of(request)

    def read() -> tuple[pa.Table, int]:
        from tidemill.research.thin import thinned

        table = service.results.runs().table(run_id, "equity")
        return table.take(thinned(table["equity"].to_numpy(), points)), len(table)

    table, rows = await service.run(read)
    return await service.run(_shaped, table, rows, None, form)


@command(
    "backtests.days", "GET", "/backtests/{id}/days", scope="data", model=backtest.BacktestTable,
    media=(shape.ARROW,),
)  # fmt: skip
async def days(
    request: Request,
    run_id: RunId,
    limit: Annotated[int, param.Limit(5000, ROWS_MAX)] = 5000,
    cursor_: param.Cursor = None,
    form: Form = "columns",
) -> Response:
    """Equity at the end of each day, and the same money bought and held."""
    return await _table(request, run_id, "days", limit, cursor_, form)


@command(
    "backtests.trades", "GET", "/backtests/{id}/trades", scope="data", model=backtest.BacktestTable,
    media=(shape.ARROW,),
)  # fmt: skip
async def trades(
    request: Request,
    run_id: RunId,
    limit: Annotated[int, param.Limit(1000, ROWS_MAX)] = 1000,
    cursor_: param.Cursor = None,
    form: Form = "columns",
) -> Response:
    """Trades from flat to flat, in the order in which they were opened."""
    return await _table(request, run_id, "trades", limit, cursor_, form)


@command(
    "backtests.fills", "GET", "/backtests/{id}/fills", scope="data", model=backtest.BacktestTable,
    media=(shape.ARROW,),
)  # fmt: skip
async def fills(
    request: Request,
    run_id: RunId,
    limit: Annotated[int, param.Limit(1000, ROWS_MAX)] = 1000,
    cursor_: param.Cursor = None,
    form: Form = "columns",
) -> Response:
    """What was done, in order."""
    return await _table(request, run_id, "fills", limit, cursor_, form)


@command(
    "backtests.orders", "GET", "/backtests/{id}/orders", scope="data", model=backtest.BacktestTable,
    media=(shape.ARROW,),
)  # fmt: skip
async def orders(
    request: Request,
    run_id: RunId,
    limit: Annotated[int, param.Limit(1000, ROWS_MAX)] = 1000,
    cursor_: param.Cursor = None,
    form: Form = "columns",
) -> Response:
    """Orders as they were sent, with what became of them."""
    return await _table(request, run_id, "orders", limit, cursor_, form)


@command(
    "backtests.prices", "GET", "/backtests/{id}/prices", scope="data", model=backtest.BacktestTable,
    media=(shape.ARROW,),
)  # fmt: skip
async def prices(
    request: Request,
    run_id: RunId,
    limit: Annotated[int, param.Limit(5000, ROWS_MAX)] = 5000,
    cursor_: param.Cursor = None,
    form: Form = "columns",
) -> Response:
    """Closes of each instrument, thinned for a picture; peaks and troughs stay."""
    return await _table(request, run_id, "prices", limit, cursor_, form)


@command(
    "backtests.robustness", "GET", "/backtests/{id}/robustness", scope="data",
    model=backtest.BacktestRobustness,
)  # fmt: skip
async def robustness(request: Request, run_id: RunId) -> Response:
    """Other paths that its days and trades could have taken, a thousand of each kind by a fixed seed."""
    service = platform.of(request)

    def made() -> dict[str, Any]:
        from dataclasses import asdict

        from tidemill.research import robust

        kept = service.results.runs()
        row = kept.get(run_id)
        tables = {name: kept.table(row.id, name) for name in ("days", "trades", "equity")}
        ways, fan = robust.of(tables, (row.summary or {}).get("per_year", 365))
        return {"ways": [{"way": way, **asdict(found)} for way, found in ways], **fan}

    return answer.json(await service.run(made))


@command("backtests.report", "GET", "/backtests/{id}/report", scope="data", media=("text/html",))
async def report(
    request: Request,
    run_id: RunId,
    form: Annotated[Literal["html", "json", "csv", "parquet"], Query(alias="format")] = "html",
) -> Response:
    """The report: a page that runs no script but its own, or all tables as JSON or a zip of files."""
    service = platform.of(request)

    def made() -> tuple[bytes, str, str, str]:
        from tidemill.research import report as reports
        from tidemill.research.store import SCHEMAS

        kept = service.results.runs()
        row = kept.get(run_id)
        tables = {name: kept.table(row.id, name) for name in SCHEMAS}
        if form == "html":
            return reports.html(row, tables).encode("utf-8", "replace"), "text/html", reports.POLICY, row.id
        if form == "json":
            return reports.json(row, tables), answer.JSON, "", row.id
        body = reports.csv(row, tables) if form == "csv" else reports.parquet(row, tables)
        return body, "application/zip", "", row.id

    body, media, policy, name = await service.run(made)
    headers = {}
    if policy:
        headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'self'; sandbox allow-scripts"
        headers["X-Frame-Options"] = "SAMEORIGIN"
    if media == "application/zip":
        headers["Content-Disposition"] = f'attachment; filename="{name}.{form}.zip"'
    return Response(body, headers=headers, media_type=media)


async def _table(
    request: Request, run_id: str, name: str, limit: int, text: str | None, form: str
) -> Response:
    service = platform.of(request)
    key = cursor.read(service.keeper, "backtests.table", (run_id, name), text)
    at = int(key[0]) if key else 0
    table = await service.run(lambda: service.results.runs().table(run_id, name))
    following = None
    if at + limit < len(table):
        following = cursor.make(service.keeper, "backtests.table", (run_id, name), [at + limit])
    return await service.run(_shaped, table.slice(at, limit), len(table), following, form)


def _shaped(table: pa.Table, rows: int, following: str | None, form: str) -> Response:
    import pyarrow as pa

    from tidemill.research.report import bundle

    if form == "arrow":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        headers = {"X-Tidemill-Next": following} if following else None
        return Response(sink.getvalue().to_pybytes(), headers=headers, media_type=shape.ARROW)
    return answer.json({"rows": rows, "columns": bundle.columns(table), "next": following})


def line(row: Row, time: instant.TimeFormat) -> dict[str, Any]:
    """A run as it leaves, without its code."""
    found = {name: getattr(row, name) for name in backtest.BacktestLine.model_fields}
    times = {name: instant.show(found[name], time) for name in ("created", "start", "end")}
    return {**found, **times, "instruments": list(row.instruments)}
