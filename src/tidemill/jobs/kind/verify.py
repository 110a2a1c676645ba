"""Proof that what is stored is whole: `tidemill data verify` as a job, one venue after the other."""

from __future__ import annotations

from typing import Any, ClassVar

from tidemill.jobs.detail import Detail
from tidemill.jobs.kind.api import Context, Kind


class Verify:
    """`what`, a venue or an instrument; everything when left out. Result: `clean` and a report per venue."""

    summary: ClassVar[str] = "proof that what is stored is whole"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        asked = Detail(detail)
        what = asked.text("what")
        asked.done()
        return {"what": what}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.stores import export, verify
        from tidemill.stores.live import LiveView

        view = LiveView(context.home.path, follow=False)
        asked: list[tuple[str, str | None]] = [(venue, None) for venue in view.venues()]
        if detail["what"]:
            asked = [export.meant(view, detail["what"])]
        reports: list[dict[str, Any]] = context.resumed or []
        for at, (venue, name) in enumerate(asked[len(reports) :], len(reports)):
            context.progress(at, len(asked), "venues", f"verifying {name or venue}")
            report = verify.verify(view.home, venue, name)
            reports = [*reports, {**report.as_dict(), "clean": report.clean}]
            context.log(f"{name or venue}: {'whole' if report.clean else 'not whole'}, {report.rows} rows")
            context.checkpoint(reports)
        context.progress(len(asked), len(asked), "venues", None)
        return {"clean": all(report["clean"] for report in reports), "venues": reports}


plugin: type[Kind] = Verify
