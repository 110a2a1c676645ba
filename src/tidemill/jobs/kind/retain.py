"""Old days of datasets that are not kept for ever, deleted."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from tidemill.jobs.detail import Detail
from tidemill.jobs.kind.api import Context, Kind


class Retain:
    """Takes nothing. Result: how many rows of each dataset went, `rows`."""

    summary: ClassVar[str] = "days beyond a dataset's retention deleted"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        Detail(detail).done()
        return {}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.metadata import Metadata, catalogue
        from tidemill.model.interval import DAY
        from tidemill.stores.forget import forget
        from tidemill.stores.lake import Lake
        from tidemill.stores.table import TABLES

        metadata = Metadata.of(context.home)
        with metadata.read() as connection:
            kept = catalogue.kept_for(catalogue.every(connection).values())
        metadata.close()
        lake = Lake.of(context.home.path)
        gone: dict[str, int] = {}
        for at, (dataset, days) in enumerate(sorted(kept.items())):
            context.progress(at, len(kept), "datasets", f"old days of {dataset}")
            if context.cancelled():
                break
            instrument, _, kind = dataset.rpartition(":")
            # Whole days alone: a day of which half is gone looks like one with a hole.
            before = (time.time_ns() // DAY - days) * DAY
            if kind in TABLES and (rows := forget(lake, TABLES[kind], instrument, before)):
                gone[dataset] = rows
                context.log(f"{dataset}: {rows} rows older than {days} days deleted")
        return {"rows": gone}


plugin: type[Kind] = Retain
