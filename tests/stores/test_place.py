"""The lake on S3: the same rows, offsets and housekeeping as in a folder, with a server in between."""

from __future__ import annotations

import multiprocessing
import uuid
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tests.recorder.test_housekeeping import KINDS, contents, fill, keeper
from tests.servers.s3 import S3
from tests.stores.make import START, VENUE, name, trades
from tests.stores.test_live import World
from tidemill.cli import doctor
from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.model.interval import DAY, HOUR
from tidemill.stores import place, verify
from tidemill.stores.api import FencedError, UnavailableError, journal_application
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView
from tidemill.stores.table import TRADES, rows_of

APP = journal_application(VENUE, 1)


@pytest.fixture
def url(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    for variable, value in s3.environment.items():
        monkeypatch.setenv(variable, value)
    return s3.bucket(f"place-{uuid.uuid4()}") + "/team/lake"


def batch(number: int, venue: str = VENUE, size: int = 100) -> pa.Table:
    records = trades(size, seed=number)
    sequences = np.arange(1 + number * size, 1 + (number + 1) * size)
    return rows_of(TRADES, records, sequences, 1, venue, name)


def sequences(lake: Lake, venue: str = VENUE) -> list[int]:
    rows = lake.read(TRADES)
    return sorted(rows.filter(pa.compute.equal(rows["venue"], venue))["sequence"].to_pylist())


def test_places_have_names() -> None:
    assert place.place("/a/b") == Path("/a/b")
    bucket = place.place("s3://one/two/")
    assert str(bucket / "trades") == "s3://one/two/trades"
    for wrong in ("s3://", "s3:///x", "s3://one/../two"):
        with pytest.raises(ConfigError, match="names no bucket"):
            place.place(wrong)


def append_many(url: str, venue: str, count: int) -> None:
    lake = Lake(url)
    for number in range(count):
        assert lake.append(TRADES, batch(number, venue), {journal_application(venue, 1): (number + 1) * 100})


def test_two_processes_append_at_once(url: str) -> None:
    """Without a table of locks: a commit is a conditional put."""
    Lake(url).append(TRADES, TRADES.empty(), {"begin": 1})
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=append_many, args=(url, venue, 12)) for venue in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    lake = Lake(url)
    for venue in ("one", "two"):
        assert sequences(lake, venue) == list(range(1, 1_201))
        assert lake.offset(TRADES, journal_application(venue, 1)) == 1_200


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_an_overtaken_commit_doubles_nothing(
    where: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer commits between our look at the offsets and our own commit."""
    from tidemill.stores import delta

    address = str(tmp_path) if where == "folder" else request.getfixturevalue("url")
    mine, other = Lake(address), Lake(address)
    mine.append(TRADES, batch(0), {APP: 100})
    real = delta.commit

    def overtake(number: int) -> None:
        def overtaken(*arguments: object) -> object:
            monkeypatch.setattr(delta, "commit", real)
            other.append(TRADES, batch(number), {APP: (number + 1) * 100})
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(delta, "commit", overtaken)

    overtake(1)
    assert not mine.append(TRADES, batch(1), {APP: 200})
    overtake(2)
    with pytest.raises(FencedError):
        mine.append(TRADES, pa.concat_tables([batch(2), batch(3)]), {APP: 400}, {APP: 200})
    assert sequences(Lake(address)) == list(range(1, 301))


def test_housekeeping_is_the_same(url: str, tmp_path: Path) -> None:
    lake, twin = Lake(url), Lake(tmp_path)
    for one in (lake, twin):
        fill(one, 8)
        fill(one, 1, "kraken", START + 3 * DAY)
    before = contents(lake)
    assert before == contents(twin)
    assert lake.mend(KINDS) == []
    for table in KINDS:
        assert keeper(lake).compact(table) == keeper(twin).compact(table)
    lake.checkpoint(TRADES)
    keeper(lake).vacuum()
    assert contents(Lake(url)) == before
    for one in (lake, twin):
        keeper(one).retain(START + 3 * DAY + HOUR)
    assert contents(Lake(url)) == contents(twin) != before
    assert lake.offset(TRADES, journal_application("kraken", 1)) == 300
    found = pl.scan_delta(f"{url}/trades").select(pl.len()).collect().item()
    assert found == len(lake.read(TRADES))


def test_a_home_with_its_lake_on_s3(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    monkeypatch.setenv("TIDEMILL_LAKE_URL", url)
    world.recorder._store = Lake.of(tmp_path)
    world.write(trades(2_000))
    world.record()
    report = verify.verify(tmp_path, VENUE)
    assert report.clean
    assert report.rows == 2_000
    assert not (tmp_path / "lake" / "trades").exists()
    assert sum(line["rows"] for line in LiveView(tmp_path, follow=False).datasets()) >= 2_000
    [finding] = doctor._lake(Home.at(str(tmp_path)))
    assert finding.verdict == "ok", finding
    snapshot = Lake(url).snapshot(TRADES)
    assert snapshot
    broken = place.arrow_path(Lake(url).path / "trades" / snapshot.files[0].path)
    with place._bucket_files().open_output_stream(broken) as file:
        file.write(b"PAR1 is not all of it")
    [finding] = doctor._lake(Home.at(str(tmp_path)))
    assert finding.verdict == "fail"
    assert snapshot.files[0].path in finding.found
    assert verify.verify(tmp_path, VENUE).unreadable
    world.journal.close()


def test_a_server_that_is_away_is_told_from_a_table_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3() as server:
        for variable, value in server.environment.items():
            monkeypatch.setenv(variable, value)
        url = server.bucket("away-soon") + "/lake"
        lake = Lake(url)
        assert lake.offset(TRADES, APP) is None
        lake.append(TRADES, batch(0), {APP: 100})
    with pytest.raises(UnavailableError):
        lake.append(TRADES, batch(1), {APP: 200})
    with pytest.raises(UnavailableError):
        Lake(url).read(TRADES)
