"""`tidemill study`: try a strategy's parameters, and hear how much of the best is luck."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid

from tidemill import errors
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.cli.fetch import _ended, _shown
from tidemill.cli.job import OWNER, _answer, _opened, _out
from tidemill.home import Home
from tidemill.model import time as times

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidemill.metadata import Metadata
    from tidemill.metadata.job import Job
    from tidemill.metadata.study import Study

app = typer.Typer(no_args_is_help=True)
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="The study's id.")]
WorkersOption = Annotated[
    int, typer.Option(min=0, max=256, help="Processes that try; 0 is one for each processor.")
]
WaitOption = Annotated[bool, typer.Option("--wait/--detach", help="Until it has ended, or only start it.")]
_COLOURS = {"luck": "bold red", "doubtful": "yellow", "holds": "green"}


@app.command()
def run(
    strategy: Annotated[
        str, typer.Argument(help="sma_cross, one of the database: mine@3, or a file: my.py.")
    ],
    instruments: Annotated[list[str], typer.Argument(help="BTC-USD.kraken, … with spaces between.")],
    interval: Annotated[str, typer.Option(help="Of bars: 1m, 1h, 1d, …")] = "1h",
    start: Annotated[str | None, typer.Option(help="First bar: 2025-01-31, or a time.")] = None,
    end: Annotated[str | None, typer.Option(help="First bar not wanted; until now, without.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", help="fast=5:50:5, or fast=5,10,20; repeat it. All ranges, without."),
    ] = None,
    sampler: Annotated[str, typer.Option(help="grid, random, tpe, cmaes or nsga2.")] = "grid",
    trials: Annotated[int | None, typer.Option(min=1, help="At most; a grid is whole without.")] = None,
    objective: Annotated[
        str, typer.Option(help="sharpe, total_return, calmar or sortino; several with commas between.")
    ] = "sharpe",
    seed: Annotated[int, typer.Option(min=0, help="Of all chance in it.")] = 0,
    batch: Annotated[int | None, typer.Option(min=1, help="Trials that a sampler gives at a time.")] = None,
    walk_forward: Annotated[int, typer.Option("--walk-forward", min=0, max=50, help="So many folds.")] = 0,
    anchored: Annotated[bool, typer.Option("--anchored", help="Folds all begin at the start.")] = False,
    cash: Annotated[str, typer.Option(help="At the start.")] = "100000",
    cost: Annotated[
        list[str] | None, typer.Option("--cost", help="taker=0.001, spread_bps=2, slippage_bps=1, …")
    ] = None,
    workers: WorkersOption = 0,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make a study: trials of the parameters, walk-forward, and a verdict on the best."""
    from tidemill.jobs import study as studies
    from tidemill.research import plan as plans
    from tidemill.research import source

    with _opened(home) as (place, metadata):
        code = source.find(place, metadata, strategy, own=True)
    plan = plans.of(
        {
            "instruments": [word for words in instruments for word in words.split(",")],
            "interval": interval, "start": start, "end": end, "params": _pairs(param, "--param"),
            "sampler": sampler, "trials": trials, "objective": objective, "seed": seed, "batch": batch,
            "walk_forward": walk_forward, "anchored": anchored,
            "settings": {"cash": cash, "costs": _costs(_pairs(cost, "--cost"))},
        },
        code=code,
    )  # fmt: skip
    with _opened(home) as (place, metadata):
        with metadata.write() as connection:
            made, work = studies.start(connection, plan, owner=OWNER, workers=workers)
            taken = _taken(connection, plan.strategy, work, wait)
        return _followed(place, metadata, made.id, work, wait, as_json, taken)


