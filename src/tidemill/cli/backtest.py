"""`tidemill backtest`: run strategies over stored history, and look at what was kept of them."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from tidemill import errors
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.home import Home
from tidemill.model import time as times

if TYPE_CHECKING:
    from tidemill.client import Client
    from tidemill.research.store import Row, Runs
    from tidemill.run import Run

app = typer.Typer(no_args_is_help=True)
BAR_S = 1.0
"""What takes longer shows how far it is."""
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the beginning of it.")]
_LISTED = (
    ("total_return", "return", "percent"), ("sharpe", "sharpe", "number"),
    ("deflated_sharpe", "deflated", "number"), ("trials", "trials", "count"),
    ("max_drawdown", "drawdown", "percent"), ("trades", "trades", "count"),
)  # fmt: skip
_COMPARED = (
    ("total_return", "percent"), ("cagr", "percent"), ("sharpe", "number"), ("deflated_sharpe", "number"),
    ("trials", "count"), ("sortino", "number"), ("volatility", "percent"), ("max_drawdown", "percent"),
    ("calmar", "number"), ("trades", "count"), ("win_rate", "percent"), ("profit_factor", "number"),
    ("exposure", "percent"), ("turnover", "number"), ("costs", "number"), ("break_even_bps", "number"),
)  # fmt: skip


@app.command()
def run(
    strategy: Annotated[str, typer.Argument(help="Its name: sma_cross, …")],
    instruments: Annotated[list[str], typer.Argument(help="BTC-USD.kraken, …")],
    interval: Annotated[str, typer.Option(help="Of bars: 1m, 1h, 1d, …")] = "1m",
    start: Annotated[
        str | None, typer.Option(help="First moment wanted; all that is there, without.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="First moment not wanted.")] = None,
    engine: Annotated[str, typer.Option(help="fast, or nautilus for NautilusTrader.")] = "fast",
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be repeated.")] = None,
    cash: Annotated[str, typer.Option(help="At the start.")] = "100000",
    taker: Annotated[str, typer.Option(help="Fee of what is done at once: 0.001 is a thousandth.")] = "0",
    maker: Annotated[str, typer.Option(help="Fee of what rested in the book; may be below 0.")] = "0",
    spread_bps: Annotated[str, typer.Option(help="Whole spread, hundredths of a percent.")] = "0",
    slippage_bps: Annotated[str, typer.Option(help="How much worse orders are done.")] = "0",
    slippage_ticks: Annotated[int, typer.Option(help="The same in ticks.")] = 0,
    leverage: Annotated[str, typer.Option(help="Most that positions may be worth, by equity.")] = "1",
    limit_fill: Annotated[
        str, typer.Option(help="Limit orders are done at a touch, or when passed: through.")
    ] = "touch",
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Bars from when this platform had them.")
    ] = False,
    stress: Annotated[
        bool, typer.Option("--stress/--no-stress", help="With 0, 2 and 4 times the costs, too.")
    ] = True,
    report: Annotated[
        Path | None, typer.Option(help="Write a report: .html, .json, .csv.zip, .parquet.zip.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a strategy over stored bars, and keep what comes of it."""
    from tidemill import backtested

    with _opened(home) as client:
        asked = backtested.asked(
            strategy, [client._name(one) for one in instruments], interval, start=start, end=end,
            engine=engine, cash=cash,
            costs={
                "taker": taker, "maker": maker, "spread_bps": spread_bps, "slippage_bps": slippage_bps,
                "slippage_ticks": slippage_ticks, "leverage": leverage,
            },
            limit_fill=limit_fill, as_recorded=as_recorded, stress=stress, params=_params(param or []),
        )  # fmt: skip
        here = backtested.Here(client.home, lambda: client.view, "cli")
        with _progress(f"{strategy} …") as told:
            found = here.run(strategy, asked, told)
        if report is not None:
            found.report(report)
    _answer(found, as_json)
    if report is not None:
        talk.print(f"wrote {report}", markup=False)


