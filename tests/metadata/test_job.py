"""The job table: one holder at a time, tokens that rise, attempts that are bounded; on both databases."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Connection, update

from tidemill.errors import ConflictError, RateLimitError
from tidemill.metadata import Metadata, event, job
from tidemill.metadata.database import now_ns
from tidemill.metadata.table import jobs


@pytest.fixture
def database(metadata: Metadata) -> Metadata:
    return metadata


def take(connection: Connection, holder: str = "w", **rest: Any) -> job.Job:
    found = job.claim(connection, holder, lease_s=60, **rest)
    assert found is not None
    return found


def lapse(connection: Connection, job_id: str) -> None:
    running = (jobs.c.id == job_id, jobs.c.state == "running")
    connection.execute(update(jobs).where(*running).values(lease_until=now_ns() - 1))


def test_a_job_is_claimed_moves_on_and_ends_once(database: Metadata) -> None:
    with database.write() as connection:
        entered, new = job.submit(connection, "export", owner="a", detail={"kind": "bars"})
        assert new
        mine = take(connection)
        assert (mine.id, mine.state, mine.attempts, mine.token, mine.holder) == (
            entered.id,
            "running",
            1,
            1,
            "w",
        )
        assert job.claim(connection, "v", lease_s=1) is None
        assert job.advance(connection, mine.id, 1, job.Progress(1, 4, "rows", 2.5, 1.2, "reads"))
        assert job.keep(connection, mine.id, 1, [1, "x"])
        assert job.log(connection, mine.id, 1, [(5, "info", "one"), (6, "error", "two")])
        now = job.one(connection, mine.id)
        assert now is not None
        assert (now.progress, now.done, now.total, now.unit, now.rate, now.eta_s) == (
            0.25,
            1,
            4,
            "rows",
            2.5,
            1.2,
        )
        assert (now.note, now.checkpoint) == ("reads", [1, "x"])
        assert job.end(connection, mine.id, 1, "done", result={"rows": 4})
        assert not job.end(connection, mine.id, 1, "failed")
        assert not job.advance(connection, mine.id, 1, job.Progress(2))
        done = job.one(connection, mine.id)
        assert done is not None
        assert (done.state, done.result, done.progress, done.holder) == ("done", {"rows": 4}, 1.0, None)
        lines = job.logs(connection, mine.id)
        assert [(line.ts, line.level, line.text) for line in lines] == [
            (5, "info", "one"),
            (6, "error", "two"),
        ]
        assert [line.text for line in job.logs(connection, mine.id, after=lines[0].id)] == ["two"]
        told = [row.data["state"] for row in event.after(connection, 0, 99)]
        assert told == ["queued", "running", "running", "done"]


def test_who_lost_a_job_can_write_nothing(database: Metadata) -> None:
    with database.write() as connection:
        name = job.submit(connection, "export", owner="a")[0].id
        old = take(connection, "old")
        assert job.reap(connection) == 0
        lapse(connection, name)
        assert job.expired(connection)
        assert job.reap(connection) == 1
        new = take(connection, "new")
        assert (new.token, new.attempts) == (2, 2)
        refused = (
            job.advance(connection, name, old.token, job.Progress(9)),
            job.keep(connection, name, old.token, 9),
            job.log(connection, name, old.token, [(1, "info", "late")]),
            job.end(connection, name, old.token, "done"),
            job.retry(connection, name, old.token, wait_s=0, error={}),
            job.release(connection, name, old.token),
            job.died(connection, name, old.token, "late"),
            job.renew(connection, name, old.token, lease_s=60),
        )
        assert not any(refused)
        assert job.one(connection, name) == new
        assert job.logs(connection, name) == []


def test_the_third_death_poisons_and_an_orderly_leave_counts_nothing(database: Metadata) -> None:
    with database.write() as connection:
        name = job.submit(connection, "export", owner="a")[0].id
        assert job.release(connection, name, take(connection).token)
        for attempt in (1, 2, 3):
            mine = take(connection)
            assert (mine.attempts, mine.token) == (attempt, attempt + 1)
            assert job.died(connection, name, mine.token, "SIGKILL")
        gone = job.one(connection, name)
        assert gone is not None
        assert gone.error is not None
        assert (gone.state, gone.error["code"]) == ("poisoned", "job_poisoned")
        assert "SIGKILL" in gone.error["message"]
        assert job.claim(connection, "w", lease_s=1) is None
        failed = [row.data for row in event.after(connection, 0, 99) if row.kind == "job_failed"]
        assert [row["state"] for row in failed] == ["poisoned"]


def test_an_error_that_may_pass_waits_and_fails_at_last(database: Metadata) -> None:
    with database.write() as connection:
        name = job.submit(connection, "export", owner="a", attempts_max=2)[0].id
        error = {"code": "venue_unreachable"}
        assert job.retry(connection, name, take(connection).token, wait_s=60, error=error)
        assert job.claim(connection, "w", lease_s=1) is None
        connection.execute(update(jobs).values(run_after=0))
        assert job.retry(connection, name, take(connection).token, wait_s=60, error=error)
        gone = job.one(connection, name)
        assert gone is not None
        assert (gone.state, gone.error) == ("failed", error)


def test_cancelling(database: Metadata) -> None:
    with database.write() as connection:
        waiting = job.submit(connection, "export", owner="a")[0].id
        found = job.ask_cancel(connection, waiting, actor="a")
        assert found is not None
        assert (found.state, found.started) == ("cancelled", None)
        running = job.submit(connection, "export", owner="a")[0].id
        mine = take(connection)
        for _ in range(2):
            found = job.ask_cancel(connection, running, actor="a")
            assert found is not None
            assert (found.state, found.cancel_asked) == ("running", True)
        # Its process dies meanwhile: that is an end as it was asked for, not a reason to try again.
        assert job.died(connection, running, mine.token, "SIGKILL")
        ended = job.one(connection, running)
        assert ended is not None
        assert ended.state == "cancelled"
        assert job.ask_cancel(connection, running, actor="a") == ended
        assert job.ask_cancel(connection, "nobody", actor="a") is None
        asked = [row for row in event.after(connection, 0, 99) if row.data["cancel_asked"]]
        assert [row.subject for row in asked] == [waiting, running, running]


def test_one_that_was_asked_to_end_does_not_go_back_into_the_queue(database: Metadata) -> None:
    """The word to end came after its worker's last look."""
    for leave in (
        lambda c, mine: job.release(c, mine.id, mine.token),
        lambda c, mine: job.retry(c, mine.id, mine.token, wait_s=0, error={}),
        lambda c, mine: job.died(c, mine.id, mine.token, "killed"),
    ):
        with database.write() as connection:
            entered, _ = job.submit(connection, "tidy", owner="a")
            mine = job.claim(connection, "w", lease_s=9, job_id=entered.id)
            job.ask_cancel(connection, entered.id, actor="a")
            assert leave(connection, mine)
            ended = job.one(connection, entered.id)
            assert ended is not None
            assert ended.state == "cancelled"


