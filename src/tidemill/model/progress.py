"""How far a job is, in a line for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def line(job: Mapping[str, Any]) -> str:
    """`fetch 43 %, 120 of 280 chunks, 35,000 rows/s, 12 s to go`: of a job as REST shows it."""
    said = [f"{job['kind']} {100 * float(job['progress'] or 0):.0f} %"]
    if job["state"] != "running":
        said = [f"{job['kind']} is {job['state']}"]
    if job.get("note"):
        said.append(str(job["note"]))
    if job.get("rate"):
        said.append(f"{float(job['rate']):,.0f} {job.get('unit') or 'steps'}/s")
    if job.get("eta_s") is not None:
        said.append(f"{float(job['eta_s']):,.0f} s to go")
    return ", ".join(said)
