"""`tidemill fetch`: history from a provider, by the platform where it runs, else by this command."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill import errors
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.cli.job import OWNER, _answer, _opened, _out, _shape
from tidemill.home import Home

if TYPE_CHECKING:
    from tidemill.metadata import Metadata
    from tidemill.metadata.job import Job

LOOK_S = 0.25
WORKER_S = 5.0
"""So often it is asked whether the platform's worker is still there."""


def fetch(
    provider: Annotated[str, typer.Argument(help="Who has it: polygon, alpaca, kraken, … or sim-polygon.")],
    symbols: Annotated[
        list[str], typer.Argument(help="As the provider spells them, with spaces or commas between.")
    ],
    interval: Annotated[str, typer.Option(help="Of bars: 1m, 1h, 1d, …")] = "1m",
    start: Annotated[str | None, typer.Option(help="First moment wanted: 2026-01-31, or a time.")] = None,
    end: Annotated[str | None, typer.Option(help="First moment not wanted; what there is, without.")] = None,
    kind: Annotated[str, typer.Option(help="bars or trades.")] = "bars",
    workers: Annotated[int, typer.Option(min=1, max=50, help="Chunks at once.")] = 8,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, what else this provider takes; may be repeated.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="What is held already, too.")] = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would take.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--detach", help="Until it has ended, or only submit it.")
    ] = True,
    priority: Annotated[int, typer.Option(min=-10, max=10, help="Higher goes first.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Fetch history from a provider. What is held already is not fetched again."""
    if start is None:
        raise errors.UsageError(
            "arguments_unfit", "--start is missing", hint="for example --start 2026-01-01"
        )
    detail: dict[str, Any] = {
        "provider": provider,
        "symbols": [word for words in symbols for word in words.split(",") if word],
        "kind": kind,
        **({} if kind == "trades" else {"interval": interval}),
        "start": start,
        **({} if end is None else {"end": end}),
        "workers": workers,
        "options": _options(option or []),
        "again": again,
    }
    return _estimate(detail, home, as_json) if estimate else _fetch(detail, priority, wait, home, as_json)


def _options(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equal, value = word.partition("=")
        if not (name and equal and value):
            raise errors.UsageError(
                "arguments_unfit", f"--option {word!r:.80} is no NAME=VALUE", hint="--option adjusted=true"
            )
        found[name] = value
    return found


def _estimate(detail: dict[str, Any], home: str | None, as_json: bool) -> int:
    from tidemill.jobs.fetch import plan
    from tidemill.jobs.fetch.order import Order
    from tidemill.stores.opening import open_store

    place = Home.at(home)
    store = open_store(place.path)
    try:
        said = plan.estimate(Order.of(detail), store)
    finally:
        store.close()
    if as_json:
        _answer(said)
        return 0
    from rich.table import Table as Grid

    grid = Grid("symbol", "instrument", "chunks", "held", "rows", "requests")
    for line in said["items"]:
        grid.add_row(*(f"{line[name]:,}" if isinstance(line[name], int) else line[name] for name in (
            "symbol", "instrument", "chunks", "held", "rows", "requests")))  # fmt: skip
    _out().print(grid)
    talk.print(
        f"{said['requests']:,} requests for {said['rows']:,} rows at most ({said['bytes'] / 1e6:,.0f} MB as"
        f" columns), {said['seconds']:,.0f} s at least by the provider's limits",
        markup=False,
    )
    return 0


def _fetch(detail: dict[str, Any], priority: int, wait: bool, home: str | None, as_json: bool) -> int:
    from tidemill.jobs import submit

    # The same command twice at once is one job.
    key = "fetch-" + hashlib.sha256(json.dumps(detail, sort_keys=True).encode()).hexdigest()[:32]
    with _opened(home) as (place, metadata):
        with metadata.write() as connection:
            row, _ = submit.enter(connection, "fetch", owner=OWNER, detail=detail, priority=priority, key=key)
        submit.nudge(place, row.id)
        if wait:
            with _shown(metadata, row.id, as_json):
                row = _ended(place, metadata, row.id)
    if as_json:
        _answer(_shape(row))
    elif not wait:
        _out().print(row.id)
        talk.print(f"`tidemill jobs show {row.id}` tells how far it is")
    if row.error and row.ended:
        if not as_json:
            raise errors.from_dict(row.error)
        return errors.from_dict(row.error).exit_code
    if row.state == "cancelled":
        return errors.CancelledError.exit_code
    if wait and not as_json and row.result:
        _tell(row.result)
    return 0


def _tell(result: dict[str, Any]) -> None:
    held = f", {result['held']:,} chunks were held already" if result["held"] else ""
    talk.print(
        f"{result['rows']:,} rows in {result['chunks']:,} chunks and {result['requests']:,} requests{held}",
        markup=False,
    )
    for symbol in result["not_found"]:
        talk.print(f"not found: {symbol}", markup=False)
    for name in result["instruments"][:5]:
        talk.print(f"`tidemill data show {name}` shows it", markup=False)


def _ended(home: Home, metadata: Metadata, job_id: str) -> Job:
    """The job once it has ended: followed where a worker of the platform does it, else done here."""
    from tidemill.jobs import here
    from tidemill.log import Log
    from tidemill.metadata import job

    asked_at = float("-inf")
    while True:
        if time.monotonic() - asked_at > WORKER_S:
            if not _worked(home):
                return here.finish(home, metadata, job_id, Log("fetch"))
            asked_at = time.monotonic()
        with metadata.read() as connection:
            row = job.one(connection, job_id)
        if row is None:
            raise errors.NotFoundError("job_unknown", f"the job {job_id} is gone", hint="ask again")
        if row.ended is not None:
            return row
        try:
            time.sleep(LOOK_S)
        except KeyboardInterrupt:
            talk.print(f"it goes on · `tidemill jobs show {job_id}` · `tidemill jobs cancel {job_id}`")
            raise


def _worked(home: Home) -> bool:
    """Whether the home has a worker that answers, or a broker that has some."""
    from tidemill import control
    from tidemill.jobs import broker

    if broker.url() is not None:
        return True
    with contextlib.suppress(control.Unreachable):
        return "pid" in control.ask_now(home.control("worker"), "status", timeout_s=1.0)
    return False


@contextlib.contextmanager
def _shown(metadata: Metadata, job_id: str, as_json: bool) -> Iterator[None]:
    """Tells on stderr how far the job is, for as long as it is waited for; with --json in lines of JSON."""
    from tidemill.metadata import job
    from tidemill.model import progress

    ended = threading.Event()

    def follow(update: Callable[[dict[str, Any]], None]) -> None:
        last = None
        while not ended.wait(LOOK_S):
            with contextlib.suppress(Exception), metadata.read() as connection:
                row = job.one(connection, job_id)
                if row is not None and (told := _shape(row)) != last:
                    update(told)
                    last = told

    def lines(told: dict[str, Any]) -> None:
        sys.stderr.write(json.dumps({"progress": told}) + "\n")
        sys.stderr.flush()

    with contextlib.nullcontext() if as_json else talk.status("fetch …") as status:
        update = lines if status is None else lambda told: status.update(progress.line(told))
        thread = threading.Thread(target=follow, args=(update,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(2.0)
