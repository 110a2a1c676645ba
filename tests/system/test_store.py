"""A whole platform on a database: the same answers as from a lake, and answers while the database is away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.recorder.test_kill import offsets_of, start_recorder
from tests.servers.postgres import Postgres as Server
from tests.servers.postgres import plain
from tests.system.check import lake_equals_journal
from tests.system.harness import COMMAND, Journal, Platform, until
from tidemill.stores.live import LiveView
from tidemill.stores.opening import open_store

VENUE = "sim-kraken"
NAME = f"BTC-USD.{VENUE}"


@pytest.mark.timeout(300)
def test_a_platform_on_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = plain()
    if programs is None:
        pytest.skip("no PostgreSQL here: install Debian's postgresql")
    with Server(programs) as server:
        url = server.database()
        monkeypatch.setenv("TIDEMILL_STORE_URL", url)
        platform = Platform(tmp_path / "home", rate=400, history=False).start()
        home = platform.home.path
        try:
            until(lambda: offsets_of(home, VENUE) > 1_000, "rows are kept in the database", 60)
            status, said = platform.get(f"/api/v1/data/{NAME}/bars?interval=1s&limit=5")
            assert status == 200
            assert len(said["ts"]) >= 2
            assert platform.get("/api/v1/datasets")[0] == 200
            told = json.loads(
                subprocess.run(
                    [*COMMAND, "status", "--home", str(home), "--json"], capture_output=True, check=True
                ).stdout
            )
            assert told["store"]["address"].startswith("postgresql://")
            assert told["store"]["failing_since_ns"] is None

            server.process.kill()
            until(lambda: platform.get("/api/v1/health")[0] == 503, "health says that the store is away")
            before = newest(platform)
            until(lambda: newest(platform) > before, "trades go on without the database")
            assert platform.get(f"/api/v1/data/{NAME}/bars?interval=1s&limit=5")[0] == 200
            # All hours are in memory, which knows that there are none; of older trades only the store knows.
            past = "end=2020-01-01T00:00:00Z&limit=5"
            status, said = platform.get(f"/api/v1/data/{NAME}/bars?interval=1h&{past}")
            assert (status, said["ts"]) == (200, [])
            status, said = platform.get(f"/api/v1/data/{NAME}/ticks?{past}")
            assert (status, said["code"]) == (503, "store_unavailable")
            done = subprocess.run([*COMMAND, "doctor", "--home", str(home), "--json"], capture_output=True)
            [found] = [one for one in json.loads(done.stdout) if one["check"] == "store"]
            assert found["verdict"] == "fail"

            server.process.start()
            until(lambda: platform.get("/api/v1/health")[0] == 200, "everything is well again", 60)
        finally:
            try:
                assert platform.stop() == 0
            finally:
                platform.end()

        journal = Journal(home, VENUE)
        store = open_store(home)
        lake_equals_journal(home, journal, store)

        # The same journals through a recorder on a lake: the same answers.
        monkeypatch.delenv("TIDEMILL_STORE_URL")
        other = tmp_path / "other"
        other.mkdir()
        for name in ("journal", "registry"):
            (other / name).symlink_to(home / name)
        recorder = start_recorder(other)
        try:
            until(
                lambda: offsets_of(other, VENUE) >= int(journal.sequences[-1]), "the lake has all of it", 60
            )
        finally:
            recorder.terminate()
            assert recorder.wait(60) == 0
        mine, theirs = LiveView(home, follow=False, store=store), LiveView(other, follow=False)
        for name in journal.names.values():
            for interval in ("1s", "1m", "5m"):
                one, two = mine.bars(name, interval), theirs.bars(name, interval)
                np.testing.assert_array_equal(one.bars, two.bars, err_msg=f"{name} {interval}")
                np.testing.assert_array_equal(one.current, two.current)
            assert mine.trades(name, limit=100_000).rows.equals(theirs.trades(name, limit=100_000).rows)
        for view in (mine, theirs):
            view.close()
        store.close()


def newest(platform: Platform) -> int:
    """Sequence of the newest trade that the service knows."""
    status, said = platform.get(f"/api/v1/data/{NAME}/ticks?limit=20")
    assert status == 200, said
    return max(int(line["sequence"]) for line in said["items"])
