"""`tidemill poll`: collects trades of a provider that has no stream."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import typer

from tidemill.cli.app import HomeOption
from tidemill.cli.fetch import _options
from tidemill.errors import UsageError
from tidemill.home import Home

_TIME = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*(s|m|h|)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def poll(
    provider: Annotated[str, typer.Argument(help="Who has them: polygon, alpaca, iqfeed, … or sim-polygon.")],
    symbols: Annotated[
        list[str], typer.Argument(help="As the provider spells them, with spaces or commas between.")
    ],
    every: Annotated[str, typer.Option(help="Time between two rounds.")] = "15s",
    again: Annotated[
        str, typer.Option(help="Asked for again at each round: trades filed up to so late are found.")
    ] = "60s",
    catch_up: Annotated[
        str, typer.Option(help="What it is further behind than this is a gap, not asked for any more.")
    ] = "1h",
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, what else this provider takes; may be repeated.")
    ] = None,
    journal_max_bytes: Annotated[
        int,
        typer.Option(min=0, help="Bound of the journal; 0 is the smaller of 10 GiB and 10 % of the disk."),
    ] = 0,
    journal_keep_hours: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Records leave it so long after, once stored; 0 never.")
    ] = 0,
    supervised: Annotated[bool, typer.Option("--supervised", help="End at end-of-file on stdin.")] = False,
    home: HomeOption = None,
) -> int:
    """Collect trades of a provider without a stream: ask again and again for what is new. Ctrl+C ends it."""
    from tidemill.collector import polling
    from tidemill.log import Log

    place = Home.at(home)
    place.create()
    settings = polling.Settings(
        every_s=seconds("--every", every, 0.1), again_s=seconds("--again", again),
        catch_up_s=seconds("--catch-up", catch_up), options=_options(option or []),
        max_bytes=journal_max_bytes, keep_hours=journal_keep_hours, supervised=supervised,
    )  # fmt: skip
    names = [word for words in symbols for word in words.split(",") if word]
    log = Log(f"collector-{provider}")

    async def run() -> None:
        collector = polling.Collector(place, provider, names, settings, log)
        try:
            log.info("polling", venue=provider, instruments=[line.name for line in collector.lines],
                     every_s=settings.every_s, epoch=collector.writer.epoch)  # fmt: skip
            await polling.collect(collector)
            log.info("ending", trades=collector.counts["trades"])
        finally:
            collector.close()

    asyncio.run(run())
    return 0


def seconds(option: str, text: str, least: float = 0.0) -> float:
    """`15s`, `5m`, `1h` or a number of seconds. Raises `UsageError` for anything else."""
    found = _TIME.fullmatch(text.strip())
    value = float(found[1]) * _SECONDS[found[2]] if found else -1.0
    if value < least:
        raise UsageError("arguments_unfit", f"{option} is {text[:40]!r}", hint="write 15s, 5m or 1h")
    return value
