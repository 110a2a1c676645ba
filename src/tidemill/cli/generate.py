"""`tidemill data generate`: invented history for the simulated venues."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any

import typer

from tidemill import errors
from tidemill.cli.app import LOGGED_AS, HomeOption, LogLinesOption, talk, told
from tidemill.home import Home
from tidemill.log import Log
from tidemill.model.collector import PROTOCOLS, SIM_PREFIX

KIND = "history"
KILLED = errors.CancelledError(
    "killed", "its process ended before its work", hint="it is done again by itself"
)


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
        if protocol not in PROTOCOLS:
            raise errors.unknown("venue", protocol, PROTOCOLS)
    place = Home.at(home)
    place.create()
    kept = _work(place, protocols, seed, days)
    said = f"{kept} instruments got {days} days of generated bars"
    if log_lines:
        Log(LOGGED_AS["data"]).info(said)
    else:
        talk.print(f"{said} · `tidemill data ls` shows what is stored")
    return 0


def _work(home: Home, protocols: list[str], seed: int, days: int) -> int:
    """Makes the history as a job, so that whoever waits sees how far it is; returns how many instruments
    got some."""
    from tidemill.metadata import Metadata, job
    from tidemill.recorder import generated

    metadata = Metadata.of(home)
    detail = {"venues": [SIM_PREFIX + protocol for protocol in protocols], "days": days, "seed": seed}
    now = time.time_ns()
    mine = job.Job(secrets.token_hex(8), KIND, "running", 0.0, "owner", now, now, detail=detail)

    def advance(state: str, progress: float, error: dict[str, Any] | None = None) -> None:
        with metadata.write() as connection:
            job.advance(connection, mine.id, state=state, progress=progress, error=error)

    with metadata.write() as connection:
        job.end_running(connection, KIND, KILLED.as_dict())
        job.add(connection, mine)
    kept = done = 0
    try:
        for done, protocol in enumerate(protocols):
            if done:
                advance("running", done / len(protocols))
            kept += generated.keep(home, [protocol], seed, days)
        advance("done", 1.0)
    except Exception as error:
        known = told(error) or errors.InternalError("internal", f"{type(error).__name__}: {error}")
        advance("failed", done / len(protocols), known.as_dict())
        raise
    finally:
        metadata.close()
    return kept
