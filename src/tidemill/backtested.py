"""What `td.backtest(…)` asks: of a home, where it runs in this process, or of a platform behind a URL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.home import Home
from tidemill.model.time import Time
from tidemill.run import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.metadata import Metadata
    from tidemill.remote import Remote
    from tidemill.research.conduct import Again, Subject
    from tidemill.research.request import Request
    from tidemill.research.run import Costs
    from tidemill.research.store import Row, Runs
    from tidemill.stores.live import LiveView
    from tidemill.strategies.api import Strategy

LOOK_S = 0.25
"""Between two looks at a job that is waited for."""


class Here:
    """The runs of a home on this disk, for whoever sits at it: their own code runs as they do."""

    def __init__(self, home: Path, view: Callable[[], LiveView], origin: str = "python") -> None:
        self._home = Home(home)
        self._view = view
        self._origin = origin

    def run(
        self,
        strategy: str | type[Strategy] | Strategy,
        asked: Request,
        progress: Callable[[int, int], None] | None = None,
    ) -> Run:
        """Runs it, and keeps it. A strategy by name is one of ours, of the person's folder or stored, or a
        file that ends in `.py`."""
        from tidemill.research import conduct

        with self._opened() as (runs, metadata):
            found = self._subject(strategy, asked.params, metadata)
            ready = conduct.prepare(self._view(), asked, found)
            row = conduct.conduct(ready, runs, metadata, origin=self._origin, progress=progress)
        return Run(row, self, None if isinstance(strategy, str) else found)

    def get(self, name: str) -> Run:
        """A run that is kept, by its id or the beginning of one."""
        with self._runs() as runs:
            return Run(runs.get(name), self)

    def table(self, run: str, name: str) -> pa.Table:
        with self._runs() as runs:
            return runs.table(run, name)

    def report(self, row: Row) -> str:
        from tidemill.research import report
        from tidemill.research.store import SCHEMAS

        with self._runs() as runs:
            return report.html(row, {name: runs.table(row.id, name) for name in SCHEMAS})

    def again(self, row: Row, found: Subject | None) -> Again:
        from tidemill.research import conduct

        with self._opened() as (runs, metadata):
            mine = found if found is not None else self._subject(row.strategy, row.params, metadata)
            return conduct.again(self._view(), row, mine, runs, metadata, origin=self._origin)

    def _subject(
        self, strategy: str | type[Strategy] | Strategy, params: Mapping[str, Any], metadata: Metadata
    ) -> Subject:
        from tidemill.errors import UsageError
        from tidemill.research import conduct
        from tidemill.strategies import library

        if isinstance(strategy, str):
            if strategy.endswith(".py"):
                found = library.file(Path(strategy))
            else:
                found = conduct.entry(self._home, metadata, strategy)
            if found.origin == "database":
                from tidemill.research import guest

                return guest.subject(found, params)
            return conduct.subject(library.load(found)(**params), found.name, found.source)
        if isinstance(strategy, type):
            return conduct.subject(strategy(**params))
        if params:
            raise UsageError(
                "parameter_unknown",
                f"{type(strategy).__name__} has its parameters already: {', '.join(params)} cannot be given"[
                    :300
                ],
                hint="pass the class with the parameters, or make the strategy with them",
            )
        return conduct.subject(strategy)

    @contextlib.contextmanager
    def _runs(self) -> Iterator[Runs]:
        from tidemill.research.store import Runs

        with Runs.of(self._home) as runs:
            yield runs

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Runs, Metadata]]:
        from tidemill.metadata import Metadata

        metadata = Metadata.of(self._home)
        try:
            with self._runs() as runs:
                yield runs, metadata
        finally:
            metadata.close()


class There:
    """The runs of a platform behind a URL: a job there runs them."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def run(self, asked: Request, *, quiet: bool) -> Run:
        """The run, once it is kept."""
        from dataclasses import asdict

        settings = asdict(asked.settings)
        body = {
            "strategy": asked.strategy, "instruments": list(asked.instruments), "interval": asked.interval,
            "params": dict(asked.params), "stress": asked.stress, **settings,
            **{
                name: str(value)
                for name, value in (("start", asked.start), ("end", asked.end))
                if value is not None
            },
        }  # fmt: skip
        said = self._remote._ask("POST", "/backtests", json=body)
        if said["run"] is not None:
            return self.get(said["run"]["id"])
        return self.get(self._ended(said["job_id"], quiet)["run"])

    def get(self, name: str) -> Run:
        """A run that is kept there."""
        from urllib.parse import quote

        return Run(_row(self._remote._get(f"/backtests/{quote(name, safe='')}")), self)

    def table(self, run: str, name: str) -> pa.Table:
        import pyarrow as pa

        from tidemill.research.store import SCHEMAS

        # Of equity the pictures' points alone come that way: the report has all of every table.
        path = f"/backtests/{run}/report"
        answer = self._remote._send("GET", path, params={"format": "parquet"})
        if answer.status_code >= 400:
            self._remote._said(path, answer)
        import io
        import zipfile

        import pyarrow.parquet as pq

        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            found: pa.Table = pq.read_table(pa.BufferReader(archive.read(f"{name}.parquet")))
        return found.cast(SCHEMAS[name])

    def report(self, row: Row) -> str:
        path = f"/backtests/{row.id}/report"
        answer = self._remote._send("GET", path)
        if answer.status_code >= 400:
            self._remote._said(path, answer)
        return answer.text

    def again(self, row: Row, found: Subject | None) -> Again:
        from tidemill.research.conduct import Again

        said = self._remote._ask("POST", f"/backtests/{row.id}/again")
        result = self._ended(said["job_id"], True)
        second = self.get(result["run"])
        return Again(second.row, result["same_data"], result["same_outcome"])

    def _ended(self, job_id: str, quiet: bool) -> Mapping[str, Any]:
        """The result of a job. Raises what ended it."""
        import time

        from tidemill import errors

        with telling(quiet) as told:
            while True:
                job = self._remote._get(f"/jobs/{job_id}")
                if job["ended"] is not None:
                    break
                if job["done"] is not None and job["total"]:
                    told(job["done"], job["total"])
                time.sleep(LOOK_S)
        if job["error"]:
            raise errors.from_dict(job["error"])
        if job["state"] != "done":
            raise errors.CancelledError("job_cancelled", f"the backtest {job_id} is {job['state']}")
        found: Mapping[str, Any] = job["result"]
        return found


