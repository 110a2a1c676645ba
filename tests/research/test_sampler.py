"""Samplers: the same questions again after a kill, whatever the sampler."""

from __future__ import annotations

import numpy as np
import pytest

from tidemill.errors import ConfigError, UsageError
from tidemill.research import sampler
from tidemill.research.space import Axis, Params, Space
from tidemill.research.trial import Trial, best, front

SPACE = Space(
    (Axis("n", 1, 40, 1, True), Axis("x", 0.0, 1.0), Axis("s", choices=("a", "b")), Axis("h", 0.0, 1.0, 0.1)),
    {"fixed": 7},
)


def valued(number: int, params: Params, objectives: int) -> Trial:
    n, x = float(params["n"]), float(params["x"])
    values = (-((n - 20) ** 2) / 400 - (x - 0.3) ** 2, n)[:objectives]
    return Trial(number, params, values if number % 7 else (None,) * objectives)


def asked(name: str, total: int, batch: int, objectives: int = 1) -> list[Params]:
    made = sampler.of(name, SPACE, total, 5, batch, objectives)
    found: list[Params] = []
    for first in range(0, made.total, batch):
        points = made.ask(first, min(batch, made.total - first))
        made.tell([valued(number, params, objectives) for number, params in enumerate(points, first)])
        found += points
    return found


@pytest.mark.parametrize("name", sampler.NAMES)
def test_the_same_seed_asks_the_same(name: str) -> None:
    several = 2 if name == "nsga2" else 1
    first = asked(name, 60, 12, several)
    assert first == asked(name, 60, 12, several)
    assert len(first) == 60
    for params in first:
        assert params["fixed"] == 7
        assert isinstance(params["n"], int)
        assert 1 <= params["n"] <= 40
        assert 0 <= params["x"] <= 1
        assert params["h"] in [round(at / 10, 1) for at in range(11)]


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_adaptive_samplers_come_closer(name: str) -> None:
    found = [valued(1, params, 1).value for params in asked(name, 160, 16)]
    assert np.mean(found[-48:]) > np.mean(found[:32])  # type: ignore[arg-type]


def test_the_grid_is_whole_or_evenly_thinned() -> None:
    small = Space((Axis("n", 1, 40, 1, True), Axis("s", choices=("a", "b"))))
    whole = sampler.of("grid", small, None, 0, 9, 1)
    assert whole.total == 80
    points = whole.ask(0, 80)
    assert len({str(point) for point in points}) == 80
    thinned = sampler.of("grid", small, 20, 0, 9, 1).ask(0, 20)
    assert thinned == [points[at * 4] for at in range(20)]


def test_random_repeats_no_point_of_a_finite_space_and_depends_on_the_number_alone() -> None:
    small = Space((Axis("n", 1, 40, 1, True), Axis("s", choices=("a", "b"))))
    made = sampler.of("random", small, 500, 3, 9, 1)
    assert made.total == 80
    assert len({str(point) for point in made.ask(0, 80)}) == 80
    free = sampler.of("random", SPACE, 50, 3, 9, 1)
    assert free.ask(10, 5) == free.ask(0, 50)[10:15]


def test_a_sampler_without_a_number_of_trials_is_refused() -> None:
    with pytest.raises(UsageError):
        sampler.of("random", SPACE, None, 0, 9, 1)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError) as missing:
        sampler.of("tpe", SPACE, 10, 0, 9, 1)
    assert missing.value.code == "extra_missing"
    assert "tidemill[study]" in missing.value.hint


def test_best_and_front() -> None:
    trials = [
        Trial(n, {}, v) for n, v in enumerate([(1.0, 5.0), (2.0, 4.0), (2.0, 3.0), (None, 9.0), (0.0, 6.0)])
    ]
    chosen = best(trials)
    assert chosen is not None
    assert chosen.number == 1
    assert [one.number for one in front(trials)] == [0, 1, 4]
    assert best([]) is None
