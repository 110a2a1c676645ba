"""Generated history of the simulated venues, so that a first chart is not empty."""

from __future__ import annotations

from typing import Any, ClassVar

from tidemill import errors
from tidemill.jobs.detail import Detail
from tidemill.jobs.kind.api import Context, Kind
from tidemill.model.collector import EXCHANGES, SIM_PREFIX


class History:
    """`venues` (simulated ones), `days` of one-minute bars, `seed`. Result: `instruments` that got some."""

    summary: ClassVar[str] = "generated history of simulated venues"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        asked = Detail(detail)
        venues = asked.words("venues", [SIM_PREFIX + protocol for protocol in EXCHANGES])
        days, seed = asked.number("days", 30, 1, 366), asked.number("seed", 42, 0, 2**63 - 1)
        asked.done()
        for venue in venues:
            if venue.removeprefix(SIM_PREFIX) not in EXCHANGES or not venue.startswith(SIM_PREFIX):
                raise errors.unknown("venue", venue, [SIM_PREFIX + protocol for protocol in EXCHANGES])
        return {"venues": venues, "days": days, "seed": seed}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.recorder import generated

        venues: list[str] = detail["venues"]
        done, kept = context.resumed or (0, 0)
        for venue in venues[done:]:
            context.progress(done, len(venues), "venues", f"history of {venue}")
            # What an instrument has stays: an attempt that died in the middle of a venue doubles nothing.
            kept += generated.keep(
                context.home, [venue.removeprefix(SIM_PREFIX)], detail["seed"], detail["days"]
            )
            done += 1
            context.checkpoint([done, kept])
        context.progress(done, len(venues), "venues", None)
        return {"instruments": kept}


plugin: type[Kind] = History
