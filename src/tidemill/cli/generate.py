"""`tidemill data generate`: invented history for the simulated venues."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill import errors
from tidemill.cli.app import LOGGED_AS, HomeOption, LogLinesOption, talk
from tidemill.home import Home
from tidemill.log import Log
from tidemill.model.collector import EXCHANGES, SIM_PREFIX

KIND = "history"
CANCELLED = errors.CancelledError("job_cancelled", "the job was cancelled", hint="submit it anew")


def generate(
    venues: Annotated[
        str, typer.Option(help="Protocols of the simulated venues.")
    ] = "kraken,coinbase,binance",
    seed: Annotated[int, typer.Option(help="Seed of the simulated venues.", min=0)] = 42,
    days: Annotated[int, typer.Option(help="Days of one-minute bars.", min=1, max=366)] = 30,
    home: HomeOption = None,
    log_lines: LogLinesOption = False,
) -> int:
    """Keep invented one-minute bars of the simulated venues, where an instrument has none yet."""
    protocols = [word.strip().removeprefix(SIM_PREFIX) for word in venues.split(",") if word.strip()]
    for protocol in protocols:
        if protocol not in EXCHANGES:
            raise errors.unknown("venue", protocol, EXCHANGES)
    place = Home.at(home)
    place.create()
    log = Log(LOGGED_AS["data"])
    kept = _work(place, protocols, seed, days, log)
    said = f"{kept} instruments got {days} days of generated bars"
    if log_lines:
        log.info(said)
    else:
        talk.print(f"{said} · `tidemill data ls` shows what is stored")
    return 0


def _work(home: Home, protocols: list[str], seed: int, days: int, log: Log) -> int:
    """Makes the history as a job, here or by a worker that was faster, so that whoever waits sees how far it
    is; returns how many instruments got some."""
    from tidemill.jobs import here, submit
    from tidemill.metadata import Metadata

    metadata = Metadata.of(home)
    detail = {"venues": [SIM_PREFIX + protocol for protocol in protocols], "days": days, "seed": seed}
    try:
        with metadata.write() as connection:
            entered, _ = submit.enter(connection, KIND, owner="owner", detail=detail)
        done = here.finish(home, metadata, entered.id, log)
    finally:
        metadata.close()
    if done.state != "done":
        raise errors.from_dict(done.error or CANCELLED.as_dict())
    return int((done.result or {})["instruments"])
