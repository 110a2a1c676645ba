"""Sweeps beside a loop over one pair, and every way to sweep beside the others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill import indicator
from tidemill.errors import ConfigError, UsageError
from tidemill.research import luck, stat, sweep

RESULTS = ["total_return", "max_drawdown", "trades", "mean", "deviation", "exposure"]


def walk(seed: int, n: int, decimals: int | None = 2) -> dict[str, np.ndarray]:
    """Opens and closes of a market that wanders and at times stands still."""
    dice = np.random.default_rng(seed)
    moves = dice.normal(0, 0.01, n) * (dice.random(n) < 0.8)
    close = 100 * np.exp(np.cumsum(moves))
    opened = np.concatenate([[100.0], close[:-1]])[:n] * np.exp(dice.normal(0, 0.002, n))
    if decimals is not None:
        close, opened = close.round(decimals), opened.round(decimals)
    return {"open": opened, "close": close, "high": close + 1, "low": close - 1, "volume": np.ones(n)}


def positions(close: np.ndarray, fast: int, slow: int, average: str, shorts: bool) -> np.ndarray:
    """From sums of whole cents, or the indicator `ema`; flat before there are both."""
    if average == "ema":
        one, other = (indicator.compute("ema", {"close": close}, period=n)["ema"] for n in (fast, slow))
        above, known = one > other, ~np.isnan(other)
    else:
        until = np.concatenate([[0], np.cumsum(np.rint(close * 100).astype(np.int64))])
        above, known = np.zeros(len(close), bool), np.arange(len(close)) >= slow - 1
        for at in np.nonzero(known)[0]:
            sums = [until[at + 1] - until[at + 1 - n] for n in (fast, slow)]
            above[at] = sums[0] * slow > sums[1] * fast
    return np.where(known, np.where(above, 1.0, -1.0 if shorts else 0.0), 0.0)


def reference(bars: dict[str, np.ndarray], wanted: np.ndarray, cost: float, fill: str) -> dict[str, Any]:
    """One pair, as the words of `sweep.cross` say it, with the statistics of `tidemill.research`."""
    close, back, before, trades = bars["close"], [], 0.0, 0
    for at in range(len(close) - 1):
        price = bars["open"][at + 1] if fill == "open" else close[at]
        if wanted[at] == before:
            growth = 1 + before * (close[at + 1] / close[at] - 1)
        else:
            growth = 1 + before * (price / close[at] - 1)
            growth *= 1 - cost * abs(wanted[at] - before)
            growth *= 1 + wanted[at] * (close[at + 1] / price - 1)
            trades += wanted[at] != 0
        before = wanted[at]
        back.append(growth - 1)
    found = np.array(back)
    return {
        "total_return": stat.total(found), "max_drawdown": stat.of(found, 1).max_drawdown, "trades": trades,
        "mean": found.mean(), "deviation": found.std(ddof=1), "exposure": np.mean(wanted[:-1] != 0),
    }  # fmt: skip


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        # Returns are of the size of a hundredth, equity and its falls of that of one.
        about = 1e-2 if name in ("mean", "deviation") else 1.0
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9 * about), name


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(3, 400),
    fast=st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True),
    slow=st.lists(st.integers(41, 120), min_size=1, max_size=4, unique=True),
    average=st.sampled_from(["sma", "ema"]),
    shorts=st.booleans(),
    cost=st.sampled_from([0.0, 0.0007, 0.01]),
    fill=st.sampled_from(["open", "close"]),
    threads=st.integers(1, 4),
)
def test_every_pair_is_the_loop(
    seed: int, n: int, fast: list[int], slow: list[int], average: Any, shorts: bool, cost: float, fill: Any,
    threads: int,
) -> None:  # fmt: skip
    bars = walk(seed, n)
    found = sweep.cross(
        bars, fast, slow, average=average, shorts=shorts, cost=cost, fill=fill, threads=threads
    )
    assert found.select("fast", "slow").rows() == [(one, other) for one in fast for other in slow]
    for row in found.iter_rows(named=True):
        wanted = positions(bars["close"], row["fast"], row["slow"], average, shorts)
        same(row, reference(bars, wanted, cost, fill))


def test_sharpe_is_of_a_year_and_has_its_luck_beside_it() -> None:
    bars = walk(3, 2_000)
    found = sweep.cross(bars, [5, 10], [20, 30, 3_000], cost=0.001, per_year=365)
    ratio = (found["mean"] / found["deviation"] * np.sqrt(365)).to_list()
    assert found["sharpe"].to_list()[:2] == pytest.approx(ratio[:2])
    never = found.filter(pl.col("slow") == 3_000)
    assert never["sharpe"].to_list() == [None, None]
    assert never.select("total_return", "trades", "exposure").rows() == [(0.0, 0, 0.0)] * 2
    known = found["sharpe"].drop_nulls().to_numpy()
    assert found["sharpe_by_luck"][0] == pytest.approx(luck.expected_best(known.var(ddof=1), 4))


def test_threads_change_nothing_and_prices_without_decimals_are_swept() -> None:
    bars = walk(4, 3_000, decimals=None)
    fast, slow = range(2, 20), range(20, 60, 3)
    one = sweep.cross(bars, fast, slow, cost=0.0005, threads=1)
    for threads in (2, 3, 7, 64):
        assert one.equals(sweep.cross(bars, fast, slow, cost=0.0005, threads=threads))
    for row in one.sample(10, seed=1).iter_rows(named=True):
        means = [
            np.convolve(bars["close"], np.ones(n) / n)[: len(bars["close"])]
            for n in (row["fast"], row["slow"])
        ]
        wanted = np.where((np.arange(3_000) >= row["slow"] - 1) & (means[0] > means[1]), 1.0, 0.0)
        same(row, reference(bars, wanted, 0.0005, "open"))


def test_frames_are_swept_as_mappings_are() -> None:
    bars = walk(5, 500)
    assert sweep.cross(pl.DataFrame(bars), [3], [9]).equals(sweep.cross(bars, [3], [9]))


def test_what_makes_no_sense_is_refused() -> None:
    bars = walk(6, 100)

    def refused(code: str, bars: Any = bars, fast: Any = (2,), slow: Any = (5,), **more: Any) -> str:
        with pytest.raises(UsageError) as error:
            sweep.cross(bars, fast, slow, **more)
        assert error.value.code == code
        return str(error.value)

    refused("sweep_invalid", fast=[5], slow=[5])
    refused("sweep_invalid", fast=[0])
    refused("sweep_invalid", cost=0.5)
    refused("sweep_invalid", fill="next")
    refused("sweep_invalid", average="wma")
    refused("sweep_invalid", average="ema", device="cuda")
    refused("bars_invalid", bars={"close": bars["close"]})
    refused("bars_invalid", bars={"open": bars["open"], "close": bars["close"][1:]})
    holes = bars["close"].copy()
    holes[7] = np.nan
    assert "close[7] is NaN" in refused("bars_invalid", bars=bars | {"close": holes})
    doubled = bars["close"].copy()
    doubled[50:] *= 2.5
    assert "bar 50 doubles" in refused("sweep_invalid", bars=bars | {"close": doubled}, shorts=True)


# ── a rule of one's own ───────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def rule() -> Iterator[Any]:
    numba = pytest.importorskip("numba")

    @numba.njit  # type: ignore[misc]
    def signal(open, high, low, close, volume, params):  # noqa: A002
        fast, slow = int(params[0]), int(params[1])
        held = np.zeros(len(close))
        for at in range(slow - 1, len(close)):
            one = np.rint(close[at + 1 - fast : at + 1] * 100).sum() * slow
            held[at] = 1.0 if one > np.rint(close[at + 1 - slow : at + 1] * 100).sum() * fast else 0.0
        return held

    return signal


@pytest.mark.parametrize("fill", ["open", "close"])
def test_a_compiled_rule_is_the_sweep(rule: Any, fill: Any) -> None:
    bars = walk(7, 600)
    found = sweep.compiled(
        rule, bars, {"fast": [3, 5, 8], "slow": [20, 30]}, cost=0.001, fill=fill, threads=2
    )
    wanted = sweep.cross(bars, [3, 5, 8], [20, 30], cost=0.001, fill=fill)
    for one, other in zip(found.iter_rows(named=True), wanted.iter_rows(named=True), strict=True):
        same(one, {name: other[name] for name in ["fast", "slow", *RESULTS]})


def test_rules_that_do_not_fit_are_refused(rule: Any) -> None:
    numba = pytest.importorskip("numba")
    bars = walk(8, 50)

    @numba.njit  # type: ignore[misc]
    def short(open, high, low, close, volume, params):  # noqa: A002
        return close[1:]

    for signal, grid in (
        (short, {"a": [1]}),
        (rule, {}),
        (rule, {"fast": []}),
        (lambda *_: None, {"a": [1]}),
    ):
        with pytest.raises(UsageError) as error:
            sweep.compiled(signal, bars, grid)
        assert error.value.code == "sweep_invalid"


def test_who_is_ruined_stays_ruined() -> None:
    numba = pytest.importorskip("numba")

    @numba.njit  # type: ignore[misc]
    def short(open, high, low, close, volume, params):  # noqa: A002
        return np.full(len(close), params[0])

    prices = np.array([1.0, 1.5, 4.0, 1.0, 1.0])
    bars = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    row = sweep.compiled(short, bars, {"size": [-1.0]}, fill="close").row(0, named=True)
    assert (row["total_return"], row["max_drawdown"]) == (-1.0, -1.0)
    assert row["mean"] == pytest.approx((-0.5 - 1.0) / 4)


# ── a GPU ─────────────────────────────────────────────────────────────────────────────────────────

SIMULATED = """
import numpy as np
from tests.research.test_sweep import RESULTS, same, walk
from tidemill.research import sweep
for decimals in (2, None):
    bars = walk(9, 150, decimals)
    for how in (dict(), dict(shorts=True, cost=0.001), dict(cost=0.002, fill="close")):
        one, other = (sweep.cross(bars, [2, 5], [9, 200, 30], device=on, **how) for on in ("cpu", "cuda"))
        for row, wanted in zip(other.iter_rows(named=True), one.iter_rows(named=True), strict=True):
            same(row, {name: wanted[name] for name in ["fast", "slow", *RESULTS]})
print("same")
"""


def test_a_gpu_has_what_the_processor_has() -> None:
    """Under Numba's simulator: whether the kernel is right, not whether it is quick."""
    pytest.importorskip("numba.cuda")
    done = subprocess.run(
        [sys.executable, "-c", SIMULATED],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout == "same\n", done.stderr[-2000:]


def test_without_a_gpu_it_says_so() -> None:
    cuda = pytest.importorskip("numba.cuda")
    if cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError) as error:
        sweep.cross(walk(10, 50), [2], [5], device="cuda")
    assert error.value.code == "gpu_missing"
