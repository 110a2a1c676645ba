"""Doing a job right here, for a command whose caller waits: same work, same table, no worker needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection

from tidemill.home import Home
from tidemill.jobs.run import Bounds, Run, holder
from tidemill.log import Log
from tidemill.metadata import Metadata, job

LOOK_S = 0.2


def take(connection: Connection, job_id: str) -> job.Job | None:
    """Takes a job for this process, in the transaction that has entered it: no worker can be faster."""
    return job.claim(connection, holder(), lease_s=Bounds.of_environment().lease_s, job_id=job_id)


def finish(
    home: Home,
    metadata: Metadata,
    job_id: str,
    log: Log,
    seen: Callable[[job.Job], object] = lambda _: None,
    *,
    taken: job.Job | None = None,
    own: bool = False,
) -> job.Job:
    """The job once it has ended: it is run by this process, unless a worker was faster. `seen` gets it as it
    is, again and again, while another has it. `taken` is what `take` gave; with `own` files of the person who
    runs this process run as they do."""
    bounds = Bounds.of_environment()
    claimed = taken
    try:
        while True:
            if claimed is None:
                with metadata.write() as connection:
                    job.reap(connection)
                    claimed = job.claim(connection, holder(), lease_s=bounds.lease_s, job_id=job_id)
            if claimed is not None:
                Run(home, metadata, claimed, bounds, threading.Event(), log, own=own).run()
            with metadata.read() as connection:
                found = job.one(connection, job_id)
            assert found is not None  # noqa: S101 - it was entered by the caller
            seen(found)
            if found.ended is not None:
                return found
            if claimed is None:
                time.sleep(LOOK_S)
            claimed = None
    except KeyboardInterrupt:
        with metadata.write() as connection:
            found = job.ask_cancel(connection, job_id, actor="owner")
            if found is not None and found.holder == holder():
                job.died(connection, job_id, found.token, "interrupted")
        raise
