"""The keeper's status in Prometheus' text format."""

from __future__ import annotations

from typing import Any

_METRICS = (
    ("starts_total", "counter", "starts", "Times that IQConnect was started."),
    ("start_attempts_total", "counter", "attempts", "Tries to start it, failed ones too."),
    ("failures_total", "counter", "failures", "Times that the admin port refused, was silent or closed."),
    ("connects_total", "counter", "connects", "Times that it was told to connect to DTN."),
    ("logins_total", "counter", "logins", "Logins sent."),
    ("reconnections_total", "counter", "reconnections", "Times that it connected to DTN again by itself."),
    ("attempted_reconnections", "gauge", "attempted_reconnections", "Its tries to, since it was started."),
    ("clients", "gauge", "clients", "Its clients."),
    ("symbols", "gauge", "symbols", "Symbols that are watched."),
    ("queued_kilobytes", "gauge", "kb_queued_max", "Waiting for the client that reads slowest."),
    ("received_kilobytes", "gauge", "kb_received", "Received from DTN since it was started."),
    ("since_update_seconds", "gauge", "since_update_s", "Since data came last."),
)


def text(status: dict[str, Any]) -> str:
    """One family after the other; numbers that are not known now are left out."""
    up = 1 if status["iqconnect"]["connected"] else 0
    lines = _family("up", "gauge", "1 while IQConnect is connected to DTN.", up)
    for name, kind, key, help_ in _METRICS:
        value = status["metrics"][key]
        if value is not None:
            lines += _family(name, kind, help_, value)
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, help_: str, value: float) -> list[str]:
    full = f"tidemill_iqfeed_{name}"
    return [f"# HELP {full} {help_}", f"# TYPE {full} {kind}", f"{full} {value:g}"]
