"""The whole answer to one SELECT as a file below `DIR/exports`, where it is too large for an answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tidemill.jobs.detail import Detail, unfit
from tidemill.jobs.kind.api import Context, Kind, Stopped

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.query.session import Result, Session

FORMATS = ("parquet", "csv", "jsonl", "arrow")
SQL_CHARS_MAX = 100_000
LOOK_S = 0.2


class Query:
    """`sql`, `format`, `timeout_s` (an hour). Result: `file` below the home, `rows`, `bytes`."""

    summary: ClassVar[str] = "the answer to a query as a file"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        asked = Detail(detail)
        sql = asked.text("sql", most=SQL_CHARS_MAX)
        form = asked.text("format", "parquet", choices=FORMATS)
        timeout_s = asked.number("timeout_s", 3600, 1, 86_400)
        asked.done()
        if sql is None:
            raise unfit("sql", "it must be there")
        return {"sql": sql, "format": form, "timeout_s": timeout_s}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.query.limit import Limits
        from tidemill.query.session import PlacesError, Session

        limits = replace(Limits.of_environment(), timeout_s=float(detail["timeout_s"]))
        session = Session(context.home.path, limits)
        ended = threading.Event()
        threading.Thread(target=_watch, args=(context, session, ended), daemon=True).start()
        try:
            try:
                return self._written(context, detail, session, wide=False)
            except PlacesError:
                return self._written(context, detail, session, wide=True)
        except Exception:
            if context.cancelled():
                raise Stopped from None  # it was interrupted because of that
            raise
        finally:
            ended.set()

    def _written(
        self, context: Context, detail: dict[str, Any], session: Session, *, wide: bool
    ) -> dict[str, Any]:
        from tidemill.stores import export

        form = detail["format"]
        folder = context.home.path / "exports"
        folder.mkdir(exist_ok=True, mode=0o700)
        target = folder / f"{context.job_id}.{form}"
        with session.run(detail["sql"], None, wide=wide) as result:
            rows = export.write(_pieces(context, result, form), "query", form, target)
        return {
            "file": str(target.relative_to(context.home.path)),
            "rows": rows,
            "bytes": target.stat().st_size,
        }


def _pieces(context: Context, result: Result, form: str) -> Iterator[pa.Table]:
    import pyarrow as pa

    from tidemill.query import encode

    def shaped(table: pa.Table) -> pa.Table:
        if form in ("csv", "jsonl"):
            return encode.lines(table, "iso")
        return encode.flat(encode.zoned(table)) if form == "parquet" else encode.zoned(table)

    rows = 0
    yield shaped(pa.Table.from_batches([], result.schema))
    for batch in result.batches:
        rows += batch.num_rows
        context.progress(rows, None, "rows", "query")
        if context.cancelled():
            raise Stopped  # what is written so far lies under a name of its own and goes
        yield shaped(pa.Table.from_batches([batch], result.schema))


def _watch(context: Context, session: Session, ended: threading.Event) -> None:
    """Interrupts a query that works on its first row when the job is cancelled."""
    while not ended.wait(LOOK_S):
        if context.cancelled():
            session.interrupt()
            return


plugin: type[Kind] = Query
