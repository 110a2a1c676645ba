"""Other paths: the same by the same seed, and as far apart as they have to be."""

from __future__ import annotations

import numpy as np
import pytest

from tests.research.golden import series
from tidemill.errors import UsageError
from tidemill.research import chance, drawdown, stat

R = series("returns")


def test_the_same_seed_gives_the_same_paths() -> None:
    assert chance.bootstrap(R, 252, seed=5) == chance.bootstrap(R, 252, seed=5)
    assert chance.bootstrap(R, 252, seed=5) != chance.bootstrap(R, 252, seed=6)


def test_the_number_of_parts_changes_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = chance.bootstrap(R, 252, paths=500)
    monkeypatch.setattr(chance, "_AT_ONCE", len(R) * 7)
    parts = chance.bootstrap(R, 252, paths=500)
    assert parts.paths == whole.paths == 500
    assert parts.total_return[1] == pytest.approx(whole.total_return[1], abs=0.08)


def test_bootstrapped_paths_lie_around_the_series() -> None:
    found = chance.bootstrap(R, 252, paths=4_000)
    low, middle, high = found.total_return
    assert low < stat.total(R) < high
    assert middle == pytest.approx(stat.total(R), abs=0.06)
    assert found.cagr is not None
    assert found.cagr[1] == pytest.approx((1 + middle) ** (1 / 3) - 1)
    assert found.max_drawdown[0] < drawdown.deepest(R) < found.max_drawdown[2]
    # Half of a symmetric series without drift is lost money, whatever its order.
    assert chance.bootstrap(R - R.mean(), 252).loss == pytest.approx(0.55, abs=0.1)


def test_blocks_keep_what_lies_in_the_order() -> None:
    """Good and bad quarters of a year in turn: blocks keep them together, so paths are far rougher than if
    days were drawn one by one, as a shuffle does."""
    waves = np.where(np.arange(1_000) // 60 % 2 == 0, 0.004, -0.004)
    assert chance.bootstrap(waves, 252).max_drawdown[1] < chance.shuffle(waves).max_drawdown[1] * 1.5


def test_a_shuffle_has_the_same_end_and_a_skip_has_others() -> None:
    trades = np.array([0.1, -0.05, 0.2, -0.1, 0.03, 0.04])
    same = chance.shuffle(trades, paths=200)
    assert same.total_return == pytest.approx((stat.total(trades),) * 3)
    assert same.cagr is None
    skipped = chance.skip(trades, 0.5, paths=200)
    assert skipped.total_return[0] < stat.total(trades) < skipped.total_return[2]
    assert chance.skip(trades, 0.0).total_return == pytest.approx((stat.total(trades),) * 3)


def test_a_fan_ends_where_the_paths_do() -> None:
    at, growth = chance.fan(R, points=40, paths=500)
    assert (at[0], at[-1], len(at)) == (0, len(R), 40)
    assert (growth[:, 0] == 1).all()
    assert (np.diff(growth, axis=0) >= 0).all()
    assert growth[:, -1] - 1 == pytest.approx(chance.bootstrap(R, 252, paths=500).total_return)
    assert len(chance.fan(R[:2], points=40)[0]) == 3


def test_what_has_no_other_order_is_refused() -> None:
    with pytest.raises(UsageError, match="1 returns have no other order"):
        chance.shuffle([0.1])
    with pytest.raises(UsageError, match="share of 1"):
        chance.skip([0.1, 0.2], 1)
