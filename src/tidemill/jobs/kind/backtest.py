"""A strategy over stored history, kept among the runs: `tidemill backtest run` as a job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tidemill.jobs.detail import Detail, unfit
from tidemill.jobs.kind.api import Context, Kind, Stopped

if TYPE_CHECKING:
    from tidemill.metadata import Metadata
    from tidemill.research.conduct import Subject
    from tidemill.research.request import Request


VERSION_MAX = 999_999_999


class Backtest:
    """`strategy`, `version` (of one of the database), `instruments`, `interval`, `start`, `end`, `params`,
    `engine`, `cash`, `costs`, `limit_fill`, `as_recorded`, `stress`, `again`; or `run`, a kept run that is to
    be run exactly once more.

    Result: `run`, its id; `new`, false where a kept run had the same fingerprint, unless `again`; and of a
    second run `same_data` and `same_outcome`. A strategy that does not come with this package runs in the
    sandbox.
    """

    summary: ClassVar[str] = "a strategy over stored history"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        asked = Detail(detail)
        if (run := asked.text("run", most=40)) is not None:
            asked.done()
            return {"run": run}
        found = {
            "strategy": asked.text("strategy", most=64),
            "version": asked.number("version", 0, 0, VERSION_MAX),
            "instruments": asked.words("instruments", []),
            "interval": asked.text("interval", "1m", most=16),
            "start": asked.text("start", most=64),
            "end": asked.text("end", most=64),
            "params": asked.values("params"),
            "engine": asked.text("engine", "fast", most=16),
            "cash": asked.text("cash", "100000", most=40),
            "costs": asked.values("costs"),
            "limit_fill": asked.text("limit_fill", "touch", most=16),
            "as_recorded": asked.flag("as_recorded"),
            "stress": asked.flag("stress", True),
            "again": asked.flag("again"),
        }
        asked.done()
        if found["strategy"] is None:
            raise unfit("strategy", "it must be named")
        _request(found)
        return found

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.metadata import Metadata
        from tidemill.research import conduct
        from tidemill.research.store import Runs
        from tidemill.stores.live import LiveView

        origin = f"job:{context.job_id}"
        with contextlib.ExitStack() as stack:
            view = LiveView(context.home.path, follow=False)
            stack.callback(view.close)
            metadata = Metadata.of(context.home)
            stack.callback(metadata.close)
            runs = stack.enter_context(Runs.of(context.home))
            if "run" in detail:
                row = runs.get(detail["run"])
                version = conduct.version_of(metadata, row.strategy, row.source_digest)
                found = _subject(context, metadata, row.strategy, row.params, version)
                context.progress(0, None, "rows", f"{row.strategy} again")
                second = conduct.again(view, row, found, runs, metadata, origin=origin)
                return {
                    "run": second.row.id, "new": True, "same_data": second.data,
                    "same_outcome": second.outcome,
                }  # fmt: skip
            asked = _request(detail)
            found = _subject(context, metadata, asked.strategy, asked.params, detail.get("version") or None)
            context.progress(0, None, "rows", "load history")
            ready = conduct.prepare(view, asked, found)
            kept = None if detail["again"] else runs.of_fingerprint(ready.fingerprint)
            if kept is not None:
                return {"run": kept.id, "new": False}
            context.log(f"{ready.history.rows:,} bars of {', '.join(asked.instruments)}")
            context.progress(0, ready.history.rows, "rows", asked.strategy)

            def told(done: int, total: int) -> None:
                context.progress(done, total, "rows", asked.strategy)
                if context.cancelled():
                    raise Stopped

            row = conduct.conduct(ready, runs, metadata, origin=origin, progress=told)
            return {"run": row.id, "new": True}


def _subject(
    context: Context, metadata: Metadata, name: str, params: Mapping[str, Any], version: int | None
) -> Subject:
    """Ours run in this process, all others in the sandbox: whoever asked may not be who wrote them."""
    from tidemill.research import conduct, guest
    from tidemill.strategies import library

    found = conduct.entry(context.home, metadata, name, version)
    if found.trusted:
        return conduct.subject(library.load(found)(**params), found.name, found.source)
    return guest.subject(found, params, context.cancelled)


def _request(detail: dict[str, Any]) -> Request:
    """Raises for whatever makes no sense before anything is loaded: names, costs, times."""
    from tidemill.research.request import Request

    return Request.of(
        detail["strategy"], detail["instruments"], detail["interval"], start=detail["start"],
        end=detail["end"], params=detail["params"], engine=detail["engine"], cash=detail["cash"],
        costs=detail["costs"], limit_fill=detail["limit_fill"], as_recorded=detail["as_recorded"],
        stress=detail["stress"],
    )  # fmt: skip


plugin: type[Kind] = Backtest
