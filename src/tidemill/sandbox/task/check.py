"""Looks whether the strategy of the user's module looks ahead: what `research.lookahead.check` does, in here.

The request has `source`, `name`, `params`, `bars`, and of given history `interval` and `terms` with tables as
the task `backtest` has them; without, it is run on so many made-up bars of as many instruments as it wants,
three at most. The result is the report by the names of its fields, with `instruments`; where the code itself
fails it is `{"failed": …}` with the lines that led there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill import errors
from tidemill.sandbox import user
from tidemill.sandbox.task import Say
from tidemill.sandbox.task.backtest import history_of, strategy_of

if TYPE_CHECKING:
    from tidemill.research.lookahead import Report
    from tidemill.strategies.api import Strategy


def run(request: dict[str, Any], tables: dict[str, Any], say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        made = strategy_of(user.load(request["source"], request["name"]))
        names, report = _checked(made, request, tables)
    except MemoryError:
        raise
    except Exception as error:
        # What `lookahead` wraps is told by its cause, which has the lines.
        cause = error.__cause__ if isinstance(error, errors.TidemillError) and error.__cause__ else error
        return {"failed": user.told(cause)}, {}
    found = [
        {"way": one.way, "ts": str(one.ts), "instrument": one.instrument, "whole": one.whole[:300],
         "other": one.other[:300]}
        for one in report.findings
    ]  # fmt: skip
    return {
        "instruments": names,
        "bars": report.bars,
        "decisions": report.decisions,
        "runs": report.runs,
        "warm_up": report.warm_up,
        "findings": found,
    }, {}


def _checked(
    made: type[Strategy], request: dict[str, Any], tables: dict[str, Any]
) -> tuple[list[str], Report]:
    from tidemill.research import lookahead

    params = request["params"]
    if tables:
        history = history_of(request, tables)
        return list(history.tracks), lookahead.check(lambda: made(**params), history)
    # Whether it wants one instrument or several, only it knows.
    refused: errors.UsageError | None = None
    for count in (1, 2, 3):
        names = [f"MADE-{letter}.up" for letter in "ABC"[:count]]
        try:
            history = lookahead.made_up(names, request["bars"])
            return names, lookahead.check(lambda: made(**params), history)
        except errors.UsageError as error:
            if error.code != "market_unfit":
                raise
            refused = refused or error
    assert refused is not None  # noqa: S101 - every count was refused
    raise refused
