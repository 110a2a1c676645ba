"""What Prometheus reads of jobs: the queue from the table, the pool from each worker."""

from __future__ import annotations

from sqlalchemy import Connection

from tidemill.metadata import job


def of_queue(connection: Connection) -> str:
    """Jobs by kind and state, and how long the oldest has waited."""
    depth = job.depth(connection)
    lines = [
        "# HELP tidemill_jobs Jobs in the table, by kind and state.",
        "# TYPE tidemill_jobs gauge",
        *(
            f'tidemill_jobs{{kind="{_label(kind)}",state="{state}"}} {count}'
            for (kind, state), count in sorted(depth.items())
        ),
        "# HELP tidemill_jobs_oldest_waiting_seconds How long the oldest job that could run has waited.",
        "# TYPE tidemill_jobs_oldest_waiting_seconds gauge",
        f"tidemill_jobs_oldest_waiting_seconds {job.oldest_waiting_s(connection):.3f}",
    ]
    return "\n".join(lines) + "\n"


def of_worker(slots: int, running: int, outcomes: dict[str, int]) -> str:
    """Slots, how many are busy, and how attempts went."""
    lines = [
        "# HELP tidemill_worker_slots Jobs that this worker runs at once.",
        "# TYPE tidemill_worker_slots gauge",
        f"tidemill_worker_slots {slots}",
        "# HELP tidemill_worker_running Jobs that run here now.",
        "# TYPE tidemill_worker_running gauge",
        f"tidemill_worker_running {running}",
        "# HELP tidemill_worker_attempts_total Attempts that ended here, by outcome.",
        "# TYPE tidemill_worker_attempts_total counter",
        *(
            f'tidemill_worker_attempts_total{{outcome="{outcome}"}} {count}'
            for outcome, count in sorted(outcomes.items())
        ),
    ]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
