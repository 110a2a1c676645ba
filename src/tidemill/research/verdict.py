"""What is to be believed of a study: its best trial, and how much of that is luck.

luck      what was found is what the best of so many worthless trials finds: do not trade it
doubtful  it is more than luck by the numbers, and something else speaks against it
holds     nothing that was looked at speaks against it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, Final

import numpy as np

from tidemill.errors import TidemillError, UsageError
from tidemill.research import caution, chance, importance, luck, significance, stat
from tidemill.research.crew import Answer, Workers
from tidemill.research.history import History
from tidemill.research.ledger import Count
from tidemill.research.plan import Plan
from tidemill.research.returns import Floats
from tidemill.research.trial import Trial, front

COSTS: Final = ("0", "1", "2", "4")
NOISES: Final = 20
P_MAX: Final = 0.05
POSITIVE_MIN: Final = 0.5
NEIGHBOUR_MIN: Final = 0.5
"""Neighbours of the best that have less than this share of its value on average make it an isolated one."""
BLOCKS: Final = (16, 8)
MATRIX_MAX: Final = 2_000
"""Columns of the matrix that the probability of overfitting is computed from; of more trials some."""


@dataclass(frozen=True)
class Findings:
    """All that can be said without the ledger."""

    plan: Plan
    trials: Sequence[Trial]
    best: Trial
    whole: Mapping[str, Any]
    """Of the best one: digest, trades, traded, fees."""
    beside: Mapping[str, Any]
    costs: Mapping[str, Any]
    noise: Mapping[str, Any]
    entries: significance.Significance | None
    per_year: int
    walked: Mapping[str, Any] | None = None

    @property
    def longest(self) -> int:
        """Bars that the best one holds a position at most."""
        return max(self.whole["trades"]["bars"], default=0)


def of(
    crew: Workers,
    stage: str,
    plan: Plan,
    history: History,
    trials: Sequence[Trial],
    best: Trial,
    per_year: int,
) -> Findings:
    """Runs the best once more in every way that it is to be judged by."""
    neighbours = plan.space.beside(best.params)
    items: list[dict[str, Any]] = [{"key": "whole", "params": best.params, "whole": True}]
    items += [{"key": f"beside {at}", "params": params} for at, params in enumerate(neighbours)]
    items += [{"key": f"costs {many}", "params": best.params, "costs": many, "whole": True} for many in COSTS]
    items += [{"key": f"noise {seed}", "params": best.params, "noise": seed} for seed in range(NOISES)]
    answers = {one.key: one for found in crew.work(stage, items) for one in found}
    whole = dict(answers["whole"].told)
    if "error" in whole:
        raise UsageError(
            "study_failed",
            f"the best trial cannot be run again: {whole['error']}"[:600],
            hint="a strategy must do the same each time it is run",
        )
    return Findings(
        plan, trials, best, whole,
        _beside(best, neighbours, [answers[f"beside {at}"] for at in range(len(neighbours))]),
        _costs(answers, float(plan.settings.cash)),
        _noise([answers[f"noise {seed}"] for seed in range(NOISES)]),
        significance.of(whole["trades"], history, seed=plan.seed),
        per_year,
    )  # fmt: skip


def _beside(best: Trial, params: Sequence[Any], answers: Sequence[Answer]) -> dict[str, Any]:
    values = [None if "error" in one.told else one.told["values"][0] for one in answers]
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else None
    isolated = (
        mean is not None and best.value is not None and best.value > 0 and mean < best.value * NEIGHBOUR_MIN
    )
    lines = [{"params": given, "value": value} for given, value in zip(params, values, strict=True)]
    return {"neighbours": lines, "mean": mean, "isolated": isolated}


def _costs(answers: Mapping[Any, Answer], cash: float) -> dict[str, Any]:
    """By how many times the costs; `break_even_bps` is what each traded unit could cost until nothing is
    left, by the trades of the run without costs."""
    lines = []
    for many in COSTS:
        told = answers[f"costs {many}"].told
        metrics = told.get("metrics", {})
        lines.append({"times": many, **{name: metrics.get(name) for name in ("total_return", "sharpe")}})
    free = answers["costs 0"].told
    traded, gained = free.get("traded") or 0.0, free.get("metrics", {}).get("total_return")
    even = gained * cash / traded * 1e4 if traded and gained is not None else None
    return {"runs": lines, "break_even_bps": even}


def _noise(answers: Sequence[Answer]) -> dict[str, Any]:
    values = [one.told["metrics"]["sharpe"] for one in answers if "metrics" in one.told]
    known = [value for value in values if value is not None]
    if not known:
        return {"runs": len(answers), "sharpe": None, "positive_share": None}
    quantiles = [float(one) for one in np.quantile(known, chance.QUANTILES)]
    return {
        "runs": len(answers), "sharpe": quantiles, "positive_share": float(np.mean(np.array(known) > 0)),
    }  # fmt: skip


# ── the verdict ───────────────────────────────────────────────────────────────────────────────────


def told(found: Findings, count: Count) -> dict[str, Any]:
    """The result of a study as JSON: the best, the verdict, and what it rests on. `count` is the ledger's."""
    plan, best, year = found.plan, found.best, found.per_year
    # Kept as float32, a return may lie a rounding below −1.
    series = np.maximum(best.returns.astype(np.float64), -1.0)
    every = [one.metrics.get("period_sharpe") for one in found.trials]
    ratios = [ratio for ratio in every if ratio is not None]
    own = float(np.var(ratios, ddof=1)) if len(ratios) > 1 else 0.0
    # Whoever has tried close relatives only has a small variance in the ledger: the wider one counts.
    variance, many = max(own, count.variance), max(len(found.trials), count.trials)
    hurdle = luck.expected_best(variance, many)
    deflated = luck.probability(series, hurdle)
    overfitting = _overfitting(found.trials)
    trades = found.whole["trades"]
    nets = [net for net, closed in zip(trades["net"], trades["closed"], strict=True) if closed is not None]
    gains = sum(net for net in nets if net > 0)
    walked = found.walked or {}
    stats = stat.of(series, year)
    cautions = caution.of(
        years=len(series) / year,
        sharpe=stats.sharpe,
        trades=len(nets),
        largest_share=max(nets) / gains if gains > 0 else None,
        deflated=deflated,
        overfitting=overfitting,
        inside=walked.get("inside_annual"),
        outside=walked.get("outside_annual"),
        isolated=bool(found.beside["isolated"]),
        costs=0.0 if plan.settings.costs.free else None,
    )
    cautions += _more(found, walked)
    honesty = {
        "trials": len(found.trials),
        "ledger_trials": many,
        "deflated_sharpe": deflated,
        "expected_best_sharpe": hurdle * sqrt(year),
        "probabilistic_sharpe": luck.probability(series),
        "overfitting": overfitting,
        "days": len(series),
        "days_needed": luck.periods_needed(series),
        "significance": None if found.entries is None else asdict(found.entries),
    }
    grade = _grade(honesty, cautions, stats.sharpe)
    return {
        "verdict": {
            "grade": grade, "text": _text(grade, honesty, stats.sharpe, found),
            "cautions": [asdict(one) for one in cautions],
        },
        "best": best.json()
        | {"stats": asdict(stats), "digest": found.whole.get("digest"), "trades": len(nets)},
        "front": [one.json() for one in front(found.trials)] if len(plan.objectives) > 1 else [],
        "honesty": honesty,
        "walk_forward": found.walked,
        "stable_zone": dict(found.beside),
        "costs": dict(found.costs),
        "perturbed": dict(found.noise),
        "chances": _chances(series, year, trades, plan.seed),
        "importance": importance.importance(found.trials, plan.space),
        "heatmaps": importance.heatmaps(found.trials, plan.space),
        "parallel": importance.parallel(found.trials, plan.space),
        "failed": sum(one.error is not None for one in found.trials),
    }  # fmt: skip


