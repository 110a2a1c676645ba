"""`tidemill strategy`: new ones, which there are, and whether one looks ahead. Needs no running platform."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from tidemill import errors
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemill.metadata.strategy import Stored
    from tidemill.research.history import History
    from tidemill.research.lookahead import Report
    from tidemill.strategies.library import Entry

app = typer.Typer(no_args_is_help=True)
BARS = 1_500
NameArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="sma_cross, or a file: my.py.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and _.")],
    event: Annotated[
        bool, typer.Option("--event", help="With orders of its own, bar after bar; otherwise a signal.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write the file of a new strategy, which runs as it is."""
    from tidemill.strategies import library, template

    place = Home.at(home)
    if not re.match(library.NAME, name):
        raise errors.UsageError(
            "arguments_unfit",
            f"{name[:80]!r} is no name of a strategy",
            hint="lower-case letters, digits and _, 64 at most: my_strategy",
        )
    if name in library.ours():
        raise errors.ConflictError(
            "strategy_exists", f"{name} is part of Tidemill", hint="choose another name"
        )
    path = library.folder(place) / f"{name}.py"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template.text(name, event=event))
    except FileExistsError as error:
        raise errors.ConflictError(
            "strategy_exists", f"{path} is there already", hint="choose another name, or edit that file"
        ) from error
    except OSError as error:
        raise errors.ConfigError(
            "file_unwritable", f"{path} cannot be written: {error.strerror}", hint="name another --home DIR"
        ) from error
    if as_json:
        _answer({"name": name, "path": str(path)})
    else:
        _out().print(str(path), soft_wrap=True)
        talk.print(f"edit it, then `tidemill strategy check {name}`")
    return 0


@app.command("ls")
def list_strategies(home: HomeOption = None, as_json: JsonOption = False) -> int:
    """List strategies: ours, your files in DIR/strategies, and those of the database."""
    from tidemill.strategies import library

    place = Home.at(home)
    found = [_imported(one) for one in library.entries(place, _stored(place))]
    if as_json:
        _answer({"items": [_shape(one) for one in found]})
        return 0
    grid = Grid("strategy", "from", "kind", "parameters", "what")
    for column in grid.columns[:3]:
        column.no_wrap = True
    for one in found:
        says = str(one.about.faults[0]) if one.about.faults else one.description.partition("\n\n")[0]
        params = " ".join(f"{each['name']}={each['default']}" for each in one.about.params)
        what = " ".join(says.split())
        grid.add_row(
            one.name, one.origin, one.about.kind or "–", params,
            f"! {what}" if one.about.faults else what,
        )  # fmt: skip
    _out().print(grid)
    talk.print(
        "`tidemill strategy show NAME` · `tidemill strategy check NAME` · `tidemill strategy new NAME`"
    )
    return 0