@app.command("ls")
def list_studies(
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Studies at most.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """List studies, newest first."""
    from tidemill.metadata import study as rows

    if state is not None and state not in rows.STATES:
        raise errors.UsageError(
            "arguments_unfit", f"no state is named {state!r}", hint=f"have: {', '.join(rows.STATES)}"
        )
    with _opened(home) as (_, metadata), metadata.read() as connection:
        items = [_line(connection, one) for one in rows.page(connection, limit=limit, state=state)]
    if as_json:
        _answer({"items": items})
        return 0
    grid = Grid("study", "state", "strategy", "on", "sampler", "trials", "created")
    grid.columns[0].no_wrap = True
    for one in items:
        grid.add_row(
            one["id"], one["state"], one["family"], one["dataset"], one["plan"]["sampler"],
            f"{one['trials']:,}/{one['trials_wanted']:,}", times.iso(int(one["created"]))[:19],
        )  # fmt: skip
    _out().print(grid)
    talk.print("`tidemill study show STUDY` tells what came of one")
    return 0


@app.command()
def show(study: StudyArgument, home: HomeOption = None, as_json: JsonOption = False) -> int:
    """Show a study: how far it is, and the verdict once it is done."""
    from tidemill.metadata import study as rows

    with _opened(home) as (_, metadata), metadata.read() as connection:
        found = rows.one(connection, study)
        line = _line(connection, found)
    if as_json:
        _answer({**line, "result": found.result})
        return 0
    if found.result is not None:
        _tell(found.result)
        return 0
    _out().print(f"{line['state']}: {line['trials']:,} of {line['trials_wanted']:,} trials")
    if line["error"]:
        talk.print(line["error"]["message"], markup=False)
    if line["state"] in ("paused", "cancelled", "failed"):
        talk.print(f"`tidemill study resume {study}` goes on with it")
    return 0


@app.command()
def pause(study: StudyArgument, home: HomeOption = None, as_json: JsonOption = False) -> int:
    """Stop a study for now; what was tried is kept."""
    from tidemill.jobs import study as studies

    with _opened(home) as (_, metadata), metadata.write() as connection:
        line = _line(connection, studies.pause(connection, study, actor=OWNER))
    if as_json:
        _answer(line)
    else:
        talk.print(f"study {study} is {line['state']} · `tidemill study resume {study}`")
    return 0


@app.command()
def resume(
    study: StudyArgument,
    workers: WorkersOption = 0,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Go on with a study that was paused or cancelled; no trial that is kept is made again."""
    from tidemill.jobs import study as studies

    with _opened(home) as (place, metadata):
        with metadata.write() as connection:
            found, work = studies.resume(connection, study, owner=OWNER, workers=workers)
            taken = _taken(connection, found.plan["strategy"], work, wait)
        return _followed(place, metadata, study, work, wait, as_json, taken)


@app.command("rm")
def remove(study: StudyArgument, home: HomeOption = None, as_json: JsonOption = False) -> int:
    """Forget a study that does not run, and its trials. The ledger keeps their number."""
    from tidemill.jobs import study as studies

    with _opened(home) as (_, metadata), metadata.write() as connection:
        studies.remove(connection, study, actor=OWNER)
    if as_json:
        _answer({"id": study, "removed": True})
    else:
        talk.print(f"study {study} is gone; its trials still count")
    return 0


def _taken(connection: Connection, strategy: str, work: Job, wait: bool) -> Job | None:
    """The job, for this process alone, where it is of a file and waited for: that runs as its owner does,
    which no worker can."""
    from tidemill.jobs import here

    return here.take(connection, work.id) if wait and strategy.partition(":")[0].endswith(".py") else None


def _followed(
    home: Home, metadata: Metadata, study_id: str, work: Job, wait: bool, as_json: bool, taken: Job | None
) -> int:
    """Waits for the study where that is wanted, and tells what came of it."""
    from tidemill.jobs import here, submit
    from tidemill.log import Log
    from tidemill.metadata import study as rows

    if taken is None:
        submit.nudge(home, work.id)
    if wait:
        with _shown(metadata, work.id, as_json):
            if taken is None:
                work = _ended(home, metadata, work.id)
            else:
                work = here.finish(home, metadata, work.id, Log("study"), taken=taken, own=True)
    with metadata.read() as connection:
        found = rows.one(connection, study_id)
        line = _line(connection, found)
    if as_json:
        _answer({**line, "result": found.result})
    elif found.result is not None:
        _tell(found.result)
        talk.print(f"`tidemill study show {study_id} --json` has all of it", markup=False)
    elif not wait:
        _out().print(study_id)
        talk.print(f"`tidemill study show {study_id}` tells how far it is")
    if wait and work.error:
        if not as_json:
            raise errors.from_dict(work.error)
        return errors.from_dict(work.error).exit_code
    if wait and work.state == "cancelled":
        talk.print(f"it is {line['state']} · `tidemill study resume {study_id}` goes on")
        return errors.CancelledError.exit_code
    return 0


def _line(connection: Any, found: Study) -> dict[str, Any]:
    from tidemill.jobs import study as studies
    from tidemill.metadata import study as rows
    from tidemill.research import studio

    line = studio.shown(studies.settled(connection, found), trials=rows.counted(connection, found.id))
    return line | {name: None if line[name] is None else str(line[name]) for name in ("created", "ended")}


def _tell(result: dict[str, Any]) -> None:
    """The verdict first, then the best, then why."""
    out, verdict, best, honesty = _out(), result["verdict"], result["best"], result["honesty"]
    from rich.text import Text

    out.print(Text(verdict["text"], style=_COLOURS[verdict["grade"]]), soft_wrap=True)
    for one in verdict["cautions"]:
        out.print(Text(f"  · {one['text']}"), soft_wrap=True)
    grid = Grid(show_header=False)
    grid.add_row("best", ", ".join(f"{name}={value}" for name, value in best["params"].items()))
    metrics = best["metrics"]
    for name, label in (("sharpe", "Sharpe"), ("cagr", "a year"), ("max_drawdown", "deepest fall")):
        if metrics[name] is not None:
            grid.add_row(label, f"{metrics[name]:.2f}" if name == "sharpe" else f"{metrics[name]:.1%}")
    rows = (
        ("trials, this study and ever", f"{honesty['trials']:,} / {honesty['ledger_trials']:,}"),
        ("Sharpe of luck alone", _number(honesty["expected_best_sharpe"])),
        ("deflated Sharpe ratio", _number(honesty["deflated_sharpe"])),
        ("probability of overfitting", _number(honesty["overfitting"])),
        ("days, and days needed", f"{honesty['days']:,} / {_number(honesty['days_needed'], 0)}"),
        ("break-even costs", f"{_number(result['costs']['break_even_bps'], 1)} bps"),
    )
    for name, value in rows:
        grid.add_row(name, value)
    if (walked := result["walk_forward"]) is not None:
        grid.add_row("outside, a year", _number(walked["outside_annual"], 3))
        grid.add_row("walk-forward efficiency", _number(walked["wfe"]))
    out.print(grid)


def _number(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{value:,.{places}f}"


def _pairs(words: list[str] | None, option: str) -> dict[str, str]:
    found = {}
    for word in words or []:
        name, equal, value = word.partition("=")
        if not (name and equal and value):
            raise errors.UsageError(
                "arguments_unfit", f"{option} {word!r:.80} is no NAME=VALUE", hint="--param fast=5:50:5"
            )
        found[name] = value
    return found


def _costs(pairs: dict[str, str]) -> dict[str, Any]:
    """Ticks are a number, all others decimal text."""
    found: dict[str, Any] = dict(pairs)
    if "slippage_ticks" in found:
        try:
            found["slippage_ticks"] = int(found["slippage_ticks"])
        except ValueError:
            raise errors.UsageError(
                "arguments_unfit", "--cost slippage_ticks is no whole number", hint="slippage_ticks=1"
            ) from None
    return found
