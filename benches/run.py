"""`make bench`: our parts beside their peers, in one run, alternating; medians and ratios.

Absolute times drift from machine to machine and from minute to minute: quote the ratios. Results go to
`benches/results/` with commit and machine.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCHES = ("resample", "tail")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Contest:
    """Things that do the same work; each callable does it once and returns seconds, or None to be timed.

    `goal`: the ratio peer ÷ ours to reach for each peer named in it, from the design's speed page.
    """

    name: str
    unit: str
    amount: int
    ours: Callable[[], float | None]
    peers: dict[str, Callable[[], float | None]]
    goal: dict[str, float]
    rounds: int = 7


def measure(contest: Contest) -> dict[str, Any]:
    """Medians per amount, ratios pair by pair within each round."""
    runners = {"tidemill": contest.ours, **contest.peers}
    for run in runners.values():
        run()  # warm-up: page cache, compilation, allocator
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(contest.rounds):
        for name, run in runners.items():
            started = time.perf_counter()
            said = run()
            times[name].append(time.perf_counter() - started if said is None else said)
    ratios = {
        peer: statistics.median(t / o for t, o in zip(times[peer], times["tidemill"], strict=True))
        for peer in contest.peers
    }
    return {
        "name": contest.name,
        "unit": contest.unit,
        "amount": contest.amount,
        "median": {name: statistics.median(t) / contest.amount for name, t in times.items()},
        "spread": {name: [min(t) / contest.amount, max(t) / contest.amount] for name, t in times.items()},
        "ratio": ratios,
        "goal": contest.goal,
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = platform.processor() or "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def table(results: list[dict[str, Any]]) -> str:
    lines = ["| work | who | median | × ours | goal |", "|---|---|---|---|---|"]
    for result in results:
        for who, median in result["median"].items():
            ratio = result["ratio"].get(who)
            goal = result["goal"].get(who)
            shown = f"{median * 1e9:,.1f} ns/{result['unit']}"
            lines.append(
                f"| {result['name']} | {who} | {shown} | {'' if ratio is None else f'{ratio:.1f}'} |"
                f" {'' if goal is None else f'≥ {goal:g}'} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", choices=[*BENCHES, []], help="which; all by default")
    names = parser.parse_args().benches or BENCHES
    results = []
    for name in names:
        for contest in importlib.import_module(f"benches.{name}").contests():
            print(f"{contest.name} …", flush=True)
            results.append(measure(contest))
            print(table(results[-1:]), flush=True)
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    whole = {"date": stamp, "commit": commit(), "machine": machine(), "results": results}
    path = RESULTS / f"{stamp}-{commit()}.json"
    path.write_text(json.dumps(whole, indent=1) + "\n")
    head = (
        f"{whole['machine']['cpu']}, {whole['machine']['cores']} cores, Python {whole['machine']['python']}."
    )
    note = "Medians; the ratio is the peer's time over ours."
    (RESULTS / "latest.md").write_text(f"# {stamp}, commit {commit()}\n\n{head} {note}\n\n{table(results)}\n")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
