"""`tidemill bench sweep`, `engine` and `indicators`: figures of every party that is there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidemill.cli import bench_sweep, main


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["bench", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def whole(one: dict[str, Any]) -> None:
    assert "tidemill" in one["median"]
    assert set(one["ratio"]) == set(one["median"]) - {"tidemill"}
    assert all(spent > 0 for spent in one["median"].values())


def test_sweeps_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "sweep", "--rows", "2000", "--pairs", "30")
    whole(found["cross"])
    assert "tidemill, one thread" in found["cross"]["median"]


def test_an_engine_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "engine", "--rows", "2000", "--peer-rows", "300")
    whole(found["cross"])
    assert found["fills"]["tidemill"] > 0
    if "nautilus_trader" not in found["absent"]:
        assert found["fills"]["nautilus_trader"] > 0


def test_indicators_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "indicators", "--rows", "1000")
    for name, one in found.items():
        if isinstance(one, dict) and "median" in one:
            whole(one)
        elif name == "geometric_mean":
            assert one["ta-lib"] > 0


@pytest.mark.parametrize("pairs", [1, 2, 3, 44, 990, 1_000, 2_500])
def test_there_are_so_many_pairs(pairs: int) -> None:
    found = bench_sweep.windows(pairs)
    assert len(set(found)) == len(found) == pairs
    assert all(fast < slow for fast, slow in found)
