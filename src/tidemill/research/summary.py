"""What is said of a run: its numbers, what it is compared with, and every reason to doubt it.

A Sharpe ratio never stands alone here: beside it are the number of trials that it is the best of, and what is
left of it after them (`luck`). Definitions: `docs/stats.md` and `docs/backtests.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.research import caution, luck, period, returns, stat, trade_stat
from tidemill.research.caution import Caution
from tidemill.research.history import History
from tidemill.research.period import Periods
from tidemill.research.returns import Floats
from tidemill.research.run import Outcome, Settings

Number = float | int | None
DAYS: Final = pa.schema(
    [
        pa.field("end", pa.int64(), False),  # of the period, ns UTC
        pa.field("equity", pa.float64(), False),
        pa.field("benchmark", pa.float64(), False),  # the same money, bought and held
    ]
)
_BPS = 10_000.0


@dataclass(frozen=True)
class Summary:
    """Of one run."""

    numbers: Mapping[str, Number]
    """By name, as in `docs/backtests.md`. None is what the run does not define; `notes` say why."""
    per_year: int
    calendar: str
    """By whose days: `24/7` or an exchange."""
    benchmark: str
    """The instrument that was bought and held."""
    days: pa.Table
    """As in `DAYS`; the row before the first period has what there was at the start."""
    notes: tuple[str, ...]
    cautions: tuple[Caution, ...]

    def json(self) -> dict[str, Any]:
        """Without `days`."""
        return {
            "numbers": dict(self.numbers),
            "per_year": self.per_year,
            "calendar": self.calendar,
            "benchmark": self.benchmark,
            "notes": list(self.notes),
            "cautions": [asdict(one) for one in self.cautions],
        }


def of(
    outcome: Outcome,
    history: History,
    settings: Settings,
    *,
    trials: int = 1,
    trial_variance: float | None = None,
    risk_free: float = 0.0,
) -> Summary:
    """`trials` counts how many variants were ever tried of this strategy on this data, this one included, and
    `trial_variance` is the variance of their Sharpe ratios, each of one period. Where it is not known, it is
    taken as what luck alone gives: one by the number of periods."""
    first = next(iter(history.tracks))
    ts = outcome.equity["ts"].to_numpy()
    periods, equity = sampled(outcome, history, settings)
    cash = float(settings.cash)
    kept = period.held(history.tracks[first], periods)
    ours, theirs = returns.of_equity(equity), returns.of_equity(kept)
    measured = stat.of(ours, periods.per_year, risk_free=risk_free, benchmark=theirs)
    other = stat.of(theirs, periods.per_year, risk_free=risk_free)
    lucky, told = _luck(ours, periods, trials, trial_variance)
    trades, closed = _trades(outcome.trades)
    years = measured.years
    numbers: dict[str, Number] = {
        **{name: value for name, value in asdict(measured).items() if name != "notes"},
        **{
            f"benchmark_{name}": getattr(other, name)
            for name in ("total_return", "cagr", "volatility", "sharpe", "max_drawdown")
        },
        **lucky,
        **trades,
        **_activity(outcome, history, settings, years),
        "final_equity": float(equity[-1]),
        "final_cash": float(outcome.cash),
    }
    cautions = caution.of(
        years=years,
        sharpe=measured.sharpe,
        trades=closed.trades,
        largest_share=closed.largest_share,
        deflated=lucky["deflated_sharpe"],
        costs=0.0 if settings.costs.free else None,
    )
    notes = [*measured.notes, *told]
    if len(ts) and int(ts[-1]) < int(periods.ends[-1]):
        notes.append("the last day is not whole")
    if trades["trades_open"]:
        many = "one trade is" if trades["trades_open"] == 1 else f"{trades['trades_open']} trades are"
        notes.append(f"{many} still open: the trades' statistics leave that out")
    days = pa.table(
        {
            "end": _starts(ts, periods),
            "equity": equity,
            "benchmark": kept * cash,
        },
        schema=DAYS,
    )
    return Summary(
        {name: _json(value) for name, value in numbers.items()},
        periods.per_year,
        periods.calendar,
        first,
        days,
        tuple(notes),
        tuple(cautions),
    )


def sampled(outcome: Outcome, history: History, settings: Settings) -> tuple[Periods, Floats]:
    """The periods of a run, and what there was before the first and at the end of each, shape (n+1,)."""
    ts = outcome.equity["ts"].to_numpy()
    periods = period.of(ts, period.calendar_of(history.tracks))
    return periods, period.sampled(outcome.equity["equity"].to_numpy(), ts, periods, float(settings.cash))


def _starts(ts: npt.NDArray[np.int64], periods: Periods) -> npt.NDArray[np.int64]:
    """Ends of the periods, and before them where the first began."""
    if not len(periods):
        return np.zeros(1, np.int64)
    begin = min(int(periods.ends[0]) - period.DAY_NS, int(ts[0]) - 1)
    return np.concatenate([[begin], periods.ends])


def _luck(
    ours: Floats, periods: Periods, trials: int, variance: float | None
) -> tuple[dict[str, Number], list[str]]:
    notes = []
    count = max(1, trials)
    if count > 1 and variance is None and len(ours) > 1:
        variance = 1 / (len(ours) - 1)
        notes.append(
            "the trials' Sharpe ratios are not all known: they are taken to differ as luck makes them"
        )
    best = luck.expected_best(variance or 0.0, count)
    needed = luck.periods_needed(ours)
    return {
        "period_sharpe": stat.sharpe(ours, 1),
        "trials": count,
        "trial_variance": variance,
        "probabilistic_sharpe": luck.probability(ours),
        "expected_best_sharpe": best * sqrt(periods.per_year),
        "deflated_sharpe": luck.probability(ours, best),
        "years_needed": None if needed is None else needed / periods.per_year,
    }, notes


def _trades(table: pa.Table) -> tuple[dict[str, Number], trade_stat.TradeStats]:
    closed = table.filter(pa.compute.is_valid(table["closed"]))
    ended = np.argsort(closed["closed"].to_numpy(), kind="stable")
    closed = closed.take(pa.array(ended))
    net, gained = closed["net"].to_numpy(), closed["return"].to_numpy()
    found = trade_stat.of(net, gained)
    names = {"net": "trades_net", "best": "best_trade", "worst": "worst_trade"}
    numbers: dict[str, Number] = {
        names.get(name, name): value for name, value in asdict(found).items() if name not in names
    } | {names[name]: getattr(found, name) for name in names}
    held_s = (closed["closed"].to_numpy() - closed["opened"].to_numpy()) / 1e9
    some = len(closed) > 0
    numbers |= {
        "trades_open": len(table) - len(closed),
        "long_trades": int(np.sum(np.asarray(closed["side"]) == "long")) if some else 0,
        "holding_mean_s": float(held_s.mean()) if some else None,
        "holding_median_s": float(np.median(held_s)) if some else None,
        "holding_bars_mean": float(closed["bars"].to_numpy().mean()) if some else None,
        "mae_mean": float(closed["worst"].to_numpy().mean()) if some else None,
        "mae_worst": float(closed["worst"].to_numpy().min()) if some else None,
        "mfe_mean": float(closed["best"].to_numpy().mean()) if some else None,
        "mfe_best": float(closed["best"].to_numpy().max()) if some else None,
    }
    return numbers, found


def _activity(outcome: Outcome, history: History, settings: Settings, years: float) -> dict[str, Number]:
    """How much of the time and of the money was in the market, and what trading cost."""
    ts, equity, gross, net = (outcome.equity[name].to_numpy() for name in ("ts", "equity", "gross", "net"))
    solvent = equity > 0
    # Each row stands until the next one: the last, which nothing follows, counts for nothing.
    weight = np.append(np.diff(ts), 0).astype(np.float64) * solvent
    lever = np.divide(gross, equity, out=np.zeros_like(gross), where=solvent)
    signed = np.divide(net, equity, out=np.zeros_like(net), where=solvent)
    whole = float(weight.sum())
    fills = outcome.fills
    price, size, fee = (_floats(fills[name]) for name in ("price", "size", "fee"))
    traded = float((price * size).sum())
    slipped = _slippage(outcome, history, settings, price, size)
    fees = float(fee.sum())
    mean = float(equity.mean()) if len(equity) else None
    earned = float(equity[-1]) - float(settings.cash) if len(equity) else 0.0
    states = np.asarray(outcome.orders["state"])
    return {
        "exposure": float((gross > 0).mean()) if len(gross) else None,
        "gross_exposure_mean": float((lever * weight).sum() / whole) if whole else None,
        "net_exposure_mean": float((signed * weight).sum() / whole) if whole else None,
        "leverage_max": float(lever.max()) if len(lever) else None,
        "turnover": traded / 2 / years / mean if years and mean and mean > 0 else None,
        "traded": traded,
        "fills": len(fills),
        "orders": len(outcome.orders),
        "orders_refused": int((states == "refused").sum()) if len(states) else 0,
        "fees": fees,
        "slippage": slipped,
        "costs": fees + slipped,
        "break_even_bps": (earned + fees + slipped) / traded * _BPS if traded else None,
    }


def _slippage(outcome: Outcome, history: History, settings: Settings, price: Floats, size: Floats) -> float:
    """What spread and slippage cost: of market orders by the open at which they were done, of stop orders as
    the settings have it, as nobody printed the price at which they would have been."""
    fills, orders = outcome.fills, outcome.orders
    if not len(fills):
        return 0.0
    kinds = dict(zip(orders["order"].to_pylist(), orders["kind"].to_pylist(), strict=True))
    kind = np.array([kinds.get(one, "market") for one in fills["order"].to_pylist()])
    sign = np.where(np.asarray(fills["side"]) == "buy", 1.0, -1.0)
    costs, names, ts = settings.costs, np.asarray(fills["instrument"]), fills["ts"].to_numpy()
    share = (float(costs.spread_bps) / 2 + float(costs.slippage_bps)) / _BPS
    found = 0.0
    for name, track in history.tracks.items():
        tick = costs.slippage_ticks * track.terms.tick / 10.0**track.terms.price_scale
        planned = price - (price - sign * tick) / (1 + sign * share)
        at = np.minimum(np.searchsorted(track.start, ts), max(len(track) - 1, 0))
        opened = track.series.columns["open"][at] if len(track) else price
        exact = np.where(track.start[at] == ts, price - opened, planned) if len(track) else planned
        worse = np.where(kind == "market", exact, np.where(kind == "stop", planned, 0.0))
        found += float((worse * sign * size)[names == name].sum())
    return found


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def _json(value: Any) -> Number:
    if value is None or isinstance(value, int):
        return value
    return float(value) if isfinite(value) else None
