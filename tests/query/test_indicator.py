"""Indicators: reference numbers, warm-up, and the same from any beginning that is far enough away."""

from __future__ import annotations

import numpy as np
import pytest

from tidemill.query.indicator import WARM, ema, rsi, sma

# The closes that most explanations of Wilder's RSI show, with their values for 14, of two places.
CLOSES = np.array(
    [44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931,
     46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439]
)  # fmt: skip
WALK = 100 + np.random.default_rng(7).normal(0, 1, 4_000).cumsum()


def test_rsi_is_wilders() -> None:
    found = rsi(CLOSES, 14)
    assert np.isnan(found[:14]).all()
    assert found[14:] == pytest.approx([70.53, 66.32, 66.55, 69.41, 66.36, 57.97], abs=0.02)


def test_sma_and_ema_by_hand() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    assert sma(values, 3)[2:] == pytest.approx([7 / 3, 14 / 3, 28 / 3])
    assert ema(values, 3)[2:] == pytest.approx([7 / 3, 7 / 3 + (8 - 7 / 3) / 2, 10.583333333333332])
    for made in (sma, ema):
        assert np.isnan(made(values, 3)[:2]).all()
        assert np.isnan(made(values, 6)).all()
    assert np.isnan(rsi(values, 5)).all()


def test_nothing_moves_and_everything_rises() -> None:
    assert rsi(np.full(30, 5.0), 14)[14:].tolist() == [50.0] * 16
    assert rsi(np.arange(30.0), 14)[14:].tolist() == [100.0] * 16
    assert rsi(-np.arange(30.0), 14)[14:].tolist() == [0.0] * 16


@pytest.mark.parametrize("at", [500, 1_500, 3_000])
def test_a_warm_start_is_as_good_as_the_beginning(at: int) -> None:
    for made, length in ((sma, 20), (ema, 20), (rsi, 14)):
        whole, part = made(WALK, length)[at:], made(WALK[at - WARM :], length)[WARM:]
        np.testing.assert_allclose(part, whole, rtol=1e-6)