def _row(said: Mapping[str, Any]) -> Row:
    from dataclasses import fields

    from tidemill.research.store import Row

    values = {one.name: said[one.name] for one in fields(Row)}
    for name in ("created", "start", "end"):
        values[name] = None if values[name] is None else int(values[name])
    return Row(**{**values, "instruments": tuple(said["instruments"])})


@contextlib.contextmanager
def telling(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Tells on stderr how far it is, of what takes longer than a second: in place on a terminal, elsewhere
    each new tenth in a line."""
    import sys
    import time

    terminal, began, last = sys.stderr.isatty(), time.monotonic(), [-1]

    def told(done: int, total: int) -> None:
        tenth = int(10 * done / total) if total else 0
        if quiet or time.monotonic() - began < 1.0 or (tenth == last[0] and not terminal):
            return
        last[0] = tenth
        text = f"backtest {100 * done / total:.0f} %" if total else "backtest"
        sys.stderr.write(f"\r\x1b[K{text}" if terminal else f"{text}\n")
        sys.stderr.flush()

    try:
        yield told
    finally:
        if terminal and last[0] >= 0:
            sys.stderr.write("\n")


def asked(
    strategy: str | type[Strategy] | Strategy,
    instruments: Iterable[str],
    interval: str,
    *,
    start: Time | None,
    end: Time | None,
    engine: str,
    cash: object,
    costs: Costs | Mapping[str, object] | None,
    limit_fill: str,
    as_recorded: bool,
    stress: bool,
    params: Mapping[str, Any],
) -> Request:
    """The call as a request."""
    from tidemill.research.request import Request

    name = strategy if isinstance(strategy, str) else strategy.name()
    return Request.of(
        name, list(instruments), interval, start=start, end=end, params=params, engine=engine, cash=cash,
        costs=costs, limit_fill=limit_fill, as_recorded=as_recorded, stress=stress,
    )  # fmt: skip
