"""What a run found: as a table, and as files with commit and machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benches.contest import OURS, ROOT

RESULTS = ROOT / "benches" / "results"
HEAD = "| what | party | median | lowest – highest | ours is better by | goal |\n|---|---|---:|---:|---:|---|"


def machine() -> dict[str, Any]:
    """What the figures were taken on; nothing that names the host."""
    model = platform.processor() or "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that was measured, `-dirty` behind it where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return found.stdout.strip() or "unknown"


def number(value: float) -> str:
    """Three digits that matter: `0.0712`, `7.12`, `712`, `71,200`."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def rows(contest: dict[str, Any]) -> Iterable[str]:
    """The lines of one contest."""
    what = contest["name"]
    for metric in contest["metrics"]:
        goals = metric["goal"]
        for party, median in metric["median"].items():
            low, high = metric["spread"][party]
            ratio, goal, limit = metric["ratio"].get(party), goals.get(party), metric["limit"]
            said, met = "", ""
            if goal is not None and ratio is not None:
                met = f"≥ {goal:.3g} × {'✓' if ratio >= goal else '✗'}"
            elif limit is not None and party == OURS:
                good = median >= limit if metric["more_is_better"] else median <= limit
                sign = "≥" if metric["more_is_better"] else "≤"
                met = f"{sign} {limit:g} {metric['unit']} {'✓' if good else '✗'}"
            if ratio is not None:
                said = f"{number(ratio)} ×"
            yield (
                f"| {what}, {metric['name']} | {party} | {number(median)} {metric['unit']} |"
                f" {number(low)} – {number(high)} | {said} | {met} |"
            )
    if "failed" in contest:
        yield f"| {what} | | failed | {contest['failed'].splitlines()[0]} | | |"
    for party, why in contest["absent"].items():
        yield f"| {what} | {party} | left out | {why.splitlines()[0]} | | |"


def table(contests: Iterable[dict[str, Any]]) -> str:
    return "\n".join([HEAD, *(row for contest in contests for row in rows(contest))])


def page(whole: dict[str, Any]) -> str:
    """The whole run, for people."""
    found = whole["machine"]
    lines = [
        "# What was measured last",
        "",
        f"{whole['date']}, commit {whole['commit']}, on {found['cpu']} with {found['cores']} cores,",
        f"{found['system']}, Python {found['python']}; the load average was {whole['load']:.2f} before.",
        "Made by `make bench`, which writes this page.",
        "",
        "Medians of rounds in which every party ran once; how much better ours is, is the median of the",
        "rounds' own ratios. Absolute figures drift from machine to machine: quote the ratios.",
    ]
    for bench, contests in whole["benches"].items():
        lines += ["", f"## {bench}", "", whole["about"][bench], "", table(contests)]
    return "\n".join(lines) + "\n"


def keep(folder: Path, whole: dict[str, Any]) -> Path:
    """Writes the run as JSON, and the page of the newest run beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{whole['date']}-{whole['commit']}.json"
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    (folder / "README.md").write_text(page(whole))
    return path
