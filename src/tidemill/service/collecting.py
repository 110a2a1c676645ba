"""The state of collection, put together from what is wanted, what the parts say and what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tidemill.metadata import collector, gap
from tidemill.model.collector import Collector
from tidemill.service.health import supervised
from tidemill.service.part import Part
from tidemill.service.platform import Platform

_DAY_NS = 86_400 * 1_000_000_000
_NUMBERS = (
    "epoch",
    "sequence",
    "durable",
    "messages",
    "records",
    "reconnects",
    "gaps_open",
    "gaps",
    "quarantined",
)

_MOMENTS = ("since_ns", "next_try_ns", "last_message_ns")


@dataclass(frozen=True)
class _Wanted:
    collectors: list[Collector]
    gaps_today: dict[str, int]
    gaps_open: dict[str, int]


async def status(service: Platform, *, age_s: float = 1.0) -> dict[str, Any]:
    """Everything `GET /collection/status` says."""
    now = time.time_ns()

    def read(connection: Any) -> _Wanted:
        return _Wanted(
            collector.every(connection),
            gap.count_since(connection, now - now % _DAY_NS),
            gap.count_open(connection),
        )

    wanted = await service.read(read)
    parts = await service.watch.parts(age_s=age_s)
    processes = supervised(parts)
    rows = []
    named = {c.name: c for c in wanted.collectors}
    running = {name.removeprefix("collector-") for name in parts if name.startswith("collector-")}
    for name in sorted(named.keys() | {venue for venue in running if parts[f"collector-{venue}"].said}):
        row = _collector(
            name, named.get(name), parts.get(f"collector-{name}"), processes.get(f"collector-{name}")
        )
        row["gaps_today"] = wanted.gaps_today.get(name, 0)
        if row["pid"] is None:  # who does not run cannot say that its gaps go on
            row["gaps_open"] = wanted.gaps_open.get(name, 0)
        rows.append(row)
    others = [_part(part) for name, part in sorted(parts.items()) if not name.startswith("collector-")]
    service.measure()
    own = {
        "part": "service",
        "state": "draining" if service.draining.is_set() else "live",
        "pid": service.own.pid,
        "since_ns": service.started,
        "cpu_percent": service.own.cpu_percent,
        "rss_bytes": service.own.rss_bytes,
    }
    pipeline = _pipeline(rows, parts)
    return {"collectors": [_timed(row) for row in rows], "parts": [_timed(part) for part in (*others, own)],
            "pipeline": pipeline}  # fmt: skip


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its moments as text: nanoseconds since the epoch are beyond 2^53."""
    return row | {name: str(row[name]) for name in _MOMENTS if isinstance(row.get(name), int)}


def _collector(
    name: str, wanted: Collector | None, part: Part | None, process: dict[str, Any] | None
) -> dict[str, Any]:
    said = part.said if part else None
    row: dict[str, Any] = {
        "part": f"collector-{name}",
        "venue": name,
        "protocol": wanted.protocol if wanted else "",
        "url": wanted.url if wanted else None,
        "instruments": list(wanted.instruments) if wanted else [],
        "state": _silent_state(wanted, process),
        "pid": (process or {}).get("pid"),
        "since_ns": None,
        "messages_per_s": 0.0,
        "lag_p50_ns": None,
        "lag_p99_ns": None,
        "attempt": 0,
        "next_try_ns": None,
        "last_message_ns": None,
        "error": None,
        **dict.fromkeys(_NUMBERS, 0),
    }
    if said is not None:
        row.update(said)
    elif wanted is not None and wanted.wanted and (process or {}).get("error"):
        row["error"] = (process or {})["error"]
    elif wanted is not None and wanted.wanted and part is not None:
        if part.hung_pid is not None:
            row["state"] = part.state
        row["error"] = {
            "code": "part_silent",
            "category": "upstream",
            "message": f"the collector of {name} does not answer: {part.why}",
            "hint": f"GET /api/v1/collection/{name}/logs shows its last words",
            "retryable": True,
            "docs": "docs/errors.md#upstream",
            "request_id": None,
        }
    row["wanted"] = bool(wanted and wanted.wanted)
    row["cpu_percent"] = part.cost.cpu_percent if part and said else None
    row["rss_bytes"] = part.cost.rss_bytes if part and said else None
    row["history"] = [{"ts": str(ts), "messages_per_s": rate} for ts, rate in part.history] if part else []
    return row


def _silent_state(wanted: Collector | None, process: dict[str, Any] | None) -> str:
    if process and process.get("pid"):
        return "draining" if process.get("state") == "draining" else "starting"
    if wanted is None or not wanted.wanted:
        return "stopped"
    return "failed" if process and (process.get("restarts") or process.get("error")) else "starting"


def _part(part: Part) -> dict[str, Any]:
    said = dict(part.said or {})
    # The supervisor repeats all parts; the rest of what a part says is its own.
    said.pop("parts", None)
    return {
        "part": part.name,
        "state": part.state,
        "pid": part.pid,
        "since_ns": None,
        **said,
        "cpu_percent": part.cost.cpu_percent if part.said else None,
        "rss_bytes": part.cost.rss_bytes if part.said else None,
    }


def _pipeline(rows: list[dict[str, Any]], parts: dict[str, Part]) -> dict[str, Any]:
    """One line for the whole way from venues to screens and stores."""
    live = [row for row in rows if row["state"] == "live"]
    lags = [row["lag_p99_ns"] for row in live if isinstance(row["lag_p99_ns"], int | float)]
    said = {name: parts[name].said or {} for name in ("recorder", "bridge", "relay") if name in parts}
    return {
        "collectors_wanted": sum(row["wanted"] for row in rows),
        "collectors_live": len(live),
        "messages_per_s": round(sum(_number(row["messages_per_s"]) for row in live), 1),
        "records": sum(int(_number(row["records"])) for row in rows),
        "lag_p99_ns": max(lags) if lags else None,
        "gaps_open": sum(int(_number(row["gaps_open"])) for row in rows),
        "gaps_today": sum(row["gaps_today"] for row in rows),
        **{
            name: {"state": word.get("state", "stopped"), "metrics": word.get("metrics", {})}
            for name, word in said.items()
        },
    }


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
