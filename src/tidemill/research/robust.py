"""How a run holds up: the other paths that its days and trades could have taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from tidemill.errors import UsageError
from tidemill.research import chance, returns
from tidemill.research.chance import Chances
from tidemill.research.returns import Floats

Way = Literal["days", "order", "missed"]
WORDS: Final[Mapping[Way, str]] = {
    "days": "Days in blocks, drawn again",
    "order": "Trades in another order",
    "missed": "One trade in ten missed",
}
TRADES_DRAWN: Final = 20_000
"""With more of them other orders of the trades are not drawn: they all look the same."""


def of(tables: Mapping[str, pa.Table], per_year: int) -> tuple[list[tuple[Way, Chances]], dict[str, Any]]:
    """The chances of each way, and where the paths of drawn days are on their way as JSON: times `ts`, growth
    of 1 `low`, `middle` and `high` of them, and the run's `own`. Without paths all of it is empty."""
    days = tables["days"]
    equity = np.asarray(days["equity"].to_numpy(), np.float64)
    ours = returns.of_equity(equity)
    found = chances(ours, tables, per_year)
    names = ("ts", "low", "middle", "high", "own")
    if not found:
        return found, {name: [] for name in names}
    at, growth = chance.fan(ours)
    lists = (
        [str(ts) for ts in days["end"].to_numpy()[at].tolist()], *growth.tolist(),
        (equity[at] / equity[0]).tolist(),
    )  # fmt: skip
    return found, dict(zip(names, lists, strict=True))


def chances(ours: Floats, tables: Mapping[str, pa.Table], per_year: int) -> list[tuple[Way, Chances]]:
    """Of each way that there is enough of; `ours` are the returns of the run's days, `tables` its own."""
    found: list[tuple[Way, Chances]] = []
    try:
        found.append(("days", chance.bootstrap(ours, per_year)))
    except UsageError:
        return []
    gained = _gained(tables)
    if 2 <= len(gained) <= TRADES_DRAWN:
        found.append(("order", chance.shuffle(gained)))
        found.append(("missed", chance.skip(gained)))
    return found


def _gained(tables: Mapping[str, pa.Table]) -> Floats:
    """What each closed trade brought, by what there was when it opened."""
    trades, equity = tables["trades"], tables["equity"]
    closed = trades.filter(pa.compute.is_valid(trades["closed"]))
    if not len(closed) or not len(equity):
        return np.empty(0)
    at = np.searchsorted(equity["ts"].to_numpy(), closed["opened"].to_numpy(), side="right") - 1
    there = equity["equity"].to_numpy()[np.maximum(at, 0)]
    good = there > 0
    return np.asarray(np.maximum(closed["net"].to_numpy()[good] / there[good], -1.0))
