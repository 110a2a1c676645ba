"""What a study is to do, whole: two studies of one plan on the same history make the same trials."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tidemill.errors import UsageError, nearest
from tidemill.model import time as times
from tidemill.model.interval import Interval
from tidemill.research import ledger, sampler, setting, source, space
from tidemill.research.run import Settings
from tidemill.research.sampler import Sampler
from tidemill.research.trial import OBJECTIVES
from tidemill.strategies.api import Strategy

TRIALS_MAX: Final = 1_000_000
SEED_MAX: Final = 2**31 - 1
TRIALS_DEFAULT: Final = 100
FIELDS: Final = (
    "strategy", "instruments", "interval", "start", "end", "params", "sampler", "trials", "seed", "batch",
    "objective", "settings", "walk_forward", "anchored",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """All that determines its trials."""

    strategy: str
    """A reference, as `source.find` takes it."""
    family: str
    """The strategy's name: what the ledger counts under."""
    instruments: tuple[str, ...]
    interval: str
    start: int | None
    end: int
    """Bars that start from `start` until before `end` (ns)."""
    space: space.Space
    sampler: str = "grid"
    trials: int | None = None
    """None: the whole grid."""
    seed: int = 0
    batch: int = 4096
    """Trials that are asked for at a time."""
    objectives: tuple[str, ...] = ("sharpe",)
    settings: Settings = field(default_factory=Settings)
    walk_forward: int = 0
    """Folds; 0 for none."""
    anchored: bool = False

    @property
    def dataset(self) -> str:
        """Its name in the ledger."""
        return ledger.dataset(self.instruments, self.interval)

    def sampled(self) -> Sampler:
        """A new sampler, which has asked for nothing yet."""
        return sampler.of(self.sampler, self.space, self.trials, self.seed, self.batch, len(self.objectives))

    def json(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in (
                "strategy", "family", "interval", "start", "end", "sampler", "trials", "seed", "batch",
                "walk_forward", "anchored",
            )},
            "instruments": list(self.instruments), "objectives": list(self.objectives),
            "space": self.space.json(), "settings": setting.json(self.settings),
        }  # fmt: skip

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Plan:
        return cls(
            **{
                **given,
                "instruments": tuple(given["instruments"]), "objectives": tuple(given["objectives"]),
                "space": space.Space.of_json(given["space"]), "settings": setting.of_json(given["settings"]),
            }
        )  # fmt: skip


def of(
    asked: Mapping[str, Any], *, strategy: type[Strategy] | None = None, code: source.Code | None = None
) -> Plan:
    """The plan of what people ask (`FIELDS`), checked. Its strategy is `strategy` or `code`, where one of
    them is given; else a reference of code that may run here.

    Raises `UsageError`: `study_invalid`, `space_invalid`, `parameter_unknown`, `settings_invalid`, …; and
    `NotFoundError` `strategy_unknown`."""
    for name in asked:
        if name not in FIELDS:
            raise _unfit(f"{str(name)[:60]!r} is not known here; have: {', '.join(FIELDS)}")
    if code is None and strategy is not None:
        code = source.of(strategy)
    if code is None:
        named = asked.get("strategy")
        if not isinstance(named, str) or not 0 < len(named) <= 1000:
            raise _unfit("strategy is missing")
        named = source.reference(named)
        code = source.of(source.load(named), named)
    chosen = _word(asked, "sampler", "grid", sampler.NAMES)
    objectives = _objectives(asked.get("objective") or "sharpe", chosen)
    ranges = asked.get("params") or {}
    if not isinstance(ranges, Mapping) or len(ranges) > 100:
        raise _unfit("params is an object of ranges by parameter")
    trials = _number(asked, "trials", None, 1, TRIALS_MAX)
    if trials is None and chosen != "grid":
        trials = TRIALS_DEFAULT
    start, end = times.span(asked.get("start"), asked.get("end"))
    interval = str(asked.get("interval") or "1h")
    Interval.parse(interval)
    settings = asked.get("settings") or {}
    if not isinstance(settings, (Mapping, Settings)):
        raise _unfit("settings is an object")
    anchored = asked.get("anchored") or False
    if not isinstance(anchored, bool):
        raise _unfit("anchored is true or false")
    found = Plan(
        strategy=code.reference,
        family=code.name,
        instruments=tuple(_instruments(asked.get("instruments"))),
        interval=interval,
        start=start,
        end=time.time_ns() if end is None else end,
        space=space.of(code.kind, ranges, code.defaults),
        sampler=chosen,
        trials=trials,
        seed=_number(asked, "seed", 0, 0, SEED_MAX) or 0,
        batch=_number(asked, "batch", sampler.BATCHES[chosen], 1, 100_000) or 1,
        objectives=objectives,
        settings=settings if isinstance(settings, Settings) else setting.of_json(settings),
        walk_forward=_number(asked, "walk_forward", 0, 0, 50) or 0,
        anchored=anchored,
    )
    if found.settings.engine != "fast":
        raise _unfit("a study runs in the compiled engine", "run its best through another one afterwards")
    if found.trials is None and found.space.size > TRIALS_MAX:
        raise _unfit(f"the grid has {found.space.size:,} points", "give coarser ranges, or --trials")
    return found


def _objectives(wanted: Any, chosen: str) -> tuple[str, ...]:
    names = wanted.split(",") if isinstance(wanted, str) else wanted
    if not isinstance(names, Sequence) or not 0 < len(names) <= len(OBJECTIVES):
        raise _unfit(f"objective is one of {', '.join(OBJECTIVES)}, or a list of them")
    for name in names:
        if name not in OBJECTIVES:
            hint = ", ".join(nearest(str(name)[:60], OBJECTIVES)) or ", ".join(OBJECTIVES)
            raise _unfit(f"no objective is named {str(name)[:60]!r}", hint)
    if len(set(names)) != len(names):
        raise _unfit("an objective is named twice")
    if len(names) > 1 and chosen in ("tpe", "cmaes"):
        raise _unfit(f"{chosen} has one objective", "nsga2, random and grid take several")
    return tuple(names)


def _instruments(given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else given
    good = isinstance(names, Sequence) and 0 < len(names) <= 100
    if not good or not all(isinstance(one, str) and 0 < len(one) <= 200 for one in names):
        raise _unfit("instruments is a list of names, as BTC-USD.kraken")
    if len(set(names)) != len(names):
        raise _unfit("an instrument is named twice")
    return list(names)


def _word(asked: Mapping[str, Any], name: str, default: str, choices: Sequence[str]) -> str:
    value = asked.get(name) or default
    if value not in choices:
        raise _unfit(f"{name} {str(value)[:60]!r} is none of {', '.join(choices)}")
    return str(value)


def _number(asked: Mapping[str, Any], name: str, default: int | None, low: int, high: int) -> int | None:
    value = asked.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _unfit(f"{name} is {value!r:.60}, no whole number from {low} to {high:,}")
    return value


def _unfit(what: str, hint: str = "docs/studies.md says what a study takes") -> UsageError:
    return UsageError("study_invalid", what, hint=hint)
