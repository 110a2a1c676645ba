"""Studies and backtests of stored code as jobs, on both back ends: in the sandbox, and killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import LEASE_S, Office, kill_worker, until
from tests.research.market import NAME, keep, market
from tidemill import sandbox
from tidemill.metadata import strategy
from tidemill.metadata import study as rows
from tidemill.metadata.strategy import Text
from tidemill.research import plan, source, studio
from tidemill.research.store import Runs

pytestmark = [
    pytest.mark.skipif(not sandbox.available().ok, reason="this machine cannot isolate"),
    pytest.mark.timeout(900),
]

SLOW = """
import time
from tidemill.strategy import Param, Strategy, when

class Slow(Strategy):
    period = Param(3, low=1, high=60)

    def signal(self, bars):
        time.sleep(0.1)
        return when(bars.close > bars.sma(self.period + 1), 1.0, 0.0)
"""
TRIALS = 24


def stored(office: Office) -> source.Code:
    """The second version of a strategy in the database; the first cannot run."""
    with office.metadata.write() as connection:
        strategy.create(connection, "slow", Text("import nothing_like_it"), actor="me")
        strategy.change(connection, "slow", Text(SLOW), expected=1, actor="me")
    return source.find(office.home, office.metadata, "slow", own=False)


def begun(office: Office, code: source.Code) -> str:
    given = {"instruments": [NAME], "end": "2021-01-01", "params": {"period": f"1:{TRIALS}"}}
    return studio.create(office.metadata, plan.of(given, code=code), owner="owner").id


def trials(office: Office, study: str) -> list[rows.Row]:
    with office.metadata.read() as connection:
        return rows.trials(connection, study)


def test_a_study_whose_worker_is_killed_goes_on_and_ends_as_one_that_is_not(office: Office) -> None:
    keep(office.home, market(500))
    code = stored(office)
    calm, harsh = begun(office, code), begun(office, code)
    worker = office.start(lease_s=LEASE_S)
    name = office.submit("study", detail={"study": harsh, "workers": 2})
    until(lambda: len(trials(office, harsh)) >= 4, "some trials", 300)
    kill_worker(worker)
    until(lambda: not office.members(name), "its processes are gone", 120)
    before = trials(office, harsh)
    assert len(before) < TRIALS
    office.start(lease_s=LEASE_S)
    done = office.ended(name, 300)
    assert (done.state, done.attempts) == ("done", 2)
    # What was kept is there as it was, and everything once.
    after = trials(office, harsh)
    assert [one for one in after if one.number in {each.number for each in before}] == before
    assert [one.number for one in after] == list(range(TRIALS))
    result = studio.run(office.home, office.metadata, calm, workers=1)
    with office.metadata.read() as connection:
        found = rows.one(connection, harsh)
    assert found.result is not None
    for part in ("digest", "best", "verdict"):
        assert found.result[part] == result[part]
    assert found.plan["strategy"] == "slow@2"
    assert not list((office.home.path / "studies").iterdir())


def test_a_backtest_is_of_the_version_that_was_asked_for(office: Office) -> None:
    keep(office.home, market(300))
    stored(office)
    office.start()
    asked: dict[str, Any] = {"strategy": "slow", "instruments": [NAME], "interval": "1h", "stress": False}
    first = office.submit("backtest", detail={**asked, "version": 1})
    newest = office.submit("backtest", detail=asked)
    failed = office.ended(first, 300)
    assert failed.error is not None
    assert failed.error["code"] == "strategy_invalid"
    done = office.ended(newest, 300)
    assert done.result is not None
    with Runs.of(office.home) as runs:
        kept = runs.get(done.result["run"])
    assert kept.source == SLOW
    # Another version is there by now: the run again is of its own.
    with office.metadata.write() as connection:
        strategy.change(connection, "slow", Text(SLOW + "\n"), expected=2, actor="me")
    again = office.ended(office.submit("backtest", detail={"run": kept.id}), 300)
    assert again.result is not None, again.error
    assert (again.result["same_data"], again.result["same_outcome"]) == (True, True)
    assert Path(office.home.path / "runs" / again.result["run"]).is_dir()
