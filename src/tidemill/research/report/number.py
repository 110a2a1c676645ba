"""All numbers of a run, in groups, as the report's column of statistics shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tidemill.research.report.text import (
    Cell,
    count,
    escaped,
    length,
    look,
    number,
    panel,
    percent,
    table,
)

Form = Callable[[Any], str]


def _signed(value: Any) -> str:
    return percent(value, sign=True)


def _tenth(value: Any) -> str:
    return percent(value, 1)


def _whole(value: Any) -> str:
    return percent(value, 0)


def _fine(value: Any) -> str:
    return number(value, 3)


def _years(value: Any) -> str:
    return number(value, 1)


def _money(value: Any) -> str:
    return number(value, 0, sign=True)


GROUPS: Final[Mapping[str, tuple[tuple[str, Form, tuple[str, ...]], ...]]] = {
    "Return": (
        ("Total", _signed, ("total_return",)),
        ("Of a year (CAGR)", _signed, ("cagr",)),
        ("Buy and hold", _signed, ("benchmark_total_return",)),
        ("Best and worst day", _signed, ("best", "worst")),
    ),
    "Sharpe and luck": (
        ("Sharpe ratio", number, ("sharpe",)),
        ("Trials that it is the best of", count, ("trials",)),
        ("Deflated Sharpe", _fine, ("deflated_sharpe",)),
        ("Probabilistic Sharpe", _fine, ("probabilistic_sharpe",)),
        ("Best of as many by luck", number, ("expected_best_sharpe",)),
        ("Years until it is proven", _years, ("years_needed",)),
        ("Buy and hold's Sharpe", number, ("benchmark_sharpe",)),
    ),
    "Risk": (
        ("Volatility of a year", percent, ("volatility",)),
        ("Sortino ratio", number, ("sortino",)),
        ("Max drawdown", percent, ("max_drawdown",)),
        ("Buy and hold's", percent, ("benchmark_max_drawdown",)),
        ("Calmar ratio", number, ("calmar",)),
        ("Ulcer index", percent, ("ulcer",)),
        ("Omega", number, ("omega",)),
        ("Value at risk, 5 %", percent, ("var95",)),
        ("Expected shortfall", percent, ("cvar95",)),
        ("Skew, kurtosis", number, ("skew", "kurtosis")),
    ),
    "Beside buy and hold": (
        ("Beta", number, ("beta",)),
        ("Alpha of a year", _signed, ("alpha",)),
        ("Information ratio", number, ("information_ratio",)),
        ("Tracking error", percent, ("tracking_error",)),
        ("Captures up, down", _whole, ("up_capture", "down_capture")),
    ),
    "Trades": (
        ("Closed, open", count, ("trades", "trades_open")),
        ("Won, lost, even", count, ("wins", "losses", "even")),
        ("Win rate", _tenth, ("win_rate",)),
        ("Profit factor", number, ("profit_factor",)),
        ("Mean result", _money, ("expectancy",)),
        ("Payoff", number, ("payoff",)),
        ("System quality (SQN)", number, ("sqn",)),
        ("Best, worst", _money, ("best_trade", "worst_trade")),
        ("Longest runs won, lost", count, ("longest_winning", "longest_losing")),
        ("Held, mean and median", length, ("holding_mean_s", "holding_median_s")),
        ("Deepest inside (MAE), mean", percent, ("mae_mean",)),
        ("Highest inside (MFE), mean", percent, ("mfe_mean",)),
    ),
    "Exposure": (
        ("Time in market", _tenth, ("exposure",)),
        ("Gross, mean", _tenth, ("gross_exposure_mean",)),
        ("Net, mean", _tenth, ("net_exposure_mean",)),
        ("Leverage, highest", number, ("leverage_max",)),
        ("Orders, refused", count, ("orders", "orders_refused")),
    ),
}


def column(said: Mapping[str, Any]) -> str:
    """The panel, of a summary as it is kept, with its notes."""
    numbers: Mapping[str, Any] = said["numbers"]
    body = "".join(
        f"<h3>{title}</h3>" + table([], [_line(numbers, *one) for one in lines], "kv")
        for title, lines in GROUPS.items()
    )
    notes = "".join(f"<li>{escaped(one)}</li>" for one in said["notes"])
    if notes:
        body += f'<h3>Notes</h3><ul class="note">{notes}</ul>'
    days = f"days of {escaped(said['calendar'])}, {said['per_year']} in a year"
    return f'<div class="stack">{panel("Statistics", body, sub=days)}</div>'


def _line(numbers: Mapping[str, Any], label: str, form: Form, names: tuple[str, ...]) -> list[Cell]:
    values = [numbers[name] for name in names]
    classes = "n"
    if names == ("deflated_sharpe",) and is_low(numbers):
        classes = "n warn"
    elif form is _signed and len(values) == 1:
        classes = f"n {look(values[0])}"
    return [label, (" / ".join(map(form, values)), classes)]


def is_low(numbers: Mapping[str, Any]) -> bool:
    """The deflated Sharpe ratio says that it may be luck."""
    return numbers["deflated_sharpe"] is not None and numbers["deflated_sharpe"] < 0.95
