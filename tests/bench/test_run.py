"""The benches work, at sizes that say nothing about speed. `start` needs a browser: `tests/browser`."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from benches import program, result
from benches import run as bench
from benches.contest import AbsentError, Contest, Metric, Run, measure, party


def programs() -> bool:
    try:
        for name in ("parse", "pump", "fanout_load"):
            program.native(name)
    except FileNotFoundError:
        return False
    return True


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in bench.BENCHES if name != "start"])
def test_it_measures_us_and_the_peers_that_are_here(name: str) -> None:
    if not programs():
        message = "the measuring programs are not built: `make test-python` builds them"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    whole = bench.run([name], tiny=True)
    found = whole["benches"][name]
    assert found
    for contest in found:
        assert "failed" not in contest, contest
        for metric in contest["metrics"]:
            assert metric["median"]["tidemill"] > 0, (contest["name"], metric)
    assert all(contest["name"] in result.page(whole) for contest in found)


def test_every_bench_says_what_is_compared() -> None:
    for name in bench.BENCHES:
        said = bench.about(importlib.import_module(f"benches.{name}"))
        assert "Goal" in said, name


def contest(ours: list[float], peer: list[float], metric: Metric, **more: Any) -> Contest:
    """Parties that say these figures in turn."""

    def saying(figures: list[float]) -> Run:
        left = iter(figures)
        return lambda: {metric.name: next(left)}

    peers = {"peer": lambda: party(saying(peer)), **more}
    return Contest("a thing", (metric,), lambda: party(saying(ours)), peers, rounds=3, warm=False)


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    slow_round = contest([1.0, 10.0, 1.0], [5.0, 50.0, 6.0], Metric("time", "ms", {"peer": 5}))
    [metric] = measure(slow_round)["metrics"]
    assert metric["ratio"] == {"peer": 5.0}
    assert metric["median"] == {"tidemill": 1.0, "peer": 6.0}
    assert metric["spread"]["tidemill"] == [1.0, 10.0]


def test_more_is_better_turns_the_ratio() -> None:
    rates = contest([30.0, 30.0, 30.0], [10.0, 10.0, 10.0], Metric("rate", "1/s", more=True))
    assert measure(rates)["metrics"][0]["ratio"] == {"peer": 3.0}


def test_a_peer_that_is_not_here_is_named_and_left_out() -> None:
    @contextmanager
    def absent() -> Iterator[Run]:
        raise AbsentError("no such thing here")
        yield

    found = measure(contest([1.0] * 3, [2.0] * 3, Metric("time", "ms"), other=absent))
    assert found["absent"] == {"other": "no such thing here"}
    assert "| other | left out | no such thing here |" in result.table([found])


def test_a_contest_that_fails_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> dict[str, float]:
        raise RuntimeError("12 clients were closed")

    held = contest([1.0] * 3, [2.0] * 3, Metric("time", "ms"))
    lost = Contest("a lost thing", held.metrics, lambda: party(broken))
    monkeypatch.setattr("benches.parser.contests", lambda tiny: iter([lost, held]))
    whole = bench.run(["parser"], tiny=True)
    assert ["failed" in one for one in whole["benches"]["parser"]] == [True, False]
    assert "| a lost thing | | failed | RuntimeError('12 clients were closed') | | |" in result.page(whole)
    assert "12 clients were closed" in capsys.readouterr().err


def test_results_hold_commit_and_machine_but_no_host(tmp_path: Path) -> None:
    found = measure(contest([1.0] * 3, [2.0] * 3, Metric("time", "ms", {"peer": 3})))
    whole = {
        "date": "2026-11-21", "commit": "abc", "load": 0.1, "machine": result.machine(),
        "about": {"thing": "What is compared."}, "benches": {"thing": [found]},
    }  # fmt: skip
    path = result.keep(tmp_path, whole)
    assert json.loads(path.read_text())["benches"]["thing"][0]["metrics"][0]["goal"] == {"peer": 3}
    page = (tmp_path / "README.md").read_text()
    assert "commit abc" in page
    assert "≥ 3 × ✗" in page
    assert os.uname().nodename not in page + path.read_text()


def test_a_busy_machine_is_not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1.6, 0.0, 0.0))
    assert not bench.is_quiet(within_s=0)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.4, 0.0, 0.0))
    assert bench.is_quiet(within_s=0)
