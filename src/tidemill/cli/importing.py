"""`tidemill data import`: files of bars, trades and quotes; `recipes` of their columns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from tidemill import errors
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.cli.data import _answer, _out
from tidemill.home import Home
from tidemill.model import time as times

if TYPE_CHECKING:
    from tidemill.metadata import Metadata

recipes = typer.Typer(no_args_is_help=True)
OWNER = "owner"


def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="CSV (gz, zip, zst), JSON lines, Parquet or Arrow.")
    ],
    recipe: Annotated[
        str | None, typer.Option(help="A saved recipe's name, or a file FILE.json; guessed when left out.")
    ] = None,
    instrument: Annotated[str | None, typer.Option(help="AAPL.polygon, of all rows.")] = None,
    interval: Annotated[str | None, typer.Option(help="Of bars: 1s, 1m, 1h or 1d.")] = None,
    venue: Annotated[str | None, typer.Option(help="What instruments end in that the file names.")] = None,
    zone: Annotated[str | None, typer.Option(help="Of times that name none: America/New_York.")] = None,
    date: Annotated[str | None, typer.Option(help="Of times of day: YYYY-MM-DD.")] = None,
    symbol: Annotated[
        list[str] | None, typer.Option(help="Only rows of this symbol; may be repeated.")
    ] = None,
    put: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=JSON", help="Any field of the recipe.")
    ] = None,
    member: Annotated[str | None, typer.Option(help="Of an archive with several files.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first bad row.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be kept, and keep nothing.")
    ] = False,
    save_recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Save the recipe for the next file.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Keep files of bars, trades or quotes.

    The layout is guessed, or read with a saved recipe. Rows that cannot be are put aside in DIR/quarantine
    and counted. The same file again keeps nothing twice.
    """
    changes: dict[str, Any] = {
        name: value
        for name, value in (
            ("instrument", instrument), ("interval", interval), ("venue", venue), ("zone", zone),
            ("date", date), ("symbols", symbol or None),
        )
        if value is not None
    }  # fmt: skip
    changes |= _put(put or [])
    place = Home.at(home)
    place.create()
    from tidemill.metadata import Metadata

    metadata = Metadata.of(place)
    answers = []
    try:
        for file in files:
            answers.append(
                _one(place, metadata, file, recipe, changes, member, strict, dry_run, save_recipe, as_json)
            )
    finally:
        metadata.close()
    if as_json:
        _answer(answers[0] if len(answers) == 1 else {"items": answers})
    elif not dry_run:
        talk.print("`tidemill data ls` shows what is stored")
    return 0


def _one(
    place: Home,
    metadata: Metadata,
    file: Path,
    recipe: str | None,
    changes: dict[str, Any],
    member: str | None,
    strict: bool,
    dry_run: bool,
    save_recipe: str | None,
    quiet: bool,
) -> dict[str, Any]:
    from tidemill.importer import limited, upload
    from tidemill.jobs import here, submit
    from tidemill.log import Log

    saved = _saved(metadata, recipe)
    entry = upload.refer(place, file)
    with talk.status(f"looking at {file.name} …"):
        seen = limited.preview(entry.path, entry.name, member=member, saved=saved, changes=changes)
    if dry_run:
        if not quiet:
            show(seen)
        return seen
    if seen["recipe"] is None:
        raise unclear(seen)
    if save_recipe is not None:
        save(metadata, save_recipe, seen["reusable"])
    with metadata.write() as connection:
        detail = {"upload": entry.id, "recipe": seen["recipe"], "strict": int(strict)}
        detail |= {"member": member} if member else {}
        row, _ = submit.enter(connection, "import", owner=OWNER, detail=detail)
    with talk.status(f"importing {file.name} …") as status:
        done = here.finish(
            place, metadata, row.id, Log("jobs"),
            lambda job: status.update(f"importing {file.name} … {job.note or ''}"),
        )  # fmt: skip
    if done.error is not None:
        raise errors.from_dict(done.error)
    if done.state != "done" or done.result is None:
        raise errors.CancelledError("job_cancelled", f"the import of {file.name} is {done.state}")
    if not quiet:
        tell(done.result)
    return {**done.result, "job": done.id}


def unclear(seen: dict[str, Any]) -> errors.UsageError:
    """The error for a file of which something has to be said first."""
    return errors.UsageError(
        "layout_unclear",
        f"{seen['name']}: {', '.join(seen['open'])} must be said; {'; '.join(seen['notes'])}"[:1000],
        hint="--dry-run shows the file; --instrument, --interval, --zone, --date or --set FIELD=JSON say it",
    )


