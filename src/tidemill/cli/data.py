"""`tidemill data`: look at, export and verify what is stored. Works with and without a running platform."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from tidemill.errors import ConflictError, NotFoundError, UsageError
from tidemill.home import Home
from tidemill.model import time as times

if TYPE_CHECKING:
    from tidemill.stores.live import LiveView

app = typer.Typer(no_args_is_help=True)
talk = Console(stderr=True, highlight=False)

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home", help="The platform's folder.", envvar="TIDEMILL_HOME", show_default="the data folder"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable answer on stdout.")]
StartOption = Annotated[
    str | None, typer.Option(help="First time: ISO 8601, or an epoch in s, ms, us or ns.")
]
EndOption = Annotated[str | None, typer.Option(help="First time no longer wanted.")]


class Kind(StrEnum):
    """What can be exported."""

    trades = "trades"
    quotes = "quotes"
    levels = "levels"
    bars = "bars"
    gaps = "gaps"


class FileFormat(StrEnum):
    """How it is written."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"
    arrow = "arrow"


def _view(home: str | None) -> LiveView:
    from tidemill.stores.live import LiveView

    path = Home.at(home).path
    if not path.is_dir():
        raise NotFoundError(
            "home_unknown", f"there is no home at {path}",
            hint="name another with --home DIR or TIDEMILL_HOME; `tidemill up` makes one",
        )  # fmt: skip
    return LiveView(path, follow=False)


def _meant(view: LiveView, asked: str) -> tuple[str, str | None]:
    """Venue and instrument that a word means; a venue's own name means all of its instruments."""
    from tidemill.stores import export

    return export.meant(view, asked)