def _more(found: Findings, walked: Mapping[str, Any]) -> list[caution.Caution]:
    """What only a study can say."""
    more = []
    if found.entries is not None and found.entries.p > P_MAX:
        more.append(
            caution.Caution(
                "random_entries",
                f"{found.entries.p:.0%} of random entries with the same trades did as well",
            )
        )
    share = walked.get("positive_share")
    if share is not None and share <= POSITIVE_MIN:
        more.append(caution.Caution("folds", f"{share:.0%} of the stretches outside made money"))
    double = next(line for line in found.costs["runs"] if line["times"] == "2")["total_return"]
    once = next(line for line in found.costs["runs"] if line["times"] == "1")["total_return"]
    if once is not None and double is not None and once > 0 >= double:
        more.append(caution.Caution("costs", "at twice the costs nothing is left"))
    positive = found.noise["positive_share"]
    if positive is not None and positive < 0.9:
        more.append(
            caution.Caution("perturbed", f"with prices a little off, {1 - positive:.0%} of the runs lose")
        )
    return more


def _grade(honesty: Mapping[str, Any], cautions: Sequence[caution.Caution], sharpe: float | None) -> str:
    codes = {one.code for one in cautions}
    lost = sharpe is None or sharpe <= 0 or honesty["deflated_sharpe"] is None
    if lost or codes & {"deflated", "random_entries", "folds"}:
        return "luck"
    # A short or free run is said beside it; it is no sign that the result does not hold.
    return "doubtful" if codes - {"no_costs", "short"} else "holds"


