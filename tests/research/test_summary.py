"""A run's numbers: those of the field's libraries where they have them, else counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.research import golden, hand
from tidemill.research import luck, period, summary
from tidemill.research.history import History
from tidemill.research.run import EQUITY, FILLS, ORDERS, TRADES, Costs, Outcome, Settings

# Computed by empyrical 0.7.1, quantstats and ffn over the golden returns (`docs/stats.md`).
ORACLE = {
    "cagr": 0.07802018398212862, "volatility": 0.158648088050253, "sharpe": 0.5527642182545395,
    "sortino": 0.8130156449856802, "max_drawdown": -0.1655663512673823, "calmar": 0.4712321276932019,
    "omega": 1.0913799316055808, "var95": -0.016259110174162296, "cvar95": -0.019276237628880092,
    "tail_ratio": 1.0766601479706064,
}  # fmt: skip
SHARPE_365 = 0.6652518396466858


def daily(name: str, place: str) -> tuple[Outcome, History]:
    """A run whose days return the golden series, and whose instrument does what the benchmark does."""
    returned = golden.series("returns")
    first = period.of(np.array([hand.START, hand.START + 1_200 * period.DAY_NS]), place)
    ends = first.ends[1 : len(returned) + 1]
    ts = np.concatenate([[first.ends[0] - 1], ends])[1:]
    equity = 1_000.0 * np.cumprod(1 + returned)
    track = hand.track(len(ts), name=name)
    track = replace(track, start=ts - 1_000, end=ts, known=ts)
    empty = {one: shape.empty_table() for one, shape in (("orders", ORDERS), ("fills", FILLS))}
    outcome = Outcome(
        **empty,
        equity=pa.table({"ts": ts, "equity": equity, "gross": equity, "net": equity}, schema=EQUITY),
        trades=TRADES.empty_table(),
        cash=Decimal(0),
        positions={},
    )
    return outcome, History("1d", {name: track})


def test_a_run_of_sessions_agrees_with_empyrical_and_quantstats() -> None:
    outcome, history = daily("AAPL.polygon", "XNYS")
    found = summary.of(outcome, history, Settings(cash="1000"))
    assert (found.per_year, found.calendar) == (252, "XNYS")
    assert found.numbers["periods"] == 756
    for name, value in ORACLE.items():
        assert found.numbers[name] == pytest.approx(value, rel=1e-9), name


def test_a_run_around_the_clock_has_365_days_in_a_year() -> None:
    outcome, history = daily("BTC-USD.kraken", "24/7")
    found = summary.of(outcome, history, Settings(cash="1000"))
    assert found.per_year == 365
    assert found.numbers["sharpe"] == pytest.approx(SHARPE_365, rel=1e-9)
    assert found.numbers["max_drawdown"] == pytest.approx(ORACLE["max_drawdown"], rel=1e-9)


def test_a_sharpe_ratio_stands_beside_its_trials() -> None:
    outcome, history = daily("AAPL.polygon", "XNYS")
    settings = Settings(cash="1000")
    alone = summary.of(outcome, history, settings)
    assert alone.numbers["trials"] == 1
    assert alone.numbers["deflated_sharpe"] == alone.numbers["probabilistic_sharpe"]
    best = summary.of(outcome, history, settings, trials=40, trial_variance=0.0012)
    hurdle = luck.expected_best(0.0012, 40)
    assert best.numbers["deflated_sharpe"] == pytest.approx(
        luck.probability(golden.series("returns"), hurdle), rel=1e-9
    )
    assert best.numbers["expected_best_sharpe"] == pytest.approx(hurdle * 252**0.5)
    assert "deflated" in {one.code for one in best.cautions}
    unknown = summary.of(outcome, history, settings, trials=40)
    assert unknown.numbers["trial_variance"] == pytest.approx(1 / 755)
    assert any("as luck makes them" in note for note in unknown.notes)


def test_activity_counted_by_hand() -> None:
    history = hand.history(24 * 4)
    (track,) = history.tracks.values()
    settings = Settings(cash="10000", costs=Costs(taker="0.001", spread_bps="20"))
    target = np.zeros(len(track))
    target[10:40] = 0.5
    outcome = hand.outcome(history, settings, target)
    found = summary.of(outcome, history, settings).numbers
    buy, sell = outcome.fills.to_pylist()
    size = float(buy["size"])
    traded = size * float(buy["price"]) + size * float(sell["price"])
    opened = track.series.columns["open"]
    paid = size * (float(buy["price"]) - opened[11]) + size * (opened[41] - float(sell["price"]))
    assert found["traded"] == pytest.approx(traded)
    assert found["fees"] == pytest.approx(traded * 0.001)
    assert found["slippage"] == pytest.approx(paid)
    assert paid == pytest.approx(traded * 0.001, rel=1e-3)
    assert found["exposure"] == pytest.approx(30 / 96)
    assert found["turnover"] == pytest.approx(
        traded / 2 / (4 / 365) / outcome.equity["equity"].to_numpy().mean()
    )
    gross = outcome.equity["gross"].to_numpy() / outcome.equity["equity"].to_numpy()
    assert found["gross_exposure_mean"] == pytest.approx(gross[:-1].mean())
    assert found["leverage_max"] == gross.max()
    earned = found["final_equity"] - 10_000
    assert found["break_even_bps"] == pytest.approx((earned + found["costs"]) / traded * 1e4)
    assert (found["trades"], found["trades_open"], found["holding_mean_s"]) == (1, 0, 30 * 3600)


def test_an_open_trade_is_told_and_not_counted() -> None:
    history = hand.history(24 * 4)
    target = np.full(24 * 4, np.nan)
    target[10] = 1.0
    outcome = hand.outcome(history, Settings(), target)
    found = summary.of(outcome, history, Settings())
    assert (found.numbers["trades"], found.numbers["trades_open"]) == (0, 1)
    assert found.numbers["win_rate"] is None
    assert any("still open" in note for note in found.notes)
    assert {"few_trades", "no_costs", "short"} <= {one.code for one in found.cautions}


def test_a_run_without_a_trade_defines_little_and_says_why() -> None:
    history = hand.history(24 * 4)
    outcome = hand.outcome(history, Settings(), np.zeros(24 * 4))
    found = summary.of(outcome, history, Settings())
    for name in (
        "sharpe",
        "sortino",
        "deflated_sharpe",
        "calmar",
        "break_even_bps",
        "mae_mean",
        "largest_share",
    ):
        assert found.numbers[name] is None, name
    assert found.numbers["total_return"] == 0
    assert any("no Sharpe ratio" in note for note in found.notes)


def test_ruin_and_nothing_at_all() -> None:
    history = hand.history(24 * 4)
    outcome = hand.outcome(history, Settings(), np.zeros(24 * 4))
    fallen = outcome.equity["equity"].to_numpy().copy()
    fallen[30:] = -5.0
    equity = outcome.equity.set_column(1, EQUITY.field("equity"), pa.array(fallen))
    found = summary.of(replace(outcome, equity=equity), history, Settings())
    assert found.numbers["total_return"] == -1
    assert "everything was lost" in found.notes
    (track,) = history.tracks.values()
    nothing = History("1h", {hand.NAME: track.part(0, 0)})
    empty = summary.of(replace(outcome, equity=EQUITY.empty_table()), nothing, Settings())
    assert empty.numbers["periods"] == 0
    assert empty.numbers["sharpe"] is None


def test_all_of_it_is_json() -> None:
    history = hand.history(24 * 40)
    settings = Settings(costs=Costs(taker="0.001"))
    said: dict[str, Any] = summary.of(hand.outcome(history, settings), history, settings).json()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
