"""`make bench`: our parts beside their peers in one run, alternating; medians and ratios.

A whole run on a quiet machine writes `benches/results/`: a JSON file with commit and machine, and
`README.md`, which shows it. A run of some benches only prints. A peer that is not there is left out,
visibly.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import inspect
import os
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from benches import result
from benches.contest import Contest, measure

BENCHES = ("parser", "journal", "record", "resample", "sweep", "lake", "tile", "ingest", "bridge", "start")
LOAD_MAX = 1.5
QUIET_WITHIN_S = 180


def is_quiet(within_s: float) -> bool:
    """Whether the load average is low enough, or falls so far in time: a build has just ended, perhaps."""
    deadline = time.monotonic() + within_s
    while (load := os.getloadavg()[0]) > LOAD_MAX:
        if time.monotonic() >= deadline:
            return False
        print(f"load average {load:.2f}, waiting for {LOAD_MAX:g} …", flush=True)
        time.sleep(10)
    return True


def about(bench: ModuleType) -> str:
    """The bench's own words on what is compared."""
    return inspect.cleandoc(bench.__doc__ or "")


def failed(contest: Contest, error: Exception) -> dict[str, Any]:
    """What is left of a contest that could not be held."""
    traceback.print_exception(error)
    return {"name": contest.name, "rounds": 0, "absent": {}, "metrics": [], "failed": repr(error)}


def run(names: list[str], *, tiny: bool) -> dict[str, Any]:
    """Everything found, as it is written to a file."""
    whole: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": result.commit(),
        "machine": result.machine(),
        "load": os.getloadavg()[0],
        "about": {},
        "benches": {},
    }
    began = time.monotonic()
    for at, name in enumerate(names, 1):
        bench = importlib.import_module(f"benches.{name}")
        whole["about"][name] = about(bench)
        found = whole["benches"][name] = []
        for contest in bench.contests(tiny):
            print(
                f"[{at}/{len(names)}] {time.monotonic() - began:4.0f} s  {name}: {contest.name} …", flush=True
            )
            try:
                found.append(measure(contest))
            except Exception as error:  # one that fails must not cost the figures of all others
                found.append(failed(contest, error))
            print(result.table(found[-1:]), flush=True)
    print(f"{time.monotonic() - began:.0f} s in all")
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benches", nargs="*", help=f"which of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--force", action="store_true", help="write results though the machine is busy")
    parser.add_argument(
        "--tiny", action="store_true", help="small sizes: shows that the benches work, not how fast"
    )
    parser.add_argument("--out", type=Path, help="folder for the results; benches/results for a whole run")
    asked = parser.parse_args()
    unknown = set(asked.benches) - set(BENCHES)
    if unknown:
        parser.error(f"no benches named {', '.join(sorted(unknown))}; have: {', '.join(BENCHES)}")
    load = os.getloadavg()[0]
    print(f"load average {load:.2f}, {os.cpu_count()} cores", flush=True)
    folder = asked.out or (None if asked.benches or asked.tiny else result.RESULTS)
    if folder and not asked.force and not is_quiet(QUIET_WITHIN_S):
        sys.exit(
            f"the machine is busy: load average {os.getloadavg()[0]:.2f}, results need {LOAD_MAX:g} or less. "
            "Stop what else runs, or write them all the same with --force"
        )
    whole = run(asked.benches or list(BENCHES), tiny=asked.tiny)
    if folder:
        print(f"written to {result.keep(folder, whole)}")
    lost = [one["name"] for found in whole["benches"].values() for one in found if "failed" in one]
    if lost:
        sys.exit(f"could not be held: {'; '.join(lost)}")


if __name__ == "__main__":
    main()
