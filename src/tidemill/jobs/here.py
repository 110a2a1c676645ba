"""Doing a job right here, for a command whose caller waits: same work, same table, no worker needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tidemill.home import Home
from tidemill.jobs.run import Bounds, Run, holder
from tidemill.log import Log
from tidemill.metadata import Metadata, job

LOOK_S = 0.2


def finish(
    home: Home, metadata: Metadata, job_id: str, log: Log, seen: Callable[[job.Job], object] = lambda _: None
) -> job.Job:
    """The job once it has ended: it is run by this process, unless a worker was faster. `seen` gets it as it
    is, again and again, while another has it."""
    bounds = Bounds.of_environment()
    try:
        while True:
            with metadata.write() as connection:
                job.reap(connection)
                claimed = job.claim(connection, holder(), lease_s=bounds.lease_s, job_id=job_id)
            if claimed is not None:
                Run(home, metadata, claimed, bounds, threading.Event(), log).run()
            with metadata.read() as connection:
                found = job.one(connection, job_id)
            assert found is not None  # noqa: S101 - it was entered by the caller
            seen(found)
            if found.ended is not None:
                return found
            if claimed is None:
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        with metadata.write() as connection:
            found = job.ask_cancel(connection, job_id, actor="owner")
            if found is not None and found.holder == holder():
                job.died(connection, job_id, found.token, "interrupted")
        raise
