"""What is promised of jobs, on both back ends, with real workers that are killed, stopped and starved."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.jobs.conftest import LEASE_S, Office, descent, kill_worker, until
from tidemill.metadata import event, job

pytestmark = pytest.mark.timeout(400)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_a_job_runs_says_how_far_it_is_and_ends_with_its_result(office: Office, tmp_path: Path) -> None:
    office.start()
    name = office.submit("t-steps", detail={"file": str(tmp_path / "f"), "steps": 8, "step_s": 0.2})
    done = office.ended(name)
    assert (done.state, done.progress, done.attempts, done.token) == ("done", 1.0, 1, 1)
    assert done.result == {"sum": sum(i * i for i in range(8))}
    assert (done.done, done.total, done.unit, done.error, done.holder) == (8, 8, "steps", None, None)
    assert office.logs(name) == ["all steps are done"]
    with office.metadata.read() as connection:
        rows = [row for row in event.after(connection, 0, 1000) if row.subject == name]
    states = [row.data["state"] for row in rows]
    assert states[0] == "queued"
    assert states[-1] == "done"
    moved = [row.data for row in rows if row.data["state"] == "running" and row.data["done"]]
    assert moved[-1]["done"] == 8
    assert any(row["rate"] and row["eta_s"] is not None and row["note"] for row in moved)
    # About two a second, however often the work says something.
    assert len(moved) <= 3 + 2 * (done.ended - done.started) / 1e9  # type: ignore[operator]


def test_an_orderly_error_fails_at_once_and_one_that_may_pass_is_tried_again(
    office: Office, tmp_path: Path
) -> None:
    office.start()
    bad = office.submit("t-fails", detail={"file": str(tmp_path / "bad")})
    passing = office.submit("t-fails", detail={"file": str(tmp_path / "passing"), "times": 1})
    never = office.submit("t-fails", detail={"file": str(tmp_path / "never"), "times": 99}, attempts_max=2)
    failed = office.ended(bad)
    assert (failed.state, failed.attempts) == ("failed", 1)
    assert failed.error is not None
    assert failed.error["code"] == "detail_unfit"
    assert "about to fail" in office.logs(bad)
    assert (office.ended(passing).state, office.ended(passing).result) == ("done", {"tries": 2})
    gone = office.ended(never)
    assert (gone.state, gone.attempts, len(lines(tmp_path / "never"))) == ("failed", 2, 2)
    with office.metadata.read() as connection:
        told = {row.subject for row in event.after(connection, 0, 1000) if row.kind == "job_failed"}
    assert told == {bad, never}


def test_a_hungry_job_dies_three_times_and_others_finish(office: Office, tmp_path: Path) -> None:
    office.start()
    hungry = office.submit("t-hungry", detail={"file": str(tmp_path / "hungry")})
    others = [office.submit("t-quick", owner="other", detail={"n": n}) for n in range(3)]
    assert [office.ended(other).result for other in others] == [{"got": {"n": n}} for n in range(3)]
    poisoned = office.ended(hungry)
    assert (poisoned.state, poisoned.attempts) == ("poisoned", 3)
    assert poisoned.error is not None
    assert poisoned.error["code"] == "job_poisoned"
    assert "memory" in poisoned.error["message"]
    assert len(lines(tmp_path / "hungry")) == 3


@pytest.mark.alone
def test_a_cancel_ends_the_whole_tree_within_two_seconds(office: Office) -> None:
    cancel_loop(office, 5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_and_fifty_cancels(office: Office) -> None:
    cancel_loop(office, 250)


def cancel_loop(office: Office, rounds: int) -> None:
    """At any moment of its life the job and all it started are gone within the time."""
    office.start()
    chosen = random.Random(7)
    for _ in range(rounds):
        name = office.submit("t-family")
        office.running(name)
        time.sleep(chosen.random() * 0.6)
        asked = time.monotonic()
        office.cancel(name)
        ended = office.ended(name)
        took_s = time.monotonic() - asked
        assert ended.state == "cancelled"
        assert not office.members(name)
        assert took_s <= 2.0, took_s


def test_one_that_listens_ends_at_its_next_look_and_one_that_waits_never_starts(
    office: Office, tmp_path: Path
) -> None:
    office.start(slots=1)
    listens = office.submit("t-steps", detail={"file": str(tmp_path / "f"), "steps": 500, "step_s": 0.05})
    office.running(listens)
    waits = office.submit("t-deaf", detail={"file": str(tmp_path / "never"), "sleep_s": 1})
    office.cancel(waits)
    office.cancel(listens)
    assert office.ended(listens).state == "cancelled"
    assert office.ended(waits).state == "cancelled"
    assert not (tmp_path / "never").exists()
    office.cancel(listens)
    assert office.job(listens).state == "cancelled"


def test_a_drain_stops_at_a_checkpoint_and_counts_no_attempt(office: Office, tmp_path: Path) -> None:
    worker = office.start()
    file = tmp_path / "f"
    name = office.submit("t-steps", detail={"file": str(file), "steps": 40, "step_s": 0.05})
    until(lambda: len(lines(file)) >= 5, "some steps")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    waiting = office.job(name)
    assert (waiting.state, waiting.attempts, waiting.token) == ("queued", 0, 1)
    assert waiting.checkpoint is not None
    office.start()
    done = office.ended(name)
    assert (done.state, done.attempts, done.token) == ("done", 1, 2)
    assert done.result == {"sum": sum(i * i for i in range(40))}
    assert lines(file) == [str(i) for i in range(40)]


def kill_loop(office: Office, tmp_path: Path, rounds: int) -> None:
    """Workers are killed while they work; every job ends once, with the result it has without any kill."""
    chosen = random.Random(11)
    files = [tmp_path / f"f{n}" for n in range(3)]
    names = [
        office.submit(
            "t-steps", detail={"file": str(file), "steps": 20 * rounds, "step_s": 0.02}, attempts_max=99
        )
        for file in files
    ]
    for _ in range(rounds):
        worker = office.start(lease_s=LEASE_S)
        before = sum(len(lines(file)) for file in files)
        until(lambda: sum(len(lines(file)) for file in files) > before + 5, "the work goes on")  # noqa: B023
        time.sleep(chosen.random() * 0.5)
        kill_worker(worker)
        # Nothing outlives a dead worker.
        until(lambda: not any(office.members(name) for name in names), "the job's processes are gone", 10)
    office.start(lease_s=LEASE_S)
    for name, file in zip(names, files, strict=True):
        done = office.ended(name, 60)
        assert done.state == "done"
        assert done.result == {"sum": sum(i * i for i in range(20 * rounds))}
        steps = [int(line) for line in lines(file)]
        # A step that was under way when the worker died is done again, and no other one.
        assert sorted(set(steps)) == list(range(20 * rounds))
        assert len(steps) - 20 * rounds <= done.attempts - 1


def test_a_worker_that_is_killed_again_and_again_repeats_only_the_step_in_flight(
    office: Office, tmp_path: Path
) -> None:
    kill_loop(office, tmp_path, 3 if not office.celery else 2)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_sixty_kills(office: Office, tmp_path: Path) -> None:
    kill_loop(office, tmp_path, 60)


def test_a_job_whose_process_is_killed_goes_on(office: Office, tmp_path: Path) -> None:
    office.start()
    file = tmp_path / "f"
    name = office.submit("t-steps", detail={"file": str(file), "steps": 60, "step_s": 0.03})
    for kills in (1, 2):
        until(lambda: len(lines(file)) >= 10 * kills and office.members(name), "it works")  # noqa: B023
        for pid in office.members(name):
            os.kill(pid, signal.SIGKILL)
        until(lambda: office.job(name).attempts == kills + 1, "another attempt")  # noqa: B023
    done = office.ended(name)
    assert (done.state, done.attempts) == ("done", 3)
    assert len(lines(file)) <= 62


@pytest.mark.alone
def test_a_worker_that_stands_still_loses_its_job_and_its_late_result(office: Office, tmp_path: Path) -> None:
    """F07: longer than the lease, with the first worker stopped in the middle and awake again afterwards."""
    crew = [office.start("--name", name, slots=1, lease_s=LEASE_S) for name in ("first", "second")]
    # Celery's own process and its two, once they are there.
    until(lambda: all(len(descent(one.pid)) >= (4 if office.celery else 1) for one in crew), "both are there")
    file = tmp_path / "f"
    name = office.submit("t-steps", detail={"file": str(file), "steps": 100, "step_s": 0.05})
    until(lambda: len(lines(file)) >= 10, "it works")
    first = next(one for one in crew if f":{one.pid}:" in (office.job(name).holder or ""))
    # Celery's processes stand still with it; the job's own is what has to end by itself.
    mine = office.members(name)
    still = [pid for pid in descent(first.pid) if pid not in mine]
    stopped = time.monotonic()
    for pid in still:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: office.job(name).token == 2, "the other takes it", LEASE_S + 20)
        took_s = time.monotonic() - stopped
    finally:
        for pid in still:
            os.kill(pid, signal.SIGCONT)
    assert LEASE_S * 0.5 < took_s < LEASE_S + 8
    done = office.ended(name)
    assert (done.state, done.token, done.attempts) == ("done", 2, 2)
    assert done.result == {"sum": sum(i * i for i in range(100))}
    steps = [int(line) for line in lines(file)]
    assert sorted(set(steps)) == list(range(100))
    assert len(steps) <= 101
    with office.metadata.read() as connection:
        told = [row.data["state"] for row in event.after(connection, 0, 1000) if row.subject == name]
    assert told.count("done") == 1


@pytest.mark.parametrize("office", ["celery"], indirect=True)
def test_a_flushed_broker_forgets_no_job(office: Office, tmp_path: Path) -> None:
    """The messages of jobs that wait are gone; the table is not."""
    import redis

    office.start(slots=1)
    long = office.submit("t-steps", detail={"file": str(tmp_path / "f"), "steps": 20, "step_s": 0.05})
    office.running(long)
    waiting = [office.submit("t-quick", detail={"n": n}) for n in range(6)]
    with redis.Redis.from_url(office.environment["TIDEMILL_BROKER_URL"]) as client:
        client.flushdb()
        # What a stranger leaves there is nobody's job.
        client.rpush("tidemill.jobs", json.dumps({"body": "bm9uc2Vuc2U=", "headers": {}, "properties": {}}))
    assert [office.ended(name).result for name in waiting] == [{"got": {"n": n}} for n in range(6)]
    assert (office.ended(long).state, office.ended(long).attempts) == ("done", 1)


def test_no_word_of_a_job_ends_its_worker(local: Office) -> None:
    """A worker of two slots in all meets more than that of what nobody foresaw, and works on."""
    local.start(slots=1, lease_s=LEASE_S)
    odd, nan = local.submit("t-odd"), local.submit("t-odd", detail={"nan": True})
    babbles = local.submit("t-babbles")
    done = local.ended(odd)
    assert (done.state, done.note, done.done) == ("done", "ab", 2**63 - 1)
    assert [len(line) for line in local.logs(odd)] == [job.LOG_CHARS_MAX, len("half ? of a pair")]
    failed = local.ended(nan)
    assert (failed.state, failed.attempts) == ("failed", 1)
    poisoned = local.ended(babbles)
    assert poisoned.state == "poisoned"
    assert poisoned.error is not None
    assert "no message" in poisoned.error["message"]
    assert local.ended(local.submit("t-quick")).state == "done"


@pytest.mark.alone
@pytest.mark.parametrize(
    "jobs", [600, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])], ids=str
)
def test_a_flood_of_one_does_not_hold_up_another(office: Office, jobs: int) -> None:
    """F09: the waits of the second owner, alone and behind so many jobs of the first."""
    office.start()
    with office.metadata.write() as connection:
        warm = job.submit(connection, "t-quick", owner="b")[0].id
    office.ended(warm)

    def waits() -> list[float]:
        found = []
        for _ in range(5):
            name = office.submit("t-quick", owner="b")
            ended = office.ended(name)
            assert ended.started is not None
            found.append((ended.started - ended.created) / 1e9)
        return sorted(found)

    idle = waits()
    with office.metadata.write() as connection:
        for _ in range(jobs):
            job.submit(connection, "t-deaf", owner="a", detail={"file": "/dev/null", "sleep_s": 0.2})
    until(lambda: depth(office, "running") >= 2, "the flood runs")
    flooded = waits()
    print(f"idle {idle} flooded {flooded}")
    # Twice, and what a small sample on a busy machine needs: one round of the sweep, or of Celery's.
    assert flooded[-1] <= 2 * idle[-1] + (3.0 if office.celery else 1.0)


def depth(office: Office, state: str) -> int:
    with office.metadata.read() as connection:
        return sum(count for (_, found), count in job.depth(connection).items() if found == state)