def test_a_key_is_one_job_until_it_has_ended(database: Metadata) -> None:
    with database.write() as connection:
        first, _ = job.submit(connection, "export", owner="a", key="k")
        again, new = job.submit(connection, "export", owner="a", key="k")
        assert (again.id, new) == (first.id, False)
        assert job.submit(connection, "export", owner="b", key="k")[1]
        with pytest.raises(ConflictError):
            job.submit(connection, "verify", owner="a", key="k")
        mine = take(connection, job_id=first.id)
        assert job.end(connection, first.id, mine.token, "done")
        assert job.submit(connection, "export", owner="a", key="k")[1]
        assert job.submit(connection, "tidy", owner="beat", job_id="tidy-7")[1]
        assert not job.submit(connection, "tidy", owner="beat", job_id="tidy-7")[1]


def test_an_owner_may_have_so_many_that_wait_and_that_run(database: Metadata) -> None:
    with database.write() as connection:
        for _ in range(3):
            job.submit(connection, "export", owner="a", queued_max=3)
        with pytest.raises(RateLimitError) as refused:
            job.submit(connection, "export", owner="a", queued_max=3)
        assert refused.value.code == "jobs_too_many"
        job.submit(connection, "export", owner="b", queued_max=3)
        owners = [take(connection, running_max=1).owner for _ in range(2)]
        assert sorted(owners) == ["a", "b"]
        assert job.claim(connection, "w", lease_s=1, running_max=1) is None
        assert job.claim(connection, "w", lease_s=1, share=("w", 1)) is None
        assert take(connection, "v", share=("v", 1)).owner == "a"


def test_priority_first_then_fair_shares_then_age(database: Metadata) -> None:
    with database.write() as connection:
        for number in range(6):
            job.submit(connection, "export", owner="a", detail={"n": number})
        job.submit(connection, "export", owner="b")
        job.submit(connection, "export", owner="c", priority=5)
        order = []
        for _ in range(8):
            mine = take(connection)
            order.append((mine.owner, mine.detail.get("n")))
            if len(order) > 3:  # one slot only: whoever was served longest ago is next
                job.end(connection, mine.id, mine.token, "done")
        assert order[0] == ("c", None)
        assert sorted(order[1:3]) == [("a", 0), ("b", None)]
        assert [n for owner, n in order if owner == "a"] == [0, 1, 2, 3, 4, 5]
    with database.write() as connection:
        connection.execute(jobs.delete())
        for owner in "aaab":
            job.submit(connection, "export", owner=owner)
        turns = []
        for _ in range(4):
            mine = take(connection)
            job.end(connection, mine.id, mine.token, "done")
            turns.append(mine.owner)
        assert turns.index("b") <= 1


def test_many_workers_at_once_share_without_doubles(database: Metadata) -> None:
    with database.write() as connection:
        for number in range(60):
            job.submit(connection, "export", owner=f"o{number % 3}")
    taken: list[str] = []

    def work(name: str) -> None:
        while True:
            with database.write() as connection:
                mine = job.claim(connection, name, lease_s=60)
            if mine is None:
                return
            taken.append(mine.id)
            with database.write() as connection:
                assert job.end(connection, mine.id, mine.token, "done")

    workers = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert Counter(Counter(taken).values()) == {1: 60}
    with database.read() as connection:
        assert job.depth(connection) == {("export", "done"): 60}


