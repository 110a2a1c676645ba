"""The recorder on PostgreSQL: killed, overtaken, without its server for a while; nothing lost or doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.recorder import test_kill
from tests.recorder.test_kill import ROOT, VENUES, offsets, offsets_of, start_recorder, status
from tests.servers.postgres import Postgres as Server
from tests.servers.postgres import plain
from tests.servers.postgres_proxy import Fault, Proxy
from tests.stores.make import VENUE, mixed, writer
from tests.system import report
from tests.system.harness import seeded, until
from tidemill.errors import ConfigError
from tidemill.model.interval import HOUR
from tidemill.stores.api import Store
from tidemill.stores.opening import open_store
from tidemill.stores.postgres import Postgres
from tidemill.stores.table import BARS, TABLES
from tidemill.stores.verify import verify
from tidemill.stores.window import Window


def kept_by(url: str) -> list[str]:
    """The recorder's words; made-up rows of a past day are kept, and handed over to the lake meanwhile."""
    return ["--store", url, "--sim-hours", "0", "--levels-hours", "0"]


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.database()


@contextmanager
def own_server() -> Iterator[Server]:
    programs = plain()
    if programs is None:
        pytest.skip("no PostgreSQL here: install Debian's postgresql")
    with Server(programs) as server:
        yield server


@contextmanager
def load(home: Path, rate: int = 4_000, step_ns: int = 20_000_000) -> Iterator[dict[str, int]]:
    """Writes the journals of `VENUES` at a steady rate; has the last sequence of each afterwards."""
    writers: list[subprocess.Popen[bytes]] = []
    last: dict[str, int] = {}
    try:
        for venue in VENUES:
            writers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.recorder.load", str(home), venue, str(rate), str(step_ns)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                )
            )
            assert writers[-1].stdout
            assert writers[-1].stdout.readline()
        yield last
    finally:
        for venue, process in zip(VENUES, writers, strict=False):
            assert process.stdin
            assert process.stdout
            process.stdin.close()
            last[venue] = int(process.stdout.readline() or 0)
            process.wait(30)


def end(*processes: subprocess.Popen[bytes] | None) -> None:
    for process in processes:
        if process and process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.timeout(300)
def test_three_kills_over_a_database(tmp_path: Path, url: str) -> None:
    store = open_store(tmp_path / "home", url)
    total, _ = test_kill.soak(3, tmp_path, random.Random(3), *kept_by(url), store=store)
    assert total > 0
    for venue in VENUES:
        assert verify(tmp_path / "home", venue, store=store).clean
    store.close()


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_sixty_kills_over_a_database(tmp_path: Path, url: str) -> None:
    kills = int(os.environ.get("TIDEMILL_KILLS", "60"))
    store = open_store(tmp_path / "home", url)
    total, ready = test_kill.soak(kills, tmp_path, seeded(), *kept_by(url), store=store)
    row = {
        "kills": kills,
        "storing again p50 s": report.percentile(ready, 50),
        "p99 s": report.percentile(ready, 99),
        "records": total,
        "lost": 0,
        "doubled": 0,
    }
    report.note(f"{kills} kill -9 of the recorder on PostgreSQL", {"Recorder": [row]})


def server_rounds(rounds: int, tmp_path: Path, dice: random.Random) -> int:
    """The server is killed or stopped under the recorder, and comes back; returns the records judged."""
    home = tmp_path / "home"
    recorder = None
    with own_server() as server:
        url = server.database()
        try:
            with load(home) as last:
                recorder = start_recorder(home, *kept_by(url))
                for at in range(rounds):
                    before = status(home).get("metrics", {}).get("records", 0)
                    until(
                        lambda before=before: status(home).get("metrics", {}).get("records", 0) > before,
                        "rows are kept", 60,
                    )  # fmt: skip
                    time.sleep(dice.uniform(0, 0.3))
                    # PostgreSQL's crash is a SIGKILL of its first process, its shutdown a SIGINT.
                    server.process.kill() if at % 2 == 0 else server.process.stop()
                    until(lambda: status(home).get("error"), "the recorder says that its store is away")
                    said = status(home)
                    assert (said["error"]["code"], said["error"]["category"]) == ("commit_failed", "upstream")
                    assert said["state"] == "stale"
                    assert said["failing_since_ns"] <= time.time_ns()
                    assert recorder.poll() is None
                    server.process.start()
                    until(lambda: status(home).get("error") is None, "commits go through again", 60)
            until(lambda: offsets(home) == last, "the recorder catches up", 60)
            recorder.send_signal(signal.SIGTERM)
            assert recorder.wait(60) == 0
        finally:
            end(recorder)
        store = open_store(home, url)
        total = test_kill.check(home, store)
        assert total == sum(last.values())
        store.close()
    return total


