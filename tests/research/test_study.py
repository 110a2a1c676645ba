"""Studies: the same whatever the number of workers, told to be luck where they are, and killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.research.market import NAME, keep, market
from tidemill import __version__
from tidemill.errors import ConflictError, NotFoundError, UsageError
from tidemill.home import Home
from tidemill.metadata import Metadata
from tidemill.metadata import study as rows
from tidemill.research import ledger, plan, run, source, studio, study, verdict
from tidemill.research.history import History
from tidemill.research.ledger import Entry
from tidemill.research.plan import Plan
from tidemill.research.trial import Trial
from tidemill.strategies.sma_cross import SmaCross

COSTS = {"settings": {"costs": {"taker": "0.0002"}}}


class Memory:
    """Keeps trials in memory, and knows whether one came twice."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[int, Trial]] = {}
        self.entries: dict[str, Entry] = {}
        self.twice = 0

    def kept(self, part: str) -> Sequence[Trial]:
        return list(self.parts.get(part, {}).values())

    def keep(self, part: str, trials: Sequence[Trial], entries: Sequence[Entry]) -> None:
        mine = self.parts.setdefault(part, {})
        self.twice += sum(one.number in mine for one in trials)
        mine.update((one.number, one) for one in trials)
        self.entries |= {one.fingerprint: one for one in entries}

    @property
    def digest(self) -> str:
        return study.digest({part: list(trials.values()) for part, trials in self.parts.items()})


def planned(**asked: Any) -> Plan:
    given = {
        "strategy": "sma_cross", "instruments": [NAME], "interval": "1h",
        "params": {"fast": "5:25:5", "slow": "40:100:20"}, **COSTS, **asked,
    }  # fmt: skip
    return plan.of(given)


def made(history: History, folder: Path, workers: int = 1, **asked: Any) -> tuple[Memory, dict[str, Any]]:
    memory = Memory()
    chosen = planned(**asked)
    found = study.Study(chosen, history, memory, folder / "mapped", workers=workers).run()
    return memory, verdict.told(found, ledger.Count(len(memory.entries), 0.0))


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_the_number_of_workers_changes_nothing(sampler: str, tmp_path: Path) -> None:
    history = market(1_500)
    asked: dict[str, Any] = {"sampler": sampler, "trials": 12, "batch": 6, "seed": 3}
    if sampler == "grid":
        asked["walk_forward"] = 2
    found = [
        made(history, tmp_path, workers, **asked) for workers in ((1, 4) if sampler == "grid" else (1, 3))
    ]
    assert len({memory.digest for memory, _ in found}) == 1
    results = [json.dumps(result, sort_keys=True) for _, result in found]
    assert len(set(results)) == 1
    parts = found[0][0].parts
    assert len(parts["all"]) == 12
    if sampler == "grid":
        assert set(parts) == {"all", "in.1", "out.1", "in.2", "out.2"}
        assert len(found[0][0].entries) == 36


def test_noise_is_called_luck(tmp_path: Path) -> None:
    for seed in range(2):
        _, result = made(market(4_000, seed), tmp_path, params={"fast": "5:30:5", "slow": "40:120:20"})
        assert result["verdict"]["grade"] == "luck", result["verdict"]
        assert "LUCK" in result["verdict"]["text"]
        assert "30 trials" in result["verdict"]["text"]
        assert result["honesty"]["trials"] == 30


def test_a_planted_effect_holds_until_too_many_were_tried(tmp_path: Path) -> None:
    chosen = planned(params={"fast": "8:24:8", "slow": "40:60:10"}, walk_forward=3)
    history = market(12_000, seed=1, effect=0.0008)
    found = study.Study(chosen, history, Memory(), tmp_path / "mapped").run()
    result = verdict.told(found, ledger.Count(9, 0.0))
    assert result["verdict"]["grade"] == "holds", (result["verdict"], result["honesty"])
    assert result["honesty"]["deflated_sharpe"] > 0.95
    assert result["honesty"]["significance"]["p"] < 0.05
    assert result["walk_forward"]["positive_share"] > 0.5
    assert result["walk_forward"]["wfe"] > 0.5
    assert result["stable_zone"]["isolated"] is False
    # The same as the best of ten million is luck: what was tried before counts.
    many = verdict.told(found, ledger.Count(10_000_000, 0.002))
    assert many["verdict"]["grade"] == "luck"
    assert many["honesty"]["ledger_trials"] == 10_000_000
    assert "10,000,000 trials" in many["verdict"]["text"]


