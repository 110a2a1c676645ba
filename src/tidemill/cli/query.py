"""`tidemill data query`: SQL over what is stored, with and without a running platform."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.errors import NotFoundError, UsageError
from tidemill.home import Home

SHOWN = 100


class Form(StrEnum):
    """How the answer is written."""

    csv = "csv"
    arrow = "arrow"
    parquet = "parquet"
    columns = "columns"
    rows = "rows"


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; - reads it from stdin.")],
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 10_000,
    form: Annotated[
        Form | None, typer.Option("--format", help="csv, arrow, parquet, columns or rows.")
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="File, or - for stdout.")] = "-",
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds at most; 30 when left out.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only how large the whole answer is.")] = False,
    as_job: Annotated[
        bool, typer.Option("--as-job", help="Submit a job that writes the whole answer to DIR/exports.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the stored datasets in SQL: trades, quotes, levels, bars, gaps, instruments, status.

    `DESCRIBE trades` shows a dataset's columns. Prices are exact decimals, times are UTC. What has only just
    arrived is not stored yet.
    """
    from tidemill.query.pool import Pool

    place = Home.at(home)
    if not place.path.is_dir():
        raise NotFoundError(
            "home_unknown", f"there is no home at {place.path}",
            hint="name another with --home DIR or TIDEMILL_HOME; `tidemill up` makes one",
        )  # fmt: skip
    text = sys.stdin.read() if sql == "-" else sql
    pool = Pool(place.path)
    try:
        if as_job:
            pool.check(text)
            _submit(place, text, form, as_json)
            return
        shape = form or (Form.rows if as_json or sys.stdout.isatty() or preview else Form.csv)
        shown = min(limit, SHOWN) if shape is Form.rows and not as_json and output == "-" else limit
        found = pool.ask(
            text, limit=shown, form=shape.value, time_form="iso", preview=preview, timeout_s=timeout
        )
    finally:
        pool.close()
    facts = found.facts
    if preview:
        if as_json:
            sys.stdout.write(json.dumps(facts) + "\n")
        else:
            Console(highlight=False).print(
                f"{facts['rows']:,} rows of {len(facts['names'])} columns, "
                f"about {facts['bytes'] / 1e6:,.1f} MB"
            )
        return
    if output != "-":
        Path(output).write_bytes(found.body)
    elif form is None and not as_json and sys.stdout.isatty():
        _print(json.loads(found.body))
    else:
        sys.stdout.buffer.write(found.body + (b"\n" if shape in (Form.rows, Form.columns) else b""))
    more = "; there are more: --limit, or --as-job for all" if facts["truncated"] else ""
    talk.print(f"{facts['rows']:,} rows in {facts['elapsed_ms']} ms{more}")
    if facts["reads"]["note"]:
        talk.print(facts["reads"]["note"], soft_wrap=True)


def _submit(place: Home, sql: str, form: Form | None, as_json: bool) -> None:
    from tidemill.jobs import submit
    from tidemill.metadata import Metadata

    if form in (Form.columns, Form.rows):
        raise UsageError("arguments_unfit", f"a job writes no {form}", hint="--format parquet, csv or arrow")
    metadata = Metadata.of(place)
    try:
        with metadata.write() as connection:
            detail = {"sql": sql, "format": form.value if form else "parquet"}
            entered, _ = submit.enter(connection, "query", owner="owner", detail=detail)
    finally:
        metadata.close()
    submit.nudge(place, entered.id)
    sys.stdout.write((json.dumps({"id": entered.id}) if as_json else entered.id) + "\n")
    talk.print(f"`tidemill jobs show {entered.id}` tells how far it is")


def _print(answer: dict[str, Any]) -> None:
    grid = Grid(*(escape(name) for name in answer["names"]))
    for line in answer["items"]:
        grid.add_row(*("" if line[n] is None else escape(str(line[n])) for n in answer["names"]))
    Console(highlight=False).print(grid)
