"""What is asked of a backtest, as the command line, Python, jobs and REST ask it."""

from __future__ import annotations

import inspect
import pkgutil
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from tidemill import errors, strategies
from tidemill.errors import UsageError
from tidemill.model import time as times
from tidemill.model.interval import Interval
from tidemill.model.time import Time
from tidemill.research.run import Costs, Engine, Settings
from tidemill.strategies.api import Strategy

INSTRUMENTS_MAX = 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


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
    """Costs of an object with their names; numbers may be text. None is none at all."""
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


def settings_of(kept: Mapping[str, Any]) -> Settings:
    """Settings as a kept run has them."""
    return Settings(**{**kept, "costs": Costs(**kept["costs"])})


def settings_json(settings: Settings) -> dict[str, Any]:
    """Settings as they are kept."""
    return asdict(settings)


def _decimal(name: str, value: object) -> str:
    """Decimal text of a number; a float as it is printed."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) and not hasattr(value, "as_tuple"):
        raise UsageError("costs_invalid", f"{name} is a number or decimal text, not {value!r}"[:200])
    from decimal import Decimal, InvalidOperation

    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise UsageError("costs_invalid", f"{name} is a number or decimal text, not {value!r}"[:200])
    return f"{found:f}" if abs(found.adjusted()) < 60 else str(found)


# The strategy's class.


def names() -> list[str]:
    """The strategies that come with Tidemill."""
    return [name for name in _modules() if _plugin(name) is not None]


def found(name: str) -> type[Strategy]:
    """The class of that name. Raises `NotFoundError` `strategy_unknown` naming the nearest."""
    made = _plugin(name) if _NAME.fullmatch(name) and name in _modules() else None
    if made is None:
        raise errors.unknown("strategy", name[:80], names())
    return made


def _modules() -> list[str]:
    return sorted(one.name for one in pkgutil.iter_modules(strategies.__path__))


def _plugin(name: str) -> type[Strategy] | None:
    made = getattr(import_module(f"tidemill.strategies.{name}"), "plugin", None)
    return made if isinstance(made, type) and issubclass(made, Strategy) else None


def source_of(made: type[Strategy]) -> str:
    """The code of a strategy: the file that it is in, or the class alone where it was typed into a notebook
    or a shell. What nobody wrote down is equal to nothing else."""
    try:
        module = inspect.getmodule(made)
        file = getattr(module, "__file__", None)
        if file is not None and module is not None and module.__name__ != "__main__":
            return Path(file).read_text()
        return inspect.getsource(made)
    except (OSError, TypeError, UnicodeDecodeError):
        return f"# {made.__qualname__}: its code is not known ({secrets.token_hex(8)})\n"
