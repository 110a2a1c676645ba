"""`tidemill data facts`: splits, dividends, changes of symbol and delistings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as Grid

from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.cli.data import _answer, _out
from tidemill.cli.importing import OWNER, _metadata
from tidemill.model import time as times

app = typer.Typer(no_args_is_help=True)


@app.command("import")
def import_facts(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="LEAN factor or map files, or CSV with kind and date."),
    ],
    instrument: Annotated[str | None, typer.Option(help="AAPL.lean; else the file says it.")] = None,
    source: Annotated[str | None, typer.Option(help="Who says so: lean, csv or your own word.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add dated facts. Prices stay as they are: adjusted ones are made when they are read."""
    from tidemill.importer import fact as reading
    from tidemill.metadata import fact

    metadata = _metadata(home)
    lines = []
    for file in files:
        found = reading.read(file, instrument=instrument, source=source)
        with metadata.write() as connection:
            new = fact.add(connection, found, actor=OWNER)
        lines.append({"file": file.name, "facts": len(found), "new": new})
        if not as_json:
            talk.print(f"{len(found)} facts in {file.name}, {new} of them new")
    metadata.close()
    if as_json:
        _answer({"items": lines})


@app.command("ls")
def list_facts(
    instrument: Annotated[str, typer.Argument(help="AAPL.lean.")],
    known: Annotated[str | None, typer.Option(help="As they were known at a time.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is known of an instrument, by date."""
    from tidemill.metadata import fact

    moment = times.parse(known) if known is not None else None
    metadata = _metadata(home)
    with metadata.read() as connection:
        found = fact.known(connection, instrument, known_at=moment)
    metadata.close()
    if as_json:
        _answer({"items": [{**one.as_dict(), "ts_known": str(one.ts_known)} for one in found]})
        return
    grid = Grid("date", "kind", "value", "source", "known")
    for one in found:
        value = one.ratio or one.amount or one.factor or one.symbol or ""
        grid.add_row(one.date, one.kind, value, one.source, times.iso(one.ts_known)[:19])
    _out().print(grid)
