"""Makes trials of the strategy of the user's module, as a study's own workers do (`research.bench`).

The request has `source`, `name`, `class` (or null), `settings`, `objectives`, `stage` (the folder in here of
a mapped history), `first` and `items`. The result is `{"answers": […]}`, one for each item with how many
`days` it has; the table `returns` has the returns of all of them, end to end, and `trades.0`, … those of each
whole run. With `corners` instead of `items` the result is `{"lookback": n}`: how many steps the strategy
looks back at most at any of these parameters on the instruments `names`; 0 where that is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill.sandbox import user
from tidemill.sandbox.task import Say
from tidemill.sandbox.task.backtest import strategy_of

if TYPE_CHECKING:
    from tidemill.research.bench import Bench

_benches: dict[str, Bench] = {}


def run(request: dict[str, Any], tables: dict[str, Any], say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np
    import pyarrow as pa

    from tidemill.research import lookback
    from tidemill.research.bench import TRADES, Bench

    made = strategy_of(user.load(request["source"], request["name"]), request["class"])
    if "corners" in request:
        return {"lookback": lookback.of(made, request["names"], request["corners"])}, {}
    key = repr((request["source"], request["name"], request["settings"], request["objectives"]))
    if (bench := _benches.get(key)) is None:
        bench = _benches[key] = Bench(made, request)
    tried = [bench.tried(request["stage"], request["first"], item) for item in request["items"]]
    answers = [{**one.said, "days": len(one.returns)} for one in tried]
    found = {"returns": pa.table({"returns": np.concatenate([one.returns for one in tried])})}
    for at, one in enumerate(tried):
        if one.outcome is not None:
            found[f"trades.{at}"] = one.outcome.trades.select(TRADES)
    return {"answers": answers}, found
