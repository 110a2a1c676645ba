"""Runs the strategy of the user's module over history: what `research.backtest.run` does, in here.

The request has `source`, `name`, `params`, `settings` (as `research.setting.json`), `interval` and `terms` (a
list of the instruments' terms, in order); the tables `0`, `1`, … have their bars by the columns of
`research.history.COLUMNS`. The result is `{"cash": text, "positions": {name: text}, "params": {…}}`, the
tables are orders, fills, equity and trades as `research.run` has them.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from tidemill import errors
from tidemill.sandbox import user
from tidemill.sandbox.task import Say

if TYPE_CHECKING:
    from tidemill.research.history import History
    from tidemill.strategies.api import Strategy


def run(request: dict[str, Any], tables: dict[str, Any], say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
    from tidemill.research import backtest, setting

    made = strategy_of(user.load(request["source"], request.get("name") or user.FILE))
    strategy = made(**request["params"])
    outcome = backtest.run(
        strategy,
        history_of(request, tables),
        setting.of_json(request["settings"]),
        progress=lambda done, total: say({"done": done, "total": total}),
    )
    result = {
        "cash": f"{outcome.cash:f}",
        "positions": {name: f"{size:f}" for name, size in outcome.positions.items()},
        "params": strategy.params,
    }
    names = ("orders", "fills", "equity", "trades")
    return result, {name: getattr(outcome, name) for name in names}


def history_of(request: dict[str, Any], tables: dict[str, Any]) -> History:
    """The history that `interval`, `terms` and the tables are."""
    import numpy as np

    from tidemill.research.history import COLUMNS, History, Terms, Track

    tracks = {}
    for number, told in enumerate(request["terms"]):
        table, terms = tables[str(number)], Terms(**told)
        columns = {name: np.ascontiguousarray(table[name].to_numpy()) for name in COLUMNS}
        tracks[terms.name] = Track(terms, **columns)
    return History(request["interval"], tracks)


def strategy_of(module: ModuleType, wanted: str | None = None) -> type[Strategy]:
    """The strategy of the user's module: `wanted` where one is named, else its `plugin` or only one."""
    from tidemill.strategies.api import Strategy

    named: Any = getattr(module, wanted or "plugin", None)
    found = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Strategy) and one.__module__ == module.__name__
    ]
    if named is None and wanted is None and len(found) == 1:
        named = found[0]
    if not (isinstance(named, type) and issubclass(named, Strategy)):
        raise errors.UsageError(
            "strategy_invalid",
            f"{module.__file__} has {len(found)} strategies, and `{wanted or 'plugin'}` names none of them",
            hint="end it with `plugin: type[Strategy] = YourClass`",
        )
    return named