@app.command()
def export(
    kind: Annotated[Kind, typer.Argument(help="trades, quotes, levels, bars or gaps.")],
    instrument: Annotated[str, typer.Argument(help="BTC-USD.kraken, or a venue for all of its instruments.")],
    start: StartOption = None,
    end: EndOption = None,
    interval: Annotated[str, typer.Option(help="Bars only: <n><unit>, unit s, m, h, d, w or mo.")] = "1m",
    file_format: Annotated[FileFormat, typer.Option("--format", help="File format.")] = FileFormat.csv,
    output: Annotated[str, typer.Option("-o", "--output", help="File, or - for stdout.")] = "-",
    adjusted: Annotated[
        str, typer.Option(help="Bars only: raw (none), split, or all: dividends too. docs/import.md#facts")
    ] = "raw",
    known: Annotated[
        str | None, typer.Option(help="Adjusted with the facts known at this time; all when left out.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Write everything known of an instrument: what is stored, and what has only just arrived.

    Rows ascend by time, then epoch and sequence. Times are nanoseconds UTC; prices and sizes are decimal
    text as the venue printed it. A file appears whole or not at all.
    """
    from tidemill.model import adjust
    from tidemill.stores import export as exports

    low, high = times.span(start, end)
    view = _view(home)
    venue, name = _meant(view, instrument)
    moment = None if known is None else times.parse(known)
    pieces = exports.pieces(
        view, kind.value, venue, name, interval, low, high, adjust.named(adjusted), moment
    )
    target = None if output == "-" else Path(output)
    with talk.status(f"exporting {kind.value} of {instrument} …"):
        rows = exports.write(pieces, kind.value, file_format.value, target)
    talk.print(f"{rows:,} {kind.value} of {instrument}" + (f" in {output}" if target else ""), soft_wrap=True)


@app.command()
def book(
    instrument: Annotated[str, typer.Argument(help="BTC-USD.kraken.")],
    at: Annotated[
        str | None, typer.Option(help="As it was: EPOCH:SEQUENCE, or a time of arrival. Now when left out.")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, max=10_000, help="Levels of each side.")] = 10,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an order book, now or as it was after any record."""
    view = _view(home)
    _, name = _meant(view, instrument)
    if name is None:
        raise UsageError("book_of_venue", f"{instrument} is a venue", hint="name one instrument")
    found = view.book(name, _when(at), depth)
    if as_json:
        _answer(
            {
                "instrument": found.instrument,
                "epoch": found.epoch,
                "sequence": found.sequence,
                "ts_event": str(found.ts_event),
                "ts_recv": str(found.ts_recv),
                "valid": found.valid,
                "bids": [list(level) for level in found.bids],
                "asks": [list(level) for level in found.asks],
            }
        )
        return
    grid = Grid("bid size", "bid", "ask", "ask size", title=f"{name} after {found.epoch}:{found.sequence}")
    for column in grid.columns:
        column.justify = "right"
    for row in range(max(len(found.bids), len(found.asks))):
        bid = found.bids[row] if row < len(found.bids) else ("", "")
        ask = found.asks[row] if row < len(found.asks) else ("", "")
        grid.add_row(bid[1], bid[0], ask[0], ask[1])
    _out().print(grid)
    if not found.valid:
        talk.print(
            "[yellow]this book is not known to be whole[/yellow]: it follows a gap, or has no snapshot yet"
        )


def _when(at: str | None) -> int | tuple[int, int] | None:
    if at is None:
        return None
    epoch, colon, sequence = at.partition(":")
    if colon and epoch.isdigit() and sequence.isdigit():
        return int(epoch), int(sequence)
    return times.parse(at)


@app.command("ls")
def list_datasets(
    q: Annotated[str | None, typer.Argument(help="Words that all must be in a dataset's texts.")] = None,
    venue: Annotated[str | None, typer.Option(help="Only this venue.")] = None,
    category: Annotated[str | None, typer.Option(help="Only this category.")] = None,
    sort: Annotated[str, typer.Option(help="id, rows, bytes, …; -rows: the greatest first.")] = "id",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is stored: rows, span and bytes of each instrument and kind."""
    from tidemill.query import catalogue

    rows = catalogue.of_home(Home.at(home), _view(home).datasets())
    lines = catalogue.ordered(catalogue.search(rows, q, {"venue": venue, "category": category}), sort)
    if as_json:
        _answer({"items": [_told(line) for line in lines]})
        return
    grid = Grid("dataset", "rows", "from", "to", "MB", "whole")
    grid.columns[0].no_wrap = True
    for at in (1, 4):
        grid.columns[at].justify = "right"
    for line in lines:
        grid.add_row(
            line["id"], f"{line['rows']:,}", times.iso(line["start"])[:16], times.iso(line["end"])[:16],
            f"{line['bytes'] / 1e6:,.1f}", "yes" if line["complete"] else f"{line['completeness']:.2%}",
        )  # fmt: skip
    _out().print(grid)
    talk.print("`tidemill data show INSTRUMENT` tells more · `tidemill data verify` proves it")


def _told(line: dict[str, Any]) -> dict[str, Any]:
    """A dataset as JSON has it: 64-bit times are text."""
    times_ = {name: line[name] and str(line[name]) for name in ("start", "end", "accessed")}
    return {**line, **times_}


@app.command()
def show(
    instrument: Annotated[str, typer.Argument(help="BTC-USD.kraken.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one instrument: its terms, what is stored of it, and its gaps."""
    view = _view(home)
    venue, name = _meant(view, instrument)
    if name is None:
        raise UsageError("show_venue", f"{venue} is a venue", hint=f"`tidemill data ls --venue {venue}`")
    known = {line["instrument"]: line for line in view.instruments()}
    from tidemill.query import catalogue

    rows = catalogue.of_home(Home.at(home), view.datasets())
    stored = [line for line in rows if line["instrument"] == name]
    gaps = [line for line in view.gaps(venue) if line["instrument"] in (None, name)]
    if as_json:
        _answer({"instrument": known.get(name, {"instrument": name}), "datasets": stored, "gaps": gaps})
        return
    out = _out()
    grid = Grid(show_header=False, title=name)
    for key, value in known.get(name, {}).items():
        if key != "last":
            grid.add_row(key, str(value))
    last = known.get(name, {}).get("last")
    if last:
        grid.add_row("last trade", f"{last['size']} at {last['price']}, {times.iso(last['ts_event'])}")
    for line in stored:
        grid.add_row(line["kind"], f"{line['rows']:,} rows since {times.iso(line['start'])[:19]}")
    grid.add_row("gaps", f"{len(gaps)}, {sum(1 for gap in gaps if gap['ended_at'] is None)} not ended")
    out.print(grid)
    talk.print(f"`tidemill data export trades {name}` writes them out")


@app.command()
def verify(
    what: Annotated[
        str | None, typer.Argument(help="A venue or an instrument; everything when left out.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Prove what is stored: no record missing or doubled, bars equal to their trades.

    Exits with 10 when something is wrong, and with 5 when nothing is stored that could be.
    """
    from tidemill.stores import verify as verifying

    view = _view(home)
    asked: list[tuple[str, str | None]] = [(venue, None) for venue in view.venues()]
    if what is not None:
        asked = [_meant(view, what)]
    reports = []
    for venue, name in asked:
        with talk.status(f"verifying {name or venue} …"):
            reports.append(verifying.verify(view.home, venue, name))
    if not any(report.anything for report in reports):
        raise NotFoundError(
            "nothing_to_verify", f"nothing is stored of {what or view.home}",
            hint="the recorder stores every 10 s while the platform runs: `tidemill status`",
        )  # fmt: skip
    if as_json:
        _answer({"clean": all(report.clean for report in reports), "venues": [r.as_dict() for r in reports]})
    else:
        for report in reports:
            _print(report)
    return 0 if all(report.clean for report in reports) else 10


@app.command()
def drain(
    store: Annotated[
        str | None, typer.Option(help="postgresql://…; TIDEMILL_STORE_URL where it is left out.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Move everything from the database into the lake, so that the lake can be the only store again.

    Today's rows move too, and no recorder may run meanwhile. A row leaves the database only once the lake has
    shown it, so it may be interrupted, and run again.
    """
    from tidemill.address import named, scheme, shown
    from tidemill.home import Lock
    from tidemill.stores.api import OffsetError
    from tidemill.stores.lake import Lake
    from tidemill.stores.postgres import Postgres
    from tidemill.stores.source import venues
    from tidemill.stores.window import Window

    place = Home.at(home)
    url = named("TIDEMILL_STORE_URL", store)
    if url is None or scheme(url) != "postgresql":
        raise UsageError(
            "store_has_no_window",
            f"the store is {shown(url) if url else 'the lake'}, which has no window of recent rows to drain",
            hint="name the database with --store postgresql://… or TIDEMILL_STORE_URL",
        )
    if not place.path.is_dir():
        raise NotFoundError(
            "home_unknown", f"there is no home at {place.path}",
            hint="name another with --home DIR or TIDEMILL_HOME",
        )  # fmt: skip
    place.run.mkdir(exist_ok=True)
    lock = Lock(place.run / "recorder.lock", f"the recorder of {place.path}")
    window = Window(Postgres(url), Lake.of(place.path))
    try:
        with talk.status(f"moving rows from {shown(url)} to {window.lake.path} …"):
            rows = window.drain(venues(place.path))
    except OffsetError as error:
        raise ConflictError(
            "drain_disturbed",
            f"{shown(url)} is not drained: {error}",
            hint="stop every recorder and uploader that writes there, and run this again",
        ) from error
    finally:
        window.close()
        lock.close()
    talk.print(f"{rows:,} rows moved to {window.lake.path}; the lake is whole without {shown(url)}")


def _print(report: Any) -> None:
    out = _out()
    if not report.anything:
        out.print(f"{report.venue}: nothing to verify, nothing is stored")
        return
    good = "[green]whole[/green]" if report.clean else "[red]not whole[/red]"
    through = f"{report.through[0]}:{report.through[1]}" if report.through else "nothing"
    files = f" in {report.files} files" if report.files else ""
    out.print(f"{report.venue}: {good}; {report.rows:,} rows{files}, stored through {through}")
    if report.dense_from:
        since = f"{report.dense_from[0]}:{report.dense_from[1]}"
        out.print(f"  records from {since}: {report.missing} missing, {report.doubled} doubled")
    out.print(f"  bars: {report.bars:,} compared with their trades, {report.bars_wrong} differ")
    for name in ("missing_first", "doubled_first", "bars_wrong_first", "unreadable"):
        for line in getattr(report, name):
            out.print(f"  [red]{name.removesuffix('_first').replace('_', ' ')}[/red] {line}")


def _out() -> Console:
    """Stdout; wide enough for every column where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
