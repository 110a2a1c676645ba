"""Data as a file: `tidemill data export` as a job, into `DIR/exports`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from tidemill.jobs.detail import Detail, unfit
from tidemill.jobs.kind.api import Context, Kind, Stopped
from tidemill.model import time as times
from tidemill.model.adjust import WORDS, named
from tidemill.model.interval import Interval

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("trades", "quotes", "levels", "bars", "gaps")
FORMATS = ("csv", "jsonl", "parquet", "arrow")


class Export:
    """`kind` of rows, `instrument` (or a venue), `start`, `end`, `format`; of bars `interval`, `adjusted` and
    `known`.

    Result: `file` below the home, `rows`, `bytes`. The job names the file: what was asked is in no path.
    """

    summary: ClassVar[str] = "stored data as a file"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        asked = Detail(detail)
        kind = asked.text("kind", choices=KINDS)
        instrument = asked.text("instrument")
        start, end = asked.text("start"), asked.text("end")
        interval = asked.text("interval", "1m")
        file_format = asked.text("format", "parquet", choices=FORMATS)
        adjusted, known = asked.text("adjusted", "raw", choices=WORDS), asked.text("known")
        asked.done()
        if kind is None or instrument is None:
            raise unfit("kind" if kind is None else "instrument", "it must be named")
        times.span(start, end)
        Interval.parse(str(interval))
        if known is not None:
            times.parse(known)
        return {
            "kind": kind, "instrument": instrument, "start": start, "end": end, "interval": interval,
            "format": file_format, "adjusted": adjusted, "known": known,
        }  # fmt: skip

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.stores import export
        from tidemill.stores.live import LiveView

        kind, file_format = detail["kind"], detail["format"]
        view = LiveView(context.home.path, follow=False)
        venue, name = export.meant(view, detail["instrument"])
        low, high = times.span(detail["start"], detail["end"])
        known = None if detail.get("known") is None else times.parse(detail["known"])
        way = named(detail.get("adjusted", "raw"))
        pieces = export.pieces(view, kind, venue, name, detail["interval"], low, high, way, known)
        folder = context.home.path / "exports"
        folder.mkdir(exist_ok=True, mode=0o700)
        target = folder / f"{context.job_id}.{file_format}"
        what = f"{kind} of {detail['instrument']}"
        rows = export.write(_told(context, pieces, what), kind, file_format, target)
        return {
            "file": str(target.relative_to(context.home.path)),
            "rows": rows,
            "bytes": target.stat().st_size,
        }


def _told(context: Context, pieces: Iterator[pa.Table], what: str) -> Iterator[pa.Table]:
    rows = 0
    for piece in pieces:
        rows += len(piece)
        context.progress(rows, None, "rows", what)
        if context.cancelled():
            raise Stopped  # what is written so far lies under a name of its own and goes
        yield piece


plugin: type[Kind] = Export
