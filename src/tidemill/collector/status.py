"""What a collector in Python tells of itself: the words and figures of the native ones."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidemill import __version__

if TYPE_CHECKING:
    from tidemill.collector.polling import Collector

RATE_S = 60.0


def status(collector: Collector) -> dict[str, Any]:
    """The answer to `status`. A message is an answer of the provider."""
    writer, lines, counts = collector.writer, collector.lines, collector.counts
    state = collector.state()
    failing = [line for line in lines if line.error is not None]
    error = failing[0].error.as_dict() if failing and failing[0].error else None
    if error is None and writer.trouble:
        error = {
            "code": "journal_short", "category": "resource", "message": writer.trouble,
            "hint": "free disk space or let the recorder catch up", "retryable": True,
        }  # fmt: skip
    since = time.monotonic() - RATE_S
    figures = {
        "part": collector.part,
        "pid": os.getpid(),
        "state": state,
        "since_ns": collector.since_ns,
        "version": __version__,
        "venue": collector.venue,
        "protocol": collector.protocol,
        "url": None,
        "instruments": [line.name for line in lines if line.state != "refused"],
        "unknown": [line.error.as_dict() for line in failing if line.state == "refused" and line.error],
        "connections": sum(line.state == "live" for line in lines),
        "epoch": writer.epoch,
        "sequence": writer.next_sequence - 1,
        "durable": writer.durable,
        "messages": counts["messages"],
        "records": counts["records"],
        "messages_per_s": round(sum(at > since for at in collector.rounds) / RATE_S, 3),
        "lag_p50_ns": _quantile(collector.lags, 0.5),
        "lag_p99_ns": _quantile(collector.lags, 0.99),
        "append_p50_ns": _quantile(collector.appends, 0.5),
        "append_p99_ns": _quantile(collector.appends, 0.99),
        "reconnects": 0,
        "attempt": max((line.failures for line in lines), default=0),
        "next_try_ns": min((line.next_ns for line in lines if line.next_ns), default=None),
        "gaps_open": sum(line.gap is not None for line in lines),
        "gaps": counts["gaps"],
        "missing": 0,
        "last_message_ns": collector.last_message_ns,
        "quarantined": 0,
        "error": error,
    }
    figures["metrics"] = {
        "messages_total": counts["messages"],
        "records_total": counts["records"],
        "trades_total": counts["trades"],
        "failures_total": counts["failures"],
        "gaps_total": counts["gaps"],
        "gaps_open": figures["gaps_open"],
        "lag_p50_ns": figures["lag_p50_ns"] or 0,
        "lag_p99_ns": figures["lag_p99_ns"] or 0,
        "epoch": writer.epoch,
        "sequence": writer.next_sequence - 1,
        "durable": writer.durable,
        "instruments": len(lines),
        "uptime_s": round(time.monotonic() - collector.started, 1),
    }
    return figures


def text(said: dict[str, Any]) -> str:
    """The same figures as Prometheus text, under the names of the native collectors."""
    figures = {**said["metrics"], "live": int(said["state"] == "live")}
    found = []
    for name, value in figures.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        found.append(f"# TYPE tidemill_collector_{name} {kind}")
        found.append(f'tidemill_collector_{name}{{venue="{said["venue"]}"}} {value}')
    return "\n".join(found) + "\n"


def _quantile(values: Sequence[int], share: float) -> int | None:
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