def _text(grade: str, honesty: Mapping[str, Any], sharpe: float | None, found: Findings) -> str:
    many = f"{honesty['ledger_trials']:,} trials of {found.plan.family} on {found.plan.dataset}"
    reached = "no Sharpe ratio" if sharpe is None else f"a Sharpe ratio of {sharpe:.2f}"
    deflated = honesty["deflated_sharpe"]
    sure = "not defined" if deflated is None else f"{deflated:.2f}"
    text = (
        f"the best of {many} has {reached}; the best of as many worthless ones has"
        f" {honesty['expected_best_sharpe']:.2f} by luck alone (deflated Sharpe ratio {sure})"
    )
    if grade == "luck":
        return f"LUCK, by all that can be told: {text}. Do not trade it."
    if grade == "doubtful":
        return f"More than luck, and still doubtful: {text}. Read the warnings."
    return f"It holds: {text}. Nothing that was looked at speaks against it; the future may."


def _overfitting(trials: Sequence[Trial]) -> float | None:
    """Of the trials that have as many days as all others; None of too few."""
    good = [one for one in trials if one.value is not None and len(one.returns)]
    step = max(1, -(-len(good) // MATRIX_MAX))
    good = good[::step]
    for blocks in BLOCKS:
        if len(good) > 1 and len(good[0].returns) >= 2 * blocks:
            matrix = np.column_stack([one.returns.astype(np.float64) for one in good])
            return luck.overfitting(matrix, blocks)
    return None


def _chances(series: Floats, year: float, trades: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Other paths of the best one; None where there is too little of it."""
    closed = [r for r, at in zip(trades["return"], trades["closed"], strict=True) if at is not None]
    made = np.maximum(np.array(closed, np.float64), -1.0)
    ways: dict[str, Callable[[], chance.Chances]] = {
        "bootstrap": lambda: chance.bootstrap(series, year, seed=seed),
        "shuffle": lambda: chance.shuffle(made, seed=seed),
        "skip": lambda: chance.skip(made, seed=seed),
    }
    found: dict[str, Any] = {}
    for name, draw in ways.items():
        try:
            found[name] = asdict(draw())
        except TidemillError:
            found[name] = None
    return found


def finite(value: Any) -> Any:
    """The same without numbers that JSON does not have: they become None."""
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value
