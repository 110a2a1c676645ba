"""What is asked of a backtest, as the command line, Python, jobs and REST ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

from tidemill import errors
from tidemill.errors import UsageError
from tidemill.model import time as times
from tidemill.model.interval import Interval
from tidemill.model.time import Time
from tidemill.research.run import Costs, Engine, Settings

INSTRUMENTS_MAX = 100


@dataclass(frozen=True)
class Request:
    """One backtest. Times are ns UTC; None is all that there is."""

    strategy: str
    instruments: tuple[str, ...]
    interval: str
    start: int | None = None
    end: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    stress: bool = True
    """Whether it is run with other costs too, where that is cheap: signals on the fast engine."""

    @classmethod
    def of(
        cls,
        strategy: str,
        instruments: str | Sequence[str],
        interval: str = "1m",
        *,
        start: Time | None = None,
        end: Time | None = None,
        params: Mapping[str, Any] | None = None,
        engine: str = "fast",
        cash: object = "100000",
        costs: Costs | Mapping[str, object] | None = None,
        limit_fill: str = "touch",
        as_recorded: bool = False,
        stress: bool = True,
    ) -> Request:
        """Raises `UsageError` for what makes no sense, `NotFoundError` for no engine of that name."""
        if engine not in get_args(Engine):
            raise errors.unknown("engine", str(engine)[:80], get_args(Engine))
        if limit_fill not in ("touch", "through"):
            raise UsageError("settings_invalid", f"limit_fill is touch or through, not {limit_fill!r}"[:200])
        names = (instruments,) if isinstance(instruments, str) else tuple(instruments)
        if not 0 < len(names) <= INSTRUMENTS_MAX or len(set(names)) != len(names):
            raise UsageError(
                "history_invalid", f"a backtest needs 1 to {INSTRUMENTS_MAX} instruments, each of them once"
            )
        Interval.parse(interval)
        low, high = times.span(start, end)
        settings = Settings(
            cash=_decimal("cash", cash), costs=costs_of(costs), limit_fill=limit_fill,  # type: ignore[arg-type]
            engine=engine, as_recorded=as_recorded,  # type: ignore[arg-type]
        )  # fmt: skip
        return cls(strategy, names, interval, low, high, dict(params or {}), settings, stress)


def costs_of(given: Costs | Mapping[str, object] | None) -> Costs:
    """Costs of an object with their names; values may be numbers or their text. None is none at all."""
    if given is None:
        return Costs()
    if isinstance(given, Costs):
        return given
    known = {one.name for one in fields(Costs)}
    for name in given:
        if name not in known:
            raise UsageError(
                "costs_invalid",
                f"no cost is named {str(name)[:60]!r}",
                hint="have: " + ", ".join(sorted(known)),
            )
    ticks = given.get("slippage_ticks", 0)
    if not isinstance(ticks, int) or isinstance(ticks, bool):
        raise UsageError("costs_invalid", f"slippage_ticks is a whole number, not {ticks!r}"[:200])
    texts = {name: _decimal(name, value) for name, value in given.items() if name != "slippage_ticks"}
    return Costs(slippage_ticks=ticks, **texts)


def _decimal(name: str, value: object) -> str:
    """Decimal text of a number; a float as it is printed."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise InvalidOperation
        found = Decimal(str(value)[:100])
        if not found.is_finite() or abs(found.adjusted()) > 60:
            raise InvalidOperation
    except InvalidOperation:
        raise UsageError(
            "costs_invalid", f"{name} is a number or decimal text, not {value!r}"[:200]
        ) from None
    return f"{found:f}"
