"""What is wanted, what is ready, and which part keeps the rest."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from tidemill.metadata import collector
from tidemill.service.part import Part
from tidemill.service.platform import Platform

# A collector without wanted instruments is idle, as it should be.
READY = ("live", "idle")
DISK_BYTES_MIN = 256 << 20
ALWAYS = ("recorder", "bridge")


async def survey(service: Platform) -> list[dict[str, Any]]:
    """State and readiness of everything that is wanted, the service itself first."""
    seen = await service.watch.parts()
    names, trouble = await expected(service, seen)
    database = _row(
        "database",
        "failed" if trouble else "live",
        not trouble,
        None,
        trouble,
        None if trouble else service.started,
    )
    own = [_own(service), database, await service.run(_disk, service), _data(service), *_redis(service)]
    processes = supervised(seen)
    return own + [_part(name, seen.get(name), processes.get(name)) for name in sorted(names)]


async def expected(service: Platform, seen: dict[str, Part]) -> tuple[set[str], str | None]:
    """Names of the parts that should be there, and what is wrong with the database that knows: then those
    collectors count that are there."""
    trouble = None
    try:
        # A real reading: a damaged file still answers what touches none of its pages.
        rows = await service.read(lambda connection: collector.every(connection, wanted=True))
        wanted = {f"collector-{row.name}" for row in rows}
    except Exception as error:
        wanted = {name for name in seen if name.startswith("collector-")}
        trouble = f"the metadata database cannot be read: {error}"[:300]
    names = wanted | set(ALWAYS)
    names |= {name for name, process in supervised(seen).items() if process.get("state") != "stopped"}
    # A collector that drains because it is no longer wanted keeps nobody waiting.
    unwanted = {name for name in names if name.startswith("collector-") and name not in wanted}
    return names - unwanted - {"service"}, trouble


def _part(name: str, part: Part | None, process: dict[str, Any] | None) -> dict[str, Any]:
    said = part.said if part else None
    detail: str | None = None
    if said is not None:
        state = str(said.get("state", "live"))
        error = said.get("error")
        if isinstance(error, dict):
            detail = str(error.get("message", ""))
    elif part is not None and part.hung_pid is not None:
        state, detail = part.state, part.why
    elif process is not None and process.get("pid") and name == "sim":
        state = "live"
    elif process is not None:
        found = str(process.get("state"))
        state = {"running": "starting"}.get(found, found if found == "draining" else "failed")
        error = process.get("error")
        detail = (
            str(error.get("message", ""))
            if isinstance(error, dict)
            else f"its process is {found}; last exit {process.get('last_exit')}"
        )
    else:
        state, detail = "stopped", (part.why if part else "") or "it is wanted and does not run"
    ready = state in READY
    since = said.get("since_ns") if said else None
    pid = part.pid if part and part.pid else (process or {}).get("pid")
    if not ready and not detail:
        detail = f"it is {state}"
    return _row(name, state, ready, pid, detail or None, since)


def supervised(seen: dict[str, Part]) -> dict[str, dict[str, Any]]:
    """What the supervisor says of its processes, by part; empty where none runs."""
    supervisor = seen.get("supervisor")
    rows = (supervisor.said or {}).get("parts", []) if supervisor else []
    return {str(row["part"]): row for row in rows if isinstance(row, dict) and "part" in row}


def _own(service: Platform) -> dict[str, Any]:
    draining = service.draining.is_set()
    return _row(
        "service",
        "draining" if draining else "live",
        not draining,
        os.getpid(),
        "it takes no new work and leaves" if draining else None,
        service.started,
    )


def _disk(service: Platform) -> dict[str, Any]:
    try:
        free = shutil.disk_usage(service.home.path).free
        # An unnamed file is the only sure question: a damaged disk turns read-only without saying so.
        with tempfile.TemporaryFile(dir=service.home.run):
            pass
    except OSError as error:
        return _row(
            "disk", "failed", False, None, f"{service.home.path} cannot be written: {error.strerror}", None
        )
    if free < DISK_BYTES_MIN:
        return _row("disk", "failed", False, None, f"{free >> 20} MiB are free at {service.home.path}", None)
    return _row("disk", "live", True, None, None, service.started)


def _data(service: Platform) -> dict[str, Any]:
    trouble = service.view.trouble
    return _row("data", "failed" if trouble else "live", not trouble, None, trouble, service.started)


def _redis(service: Platform) -> list[dict[str, Any]]:
    """Where one is configured. Ready either way: without it everything is answered, only slower."""
    if service.cache.redis is None:
        return []
    trouble = service.cache.trouble
    return [_row("redis", "failed" if trouble else "live", True, None, trouble, service.started)]


def _row(
    part: str, state: str, ready: bool, pid: object, detail: str | None, since: object
) -> dict[str, Any]:
    return {
        "part": part,
        "state": state,
        "ready": ready,
        "pid": pid if isinstance(pid, int) else None,
        "detail": detail,
        "since": str(since) if since is not None else None,
    }