def test_what_is_kept_is_not_made_again(tmp_path: Path) -> None:
    """However much of it is there, in whatever order it came."""
    history = market(1_200)
    for sampler in ("random", "nsga2"):
        asked: dict[str, Any] = {"sampler": sampler, "trials": 14, "batch": 5}
        if sampler == "nsga2":
            asked["objective"] = "sharpe,calmar"
        whole, result = made(history, tmp_path, **asked)
        memory = Memory()
        kept = [whole.parts["all"][number] for number in (0, 3, 5, 6, 13)]
        memory.keep("all", kept, [])
        found = study.Study(planned(**asked), history, memory, tmp_path / "again").run()
        assert memory.twice == 0
        assert memory.digest == whole.digest
        assert verdict.told(found, ledger.Count(14, 0.0))["best"] == result["best"]


def test_the_best_run_again_is_the_same_trial_of_the_ledger(tmp_path: Path) -> None:
    history = market(800)
    memory, result = made(history, tmp_path)
    chosen = planned()
    name = run.fingerprint(
        source.of(SmaCross).text, result["best"]["params"], chosen.settings, history.digest, __version__
    )
    assert name in memory.entries


BAD = """
import os
from tidemill.strategy import Param, Strategy, when

class Bad(Strategy):
    period = Param(3, low=1, high=6)

    def signal(self, bars):
        if self.period == 2:
            raise ValueError("not two")
        if self.period == 4:
            os._exit(3)
        print("talk")
        return when(bars.close > bars.sma(self.period + 1), 1.0, 0.0)
"""


def test_what_fails_or_dies_is_a_failed_trial(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    memory, result = made(
        market(500), tmp_path, 2, strategy=str(tmp_path / "bad.py"), params={"period": "1:6"}
    )
    errors = {number: one.error for number, one in memory.parts["all"].items()}
    assert [number for number, error in errors.items() if error] in ([1, 3], [3, 1])
    assert "ValueError: not two (bad.py:10)" in str(errors[1])
    assert "ended with 3" in str(errors[3])
    assert result["failed"] == 2
    with pytest.raises(UsageError) as nothing:
        made(market(500), tmp_path, strategy=str(tmp_path / "bad.py"), params={"period": "2,4"})
    assert nothing.value.code == "study_failed"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"sampler": "magic"}, "study_invalid"),
        ({"objective": "luck"}, "study_invalid"),
        ({"objective": "sharpe,calmar", "sampler": "tpe"}, "study_invalid"),
        ({"trials": 0}, "study_invalid"),
        ({"instruments": []}, "study_invalid"),
        ({"instruments": ["A.x", "A.x"]}, "study_invalid"),
        ({"nonsense": 1}, "study_invalid"),
        ({"settings": {"csh": "1"}}, "settings_invalid"),
        ({"settings": {"engine": "nautilus"}}, "study_invalid"),
        ({"settings": {"costs": {"taker": 3}}}, "costs_invalid"),
        ({"start": "2021-01-02", "end": "2021-01-01"}, "range_reversed"),
        ({"walk_forward": 51}, "study_invalid"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(asked: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as refused:
        planned(**asked)
    assert refused.value.code == code


def test_a_plan_goes_through_json_and_a_file_of_another_is_a_guest(tmp_path: Path) -> None:
    made_ = planned(sampler="random", trials=9, walk_forward=3, start="2020-01-01")
    assert Plan.of_json(json.loads(json.dumps(made_.json()))) == made_
    home = Home.at(tmp_path / "home")
    home.create()
    metadata = Metadata.of(home)
    (tmp_path / "x.py").write_text(BAD)
    asked = source.find(home, metadata, str(tmp_path / "x.py"), own=False)
    metadata.close()
    assert not asked.trusted
    assert asked.kind.__module__ != "tidemill_strategy_x"
    with pytest.raises(NotFoundError):
        plan.of({"strategy": "sma_crss", "instruments": [NAME]})


# ── in a home, and killed ─────────────────────────────────────────────────────────────────────────


def begun(home: Home, metadata: Metadata, **asked: Any) -> str:
    given = {"end": "2021-06-01", **asked}
    return studio.create(metadata, planned(**given), owner="owner").id


WORK = """
import sys
from tidemill.home import Home
from tidemill.metadata import Metadata
from tidemill.research import studio
home = Home.at(sys.argv[1])
studio.run(home, Metadata.of(home), sys.argv[2], workers=int(sys.argv[3]))
"""


def working(home: Home, study_id: str, workers: int = 2) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WORK, str(home.path), study_id, str(workers)], stderr=subprocess.PIPE
    )


def made_so_far(metadata: Metadata, study_id: str) -> int:
    with metadata.read() as connection:
        return rows.counted(connection, study_id)


