"""Probabilistic and deflated Sharpe ratios, and the probability of overfitting."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.research.golden import series
from tidemill.errors import UsageError
from tidemill.research import luck, stat

R = series("returns")


def test_the_golden_series_has_the_golden_probability() -> None:
    assert luck.probability(R) == pytest.approx(0.8309700283590756, rel=1e-12)


def test_so_many_periods_are_needed_for_the_probability_that_is_asked() -> None:
    needed = luck.periods_needed(R)
    assert needed is not None
    # With that length and the same moments the probability is the confidence: by the definition of both.
    found = stat.sharpe(R, 1)
    assert found is not None
    z = found * math.sqrt(needed - 1) / math.sqrt(luck._spread(R, found))
    assert luck._NORMAL.cdf(z) == pytest.approx(0.95)
    assert luck.periods_needed(-R) is None


@pytest.mark.parametrize(("trials", "expected"), [(1, 0.0), (10, 1.5746), (100, 2.5306), (1000, 3.2551)])
def test_the_best_of_many_worthless_trials(trials: int, expected: float) -> None:
    """Beside the closed form: the mean of the best of so many normal numbers, by drawing them."""
    assert luck.expected_best(1.0, trials) == pytest.approx(expected, abs=1e-4)
    if trials > 1:
        drawn = np.random.default_rng(1).standard_normal((4_000, trials)).max(axis=1).mean()
        assert luck.expected_best(1.0, trials) == pytest.approx(drawn, rel=0.04)


def test_more_trials_deflate_more() -> None:
    dice = np.random.default_rng(42)
    ratios = dice.normal(0, 0.03, 1_000)
    few, many = luck.deflated(R, ratios[:10]), luck.deflated(R, ratios)
    one = luck.deflated(R, ratios[:1])
    assert few is not None
    assert many is not None
    assert one is not None
    assert many < few < one == luck.probability(R)


def slow(trials: np.ndarray, blocks: int) -> float:
    """The definition, word for word."""
    parts = np.split(trials[len(trials) % blocks :], blocks)
    worse = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[at] for at in chosen])
        outside = np.concatenate([parts[at] for at in range(blocks) if at not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        ratios = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        rank = (ratios < ratios[best]).sum() + 1
        share = rank / (trials.shape[1] + 1)
        worse.append(math.log(share / (1 - share)) <= 0)
    return float(np.mean(worse))


@given(st.integers(0, 10_000), st.sampled_from([4, 6, 8]), st.integers(2, 12))
@settings(max_examples=25, deadline=None)
def test_overfitting_is_what_the_definition_says(seed: int, blocks: int, count: int) -> None:
    trials = np.random.default_rng(seed).normal(0, 0.01, (100, count))
    assert luck.overfitting(trials, blocks) == pytest.approx(slow(trials, blocks), abs=1e-12)


def test_one_trial_that_is_truly_better_is_no_overfitting() -> None:
    dice = np.random.default_rng(3)
    trials = dice.normal(0, 0.01, (500, 20))
    assert luck.overfitting(trials) > 0.2
    trials[:, 7] += 0.01
    assert luck.overfitting(trials) == 0
    # Trials that are all the same share their rank: the middle, which is no better than half.
    assert luck.overfitting(np.repeat(trials[:, :1], 5, axis=1)) == 1


@pytest.mark.parametrize(
    ("shape", "blocks"), [((100, 1), 8), ((100, 5), 7), ((15, 5), 8), ((100,), 8), ((100, 5), 0)]
)
def test_what_cannot_be_split_is_refused(shape: tuple[int, ...], blocks: int) -> None:
    with pytest.raises(UsageError, match="two or more trials"):
        luck.overfitting(np.zeros(shape), blocks)
