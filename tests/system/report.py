"""Figures of the soak tests as a page: `TIDEMILL_RESULTS=benches/results make soak` writes soak-kills.md."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAME = "soak-kills"
TESTS = {
    NAME: "tests/system/test_kill.py, tests/recorder/test_kill.py and test_store.py",
    "soak-bus": "tests/bus/test_kill.py, tests/bus/test_depth.py",
    "soak-history": "tests/jobs/fetch/test_kill.py, tests/stores/test_bar_law.py, "
    "tests/importer/test_columnar.py, tests/providers/test_contract.py",
}
"""Pages, and the tests that fill them."""
TITLES = {"soak-history": "Kills, disorder and damage in history"}
HEAD = """# {title}

Made by `TIDEMILL_RESULTS=benches/results make soak` ({tests}):
what was killed, and what the judges found afterwards. A run that loses, doubles, alters or invents a record
fails and writes nothing. Times are those of a machine that did other things besides, as its load says.
"""
Rows = list[dict[str, Any]]


def note(title: str, tables: dict[str, Rows], name: str = NAME) -> None:
    """Adds tables, by caption, to the page, where results are wanted; those of the same title go."""
    if not (folder := os.environ.get("TIDEMILL_RESULTS")):
        return
    path = Path(folder) / f"{name}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    found[title] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "machine": _machine(),
        "tables": tables,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    path.with_suffix(".md").write_text(_page(name, found))


def percentile(values: list[float], percent: int) -> float:
    """The percentile of at least one value, by the nearest rank above."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _page(name: str, found: dict[str, Any]) -> str:
    parts = [HEAD.format(title=TITLES.get(name, "Kills under load"), tests=TESTS[name])]
    for title, about in found.items():
        machine = about["machine"]
        parts.append(
            f"## {title}\n\n{about['date']}, commit {about['commit']}; {machine['cpu']}, "
            f"{machine['cores']} cores, {machine['kernel']}, load average {machine['load']}.\n"
        )
        for caption, rows in about["tables"].items():
            columns = list(rows[0])
            lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
            table = "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
            parts.append(f"{caption}:\n\n{table}\n")
    return "\n".join(parts)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": " ".join(f"{load:.0f}" for load in os.getloadavg()) + " at the end",
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip() or "unknown"