@pytest.mark.timeout(300)
def test_the_server_goes_and_comes_back(tmp_path: Path) -> None:
    assert server_rounds(2, tmp_path, random.Random(5)) > 0  # killed once, stopped once


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_the_server_goes_sixty_times(tmp_path: Path) -> None:
    rounds = int(os.environ.get("TIDEMILL_KILLS", "60"))
    total = server_rounds(rounds, tmp_path, seeded())
    row = {"rounds": rounds, "records": total, "lost": 0, "doubled": 0}
    report.note(f"{rounds} ends of PostgreSQL under the recorder", {"Recorder": [row]})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["lake", "postgres"])
def test_a_writer_that_wakes_after_another_took_over_ends(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    words: list[str] = []
    store: Store | None = None
    if kind == "postgres":
        url = request.getfixturevalue("url")
        words, store = kept_by(url), open_store(home, url)
    first = second = None
    try:
        with load(home) as last:
            first = start_recorder(home, *words)
            until(lambda: status(home).get("metrics", {}).get("records"), "the first keeps rows", 60)
            first.send_signal(signal.SIGSTOP)
            # Another home with the same journals and the same store: no lock keeps the two apart.
            other.mkdir()
            for name in ("journal", "registry", "lake"):
                (home / name).mkdir(exist_ok=True)
                (other / name).symlink_to(home / name)
            second = start_recorder(other, *words)
            until(lambda: status(other).get("metrics", {}).get("records", 0) > 5_000, "it is overtaken", 90)
            first.send_signal(signal.SIGCONT)
            assert first.wait(60) == 6
        log = (tmp_path / "recorder.log").read_text()
        assert "writer_fenced" in log
        until(lambda: offsets(other) == last, "the second catches up", 60)
        assert second.poll() is None
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
    finally:
        if first:
            first.send_signal(signal.SIGCONT)
        end(first, second)
    assert test_kill.check(home, store) == sum(last.values())
    if store:
        store.close()


FAULTS = {
    # What passes: nothing was kept, and the batch comes again.
    ("53300", "connect"): "UnavailableError",  # too many connections
    ("57P03", "connect"): "UnavailableError",  # starting up, or shutting down
    ("57P01", "FROM STDIN"): "UnavailableError",  # ended by an administrator
    ("57P01", "COMMIT"): "UnavailableError",
    ("57P02", "committed"): "UnavailableError",  # a crash, and the batch was kept after all
    ("40001", "COMMIT"): "UnavailableError",  # serialization
    ("40P01", "UPDATE tidemill_offset"): "UnavailableError",  # deadlock
    ("55P03", "INSERT INTO tidemill_held"): "UnavailableError",  # a lock was not to be had
    ("57014", "FROM STDIN"): "UnavailableError",  # a timeout
    ("53100", "FROM STDIN"): "UnavailableError",  # the disk is full
    ("53200", "INSERT INTO tidemill_held"): "UnavailableError",  # out of memory
    ("25006", "UPDATE tidemill_offset"): "UnavailableError",  # a standby
    # What people have to mend: the recorder says so, and tries again.
    ("28P01", "connect"): "ConfigError",  # a wrong password
    ("3D000", "connect"): "ConfigError",  # no such database
    ("42501", "FROM STDIN"): "ConfigError",  # no right
    ("42P01", "FROM STDIN"): "UndefinedTable",
    # What some row is guilty of: the batch is halved, and here each half goes well.
    ("22003", 'COPY "raw_trades"'): None,
    ("23514", 'COPY "raw_trades"'): None,
}
"""By SQLSTATE and where it comes: what `docs/stores.md` says of it."""


@pytest.mark.timeout(300)
def test_every_error_of_the_server_is_what_it_is_said_to_be(
    tmp_path: Path, postgres: Server, url: str
) -> None:
    home, log = tmp_path / "home", tmp_path / "recorder.log"
    folder, recorder = postgres.folder / f".s.PGSQL.{postgres.port}", None
    database = url.partition("?")[0].rpartition("/")[2]
    with Proxy(str(folder)) as proxy:
        through = f"postgresql://tidemill@127.0.0.1:{proxy.port}/{database}"

        def kept() -> int:
            return int(status(home).get("metrics", {}).get("records", 0))

        def says(text: str) -> dict:
            error = status(home).get("error") or {}
            return error if text in error.get("message", "") else {}

        try:
            with load(home) as last:
                recorder = start_recorder(home, *kept_by(through))
                until(lambda: kept() > 0, "rows are kept", 60)
                for (state, at), means in FAULTS.items():
                    read = log.stat().st_size
                    fault = proxy.give(Fault(state, at))
                    until(fault.given.is_set, f"{fault.text} is met", 30)
                    if at == "connect":
                        error = until(lambda text=fault.text: says(text), f"{fault.text} is told of", 30)
                        assert error["category"] == (
                            "upstream" if means == "UnavailableError" else "resource"
                        )
                        proxy.mend()
                    before = kept()
                    until(lambda before=before: kept() > before, f"rows are kept after {fault.text}", 30)
                    if at != "connect":
                        said = [json.loads(line) for line in log.read_bytes()[read:].splitlines()]
                        told = [line["cause"] for line in said if line["level"] == "error"]
                        assert [cause.partition(":")[0] for cause in told] == ([means] if means else []), told
                        assert all(fault.text in cause for cause in told)
                    assert recorder.poll() is None
            until(lambda: offsets(home) == last, "the recorder catches up", 60)
            recorder.send_signal(signal.SIGTERM)
            assert recorder.wait(60) == 0
        finally:
            end(recorder)
        # Whom the server refuses from the start has nothing to wait for.
        for state in ("28P01", "3D000"):
            refused, store = proxy.give(Fault(state, "connect")), open_store(home, through)
            with pytest.raises(ConfigError, match=refused.text):
                store.offset(BARS, "none")
            store.close()
            proxy.mend()
    store = open_store(home, url)
    assert test_kill.check(home, store) == sum(last.values())
    assert isinstance(store, Window)
    assert isinstance(store.hot, Postgres)
    assert sum(store.hot.dead(table) for table in TABLES.values()) == 0
    store.close()


def rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


def outage(tmp_path: Path, seconds: float, rate: int, watched_s: float) -> dict[str, float]:
    """The server is away while so many seconds' records arrive, all at once: what that costs, and how
    quickly they are kept afterwards."""
    home = tmp_path / "home"
    recorder = None
    step = 1_000_000_000 // rate
    start = time.time_ns() - 2 * HOUR  # of today: no day is handed over besides
    with own_server() as server, writer(home, VENUE) as journal:
        store = open_store(home, url := server.database())

        def write(count: int) -> None:
            at = journal.next_sequence
            records = mixed(count, start=start + at * step, first_id=at, seed=at)
            records["ts_event"] = start + (at + np.arange(count)) * step
            records["ts_recv"] = records["ts_event"] + 3_000_000
            journal.append(records)

        stop = threading.Event()

        def go_on() -> None:
            while not stop.wait(0.1):
                write(rate // 10)

        try:
            write(rate)
            recorder = start_recorder(home, *kept_by(url), "--commit-s", "1")
            thread = threading.Thread(target=go_on)
            thread.start()
            until(lambda: offsets_of(home, VENUE) > 8 * rate, "rows are kept", 90)
            before = max(rss_bytes(recorder.pid) for _ in range(20) if time.sleep(0.1) is None)
            server.process.stop()
            until(lambda: status(home).get("error"), "the store is away")
            for _ in range(int(seconds)):
                write(rate)
            highest = 0
            until_then = time.monotonic() + watched_s
            while time.monotonic() < until_then:
                highest = max(highest, rss_bytes(recorder.pid))
                time.sleep(0.1)
            stop.set()
            thread.join()
            last = journal.next_sequence - 1
            behind = last - offsets_of(home, VENUE)
            server.process.start()
            began = time.monotonic()
            first = None
            while offsets_of(home, VENUE) < last:
                if first is None and status(home).get("error") is None:
                    first = time.monotonic()
                highest = max(highest, rss_bytes(recorder.pid))
                assert time.monotonic() < began + 300
                time.sleep(0.05)
            took = time.monotonic() - (first or began)
            recorder.send_signal(signal.SIGTERM)
            assert recorder.wait(60) == 0
        finally:
            stop.set()
            end(recorder)
        found = verify(home, VENUE, store=store)
        assert found.clean, found
        assert found.through == (1, last)
        store.close()
    return {
        "records behind": behind,
        "MiB more": round((highest - before) / (1 << 20), 1),
        "records/s of catching up": round(behind / took),
        "times the ingest": round(behind / took / rate, 1),
    }


@pytest.mark.timeout(300)
def test_an_outage_costs_little_memory_and_is_caught_up(tmp_path: Path) -> None:
    found = outage(tmp_path, 60, 2_000, 3.0)
    assert found["MiB more"] <= 32, found
    assert found["times the ingest"] >= 5, found


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_ten_minutes_without_the_server(tmp_path: Path) -> None:
    found = outage(tmp_path, 600, 10_000, 30.0)
    report.note("PostgreSQL away for ten minutes at 10,000 records a second", {"Recorder": [found]})
    assert found["MiB more"] <= 32, found
    assert found["times the ingest"] >= 5, found
