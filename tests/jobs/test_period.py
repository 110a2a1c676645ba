"""What runs by the clock, and what a start finds missing: each submitted once, however many look."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tidemill.home import Home
from tidemill.jobs import period
from tidemill.jobs.seed import Seed
from tidemill.metadata import Metadata, catalogue, job


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home.at(tmp_path / "home")
    place.create()
    return place


def test_a_period_has_one_job_however_many_workers_look(home: Home) -> None:
    metadata = Metadata.open(home.database)
    periods = (period.Period("tidy", 60), period.Period("verify", 3600))

    def look() -> None:
        for now_s in (7_200.0, 7_259.0, 7_260.0, 7_200.0):
            with metadata.write() as connection:
                period.beat(connection, periods, now_s)

    lookers = [threading.Thread(target=look) for _ in range(6)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    with metadata.read() as connection:
        assert sorted(one.id for one in job.page(connection, limit=99)) == [
            "tidy-120",
            "tidy-121",
            "verify-2",
        ]
        assert period.due(connection)
    with metadata.write() as connection:
        assert period.beat(connection) == 1
        catalogue.edit(connection, "A-B.x:trades", {"retention_days": 3}, actor="t")
        assert period.due(connection)
        assert period.beat(connection) == 1  # now there is something to let go of
    with metadata.read() as connection:
        assert not period.due(connection)


def test_a_wanted_simulated_venue_without_history_gets_it_once(home: Home) -> None:
    metadata = Metadata.open(home.database)
    metadata.want("sim-kraken", "kraken", actor="owner")
    metadata.want("kraken", "kraken", actor="owner")
    metadata.want("sim-polygon", "poll", ("AAPL",), actor="owner")
    metadata.want("sim-binance", "binance", actor="owner")
    home.generated("binance").parent.mkdir()
    home.generated("binance").touch()
    seed = Seed(home, 7)
    assert seed.look(metadata)
    assert not seed.look(metadata)
    assert seed.pending
    with metadata.write() as connection:
        [entered] = job.page(connection, limit=9)
        assert entered.detail == {"venues": ["sim-kraken"], "days": 30, "seed": 7}
        mine = job.claim(connection, "w", lease_s=9)
        assert mine is not None
        home.generated("kraken").touch()
        job.end(connection, mine.id, mine.token, "done")
    assert not seed.look(metadata)
    assert not seed.pending
    # A venue that comes later is found too; one whose history failed waits a while, and keeps nobody waiting.
    metadata.want("sim-coinbase", "coinbase", actor="owner")
    assert seed.look(metadata)
    with metadata.write() as connection:
        mine = job.claim(connection, "w", lease_s=9)
        assert mine is not None
        job.end(connection, mine.id, mine.token, "failed", error={})
    assert not seed.look(metadata)
    assert not seed.pending