def test_logs_are_bounded_and_what_ended_long_ago_goes(
    database: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "LOG_LINES_MAX", 3)
    with database.write() as connection:
        name = job.submit(connection, "export", owner="a")[0].id
        mine = take(connection)
        assert job.log(connection, name, mine.token, [(1, "info", "a" * 5000), (2, "info", "b")])
        assert job.log(connection, name, mine.token, [(n, "info", str(n)) for n in range(3, 9)])
        assert job.log(connection, name, mine.token, [(9, "info", "more")])
        texts = [line.text for line in job.logs(connection, name)]
        assert texts == ["a" * 4000, "b", "the log is full: 3 lines are kept"]
        assert job.oldest_waiting_s(connection) == 0.0
        assert job.trim(connection) == 0
        assert job.end(connection, name, mine.token, "done")
        fresh = job.submit(connection, "export", owner="a")[0].id
        connection.execute(update(jobs).where(jobs.c.id == name).values(ended=now_ns() - job.KEPT_NS - 1))
        assert job.trim(connection) == 1
        assert job.one(connection, name) is None
        assert job.logs(connection, name) == []
        assert job.one(connection, fresh) is not None
        assert job.oldest_waiting_s(connection) > 0
        assert [row.id for row in job.page(connection, limit=9, kind="export", owner="a")] == [fresh]
        assert job.page(connection, limit=9, kind="verify") == []


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Hundreds of steps are each synced: in memory they take no time, on a busy disk minutes."""


@functools.cache
def empty() -> bytes:
    """A database without jobs: made once, because the migrations take longer than all the rest."""
    with tempfile.TemporaryDirectory(prefix="tidemill-queue-") as folder:
        file = Path(folder) / "tidemill.db"
        Metadata.open(file).close()
        return file.read_bytes()


class Queue(RuleBasedStateMachine):
    """Workers that claim, write late, die and come back, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="tidemill-queue-", dir=MEMORY)
        file = Path(self.folder.name) / "tidemill.db"
        file.write_bytes(empty())
        self.metadata = Metadata.open(file)
        self.held: list[job.Job] = []
        self.tokens: dict[str, int] = {}
        self.ended: dict[str, tuple[str, int | None]] = {}

    @rule(owner=st.sampled_from("ab"), priority=st.integers(0, 1))
    def submit(self, owner: str, priority: int) -> None:
        with self.metadata.write() as connection:
            job.submit(connection, "export", owner=owner, priority=priority)

    @rule()
    def claim(self) -> None:
        with self.metadata.write() as connection:
            mine = job.claim(connection, "w", lease_s=60)
        if mine is not None:
            assert mine.token > self.tokens.get(mine.id, 0)
            assert 1 <= mine.attempts <= mine.attempts_max
            self.tokens[mine.id] = mine.token
            self.held.append(mine)

    @rule(at=st.integers(0, 20), what=st.sampled_from(["end", "fail", "retry", "release", "die", "advance"]))
    def write(self, at: int, what: str) -> None:
        if not self.held:
            return
        mine = self.held[at % len(self.held)]
        with self.metadata.write() as connection:
            before = job.one(connection, mine.id)
            assert before is not None
            done = {
                "end": lambda: job.end(connection, mine.id, mine.token, "done", result={}),
                "fail": lambda: job.end(connection, mine.id, mine.token, "failed", error={}),
                "retry": lambda: job.retry(connection, mine.id, mine.token, wait_s=0, error={}),
                "release": lambda: job.release(connection, mine.id, mine.token),
                "die": lambda: job.died(connection, mine.id, mine.token, "x"),
                "advance": lambda: job.advance(connection, mine.id, mine.token, job.Progress(1, 2)),
            }[what]()
            after = job.one(connection, mine.id)
        allowed = before.state == "running" and before.token == mine.token
        assert done == allowed
        assert allowed or before == after

    @rule(at=st.integers(0, 20))
    def lapse(self, at: int) -> None:
        if self.held:
            with self.metadata.write() as connection:
                lapse(connection, self.held[at % len(self.held)].id)
                job.reap(connection)

    @rule(at=st.integers(0, 20))
    def cancel(self, at: int) -> None:
        if self.held:
            with self.metadata.write() as connection:
                job.ask_cancel(connection, self.held[at % len(self.held)].id, actor="a")

    @invariant()
    def one_holder_and_one_end(self) -> None:
        with self.metadata.read() as connection:
            rows = job.page(connection, limit=1000)
        for row in rows:
            assert 0 <= row.attempts <= row.attempts_max
            assert (row.state == "running") == (row.holder is not None) == (row.lease_until is not None)
            assert (row.ended is not None) == (row.state in job.ENDED)
            if row.id in self.ended:
                assert self.ended[row.id] == (row.state, row.ended)
            elif row.ended is not None:
                self.ended[row.id] = (row.state, row.ended)
            assert row.token == self.tokens.get(row.id, 0)

    def teardown(self) -> None:
        self.metadata.close()
        self.folder.cleanup()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
