"""`tidemill data generate`: invented history for the simulated venues."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill import errors
from tidemill.cli.app import LOGGED_AS, HomeOption, LogLinesOption, talk
from tidemill.home import Home
from tidemill.log import Log
from tidemill.model.collector import PROTOCOLS, SIM_PREFIX


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
    from tidemill.recorder import generated

    kept = generated.keep(place, protocols, seed, days)
    said = f"{kept} instruments got {days} days of generated bars"
    if log_lines:
        Log(LOGGED_AS["data"]).info(said)
    else:
        talk.print(f"{said} · `tidemill data ls` shows what is stored")
    return 0