def tell(result: dict[str, Any]) -> None:
    """What came of an import, for people."""
    if result["already"]:
        talk.print(
            f"{result['name']} was imported before: its {result['rows']:,} rows are there, none is kept twice"
        )
        return
    names = ", ".join(one["instrument"] for one in result["instruments"][:5])
    talk.print(f"{result['rows']:,} {result['kind']} of {names} from {result['name']}", soft_wrap=True)
    if result["bad"]:
        reasons = ", ".join(f"{why} ({rows:,})" for why, rows in list(result["reasons"].items())[:5])
        talk.print(
            f"[yellow]{result['bad']:,} rows were put aside[/yellow] in {result['quarantine']}: ", end=""
        )
        talk.print(reasons, markup=False)


def show(seen: dict[str, Any]) -> None:
    """A preview, for people."""
    out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
    recipe = seen["recipe"] or seen["draft"]
    what = f"{seen['shape']}, {seen['bytes']:,} bytes, {recipe['kind']}, layout {recipe['layout']}"
    out.print(f"{seen['name']}: {what} (confidence {seen['confidence']:.2f})")
    roles = {column: role for role, column in recipe["fields"].items()}
    grid = Grid("column", "type", "example", "taken as")
    for column in seen["columns"]:
        grid.add_row(column["name"], column["type"], column["example"][:40], roles.get(column["name"], ""))
    out.print(grid)
    for note in seen["notes"]:
        out.print(f"note: {note}")
    if seen["open"]:
        out.print(f"must be said: {', '.join(seen['open'])}")
    if seen["rows"]:
        names = list(seen["rows"][0])
        rows = Grid(*names)
        for line in seen["rows"]:
            shown = {**line, "ts": times.iso(int(line["ts"]))}
            rows.add_row(*(str(shown[name]) for name in names))
        out.print(rows)
    sample = seen["sample"]
    if sample:
        out.print(f"of the first batch {sample['rows']:,} rows are good and {sample['bad']:,} are not")
    for bad in seen["bad"][:10]:
        out.print(f"line {bad['line']}: {bad['reason']}: {bad['text'][:100]}")


def _put(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            found[name] = json.loads(text) if equals else None
        except ValueError:
            found[name] = text  # a word without its quotes
        if not equals or not name:
            raise errors.UsageError(
                "arguments_unfit",
                f"--set {word!r:.80} is not FIELD=JSON",
                hint="for example --set price_power=-4",
            )
    return found


def _saved(metadata: Metadata, named: str | None) -> dict[str, Any] | None:
    if named is None:
        return None
    if named.endswith(".json"):
        try:
            found: dict[str, Any] = json.loads(Path(named).read_text())
        except (OSError, ValueError) as error:
            raise errors.UsageError(
                "recipe_invalid", f"{named} is no recipe: {error}", hint="docs/import.md#recipes"
            ) from error
        return found
    from tidemill.metadata import recipe

    with metadata.read() as connection:
        return recipe.one(connection, named).recipe


def save(metadata: Metadata, name: str, shown: dict[str, Any]) -> None:
    """Saves a recipe. Raises `UsageError` for a name that cannot be one."""
    from tidemill.importer.recipe import NAME, unfit
    from tidemill.metadata import recipe

    if not NAME.fullmatch(name):
        raise unfit("name", f"{name!r:.60} is no name of letters, digits, dots, spaces and hyphens")
    with metadata.write() as connection:
        recipe.put(connection, name, shown, actor=OWNER)


def _metadata(home: str | None) -> Metadata:
    from tidemill.metadata import Metadata

    place = Home.at(home)
    place.create()
    return Metadata.of(place)


@recipes.command("ls")
def list_recipes(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List saved recipes."""
    from tidemill.metadata import recipe

    metadata = _metadata(home)
    with metadata.read() as connection:
        found = recipe.every(connection)
    metadata.close()
    if as_json:
        _answer({"items": [{**vars(one), "changed": str(one.changed)} for one in found]})
        return
    grid = Grid("recipe", "kind", "layout", "changed")
    for one in found:
        grid.add_row(one.name, one.recipe["kind"], one.recipe["layout"], times.iso(one.changed)[:19])
    _out().print(grid)


@recipes.command("show")
def show_recipe(
    name: Annotated[str, typer.Argument(help="The recipe's name.")],
    home: HomeOption = None,
) -> None:
    """Print a recipe as JSON; a file of it can be edited and used with --recipe FILE.json."""
    from tidemill.metadata import recipe

    metadata = _metadata(home)
    with metadata.read() as connection:
        _answer(recipe.one(connection, name).recipe)
    metadata.close()


@recipes.command("rm")
def remove_recipe(
    name: Annotated[str, typer.Argument(help="The recipe's name.")],
    home: HomeOption = None,
) -> None:
    """Forget a recipe. What was imported with it stays."""
    from tidemill.metadata import recipe

    metadata = _metadata(home)
    with metadata.write() as connection:
        recipe.drop(connection, name, actor=OWNER)
    metadata.close()
    talk.print(f"{name} is forgotten")
