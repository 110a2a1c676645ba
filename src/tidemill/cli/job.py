"""`tidemill jobs`: look at, submit and cancel jobs. Works with and without a running platform."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from tidemill import errors
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.home import Home
from tidemill.model import time as times

if TYPE_CHECKING:
    from tidemill.metadata import Metadata
    from tidemill.metadata.job import Job

app = typer.Typer(no_args_is_help=True)
OWNER = "owner"


@contextlib.contextmanager
def _opened(home: str | None) -> Iterator[tuple[Home, Metadata]]:
    from tidemill.metadata import Metadata

    place = Home.at(home)
    place.create()
    metadata = Metadata.of(place)
    try:
        yield place, metadata
    finally:
        metadata.close()


@app.command("ls")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Jobs at most.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """List jobs, newest first."""
    from tidemill.metadata import job

    if state is not None and state not in job.STATES:
        raise errors.UsageError(
            "arguments_unfit", f"no state is named {state!r}", hint=f"have: {', '.join(job.STATES)}"
        )
    with _opened(home) as (_, metadata), metadata.read() as connection:
        rows = job.page(connection, limit=limit, state=state, kind=kind, owner=owner)
    if as_json:
        _answer({"items": [_shape(row) for row in rows]})
        return 0
    grid = Grid("job", "kind", "state", "%", "owner", "created", "now")
    grid.columns[0].no_wrap = True
    for row in rows:
        said = row.note or (row.error or {}).get("message", "")
        grid.add_row(
            row.id, row.kind, row.state, f"{100 * row.progress:.0f}", row.owner,
            times.iso(row.created)[:19], str(said),
        )  # fmt: skip
    _out().print(grid)
    talk.print("`tidemill jobs show JOB --logs` tells more · `tidemill jobs cancel JOB` ends one")
    return 0


@app.command()
def show(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    logs: Annotated[bool, typer.Option("--logs", help="What it said, too.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show one job."""
    from tidemill.metadata import job

    with _opened(home) as (_, metadata), metadata.read() as connection:
        row = _known(job.one(connection, job_id), job_id)
        lines = job.logs(connection, job_id, limit=job.LOG_LINES_MAX) if logs else []
    said = [{"ts": str(line.ts), "level": line.level, "text": line.text} for line in lines]
    if as_json:
        _answer({**_shape(row), **({"logs": said} if logs else {})})
        return 0
    out = _out()
    grid = Grid(show_header=False, title=f"{row.kind} {row.id}")
    for name, value in _shape(row).items():
        if value not in (None, "", {}) and name not in ("id", "kind"):
            told = times.iso(int(value)) if name in ("created", "started", "ended") else value
            grid.add_row(name, told if isinstance(told, str) else json.dumps(told))
    out.print(grid)
    for line in lines:
        out.print(f"{times.iso(line.ts)[:23]} {line.level:7} {line.text}", markup=False, soft_wrap=True)
    return 0


@app.command()
def cancel(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Ask a job to end; one that has ended stays as it is."""
    from tidemill.metadata import job

    with _opened(home) as (_, metadata), metadata.write() as connection:
        row = _known(job.ask_cancel(connection, job_id, actor=OWNER), job_id)
    if as_json:
        _answer(_shape(row))
    elif row.state == "running":
        talk.print(f"{row.kind} {row.id} was asked to end; `tidemill jobs show {row.id}` tells when it has")
    else:
        talk.print(f"{row.kind} {row.id} is {row.state}")
    return 0


@app.command()
def submit(
    kind: Annotated[str, typer.Argument(help="What to do: history, export, verify or tidy.")],
    detail: Annotated[str, typer.Option(help="What is asked of it, as a JSON object.")] = "{}",
    priority: Annotated[int, typer.Option(min=-10, max=10, help="Higher goes first.")] = 0,
    key: Annotated[str | None, typer.Option(help="Your name for it: while it runs, no second one.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Do it here and now, and wait for its end.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Submit a job. A worker runs it (`tidemill up` has one), or this command with --wait."""
    from tidemill.jobs import submit as submitting

    try:
        asked = json.loads(detail)
        if not isinstance(asked, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise errors.UsageError(
            "arguments_unfit", f"--detail {detail!r:.200}: {error}", hint="for example '{\"days\": 3}'"
        ) from error
    with _opened(home) as (place, metadata):
        with metadata.write() as connection:
            row, _ = submitting.enter(connection, kind, owner=OWNER, detail=asked, priority=priority, key=key)
        if wait:
            row = _finish(place, metadata, row)
        else:
            submitting.nudge(place, row.id)
    if as_json:
        _answer(_shape(row))
    else:
        _out().print(row.id)
        talk.print(f"{row.kind} is {row.state} · `tidemill jobs show {row.id}`")
    failed = errors.from_dict(row.error).exit_code if row.error and row.ended else 0
    return failed or (errors.CancelledError.exit_code if row.state == "cancelled" else 0)


def _finish(home: Home, metadata: Metadata, row: Job) -> Job:
    from tidemill.jobs import here
    from tidemill.log import Log

    with talk.status(f"{row.kind} …") as status:
        return here.finish(
            home, metadata, row.id, Log("jobs"), lambda job: status.update(f"{job.kind} … {job.note or ''}")
        )


def _known(found: Job | None, job_id: str) -> Job:
    if found is None:
        raise errors.NotFoundError(
            "job_unknown", f"no job is named {job_id[:100]!r}", hint="`tidemill jobs ls` lists them"
        )
    return found


def _shape(row: Job) -> dict[str, Any]:
    """A job as REST gives it."""
    from tidemill.jobs.shape import shape

    return {
        name: str(value) if name in ("created", "started", "ended") and value is not None else value
        for name, value in shape(row).items()
    }


def _out() -> Console:
    """Stdout; wide enough for every column where it is no terminal."""
    # What jobs say is text, whatever brackets it has.
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
