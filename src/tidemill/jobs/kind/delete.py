"""A dataset deleted from the lake, for good."""

from __future__ import annotations

from typing import Any, ClassVar

from tidemill import errors
from tidemill.jobs.detail import Detail, unfit
from tidemill.jobs.kind.api import Context, Kind

TABLES = ("trades", "quotes", "levels", "bars")


class Delete:
    """`dataset` (`BTC-USD.kraken:trades`), `confirm` (true where it was collected live). Result: `rows`."""

    summary: ClassVar[str] = "a dataset deleted"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        given = dict(detail)
        confirm = given.pop("confirm", False)
        asked = Detail(given)
        dataset = asked.text("dataset")
        asked.done()
        if not isinstance(confirm, bool):
            raise unfit("confirm", "it is true or false")
        if dataset is None or dataset.rpartition(":")[2] not in TABLES:
            raise unfit("dataset", f"it is INSTRUMENT:KIND, the kind one of {', '.join(TABLES)}")
        return {"dataset": dataset, "confirm": confirm}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.metadata import Metadata, catalogue, collector
        from tidemill.query import catalogue as joined
        from tidemill.stores.forget import forget
        from tidemill.stores.lake import Lake
        from tidemill.stores.live import LiveView
        from tidemill.stores.opening import is_lake
        from tidemill.stores.table import TABLES as STORED

        name = detail["dataset"]
        stored = {row["id"]: row for row in LiveView(context.home.path, follow=False).datasets()}
        metadata = Metadata.of(context.home)
        try:
            if name not in stored:
                if context.resumed is None:
                    raise errors.unknown("dataset", name, stored)
                return {"rows": context.resumed}  # the attempt before this one deleted it
            with metadata.read() as connection:
                collecting = {one.name for one in collector.every(connection, wanted=True)}
            joined.deletable(stored[name], collecting, confirm=detail["confirm"], lake_alone=is_lake())
            context.checkpoint(stored[name]["rows"])
            instrument, _, kind = name.rpartition(":")
            rows = forget(
                Lake.of(context.home.path),
                STORED[kind],
                instrument,
                told=lambda done, total: context.progress(done, total, "files", f"deleting {name}"),
            )
            with metadata.write() as connection:
                catalogue.forget(connection, name, actor="job", cause=context.job_id, rows=rows)
        finally:
            metadata.close()
        return {"rows": rows}


plugin: type[Kind] = Delete
