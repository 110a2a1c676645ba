"""The HTML tear sheet: one file, no network, dark and light, printable.

Names, parameters and code come from anybody: all of them leave through `escaped`, the data of the charts as
JSON in which no tag can end, and the policy in the page lets no script run but its own.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping
from importlib import resources
from itertools import groupby
from typing import Any, Final

import orjson
import pyarrow as pa

from tidemill.errors import UsageError
from tidemill.research import chance, drawdown, month, returns, robust
from tidemill.research.period import DAY_NS
from tidemill.research.report import chart
from tidemill.research.report.number import column, is_low
from tidemill.research.report.text import (
    NONE,
    Cell,
    count,
    day,
    escaped,
    length,
    look,
    minute,
    number,
    panel,
    percent,
    table,
)
from tidemill.research.returns import Floats
from tidemill.research.store import Row

_FOLDER = resources.files(__package__)
STYLE: Final = (_FOLDER / "look.css").read_text()
SCRIPT: Final = (_FOLDER / "chart.js").read_text()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY: Final = (
    f"default-src 'none'; script-src {_hash(SCRIPT)}; style-src {_hash(STYLE)}; "
    "base-uri 'none'; form-action 'none'"
)
"""The page runs its own script and style, and asks nobody for anything."""
TRADES_SHOWN: Final = 500
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def html(row: Row, tables: Mapping[str, pa.Table]) -> str:
    """The report of a finished run, of its tables by the names of `store.SCHEMAS`. Raises `UsageError`
    `report_unable` for a run that failed."""
    if row.summary is None:
        raise UsageError("report_unable", f"the run {row.id} failed: there is nothing to report")
    said = row.summary
    n: Mapping[str, Any] = said["numbers"]
    drawn = chart.of(tables, said["per_year"], said["benchmark"])
    days = tables["days"]
    ours = returns.of_equity(days["equity"].to_numpy())
    theirs = returns.of_equity(days["benchmark"].to_numpy())
    title = f"{row.strategy} on {', '.join(row.instruments[:3])}"
    parts = [
        _head(row, n),
        _kpis(n),
        _cautions(said),
        '<div class="side"><div class="stack">',
        _equity(drawn),
        _months(ours, theirs, days, said),
        _rolling(drawn, len(ours), said["per_year"]),
        _price(drawn, said["benchmark"], len(tables["fills"])),
        '<div class="two">', _falls(ours, days), _results(drawn), "</div>",
        _costs(row, n),
        _robust(ours, tables, said),
        "</div>",
        column(said), "</div>",
        _trades(tables["trades"]),
        _reproduce(row),
        f"<footer>Tidemill {escaped(row.version)} · simulated fills: what a market would have done is not "
        "known · times are UTC</footer>",
    ]  # fmt: skip
    data = orjson.dumps(drawn).decode().replace("<", "\\u003c").replace("\u2028", "").replace("\u2029", "")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="generator" content="Tidemill"><title>{escaped(title)}</title>'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main>"
        f'<script type="application/json" id="data">{data}</script><script>{SCRIPT}</script></body></html>'
    )


def _head(row: Row, n: Mapping[str, Any]) -> str:
    costs = row.settings["costs"]
    paid = [
        f"{name} {escaped(value)}"
        for name, value in (
            ("taker", costs["taker"]), ("maker", costs["maker"]), ("spread bps", costs["spread_bps"]),
            ("slippage bps", costs["slippage_bps"]), ("slippage ticks", costs["slippage_ticks"]),
        )
        if str(value) not in ("0", "0.0")
    ]  # fmt: skip
    params = [f"{escaped(name)} {escaped(value)}" for name, value in row.params.items()]
    chips = [
        *(escaped(one) for one in row.instruments[:8]),
        *([f"and {len(row.instruments) - 8} more"] if len(row.instruments) > 8 else []),
        f"{escaped(row.interval)} bars",
        f"{day(row.start)} to {day(row.end)}",
        *params,
        "costs " + ", ".join(paid) if paid else "no costs",
        f"cash {number(float(row.settings['cash']), 0)}",
        f"{escaped(row.engine)} engine",
        *(["as recorded"] if row.settings.get("as_recorded") else []),
        "simulated fills",
    ]
    return (
        f"<header><h1>{escaped(row.strategy)}</h1><div class='chips'>"
        + "".join(f'<span class="chip">{one}</span>' for one in chips)
        + "</div></header>"
    )


def _kpis(n: Mapping[str, Any]) -> str:
    trials = f"{count(n['trials'])} {'trial' if n['trials'] == 1 else 'trials'}"
    cells = [
        (
            "Total return", percent(n["total_return"], sign=True),
            f"buy and hold {percent(n['benchmark_total_return'], sign=True)}", look(n["total_return"]),
        ),
        ("Sharpe ratio", number(n["sharpe"]), f"best of {trials}", ""),
        (
            "Deflated Sharpe", number(n["deflated_sharpe"]), f"after {trials}", "warn" if is_low(n) else "",
        ),
        ("Sortino ratio", number(n["sortino"]), f"PSR {number(n['probabilistic_sharpe'])}", ""),
        ("Max drawdown", percent(n["max_drawdown"]), f"{count(n['max_drawdown_periods'])} days", ""),
        ("Profit factor", number(n["profit_factor"]), f"{count(n['trades'])} trades", ""),
        (
            "Time in market", percent(n["exposure"], 1), f"mean hold {length(n['holding_mean_s'])}", "",
        ),
        ("Costs", number(n["costs"], 0), f"break-even {number(n['break_even_bps'], 1)} bps", ""),
    ]  # fmt: skip
    return '<div class="kpis">' + "".join(
        f'<div class="kpi"><div class="l">{label}</div><div class="v {classes}">{value}</div>'
        f'<div class="d">{under}</div></div>'
        for label, value, under, classes in cells
    ) + "</div>"  # fmt: skip


_LOUD = {
    "few_trades": "Few trades.",
    "short": "Too short.",
    "one_trade": "One trade.",
    "deflated": "Likely luck.",
    "overfit": "Likely overfit.",
    "drop": "Worse outside.",
    "isolated": "An isolated optimum.",
    "no_costs": "No costs.",
    "too_good": "Too good.",
}


def _cautions(said: Mapping[str, Any]) -> str:
    found = said["cautions"]
    if not found:
        return ""
    lines = "".join(
        f"<li><b>{_LOUD.get(one['code'], 'Doubtful.')}</b> {escaped(one['text'])}</li>" for one in found
    )
    many = "One reason" if len(found) == 1 else f"{len(found)} reasons"
    return f'<div class="caution" role="note"><b>{many} to doubt this result</b><ul>{lines}</ul></div>'


def _equity(drawn: Mapping[str, Any]) -> str:
    legend = (
        '<span class="legend"><span><i></i>strategy</span>'
        '<span><i class="bench"></i>buy and hold, without costs</span></span>'
    )
    button = '<button type="button" data-log="equity" aria-pressed="false">Logarithmic</button>'
    body = (
        '<div class="chart" id="equity" aria-label="Equity against buy and hold"></div>'
        '<div class="head"><h2>Drawdown</h2><span class="sub">below the highest day so far</span></div>'
        '<div class="chart low" id="underwater" aria-label="Drawdown"></div>'
    )
    return panel("Equity", body, sub=legend, end=button, flush=True)


def _months(ours: Floats, theirs: Floats, days: pa.Table, said: Mapping[str, Any]) -> str:
    ends = days["end"].to_numpy()[1:]
    if not len(ends):
        return ""
    found = month.months(ours, ends, step=DAY_NS)
    others = month.years(month.months(theirs, ends, step=DAY_NS))
    totals = month.years(found)
    reach = max((abs(one.returned) for one in found), default=0.0) or 1.0
    rows = []
    for year, these in groupby(found, key=lambda one: one.year):
        cells: list[Any] = [str(year), *([("", "")] * 12)]
        for one in these:
            text = number(one.returned * 100, 1, sign=True) + ("*" if one.partial else "")
            strong = abs(one.returned) > reach / 3
            cells[one.month] = (text, look(one.returned) if strong else "")
        cells += [
            (number(totals[year] * 100, 1, sign=True), f"year {look(totals[year])}"),
            (number(others[year] * 100, 1, sign=True), "dim"),
        ]
        rows.append(cells)
    body = table(["", *_MONTHS, "Year", "Held"], rows, "months")
    partial = "* not a whole month · " if any(one.partial for one in found) else ""
    return panel("Monthly returns", body, sub=f"%, compounded, UTC · {partial}held is buy and hold")


def _rolling(drawn: Mapping[str, Any], periods: int, per_year: int) -> str:
    if "rolling_sharpe" not in drawn:
        return ""
    body = (
        '<div class="two"><div><div class="body note">Sharpe ratio</div>'
        '<div class="chart mid" id="rolling_sharpe" aria-label="Rolling Sharpe ratio"></div></div>'
        '<div><div class="body note">Volatility of a year</div>'
        '<div class="chart mid" id="rolling_volatility" aria-label="Rolling volatility"></div></div></div>'
    )
    return panel("Rolling", body, sub=f"over {chart.window(periods, per_year)} days", flush=True)


def _price(drawn: Mapping[str, Any], name: str, fills: int) -> str:
    if "price" not in drawn:
        return ""
    shown = len(drawn["price"]["marks"])
    many = f", {shown:,} of all shown" if fills > shown >= chart.MARKS else ""
    legend = (
        '<span class="legend"><span><i class="up">▲</i>bought</span>'
        f'<span><i class="down">▼</i>sold{many}</span></span>'
    )
    body = '<div class="chart" id="price" aria-label="Price with what was bought and sold"></div>'
    return panel(escaped(name), body, sub=legend, flush=True)


def _falls(ours: Floats, days: pa.Table) -> str:
    ends = days["end"].to_pylist()
    rows: list[list[Cell]] = [
        [
            day(ends[one.peak]), day(ends[one.trough]),
            day(ends[one.recovery]) if one.recovery is not None else ("open", "warn"),
            (percent(one.depth), "n down"), (count(one.periods), "n"),
        ]
        for one in drawdown.worst(ours)
    ]  # fmt: skip
    heads: list[Cell] = ["From", "Lowest", "Recovered", ("Depth", "n"), ("Days", "n")]
    body = table(heads, rows) if rows else '<p class="note">Never below an earlier day.</p>'
    return panel("Worst drawdowns", body)


def _results(drawn: Mapping[str, Any]) -> str:
    if "results" not in drawn:
        return panel("Trade results", '<p class="note">No trade was closed.</p>')
    body = '<div class="chart mid" id="results" aria-label="Closed trades by their return"></div>'
    return panel("Trade results", body, sub="closed trades by return on what was put in", flush=True)


def _costs(row: Row, n: Mapping[str, Any]) -> str:
    lines: list[list[Cell]] = [
        ["Fees", (number(n["fees"]), "n")],
        ["Spread and slippage", (number(n["slippage"]), "n")],
        ["Traded in all", (number(n["traded"], 0), "n")],
        ["Turnover of a year", (number(n["turnover"], 1), "n")],
        ["Costs that leave nothing", (number(n["break_even_bps"], 1) + " bps of what is traded", "n")],
    ]
    body = table([], lines, "kv")
    if row.stress:
        rows: list[list[Cell]] = [
            [
                f"× {one['factor']:g}",
                (percent(one["total_return"], sign=True), f"n {look(one['total_return'])}"),
                (percent(one["cagr"], sign=True), "n"), (number(one["sharpe"]), "n"),
                (percent(one["max_drawdown"]), "n"), (number(one["costs"], 0), "n"),
                (count(one["trades"]), "n"),
            ]
            for one in row.stress
        ]  # fmt: skip
        columns: list[Cell] = [
            "Costs", ("Total return", "n"), ("CAGR", "n"), ("Sharpe", "n"), ("Max drawdown", "n"),
            ("Paid", "n"), ("Trades", "n"),
        ]  # fmt: skip
        trials = f"{count(n['trials'])} {'trial' if n['trials'] == 1 else 'trials'}"
        body += (
            "<h3>The same run with other costs</h3>"
            + table(columns, rows)
            + f'<p class="note">Sharpe ratios are the best of {trials}; deflated, as run: '
            f"{number(n['deflated_sharpe'])}.</p>"
        )
    return panel("Costs", body)


def _robust(ours: Floats, tables: Mapping[str, pa.Table], said: Mapping[str, Any]) -> str:
    rows: list[list[Cell]] = []
    for way, found in robust.chances(ours, tables, said["per_year"]):
        cagr = (NONE,) * 3 if found.cagr is None else tuple(percent(v, 1, sign=True) for v in found.cagr)
        total = [percent(value, 1, sign=True) for value in found.total_return]
        falls = [percent(value, 1) for value in found.max_drawdown]
        rows.append(
            [
                robust.WORDS[way],
                *((value, "n") for value in total),
                (cagr[1], "n"),
                *((value, "n") for value in falls[:2]),
                (percent(found.loss, 0), "n"),
                (percent(found.fall, 0), "n"),
            ]
        )
    if not rows:
        return ""
    heads: list[Cell] = [
        "Paths", ("Return 5 %", "n"), ("median", "n"), ("95 %", "n"), ("CAGR median", "n"),
        ("Drawdown 5 %", "n"), ("median", "n"), ("Ends in loss", "n"), ("Falls over 20 %", "n"),
    ]  # fmt: skip
    body = table(heads, rows)
    return panel("Robustness", body, sub=f"{chance.PATHS:,} other paths of each kind, seed 0")


def _trades(found: pa.Table) -> str:
    shown = found.slice(max(0, len(found) - TRADES_SHOWN)).to_pylist()
    rows: list[list[Cell]] = [
        [
            escaped(one["instrument"]), one["side"], minute(one["opened"]),
            minute(one["closed"]) if one["closed"] is not None else ("open", "warn"),
            (_exact(one["size"]), "n"), (number(one["entry"], _digits(one["entry"])), "n"),
            (number(one["exit"], _digits(one["entry"])), "n"), (number(one["fees"]), "n"),
            (number(one["net"], sign=True), f"n {look(one['net'])}"),
            (percent(one["return"], sign=True), f"n {look(one['return'])}"),
            (percent(one["worst"]), "n"), (percent(one["best"]), "n"), (count(one["bars"]), "n"),
        ]
        for one in shown
    ]  # fmt: skip
    if not rows:
        return panel("Trades", '<p class="note">There was no trade.</p>')
    heads: list[Cell] = [
        "Instrument", "Side", "Opened", "Closed", ("Size", "n"), ("Entry", "n"), ("Exit", "n"), ("Fees", "n"),
        ("Net", "n"), ("Return", "n"), ("Worst", "n"), ("Best", "n"), ("Bars", "n"),
    ]  # fmt: skip
    all_of = f"{len(found):,}" if len(found) == len(shown) else f"the newest {len(shown):,} of {len(found):,}"
    return panel("Trades", table(heads, rows), sub=all_of, classes="long")


def _digits(price: float) -> int:
    return 2 if abs(price) >= 10 else 4 if abs(price) >= 0.1 else 8


def _exact(value: Any) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def command(row: Row) -> str:
    """The command that runs it once more, where nothing is kept of it."""
    words = ["tidemill", "backtest", "run", row.strategy, *row.instruments, "--interval", row.interval]
    for name, value in (("start", row.start), ("end", row.end)):
        words += [f"--{name}", str(value)] if value is not None else []
    for name, value in row.params.items():
        words += ["--param", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    words += ["--cash", str(row.settings["cash"])]
    for name, value in row.settings["costs"].items():
        usual = "1" if name == "leverage" else "0"
        words += [f"--{name.replace('_', '-')}", str(value)] if str(value) != usual else []
    if row.engine != "fast":
        words += ["--engine", row.engine]
    if row.settings.get("limit_fill", "touch") != "touch":
        words += ["--limit-fill", str(row.settings["limit_fill"])]
    if row.settings.get("as_recorded"):
        words += ["--as-recorded"]
    return shlex.join(words)


def _reproduce(row: Row) -> str:
    lines: list[list[Cell]] = [
        ["Run", (escaped(row.id), "mono")],
        ["Fingerprint", (escaped(row.fingerprint), "mono")],
        ["Code", (escaped(row.source_digest), "mono")],
        ["Data", (f"{escaped(row.data_digest)} ({row.rows:,} bars)", "mono")],
        ["Outcome", (escaped(row.outcome_digest or NONE), "mono")],
        ["Made", f"{minute(row.created)}, in {number(row.duration_s, 3)} s, by {escaped(row.origin)}"],
        ["Tidemill", escaped(row.version)],
    ]
    body = (
        table([], lines, "kv")
        + "<h3>Run it again, exactly</h3>"
        + f'<pre class="cmd">tidemill backtest again {escaped(row.id)}</pre>'
        + f'<pre class="cmd">{escaped(command(row))}</pre>'
        + f"<details><summary>The strategy's code</summary><pre>{escaped(row.source)}</pre></details>"
    )
    return panel(
        "Reproduce",
        body,
        sub="the same code, data, settings and version give the same fingerprint and outcome",
    )
