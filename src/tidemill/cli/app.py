"""Commands that people type. Data goes to stdout, talk to stderr; each command names the next one."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from tidemill.errors import TidemillError

app = typer.Typer(
    name="tidemill",
    help="Self-hosted platform for quantitative trading.",
    epilog="Parts, one process each, which `up` runs: collector, relay, bridge, recorder, serve, sim.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
talk = Console(stderr=True, highlight=False)

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home", help="The platform's folder.", envvar="TIDEMILL_HOME", show_default="the data folder"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable answer on stdout.")]


def run(words: list[str]) -> int:
    """Runs the command line; every error leaves in the one shape with its category's exit code."""
    from tidemill.cli import data, generate, platform

    data.app.command("generate")(generate.generate)
    app.add_typer(data.app, name="data", help="Look at, export and verify what is stored.")
    platform.register(app)
    as_json = "--json" in words
    try:
        result = app(words, standalone_mode=False)
    except TidemillError as error:
        return _fail(error.as_dict(), error.exit_code, as_json)
    except typer.Exit as leave:
        return leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except Exception as error:
        usage = _usage(error)
        if usage is None:
            raise
        return _fail(usage, 2, as_json)
    return result if isinstance(result, int) else 0


def _usage(error: Exception) -> dict[str, Any] | None:
    """A bad command line, as typer's own exception tells it; None for anything else."""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    return {
        "code": "usage",
        "category": "usage",
        "message": message(),
        "hint": "`tidemill --help` lists the commands, `tidemill <command> --help` its options",
        "retryable": False,
    }


def _fail(error: dict[str, Any], code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": error}), file=sys.stderr)
    else:
        talk.print(f"[red]error[/red] {error['code']}: ", end="")
        talk.print(error["message"], markup=False)
        if error.get("hint"):
            talk.print("  → ", end="")
            talk.print(error["hint"], markup=False)
    return code
