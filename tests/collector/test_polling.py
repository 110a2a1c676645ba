"""The collector in Python: into the journal once, over failures, restarts and outages, and holes are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collector.filed import SECOND, Filed, Trade
from tidemill import _native, control, providers, wire
from tidemill.collector import memory, polling, record
from tidemill.errors import AuthError, ConflictError, NotFoundError, TidemillError, UpstreamError
from tidemill.home import Home
from tidemill.log import Log

VENUE = "filed"
MINUTE = 60 * SECOND


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path)
    made.create()
    return made


class Bench:
    """A collector whose provider and clock are the test's; each `round` is one of every symbol."""

    def __init__(self, home: Home, source: Filed, *symbols: str, **options: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(providers, "load", lambda _: Filed)
            patch.setattr(providers, "open", lambda *_, **__: source)
            self.collector = polling.Collector(
                home, VENUE, symbols or ("A",), polling.Settings(**options), Log("test"),
                now=lambda: source.now,
            )  # fmt: skip
        self.source = source

    async def _once(self) -> None:
        for line in self.collector.lines:
            task = asyncio.create_task(self.collector._poll(line))
            for _ in range(20):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def rounds(self, moments: range) -> None:
        async def main() -> None:
            for self.source.now in moments:
                await self._once()

        asyncio.run(main())

    def die(self) -> None:
        """Lets go of the journal as a killed process does: without a word."""
        self.collector.close()


def journal(home: Home) -> wire.Records:
    reader = _native.JournalReader(str(home.path), VENUE)
    parts = [np.zeros(0, wire.RECORD)]
    sequence = 1
    while (batch := reader.read(1 << 16, 0)) is not None:
        assert batch.sequence == sequence
        parts.append(wire.view(batch).copy())
        sequence += len(batch)
    return np.concatenate(parts)


def ids(records: wire.Records) -> list[str]:
    return [str(row[1]) for row in record.rows(records)]


def gaps(records: wire.Records) -> list[tuple[int, int]]:
    """Side and time of each gap record."""
    found = records[records["kind"] == wire.KIND_GAP]
    return [(int(one["flags"]) & 3, int(one["ts_event"])) for one in found]


def codes(records: wire.Records) -> list[str]:
    return [wire.STATUSES[one["id"]] for one in records[records["kind"] == wire.KIND_STATUS]]


@given(
    st.lists(st.tuples(st.integers(0, 180), st.integers(0, 55)), max_size=30),
    st.lists(st.booleans(), max_size=10),
    st.lists(st.integers(1, 24), max_size=3),
    st.sampled_from(["kept", "lost", "old"]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_trade_is_in_the_journal_once_whoever_died_when(
    tmp_path_factory: pytest.TempPathFactory,
    happened: list[tuple[int, int]], fails: list[bool], deaths: list[int], note: str,
) -> None:  # fmt: skip
    home = Home.at(tmp_path_factory.mktemp("h"))
    home.create()
    start = 1_000_000 * SECOND
    filed: list[Trade] = [
        (start + at * SECOND, start + (at + late) * SECOND, f"id-{n}", 100 + n)
        for n, (at, late) in enumerate(happened)
    ]
    path = memory.note_path(home, VENUE)
    source = Filed(filed)
    source.failures = [UpstreamError("provider_silent", "no") if fail else None for fail in fails]
    bench, old = Bench(home, source, "A"), None
    for round_ in range(27):
        bench.rounds(range(start + round_ * 10 * SECOND + 1, start + round_ * 10 * SECOND + 2))
        if round_ in deaths:
            bench.die()
            if note == "lost":
                path.unlink(missing_ok=True)
            elif note == "old" and old is not None:
                path.write_text(old)
            bench = Bench(home, source, "A")
        if path.exists() and round_ % 3 == 0:
            old = path.read_text()
    bench.die()
    records = journal(home)
    assert sorted(ids(records)) == sorted(one[2] for one in filed)
    assert gaps(records) == []


def test_an_outage_that_is_caught_up_leaves_no_gap(home: Home) -> None:
    source = Filed([(at * MINUTE, at * MINUTE, f"{at}", 100) for at in range(1, 100)])
    bench = Bench(home, source, catch_up_s=1800)
    bench.rounds(range(10 * MINUTE, 12 * MINUTE, MINUTE))
    source.failures = [UpstreamError("provider_silent", "no")] * 20
    bench.rounds(range(12 * MINUTE, 32 * MINUTE, MINUTE))
    assert bench.collector.state() == "reconnecting"
    bench.rounds(range(32 * MINUTE, 34 * MINUTE, MINUTE))
    assert bench.collector.state() == "live"
    bench.die()
    records = journal(home)
    assert ids(records) == [str(at) for at in range(9, 33)]
    assert gaps(records) == []
    assert codes(records) == ["live", "stale", "live"]


def test_what_is_too_long_ago_is_a_gap_that_opens_while_it_goes_on(home: Home) -> None:
    source = Filed([(at * MINUTE, at * MINUTE, f"{at}", 100) for at in range(1, 300)])
    bench = Bench(home, source, catch_up_s=1800)
    bench.rounds(range(10 * MINUTE, 12 * MINUTE, MINUTE))  # reached 11 min
    source.failures = [UpstreamError("provider_silent", "no")] * 40
    bench.rounds(range(12 * MINUTE, 52 * MINUTE, MINUTE))
    assert gaps(journal(home)) == [(1, 10 * MINUTE)]
    # It is killed, and stays away for as long again: it is still the same gap.
    bench.die()
    bench = Bench(home, source, catch_up_s=1800)
    bench.rounds(range(100 * MINUTE, 102 * MINUTE, MINUTE))
    bench.die()
    records = journal(home)
    assert gaps(records) == [(1, 10 * MINUTE), (2, 69 * MINUTE)]
    opening, end = records[records["kind"] == wire.KIND_GAP]
    assert int(end["id"]) == 1 + int(np.flatnonzero(records["kind"] == wire.KIND_GAP)[0])
    assert (int(opening["price_scale"]), int(opening["size_scale"]), int(opening["price"])) == (1, 1, -1)
    assert ids(records) == [*(str(at) for at in (9, 10)), *(str(at) for at in range(69, 101))]


def test_a_restart_after_long_tells_the_hole_too(home: Home) -> None:
    source = Filed([])
    bench = Bench(home, source, catch_up_s=1800)
    bench.rounds(range(10 * MINUTE, 11 * MINUTE, MINUTE))
    bench.die()
    bench = Bench(home, source, catch_up_s=1800)
    bench.rounds(range(500 * MINUTE, 501 * MINUTE, MINUTE))
    bench.die()
    assert gaps(journal(home)) == [(1, 9 * MINUTE), (2, 469 * MINUTE)]


def test_a_journal_that_lost_its_tail_is_believed_more_than_the_note(home: Home) -> None:
    """A power cut takes records that a note speaks of: then they are asked for again."""
    source = Filed([(at * MINUTE, at * MINUTE, f"{at}", 100) for at in range(1, 60)])
    bench = Bench(home, source)
    bench.rounds(range(10 * MINUTE, 12 * MINUTE, MINUTE))
    bench.die()
    path = memory.note_path(home, VENUE)
    noted = memory.Note.read(path)
    assert noted is not None
    memory.Note(noted.sequence + 50, noted.position, {"A.filed": 30 * MINUTE}).write(path)
    bench = Bench(home, source)
    bench.rounds(range(31 * MINUTE, 32 * MINUTE, MINUTE))
    bench.die()
    assert ids(journal(home)) == [str(at) for at in range(9, 31)]


def test_a_restart_reads_only_what_it_must(home: Home) -> None:
    source = Filed([(at * SECOND, at * SECOND, f"{at}", 100) for at in range(1, 3000)])
    bench = Bench(home, source)
    bench.rounds(range(MINUTE, 30 * MINUTE, 10 * SECOND))
    bench.die()
    noted = memory.Note.read(memory.note_path(home, VENUE))
    assert noted is not None
    assert noted.sequence - noted.position[1] < 4 * 80
    bench = Bench(home, source)
    assert len(bench.collector.lines[0].poller._seen) in (59, 60, 61)
    bench.die()


def test_a_second_collector_of_the_venue_is_refused(home: Home) -> None:
    bench = Bench(home, Filed([]))
    with pytest.raises(ConflictError, match="has a collector already"):
        Bench(home, Filed([]))
    bench.die()


def test_a_wrong_key_is_tried_a_few_times_and_then_not_again(home: Home) -> None:
    source = Filed([])
    source.failures = [AuthError("provider_key", "no")] * 100
    error = _ran(home, source, lambda _: False, *(f"S{n}" for n in range(20)), every_s=0.05)
    assert isinstance(error, AuthError)
    assert 1 <= len(source.asked) <= 3


def test_a_symbol_that_nobody_has_ends_alone_and_has_no_name_here(home: Home) -> None:
    source = Filed([])
    source.failures = [NotFoundError("symbol_unknown", "no B"), None, None]
    said: list[dict[str, Any]] = []

    def enough(answer: dict[str, Any]) -> bool:
        said.append(answer)
        return bool(answer["unknown"]) and answer["state"] == "stale"

    assert _ran(home, source, enough, "B", "A", every_s=0.05) is None
    assert said[-1]["unknown"][0]["code"] == "symbol_unknown"
    assert said[-1]["instruments"] == ["A.filed"]
    assert [one["name"] for one in _native.instruments(str(home.path), VENUE)] == ["A.filed"]
    assert codes(journal(home)) == ["connecting", "live", "closed"]
    assert source.closed
    assert not home.control("collector-filed").exists()


def _ran(
    home: Home, source: Filed, enough: Callable[[dict[str, Any]], bool], *symbols: str, **options: Any
) -> TidemillError | None:
    """Runs until its status is `enough`, and drains it over its socket; returns the error it ended with."""
    source.now = time.time_ns()
    bench = Bench(home, source, *symbols, **options)

    async def main() -> None:
        running = asyncio.create_task(bench.collector.run())
        while not running.done():
            await asyncio.sleep(0.02)
            source.now = time.time_ns()
            try:
                answer = await control.ask(home.control("collector-filed"), "status")
            except control.Unreachable:
                continue
            if enough(answer):
                text = (await control.ask(home.control("collector-filed"), "metrics"))["text"]
                assert 'tidemill_collector_trades_total{venue="filed"}' in text
                assert await control.ask(home.control("collector-filed"), "drain") == {"draining": True}
                break
        async with asyncio.timeout(10):
            await running

    try:
        asyncio.run(main())
    except TidemillError as error:
        return error
    finally:
        bench.die()
    return None
