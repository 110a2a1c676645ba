"""Samplers that learn from earlier trials: TPE, CMA-ES and NSGA-II of Optuna (https://optuna.org).

Optuna keeps nothing: its study lives in memory and is built again from our table by asking the same and
telling what is known. Trials that failed, or have no value, are told as failed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from tidemill.errors import ConfigError
from tidemill.research.space import Axis, Params, Space
from tidemill.research.trial import Trial


class Adaptive:
    """One of Optuna's samplers, asked in batches."""

    def __init__(self, name: str, space: Space, trials: int, seed: int, batch: int, objectives: int) -> None:
        self.total = trials
        self._space = space
        optuna = _optuna()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(
                sampler=_sampler(optuna, name, seed, batch), directions=["maximize"] * objectives
            )
        self._distributions = {axis.name: _distribution(optuna, axis) for axis in space.axes}
        self._asked: dict[int, Any] = {}

    def ask(self, first: int, count: int) -> list[Params]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = [self._study.ask(self._distributions) for _ in range(count)]
        self._asked.update(enumerate(asked, first))
        return [
            {axis.name: _value(axis, one.params[axis.name]) for axis in self._space.axes} | self._space.fixed
            for one in asked
        ]

    def tell(self, trials: Sequence[Trial]) -> None:
        from optuna.trial import TrialState

        for trial in trials:
            asked = self._asked.pop(trial.number)
            values = [value for value in trial.values if value is not None]
            if trial.values and len(values) == len(trial.values):
                self._study.tell(asked, values)
            else:
                self._study.tell(asked, state=TrialState.FAIL)


def _sampler(optuna: Any, name: str, seed: int, batch: int) -> Any:
    samplers = optuna.samplers
    if name == "tpe":
        return samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=max(10, batch))
    if name == "cmaes":
        independent = samplers.RandomSampler(seed=seed)
        return samplers.CmaEsSampler(seed=seed, popsize=batch, independent_sampler=independent)
    return samplers.NSGAIISampler(seed=seed, population_size=batch)


def _distribution(optuna: Any, axis: Axis) -> Any:
    kinds = optuna.distributions
    if axis.choices:
        return kinds.CategoricalDistribution(axis.choices)
    if axis.whole:
        return kinds.IntDistribution(
            int(axis.low or 0), int(axis.value(axis.size - 1)), step=int(axis.step or 1)
        )
    if axis.continuous:
        return kinds.FloatDistribution(axis.low, axis.high)
    return kinds.IntDistribution(0, axis.size - 1)  # by steps: what a float adds up to is ours to say


def _value(axis: Axis, found: Any) -> Any:
    if axis.choices or axis.whole or axis.continuous:
        return found
    return axis.value(int(found))


def _optuna() -> Any:
    try:
        import cmaes  # type: ignore[import-untyped]  # noqa: F401 - what Optuna's CMA-ES stands on
        import optuna
    except ImportError as error:
        raise ConfigError(
            "extra_missing",
            "tpe, cmaes and nsga2 need Optuna, which is not installed",
            hint="pip install 'tidemill[study]', or take grid or random",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
