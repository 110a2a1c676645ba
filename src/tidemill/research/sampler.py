"""Samplers: which points of a space a study tries, in which order.

A study asks for a batch, has it tried by however many workers, and tells the results in the order of their
numbers. So what is asked depends on the seed and on earlier batches, never on the number of workers or on
which of them was faster. After a kill the same questions are asked again and answered from what was kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from tidemill.errors import UsageError
from tidemill.research.space import Params, Space
from tidemill.research.trial import Trial

NAMES: Final = ("grid", "random", "tpe", "cmaes", "nsga2")
ADAPTIVE: Final = ("tpe", "cmaes", "nsga2")
BATCHES: Final = {"grid": 4096, "random": 4096, "tpe": 16, "cmaes": 16, "nsga2": 32}
"""Trials that are asked for at a time. It is a part of a study: another one asks for other points."""


class Sampler(Protocol):
    """Where the points come from."""

    total: int
    """Trials that it makes in all."""

    def ask(self, first: int, count: int) -> list[Params]:
        """The points of trials `first` to `first + count`. Batches are asked for in order, each once."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """What came of a batch, in the order of its numbers."""


class Grid:
    """All points of the grid; where there may be fewer trials, so many of them, evenly apart."""

    def __init__(self, space: Space, trials: int | None) -> None:
        self._space = space
        self.total = space.size if trials is None else min(trials, space.size)

    def ask(self, first: int, count: int) -> list[Params]:
        size = self._space.size
        return [self._space.at(number * size // self.total) for number in range(first, first + count)]

    def tell(self, trials: Sequence[Trial]) -> None:
        """It looks at nothing."""


class Random:
    """Points by chance, each once where the space has an end."""

    PERMUTED_MAX: Final = 1 << 20

    def __init__(self, space: Space, trials: int, seed: int) -> None:
        self._space, self._seed = space, seed
        self._order = None
        self.total = trials
        if space.finite and space.size <= self.PERMUTED_MAX:
            self._order = np.random.default_rng([seed, 0]).permutation(space.size)
            self.total = min(trials, space.size)

    def ask(self, first: int, count: int) -> list[Params]:
        numbers = range(first, first + count)
        if self._order is not None:
            return [self._space.at(int(self._order[number])) for number in numbers]
        axes = len(self._space.axes)
        # Each trial has dice of its own: what it draws depends on its number alone.
        dice = [np.random.default_rng([self._seed, 1, number]) for number in numbers]
        return [self._space.drawn(each.random(axes)) for each in dice]

    def tell(self, trials: Sequence[Trial]) -> None:
        """It looks at nothing."""


def of(name: str, space: Space, trials: int | None, seed: int, batch: int, objectives: int) -> Sampler:
    """The sampler of that name. Raises `ConfigError` `extra_missing` where Optuna is needed and is not
    there."""
    if name == "grid":
        return Grid(space, trials)
    if trials is None:
        raise UsageError("study_invalid", f"{name} needs a number of trials", hint="--trials 200")
    if name == "random":
        return Random(space, trials, seed)
    from tidemill.research.adaptive import Adaptive

    return Adaptive(name, space, trials, seed, batch, objectives)