def killed_often(home: Home, kills: int, **asked: Any) -> tuple[Metadata, str, str, list[int]]:
    """A study killed so often and resumed, and the same one undisturbed; how many trials each kill met."""
    metadata = Metadata.of(home)
    calm, harsh = (begun(home, metadata, **asked) for _ in range(2))
    process = working(home, calm)
    assert process.wait(600) == 0, process.stderr.read() if process.stderr else ""
    total = made_so_far(metadata, calm)
    dice = np.random.default_rng(1)
    met = []
    for kill in range(kills):
        process = working(home, harsh, workers=1 + kill % 3)
        # Spread over the whole study: each kill a little later than the one before.
        wanted = min(total - 1, int(total * (kill + dice.random()) / kills))
        until = time.monotonic() + 120
        while made_so_far(metadata, harsh) < wanted and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        met.append(made_so_far(metadata, harsh))
        if process.stderr:
            process.stderr.close()
    process = working(home, harsh)
    assert process.wait(600) == 0
    return metadata, calm, harsh, met


def equal(metadata: Metadata, calm: str, harsh: str) -> rows.Study:
    with metadata.read() as connection:
        one, other = rows.one(connection, calm), rows.one(connection, harsh)
        assert rows.trials(connection, calm) == rows.trials(connection, harsh)
        inside = [row for row in rows.trials(connection, calm) if not row.part.startswith("out")]
        distinct = {(row.part, json.dumps(row.params, sort_keys=True)) for row in inside}
        assert ledger.count(connection, one.family, one.dataset).trials == len(distinct)
    assert one.result is not None
    assert other.result is not None
    for name in ("digest", "best", "walk_forward", "verdict", "honesty"):
        assert one.result[name] == other.result[name]
    return one


@pytest.mark.timeout(300)
def test_a_study_that_is_killed_ends_as_one_that_is_not(tmp_path: Path) -> None:
    home = Home.at(str(tmp_path / "h"))
    home.create()
    keep(home, market(1_500, effect=0.001))
    metadata, calm, harsh, met = killed_often(home, 2, sampler="tpe", trials=30, batch=6)
    assert sorted(met) == met
    equal(metadata, calm, harsh)
    assert not any((home.path / "studies").iterdir())
    metadata.close()


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("sampler", ["grid", "cmaes"])
def test_a_study_killed_twenty_times_ends_as_one_that_is_not(sampler: str, tmp_path: Path) -> None:
    home = Home.at(str(tmp_path / "h"))
    home.create()
    keep(home, market(6_000, effect=0.001))
    params = {"fast": "2:40:1", "slow": "45:245:10"}
    started = time.monotonic()
    metadata, calm, harsh, met = killed_often(
        home, 20, sampler=sampler, trials=400, params=params, walk_forward=2
    )
    done = equal(metadata, calm, harsh)
    assert done.result is not None
    took = time.monotonic() - started
    print(f"{sampler}: 20 kills at {met}, {took:.0f} s, best {done.result['best']['params']}")
    metadata.close()


def test_other_rows_or_another_source_are_another_study(tmp_path: Path) -> None:
    home = Home.at(str(tmp_path / "h"))
    home.create()
    keep(home, market(600))
    metadata = Metadata.of(home)
    name = begun(home, metadata)
    with metadata.write() as connection:
        rows.begin(connection, name, "other rows", "the same source")
    with pytest.raises(ConflictError) as changed:
        studio.run(home, metadata, name, workers=1)
    assert changed.value.code == "study_changed"
    missing = begun(home, metadata, instruments=["NO-NE.sim-kraken"])
    with pytest.raises(NotFoundError):
        studio.run(home, metadata, missing, workers=1)
    with metadata.read() as connection:
        found = rows.one(connection, missing)
        assert found.state == "failed"
        assert found.error is not None
        assert found.error["code"] in ("bars_missing", "instrument_unknown")
    metadata.close()


def test_a_study_that_is_asked_to_stop_keeps_what_it_has(tmp_path: Path) -> None:
    home = Home.at(str(tmp_path / "h"))
    home.create()
    keep(home, market(800))
    metadata = Metadata.of(home)
    name = begun(home, metadata)
    with pytest.raises(study.Paused):
        studio.run(home, metadata, name, workers=1, cancelled=lambda: made_so_far(metadata, name) > 0)
    with metadata.read() as connection:
        assert rows.one(connection, name).state == "cancelled"
    assert 0 < made_so_far(metadata, name) <= 20
    told: list[tuple[int, int, str]] = []
    studio.run(home, metadata, name, workers=1, progress=lambda *line: told.append(line))
    assert told[-1][:2] == (20, 20)
    with metadata.read() as connection:
        assert rows.one(connection, name).state == "done"
    metadata.close()
    assert not list((home.path / "studies").iterdir())
