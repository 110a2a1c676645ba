"""What `td.backtest(…)` asks of a home: it runs here, in this process, and is kept in the home."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.home import Home
from tidemill.model.time import Time
from tidemill.run import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.research.conduct import Again
    from tidemill.research.request import Request
    from tidemill.research.run import Costs
    from tidemill.research.store import Row
    from tidemill.stores.live import LiveView
    from tidemill.strategies.api import Strategy


class Here:
    """The runs of a home on this disk."""

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
        """Runs it, and keeps it."""
        from tidemill.research import conduct
        from tidemill.research.store import Runs

        made = of(strategy, asked.params)
        ready = conduct.prepare(self._view(), asked, made)
        with Runs.of(self._home) as runs:
            row = conduct.conduct(ready, runs, origin=self._origin, progress=progress)
        return Run(row, self, made)

    def get(self, name: str) -> Run:
        """A run that is kept, by its id or the beginning of one."""
        from tidemill.research.store import Runs

        with Runs.of(self._home) as runs:
            return Run(runs.get(name), self)

    def table(self, run: str, name: str) -> pa.Table:
        from tidemill.research.store import Runs

        with Runs.of(self._home) as runs:
            return runs.table(run, name)

    def report(self, row: Row) -> str:
        from tidemill.research import report
        from tidemill.research.store import SCHEMAS, Runs

        with Runs.of(self._home) as runs:
            return report.html(row, {name: runs.table(row.id, name) for name in SCHEMAS})

    def again(self, row: Row, strategy: Strategy | None) -> Again:
        from tidemill.research import conduct
        from tidemill.research.store import Runs

        with Runs.of(self._home) as runs:
            return conduct.again(self._view(), row, runs, origin=self._origin, strategy=strategy)


def of(strategy: str | type[Strategy] | Strategy, params: Mapping[str, Any]) -> Strategy:
    """The strategy itself. Parameters go with a name or a class, not with one that was made."""
    from tidemill.errors import UsageError
    from tidemill.research import request

    if isinstance(strategy, str):
        return request.found(strategy)(**params)
    if isinstance(strategy, type):
        return strategy(**params)
    if params:
        raise UsageError(
            "parameter_unknown",
            f"{type(strategy).__name__} has its parameters already: {', '.join(params)} cannot be given"[
                :300
            ],
            hint="pass the class with the parameters, or make the strategy with them",
        )
    return strategy


def asked(
    strategy: str | type[Strategy] | Strategy,
    instruments: str | Iterable[str],
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
        name, instruments if isinstance(instruments, str) else list(instruments), interval, start=start,
        end=end, params=params, engine=engine, cash=cash, costs=costs, limit_fill=limit_fill,
        as_recorded=as_recorded, stress=stress,
    )  # fmt: skip
