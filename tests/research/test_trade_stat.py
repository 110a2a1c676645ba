"""Closed trades, counted by hand."""

from __future__ import annotations

import math

import pytest

from tidemill.errors import UsageError
from tidemill.research import caution, trade_stat


def test_trades_are_counted_won_lost_and_even() -> None:
    told = trade_stat.of([10, -5, 0, 20, 30, -15, -5, -5], [0.1, -0.05, 0, 0.2, 0.3, -0.15, -0.05, -0.05])
    assert (told.trades, told.wins, told.losses, told.even) == (8, 3, 4, 1)
    assert told.net == 30
    assert told.win_rate == 3 / 8
    assert told.profit_factor == 2
    assert told.expectancy == 30 / 8
    assert told.payoff == pytest.approx(20 / 7.5)
    assert told.expectancy_ratio == pytest.approx((1 + 20 / 7.5) * 3 / 7 - 1)
    assert (told.best, told.worst) == (30, -15)
    assert (told.longest_winning, told.longest_losing) == (2, 3)
    assert told.largest_share == 1
    mean = 0.3 / 8
    spread = math.sqrt(sum((one - mean) ** 2 for one in [0.1, -0.05, 0, 0.2, 0.3, -0.15, -0.05, -0.05]) / 7)
    assert told.sqn == pytest.approx(math.sqrt(8) * mean / spread)


def test_what_no_trade_defines_is_none() -> None:
    nothing = trade_stat.of([])
    assert nothing.trades == 0
    assert nothing.win_rate is nothing.expectancy is nothing.payoff is nothing.best is None
    winning = trade_stat.of([1, 2], [0.1, 0.1])
    assert winning.profit_factor is winning.payoff is winning.expectancy_ratio is winning.sqn is None
    assert trade_stat.of([-1, -2]).largest_share is None


def test_what_is_no_trade_is_refused() -> None:
    with pytest.raises(UsageError, match="no series of finite numbers"):
        trade_stat.of([float("nan")])
    with pytest.raises(UsageError, match="1 returns of 2 trades"):
        trade_stat.of([1, 2], [0.1])


GOOD = {
    "years": 3.0, "sharpe": 1.2, "trades": 300, "largest_share": 0.1, "deflated": 0.97, "overfitting": 0.2,
    "inside": 0.2, "outside": 0.15, "costs": 120.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"trades": 29}, "few_trades"),
        ({"years": 0.99}, "short"),
        ({"largest_share": 0.51}, "one_trade"),
        ({"deflated": 0.949}, "deflated"),
        ({"overfitting": 0.51}, "overfit"),
        ({"outside": 0.099}, "drop"),
        ({"isolated": True}, "isolated"),
        ({"costs": 0.0}, "no_costs"),
        ({"sharpe": 3.01}, "too_good"),
    ],
)
def test_each_caution_has_its_threshold(changed: dict[str, object], code: str) -> None:
    assert caution.of(**GOOD) == []  # type: ignore[arg-type]
    assert [one.code for one in caution.of(**(GOOD | changed))] == [code]  # type: ignore[arg-type]


def test_what_is_not_known_is_no_caution() -> None:
    assert caution.of(years=2, sharpe=None) == []
