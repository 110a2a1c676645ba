"""What `td.backtest(…)` asks of a home: it runs here, in this process, and is kept in the home."""

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
    from tidemill.research.conduct import Again, Subject
    from tidemill.research.request import Request
    from tidemill.research.run import Costs
    from tidemill.research.store import Row, Runs
    from tidemill.stores.live import LiveView
    from tidemill.strategies.api import Strategy


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
