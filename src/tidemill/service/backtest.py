"""The shapes of backtests, in and out, and the store of runs as routes use it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tidemill.home import Home
from tidemill.service.schema import Answer, Text64, Time, Version, Word

if TYPE_CHECKING:
    from tidemill.research.store import Runs

Engine = Literal["fast", "nautilus"]
Moment = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
Number = Annotated[
    str, Field(min_length=1, max_length=40, pattern=r"^-?[0-9.]+$", description="decimal text")
]
Scalar = bool | int | float | Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Digest = Annotated[str, Field(description="SHA-256, hexadecimal")]


class BacktestCosts(Answer):
    """What trading costs; shares are decimal text, 0.001 is a thousandth of what was traded."""

    taker: Number = "0"
    maker: Number = "0"
    spread_bps: Number = "0"
    slippage_bps: Number = "0"
    slippage_ticks: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    leverage: Number = "1"


class BacktestAsk(Answer):
    """A strategy that the platform has, over stored bars; all that there are without `start` and `end`."""

    strategy: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
    version: Version | None = None
    instruments: Annotated[list[Word], Field(min_length=1, max_length=100)]
    interval: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[^\x00]*$")] = "1m"
    start: Moment | None = None
    end: Moment | None = None
    params: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=64)], Scalar], Field(max_length=100)
    ] = Field(default_factory=dict)
    engine: Engine = "fast"
    cash: Number = "100000"
    costs: BacktestCosts = Field(default_factory=BacktestCosts)
    limit_fill: Literal["touch", "through"] = "touch"
    as_recorded: Annotated[bool, Field(description="bars from when this platform had them")] = False
    stress: Annotated[bool, Field(description="with 0, 2 and 4 times the costs too, where cheap")] = True
    again: Annotated[bool, Field(description="run it even where a kept run has the same fingerprint")] = False

    def detail(self) -> dict[str, Any]:
        """As the job takes it."""
        return self.model_dump(exclude_none=True)


class BacktestLine(Answer):
    """A run, without its code. `summary` has `numbers` by name (docs/backtests.md), notes, cautions."""

    id: str
    created: Time
    state: Literal["done", "failed"]
    strategy: str
    instruments: list[str]
    interval: str
    start: Time | None
    end: Time | None
    engine: str
    params: dict[str, Any]
    settings: dict[str, Any]
    source_digest: Digest
    data_digest: Digest
    fingerprint: Digest
    outcome_digest: Digest | None
    version: str
    rows: Annotated[int, Field(description="bars that it ran over")]
    duration_s: float
    origin: Annotated[str, Field(description="python, cli, or job:<id>")]
    error: dict[str, Any] | None
    summary: dict[str, Any] | None
    stress: list[dict[str, Any]] | None


class Backtest(BacktestLine):
    """A run."""

    source: Annotated[str, Field(description="the strategy's code, as it was run")]
    log: str


class Backtests(Answer):
    items: list[BacktestLine]
    next: str | None
    total: Annotated[int | None, Field(description="runs that fit, of all pages; on the first page alone")]


class BacktestStart(Answer):
    """The job that runs it, or the kept `run` of the same fingerprint (then the status is 200)."""

    job_id: str | None
    state: Literal["queued", "running", "done", "failed", "cancelled", "poisoned"]
    run: BacktestLine | None


class BacktestTable(Answer):
    """Rows by columns: times are ns UTC as text, prices and sizes decimal text."""

    rows: Annotated[int, Field(description="that the whole table has")]
    columns: dict[str, list[Any]]
    next: str | None


class BacktestComparison(Answer):
    """Runs beside each other. `differences` has what is not the same in all, by name, a value for each run;
    `growth` the growth of 1 of each run at the times `ts`, null where it has not begun or is over."""

    items: list[BacktestLine]
    differences: dict[str, list[Any]]
    code: Annotated[
        list[str | None], Field(description="what is not as in the first one's code, a unified diff; or null")
    ]
    ts: list[Text64]
    growth: list[list[float | None]]


Quantiles = Annotated[list[float], Field(min_length=3, max_length=3, description="5, 50 and 95 %")]


class OtherPaths(Answer):
    """A thousand other paths of one kind: `days` drawn again in blocks, trades in another `order`, one trade
    in ten `missed`."""

    way: Literal["days", "order", "missed"]
    paths: int
    total_return: Quantiles
    cagr: Quantiles | None
    max_drawdown: Quantiles
    loss: Annotated[float, Field(description="share of the paths that end below where they began")]
    fall: Annotated[float, Field(description="share that falls deeper than `deeper`")]
    deeper: float


class BacktestRobustness(Answer):
    """How a run holds up. `low`, `middle` and `high` are the growth of 1 of the paths `days` by the quantiles
    5, 50 and 95 % at the times `ts`; `own` is that of the run."""

    ways: list[OtherPaths]
    ts: list[Text64]
    low: list[float]
    middle: list[float]
    high: list[float]
    own: list[float]


class Results:
    """The runs of a home, opened by the first who asks; call from worker threads."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._runs: Runs | None = None
        self._making = threading.Lock()

    def runs(self) -> Runs:
        """Raises `ConfigError` where their database cannot be used."""
        with self._making:
            if self._runs is None:
                from tidemill.research.store import Runs

                self._runs = Runs.of(self._home)
            return self._runs

    def close(self) -> None:
        with self._making:
            if self._runs is not None:
                self._runs.close()
                self._runs = None