@app.command()
def show(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> int:
    """Show one strategy: what it says, its parameters and its code."""
    one = _imported(_entry(Home.at(home), name))
    if as_json:
        _answer({**_shape(one), "code": one.source})
        return 0
    out = _out()
    out.print(f"{one.about.title or one.name} ({one.origin}, {one.about.kind or 'no kind'})")
    out.print(one.description)
    grid = Grid("parameter", "default", "may be", "what")
    for told, each in zip(one.about.params, _ranges(one), strict=True):
        grid.add_row(told["name"], str(told["default"]), each, told["help"])
    if one.about.params:
        out.print(grid)
    for fault in one.about.faults:
        out.print(f"! {fault}")
    out.print()
    sys.stdout.write(one.source)
    talk.print(f"`tidemill strategy check {name}` looks for look-ahead · "
               f"`tidemill backtest run {name} INSTRUMENT` runs it")  # fmt: skip
    return 0


@app.command()
def check(
    name: NameArgument,
    instruments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INSTRUMENT]...", help="On its last bars; without, on made-up prices."),
    ] = None,
    interval: Annotated[str, typer.Option(help="<n><unit>, unit s, m, h, d, w, mo.")] = "1h",
    bars: Annotated[int, typer.Option(min=50, max=200_000, help="Last bars of each instrument.")] = BARS,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Again for each.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Import a strategy, and run it on less and on moved bars: it must decide the same. One of the database
    is run in the sandbox."""
    place = Home.at(home)
    entry = _entry(place, name)
    examine = _examined(entry, _params(param or []))
    with talk.status(f"{entry.name} is run again and again …"):
        report, names = _checked(place, examine, instruments or [], interval, bars)
    said = _report(entry, report, names)
    if report.findings:
        first = report.findings[0].error
        if as_json:
            _answer(said)
        raise first
    if as_json:
        _answer(said)
        return 0
    out = _out()
    out.print(f"{entry.name}: {report.decisions} decisions on {report.bars} bars of {', '.join(names)},")
    out.print(f"the same in {report.runs} runs: again, cut at {report.runs - 3} places, moved by 20 years.")
    warm = "its signals depend on where they began" if report.warm_up is None else (
        f"its signals can be relied on after {report.warm_up} bars")  # fmt: skip
    out.print(warm + ".")
    if not report.decisions:
        talk.print("it decided nothing: on these bars there was nothing to see; name an instrument")
    where = instruments[0] if instruments else "INSTRUMENT"
    talk.print(f"`tidemill backtest run {name} {where}` runs it")
    return 0


def _examined(entry: Entry, params: dict[str, str]) -> Callable[[History], Report]:
    """What checks it on a history: here, or in the sandbox."""
    from tidemill.research import guest, lookahead
    from tidemill.strategies import library

    if entry.origin == "database":
        guest.subject(entry, params)
        return lambda history: guest.check(entry, params, history)
    kind = library.load(entry)
    kind(**params)
    return lambda history: lookahead.check(lambda: kind(**params), history)


def _checked(
    place: Home,
    examine: Callable[[History], Report],
    instruments: list[str],
    interval: str,
    bars: int,
) -> tuple[Report, list[str]]:
    from tidemill.research import lookahead

    if instruments:
        names, history = _history(place, instruments, interval, bars)
        return examine(history), names
    # Whether it wants one instrument or several, only it knows.
    refused: errors.UsageError | None = None
    for count in (1, 2, 3):
        names = [f"MADE-{letter}.up" for letter in "ABC"[:count]]
        try:
            return examine(lookahead.made_up(names, bars)), names
        except errors.UsageError as error:
            if error.code != "market_unfit":
                raise
            refused = refused or error
    assert refused is not None  # noqa: S101 - every count was refused
    raise refused


def _history(place: Home, asked: list[str], interval: str, bars: int) -> tuple[list[str], History]:
    from tidemill.model import instrument
    from tidemill.research import history
    from tidemill.stores.live import LiveView

    if not place.path.is_dir():
        raise errors.NotFoundError(
            "home_unknown", f"there is no home at {place.path}", hint="name one with --home DIR"
        )
    view = LiveView(place.path)
    try:
        known = {str(line["instrument"]) for line in view.instruments()} | set(view.stored_names())
        names = [instrument.resolve(one[:200], known) for one in asked]
        return names, history.newest(view, names, interval, bars)
    finally:
        view.close()


def _params(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equal, value = word.partition("=")
        if not equal or not name:
            raise errors.UsageError(
                "arguments_unfit", f"--param {word[:80]!r} is not NAME=VALUE", hint="--param fast=20"
            )
        found[name.strip()] = value.strip()
    return found


def _entry(place: Home, name: str) -> Entry:
    from tidemill.strategies import library

    if name.endswith(".py") or "/" in name:
        return library.file(Path(name).expanduser().absolute())
    return library.find(place, name, _stored(place))


def _stored(place: Home) -> list[Stored]:
    """Those of the database; none where there is none yet: a list makes no database."""
    from tidemill.metadata import Metadata, database, strategy

    where = database.place(place)
    if isinstance(where, Path) and not where.exists():
        return []
    metadata = Metadata.of(place)
    try:
        with metadata.read() as connection:
            return strategy.every(connection)
    finally:
        metadata.close()


def _imported(one: Entry) -> Entry:
    """A file of this person with what only its import tells; others as they are."""
    from dataclasses import replace

    from tidemill.strategies import library
    from tidemill.strategies.description import Fault

    if one.origin != "folder" or any(fault.line is None for fault in one.about.faults):
        return one
    try:
        declared = library.load(one).declared()
    except errors.TidemillError as error:
        return replace(one, about=replace(one.about, faults=(*one.about.faults, Fault(error.message))))
    # What is not written as a plain value is known by now.
    unclear = {fault for fault in one.about.faults if "known only once it runs" in fault.message}
    faults = tuple(fault for fault in one.about.faults if fault not in unclear)
    params = tuple(each.json() for each in declared.values())
    return replace(one, about=replace(one.about, params=params, faults=faults))


def _ranges(one: Entry) -> list[str]:
    from tidemill.strategies.description import ranges

    return ranges(one.about)


def _report(entry: Entry, report: Report, names: list[str]) -> dict[str, Any]:
    return {
        "strategy": entry.name,
        "instruments": names,
        "bars": report.bars,
        "decisions": report.decisions,
        "runs": report.runs,
        "warm_up": report.warm_up,
        "findings": [{**one.__dict__, "ts": str(one.ts)} for one in report.findings],
    }


def _shape(one: Entry) -> dict[str, Any]:
    kept = one.stored
    return {
        "name": one.name,
        "origin": one.origin,
        "kind": one.about.kind,
        "title": one.about.title,
        "description": one.description,
        "author": one.author,
        "params": list(one.about.params),
        "faults": [fault.__dict__ for fault in one.about.faults],
        "sha256": one.sha256,
        "version": kept.version if kept else None,
        "path": str(one.path) if one.path and one.origin == "folder" else None,
    }


def _out() -> Console:
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
