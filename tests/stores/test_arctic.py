"""ArcticDB: exactly once across kill -9, other processes, S3, and what is said where it is not installed."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.servers.s3 import S3
from tests.stores.make import SECOND, START, VENUE, name, trades
from tidemill.errors import ConfigError
from tidemill.stores import arctic
from tidemill.stores.api import Query, UnavailableError, journal_application
from tidemill.stores.arctic import Arctic
from tidemill.stores.table import QUOTES, TRADES, rows_of

APP = journal_application(VENUE, 1)
ROOT = Path(__file__).parent.parent.parent
DAY = 86_400 * SECOND


def batch(first: int, count: int):  # type: ignore[no-untyped-def]
    """Trades number `first` and on, spread over three days: each append has three symbols to write."""
    records = trades(count, first_id=first)
    records["ts_event"] = START + (np.arange(first, first + count) % 3) * DAY + np.arange(count)
    return rows_of(TRADES, records, np.arange(first, first + count, dtype=np.int64), 1, VENUE, name)


def write_on(url: str, seed: int, batches: int) -> None:
    """Appends batch after batch behind what is stored, as a recorder does."""
    store, dice = Arctic(url), random.Random(seed)
    for _ in range(batches):
        stored = store.offset(TRADES, APP)
        count = dice.randint(1, 200)
        first = (stored or 0) + 1
        assert store.append(TRADES, batch(first, count), {APP: first + count - 1}, {APP: stored})
        print(first + count - 1, flush=True)


def child(url: str, seed: int, batches: int = 1_000_000) -> subprocess.Popen[str]:
    words = f"from tests.stores.test_arctic import write_on; write_on({url!r}, {seed}, {batches})"
    return subprocess.Popen(
        [sys.executable, "-c", words], cwd=ROOT, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )


def whole(store: Arctic) -> int:
    """The last number stored, once every row up to it was found to be there once."""
    last = store.offset(TRADES, APP) or 0
    assert sorted(store.read(TRADES)["sequence"].to_pylist()) == list(range(1, last + 1))
    return last


@pytest.mark.timeout(300)  # each round is a start of ArcticDB
@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.soak)], ids=str)
def test_kill_9_at_any_moment_leaves_every_row_once(tmp_path: Path, rounds: int) -> None:
    url, dice, told = f"arctic://lmdb{tmp_path}/arctic", random.Random(5), 0
    for round_ in range(rounds):
        writer = child(url, round_)
        try:
            assert writer.stdout
            for _ in range(dice.randint(1, 20)):
                told = int(writer.stdout.readline())
            time.sleep(dice.uniform(0, 0.03))
        finally:
            writer.kill()
            told = max([told, *map(int, writer.communicate()[0].split())])
        store = Arctic(url)
        assert whole(store) >= told  # what was said to be kept is kept
        store.close()
    store = Arctic(url)
    stored = store.offset(TRADES, APP)
    assert stored
    assert store.append(TRADES, batch(stored + 1, 90), {APP: stored + 90}, {APP: stored})
    assert whole(store) == stored + 90


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_what_a_killed_writer_left_beyond_the_head_is_nobodys(tmp_path: Path, at: int) -> None:
    """Stopped before each of the four writes of an append: three partitions, then the head."""
    store = Arctic(f"arctic://lmdb{tmp_path}/arctic")
    assert store.append(TRADES, batch(1, 30), {APP: 30})
    library, left = store._library(), at

    class Dying:
        def __getattr__(self, asked: str) -> object:
            nonlocal left
            if asked in ("append", "write_metadata"):
                if left == 0:
                    raise KeyboardInterrupt
                left -= 1
            return getattr(library, asked)

    store._made = Dying()
    with pytest.raises(KeyboardInterrupt):
        store.append(TRADES, batch(31, 30), {APP: 60})
    store._made = library
    assert whole(store) == 30
    assert sum(held.rows for held in store.held(TRADES)) == 30
    assert store.append(TRADES, batch(31, 12), {APP: 42}, {APP: 30})
    assert whole(store) == 42


def test_readers_are_exact_while_old_versions_are_let_go_of(tmp_path: Path) -> None:
    store, failed, done = Arctic(f"arctic://lmdb{tmp_path}/arctic"), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                through = store.position(TRADES, VENUE, 1)
                found = store.read(TRADES, Query(through=through or (1, 0)))
                assert sorted(found["sequence"].to_pylist()) == list(range(1, (through or (1, 0))[1] + 1))
            except BaseException as error:
                failed.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for at in range(2 * arctic.COMPACT_EVERY + 5):
        store.append(TRADES, batch(at * 9 + 1, 9), {APP: at * 9 + 9})
    done.set()
    for reader in readers:
        reader.join(20)
    assert not failed
    kept = store._library().list_versions()
    assert len(kept) <= 3 * (arctic.COMPACT_EVERY + 1) + 1


def test_another_process_sees_a_commit_at_once(tmp_path: Path) -> None:
    url = f"arctic://lmdb{tmp_path}/arctic"
    store = Arctic(url)
    for seed in range(2):
        before = whole(store)
        assert store.read(QUOTES).num_rows == 0
        writer = child(url, seed, 2)
        said, _ = writer.communicate(timeout=60)
        assert whole(store) == int(said.split()[-1]) > before


def test_on_s3(s3: S3, tmp_path: Path) -> None:
    s3.bucket("arctic-store")
    keys = "access=tidemill&secret=tidemill-secret&region=us-east-1"
    url = f"arctic://s3/127.0.0.1:{s3.port}/arctic-store/here?{keys}"
    store = Arctic(url)
    assert store.append(TRADES, batch(1, 30), {APP: 30}, {APP: None})
    assert not store.append(TRADES, batch(1, 30), {APP: 30})
    assert whole(Arctic(url)) == 30


@pytest.mark.soak  # ArcticDB tries again for 25 s before it gives up
def test_a_store_on_s3_that_is_away_is_unavailable() -> None:
    store = Arctic("arctic://s3/127.0.0.1:9/bucket?access=a&secret=hidden&region=x")
    with pytest.raises(UnavailableError, match="127") as raised:
        store.offset(TRADES, APP)
    assert "hidden" not in str(raised.value)


def test_a_folder_that_cannot_be_had_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Arctic(f"arctic://lmdb{tmp_path}/file/arctic")
    with pytest.raises(UnavailableError, match="file"):
        store.read(TRADES)


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("arctic://lmdb/srv/arctic", "lmdb:///srv/arctic"),
        ("arctic://lmdb/srv/arctic?map_size=5GB", "lmdb:///srv/arctic?map_size=5GB"),
        (
            "arctic://s3s/s3.eu-west-1.amazonaws.com/mine",
            "s3s://s3.eu-west-1.amazonaws.com:mine?aws_auth=true",
        ),
        (
            "arctic://s3/h:9000/b/p/q?access=a&secret=s",
            "s3://h:b?access=a&secret=s&port=9000&path_prefix=p/q",
        ),
    ],
)
def test_addresses(url: str, uri: str) -> None:
    assert arctic._uri(url)[0] == uri


@pytest.mark.parametrize("url", ["arctic://lmdb", "arctic://lmdb/", "arctic://s3/host", "arctic://mem/x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of an ArcticDB store"):
        Arctic(url)


def test_without_the_package_it_says_what_to_install_and_the_licence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "arcticdb", None)
    with pytest.raises(ConfigError) as raised:
        Arctic(f"arctic://lmdb{tmp_path}/arctic")
    assert raised.value.code == "extra_missing"
    assert "tidemill[arctic]" in raised.value.hint
    assert "Business Source License" in raised.value.hint