@app.command("ls")
def list_runs(
    strategy: Annotated[str | None, typer.Option(help="Only of this strategy.")] = None,
    instrument: Annotated[str | None, typer.Option(help="Only with this instrument.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only of this engine.")] = None,
    state: Annotated[str | None, typer.Option(help="Only done, or failed.")] = None,
    text: Annotated[str, typer.Option(help="In id, name, instruments or parameters.")] = "",
    sort: Annotated[str, typer.Option(help="created, or a number: sharpe, max_drawdown, …")] = "created",
    ascending: Annotated[bool, typer.Option("--ascending", help="Lowest, or oldest, first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Runs at most.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first."""
    from tidemill.research.report import text as shown
    from tidemill.research.store import SORTS, Filters

    if sort not in SORTS:
        raise errors.unknown("sort", sort[:60], SORTS)
    filters = Filters(strategy, instrument, engine, state, text)
    with _runs(home) as runs:
        rows = runs.page(limit, filters, sort=sort, ascending=ascending)
    if as_json:
        _json({"items": [_shape(row) for row in rows]})
        return
    grid = Grid("run", "strategy", "instruments", "bars", *(label for _, label, _ in _LISTED), "made")
    grid.columns[0].no_wrap = True
    for row in rows:
        numbers = [
            getattr(shown, form)(row.numbers.get(name)) if row.state == "done" else row.state
            for name, _, form in _LISTED
        ]
        grid.add_row(
            row.id, escape(_strategy(row)), escape(" ".join(row.instruments[:3])), row.interval, *numbers,
            times.iso(row.created)[:16],
        )  # fmt: skip
    _out().print(grid)
    first = rows[0].id if rows else "RUN"
    talk.print(
        f"`tidemill backtest show {first}` tells more · `tidemill backtest compare RUN RUN` shows several"
        if rows
        else "there is none yet: `tidemill backtest run sma_cross BTC-USD.kraken`"
    )


@app.command()
def show(
    name: RunId,
    report: Annotated[
        Path | None, typer.Option(help="Write a report: .html, .json, .csv.zip, .parquet.zip.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run, or write its report."""
    from tidemill import backtested

    with _opened(home) as client:
        found = backtested.Here(client.home, lambda: client.view).get(name)
        if report is not None:
            talk.print(f"wrote {found.report(report)}", markup=False)
    _answer(found, as_json)


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN…", help="Two runs or more.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lay several runs beside each other: numbers, and what was different in what was asked."""
    from tidemill.research import comparison
    from tidemill.research.report import text as shown

    with _runs(home) as runs:
        rows = [runs.get(name) for name in names]
    differs = comparison.differences(rows)
    if as_json:
        _json({"items": [_shape(row) for row in rows], "differences": differs})
        return
    grid = Grid("", *(row.id for row in rows))
    for name, values in differs.items():
        grid.add_row(escape(name), *(escape(str(value)) for value in values))
    grid.add_section()
    for name, form in _COMPARED:
        grid.add_row(name, *(getattr(shown, form)(row.numbers.get(name)) for row in rows))
    _out().print(grid)


@app.command()
def again(
    name: RunId,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a kept run exactly once more, and say whether the same comes of it."""
    from tidemill import backtested

    with _opened(home) as client:
        here = backtested.Here(client.home, lambda: client.view, "cli")
        with _progress("again …"):
            found = here.get(name).again()
    _answer(found, as_json)
    talk.print("the same to the bit: " + str(found.digest)[:16])


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(metavar="RUN…", help="Runs to let go, for good.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let runs go, for good."""
    gone = []
    with _runs(home) as runs:
        for name in names:
            row = runs.get(name)
            runs.remove(row.id)
            gone.append(row.id)
        runs.tidy()
    if as_json:
        _json({"removed": gone})
    else:
        talk.print(f"let go: {', '.join(gone)}")


@contextlib.contextmanager
def _opened(home: str | None) -> Iterator[Client]:
    from tidemill.client import Client

    place = Home.at(home)
    if not place.path.is_dir():
        raise errors.NotFoundError(
            "home_unknown", f"there is no home at {place.path}",
            hint="name another with --home DIR or TIDEMILL_HOME; `tidemill up` makes one",
        )  # fmt: skip
    with Client(place.path) as client:
        yield client


@contextlib.contextmanager
def _runs(home: str | None) -> Iterator[Runs]:
    from tidemill.research.store import Runs

    with _opened(home) as client, Runs.of(client.home) as found:
        yield found


def _params(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equal, value = word.partition("=")
        if not (name and equal):
            raise errors.UsageError(
                "arguments_unfit", f"--param {word!r:.80} is no NAME=VALUE", hint="--param fast=20"
            )
        found[name] = value
    return found


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for what takes longer than a second."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(), console=talk, transient=True,
    )  # fmt: skip
    task = bar.add_task(escape(what), total=None)
    timer = threading.Timer(BAR_S, bar.start)
    timer.daemon = True
    if talk.is_terminal:
        timer.start()
    began = time.monotonic()

    def told(done: int, total: int) -> None:
        if time.monotonic() - began > BAR_S:
            bar.update(task, completed=done, total=total)

    try:
        yield told
    finally:
        timer.cancel()
        bar.stop()


def _strategy(row: Row) -> str:
    params = ",".join(f"{name}={value}" for name, value in row.params.items())
    return f"{row.strategy} {params}".strip()


def _shape(row: Row) -> dict[str, Any]:
    """A run as REST gives it."""
    from tidemill.research.report import bundle

    return bundle.about(row)


def _answer(found: Run, as_json: bool) -> None:
    from tidemill.research.report import text as shown

    row = found.row
    if as_json:
        _json(_shape(row))
        return
    grid = Grid(show_header=False, title=escape(f"{_strategy(row)} on {' '.join(row.instruments[:3])}"))
    span = f"{shown.minute(row.start)} to {shown.minute(row.end)}"
    grid.add_row("bars", f"{row.rows:,} of {row.interval}, {span}")
    for name, form in _COMPARED:
        extra = f" (best of {shown.count(found.stats['trials'])})" if name == "sharpe" and found.stats else ""
        grid.add_row(name.replace("_", " "), getattr(shown, form)(found.stats.get(name)) + extra)
    grid.add_row("took", f"{row.duration_s:.3f} s, {row.engine} engine")
    grid.add_row("fingerprint", row.fingerprint[:16])
    _out().print(grid)
    for doubt in found.cautions:
        talk.print(f"[yellow]![/yellow] {escape(doubt)}")
    talk.print(f"kept as {row.id} · `tidemill backtest show {row.id} --report run.html` draws it")


def _out() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 180)


def _json(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
