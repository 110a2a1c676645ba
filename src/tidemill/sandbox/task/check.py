"""Looks whether the strategy of the user's module looks ahead: what `research.lookahead.check` does, in here.

The request and its tables are those of the task `backtest`, without settings. The result is the report:
`bars`, `decisions`, `runs`, `warm_up` and `findings`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tidemill.sandbox import user
from tidemill.sandbox.task import Say
from tidemill.sandbox.task.backtest import history_of, strategy_of


def run(request: dict[str, Any], tables: dict[str, Any], say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
    from tidemill.research import lookahead

    made = strategy_of(user.load(request["source"], request["name"]))
    found = lookahead.check(lambda: made(**request["params"]), history_of(request, tables))
    return asdict(found), {}
