"""Commands that people type. Data goes to stdout, talk to stderr; each command names the next one."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from tidemill.errors import CancelledError, TidemillError, UsageError
from tidemill.log import Log

talk = Console(stderr=True, highlight=False)

# What the command says goes into the log of a part: one JSON object per line, and no secrets.
LOG_LINES = "--log-lines"
LOGGED_AS = {"up": "supervisor", "data": "history"}

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home", help="The platform's folder.", envvar="TIDEMILL_HOME", show_default="the data folder"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable answer on stdout.")]


def _trust(given: bool) -> bool:
    """Tells it to this process and all that it starts."""
    if given:
        os.environ["TIDEMILL_TRUST_LOCAL_CODE"] = "1"
    return given


TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-local-code",
        help="Run strategies of the database unheld where this machine has no sandbox; all must be yours.",
        callback=_trust,
    ),
]
LogLinesOption = Annotated[bool, typer.Option(LOG_LINES, hidden=True)]


def run(words: list[str]) -> int:
    """Runs the command line; every error leaves in the one shape with its category's exit code."""
    try:
        result = _command()(words, prog_name="tidemill", standalone_mode=False)
    except typer.Exit as leave:
        return leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return CancelledError.exit_code
    except Exception as error:
        known = told(error)
        if known is None:
            raise
        # Typer has shown the help of a command that was left without its subcommand.
        return _fail(known, words) if known.message else known.exit_code
    return result if isinstance(result, int) else 0


@functools.cache
def _command() -> Callable[..., Any]:
    """The whole command tree, made once."""
    from tidemill.cli import (
        backtest,
        bench,
        bench_bar,
        bench_http,
        bench_research,
        data,
        fact,
        fetch,
        generate,
        importing,
        iqfeed,
        job,
        lab,
        platform,
        poll,
        query,
        strategy,
        study,
    )

    app = typer.Typer(
        name="tidemill",
        help="Self-hosted platform for quantitative trading.",
        epilog="Parts, one process each, which `up` runs: collector, relay, bridge, recorder, serve, worker, "
        "sim. Between machines: publisher, uploader.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    data.app.command("generate")(generate.generate)
    data.app.command("import")(importing.import_files)
    data.app.add_typer(importing.recipes, name="recipes", help="Saved meanings of files' columns.")
    data.app.add_typer(fact.app, name="facts", help="Splits, dividends and the like, by date.")
    data.app.command("query")(query.query)
    app.add_typer(data.app, name="data", help="Look at, export and verify what is stored.")
    app.add_typer(backtest.app, name="backtest", help="Run strategies over history, and look at kept runs.")
    app.add_typer(job.app, name="jobs", help="Look at, submit and cancel jobs.")
    bench.app.command("resample")(bench_bar.resample)
    bench.app.command("bars")(bench_bar.bars)
    bench.app.command("http")(bench_http.http_)
    bench.app.command("sweep")(bench_research.sweep)
    bench.app.command("engine")(bench_research.engine)
    bench.app.command("indicators")(bench_research.indicators)
    app.add_typer(bench.app, name="bench", help="Measure a part on this machine.")
    app.add_typer(strategy.app, name="strategy", help="Write, list and check strategies.")
    app.add_typer(study.app, name="study", help="Try a strategy's parameters, and judge the best of them.")
    app.command("fetch")(fetch.fetch)
    app.command("poll")(poll.poll)
    app.add_typer(iqfeed.app, name="iqfeed", help="Keep DTN's IQConnect alive.")
    app.command("lab")(lab.lab)
    platform.register(app)
    return typer.main.get_command(app)


def told(error: Exception) -> TidemillError | None:
    """What to tell people of an error, whoever raised it; None for a bug."""
    if isinstance(error, TidemillError):
        return error
    if type(error).__module__.startswith("sqlalchemy."):
        from tidemill.metadata import database

        return database.failure(error)
    return _usage(error)


def _usage(error: Exception) -> UsageError | None:
    """A bad command line, as typer's own exception tells it; None for anything else."""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tidemill"
    lists = "the commands" if command == "tidemill" else "what it takes"
    return UsageError("arguments_unfit", message(), hint=f"`{command} --help` lists {lists}")


def _fail(error: TidemillError, words: list[str]) -> int:
    if LOG_LINES in words:
        Log(LOGGED_AS.get(words[0], words[0])).error(error.message, error=error.as_dict())
    elif "--json" in words:
        print(json.dumps({"error": error.as_dict()}), file=sys.stderr)
    else:
        talk.print(f"[red]error[/red] {error.code}: ", end="")
        talk.print(error.message, markup=False)
        if error.hint:
            talk.print("  → ", end="")
            talk.print(error.hint, markup=False)
    return error.exit_code
