"""Where a study's trials are made: one strategy, and the histories that are open, mapped from files.

The same in a worker process for code of ours, and in a guest of the sandbox for all other.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tidemill.errors import TidemillError
from tidemill.research import perturbed, setting
from tidemill.research.backtest import Stage
from tidemill.research.daily import Daily
from tidemill.research.mapped import Mapped
from tidemill.research.trial import told

if TYPE_CHECKING:
    from tidemill.research.run import Outcome
    from tidemill.research.trial import Returns
    from tidemill.strategies.api import Strategy

ERROR_CHARS_MAX: Final = 500
TRADES: Final = ("instrument", "side", "opened", "closed", "net", "return", "bars", "fees")
"""Columns of the trades that are asked of the chosen trial."""


@dataclass(frozen=True)
class Tried:
    """What came of one item."""

    said: Mapping[str, Any]
    """`values` and `metrics`, or `error`; of a whole run also `digest`, `traded`, `fees`."""
    returns: Returns
    """Of each day, shape (days,)."""
    outcome: Outcome | None = None
    """Of a whole run."""


class Bench:
    """A strategy, its settings, and the stages that are open. An order has `settings` and `objectives`."""

    def __init__(self, strategy: type[Strategy], order: Mapping[str, Any]) -> None:
        self._strategy = strategy
        self._settings = setting.of_json(order["settings"])
        self._objectives = order["objectives"]
        self._stages: dict[str, tuple[Stage, Daily]] = {}

    def tried(self, stage: str, first: int | None, item: Mapping[str, Any]) -> Tried:
        """What came of `params` of the item on the mapped history in the folder `stage`; with `first` (ns)
        returns begin there. What the strategy raises is an answer, too."""
        try:
            return self._tried(stage, first, item)
        except TidemillError as error:
            said = f"{error.code}: {error.message}"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Tried({"error": said[:ERROR_CHARS_MAX]}, np.empty(0, np.float32))

    def _tried(self, folder: str, first: int | None, item: Mapping[str, Any]) -> Tried:
        stage, daily = self._stage(folder, first)
        settings = self._settings
        if "costs" in item:
            settings = replace(settings, costs=settings.costs.times(item["costs"]))
        if "noise" in item:
            stage = Stage(perturbed.history(stage.history, item["noise"]), settings)
        stage.settings = settings
        strategy = self._strategy(**item["params"])
        outcome, more = None, {}
        if item.get("whole"):
            outcome = stage.run(strategy)
            equity, fills = np.asarray(outcome.equity["equity"]), len(outcome.fills)
            more = _whole(outcome)
        else:
            curve = stage.curve(strategy)
            equity, fills = curve.equity, curve.fills
        # As they are kept, so that what is measured can be measured again.
        series = daily.returns(equity, float(settings.cash)).astype("<f4")
        return Tried({**told(series, daily.per_year, fills, self._objectives), **more}, series, outcome)

    def _stage(self, folder: str, first: int | None) -> tuple[Stage, Daily]:
        key = f"{folder} {first}"
        if key not in self._stages:
            while len(self._stages) > 1:
                del self._stages[next(iter(self._stages))]
            stage = Mapped(Path(folder), self._settings)
            self._stages[key] = stage, stage.daily(first)
        return self._stages[key]


def _whole(outcome: Outcome) -> dict[str, Any]:
    traded = sum(float(price * size) for price, size in zip(
        outcome.fills["price"].to_pylist(), outcome.fills["size"].to_pylist(), strict=True))  # fmt: skip
    return {
        "digest": outcome.digest, "traded": traded, "fees": float(sum(outcome.fills["fee"].to_pylist())),
    }  # fmt: skip
