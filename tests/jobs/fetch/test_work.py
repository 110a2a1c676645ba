"""Fetching in this process: what comes is kept, what fails ends as it should, an estimate is what happens."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tidemill import errors
from tidemill.home import Home
from tidemill.jobs.fetch import order as order_module
from tidemill.jobs.fetch import plan, work
from tidemill.jobs.fetch.order import Order
from tidemill.jobs.kind.api import Stopped
from tidemill.model.interval import SECOND
from tidemill.stores.api import Query
from tidemill.stores.lake import Lake
from tidemill.stores.memory import Memory
from tidemill.stores.table import BARS, DETAILS, TRADES


class Context:
    """What a job's process gives its work, without the process."""

    def __init__(self, home: Home, resumed: Any = None) -> None:
        self.home, self.job_id, self.resumed = home, "j1", resumed
        self.lines: list[str] = []
        self.told: list[tuple[int, int | None, str | None, str | None]] = []
        self.kept: list[Any] = []
        self.cancel_at = self.stop_at = float("inf")
        """After that many checkpoints."""

    def progress(
        self, done: int, total: int | None = None, unit: str | None = None, note: str | None = None
    ) -> None:
        self.told.append((done, total, unit, note))

    def checkpoint(self, value: Any) -> None:
        self.kept.append(value)
        if len(self.kept) >= self.stop_at:
            raise Stopped

    def log(self, text: str, level: str = "info") -> None:
        self.lines.append(text)

    def cancelled(self) -> bool:
        return len(self.kept) >= self.cancel_at


@pytest.fixture
def home(tmp_path: Path, kinds: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home.at(tmp_path / "home")
    made.create()
    for name, value in (("PAUSE_S", 0.01), ("BATCH_S", 0.05), ("LOOK_S", 0.01)):
        monkeypatch.setattr(work, name, value)
    monkeypatch.setattr(order_module, "CHUNKS_MAX", 1_000)
    return made


def order(**changes: Any) -> Order:
    detail = {
        "provider": "made", "symbols": ["AAA", "BBB"], "interval": "1m", "start": "2026-01-01",
        "end": "2026-01-04T12:00:00Z", "workers": 5, **changes,
    }  # fmt: skip
    return Order.of({name: value for name, value in detail.items() if value is not None})


def fetch(home: Home, asked: Order, store: Any, context: Context | None = None) -> dict[str, Any]:
    return asyncio.run(work.run(context or Context(home), asked, store))


def rows(store: Any) -> list[Any]:
    found = []
    for table in (TRADES, DETAILS, BARS):
        names = [name for name in table.schema.names if name != "ts_recv"]
        key = [
            (n, "ascending")
            for n in ("instrument", "interval", "ts_event", "sequence", "revision")
            if n in names
        ]
        found.append(store.read(table, Query(revisions=True)).select(names).sort_by(key))
    return found


def requests(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize("kind", ["bars", "trades"])
def test_an_estimate_is_what_happens_and_afterwards_all_is_held(home: Home, kind: str) -> None:
    store = Lake(home.lake)
    asked = order(kind=kind, interval=None if kind == "trades" else "1m")
    said = plan.estimate(asked, store)
    assert (said["chunks"], said["held"], len(said["items"])) == (28, 0, 2)
    got = fetch(home, asked, store)
    for name in ("rows", "chunks", "requests", "bytes"):
        assert got[name] == said[name], name
    assert (got["instruments"], got["held"]) == (["AAA.made", "BBB.made"], 0)
    table, query = (TRADES, Query()) if kind == "trades" else (BARS, Query(interval="1m"))
    assert len(store.read(table, query)) == got["rows"]
    # A day more: what is held is not asked for again, and costs nothing.
    more = order(kind=kind, interval=None if kind == "trades" else "1m", end="2026-01-05")
    after = plan.estimate(more, store)
    assert (after["chunks"], after["held"], after["requests"]) == (4, 28, 4)
    got = fetch(home, more, store)
    assert (got["requests"], got["held"], got["chunks"]) == (4, 28, 4)
    assert plan.estimate(more, store)["seconds"] == 0
    # Asked for again, all of it comes, and changes nothing.
    before = rows(store)
    again = fetch(home, order(kind=kind, interval=more.interval or None, end="2026-01-05", again=True), store)
    assert again["requests"] == 32
    assert rows(store) == before


def test_other_cuts_workers_and_orders_end_in_the_same_rows(home: Home) -> None:
    found = []
    for chunk_s, workers in ((21_600, 1), (13_000, 50), (100_000, 7)):
        store = Memory()
        for kind, interval in (("bars", "1m"), ("trades", None)):
            fetch(
                home,
                order(kind=kind, interval=interval, workers=workers, options={"chunk_s": str(chunk_s)}),
                store,
            )
        found.append(rows(store))
    assert found[0] == found[1] == found[2]


def test_a_stopped_fetch_goes_on_and_asks_for_nothing_twice(home: Home, tmp_path: Path) -> None:
    log = tmp_path / "log"
    asked = order(workers=3, options={"chunk_s": "3600", "slow_ms": "5", "log": str(log)})
    store, context = Lake(home.lake), Context(home)
    context.stop_at = 2
    with pytest.raises(Stopped):
        fetch(home, asked, store, context)
    kept = context.kept[-1]
    before = len(requests(log))
    done = work.Mark(kept["done"])
    assert 0 < len(done) <= before < 168
    assert len(str(done)) < 200
    after = Context(home, resumed=kept)
    got = fetch(home, asked, store, after)
    # What was under way and not kept comes again; nothing else.
    assert len(requests(log)) - before == 168 - kept["counts"]["chunks"] - got["held"]
    assert got["chunks"] + got["held"] == 168
    whole = Memory()
    fetch(home, asked, whole)
    assert rows(store) == rows(whole)
    assert after.told[-1][0] == after.told[-1][1] == got["rows"]


def test_beside_a_recorder_neither_loses_a_commit(home: Home) -> None:
    """The recorder's own commits go on, each in its place, while fifty workers' chunks come."""
    done = threading.Event()
    committed = [0]

    def record() -> None:
        lake = Lake(home.lake)
        while not done.is_set():
            for table in (TRADES, BARS):
                at = committed[0]
                before = {"journal/sim-kraken/1": at or None}
                assert lake.append(table, table.empty(), {"journal/sim-kraken/1": at + 1}, before)
            committed[0] += 1

    recorder = threading.Thread(target=record)
    recorder.start()
    store, whole = Lake(home.lake), Memory()
    try:
        asked = order(kind="trades", interval=None, workers=50, options={"chunk_s": "7200", "slow_ms": "50"})
        assert fetch(home, asked, store)["chunks"] == 84
    finally:
        done.set()
        recorder.join(60)
    assert committed[0] > 3
    for table in (TRADES, BARS):
        assert Lake(home.lake).offset(table, "journal/sim-kraken/1") == committed[0]
    fetch(home, asked, whole)
    assert rows(store) == rows(whole)


@pytest.mark.alone
def test_a_cancel_is_heard_at_once(home: Home) -> None:
    context = Context(home)
    context.cancel_at = 0
    asked = order(options={"slow_ms": "60000"})
    begun = time.monotonic()
    with pytest.raises(work.CancelledByUser):
        fetch(home, asked, Memory(), context)
    assert time.monotonic() - begun < 1.0


def test_a_symbol_that_nobody_has_ends_alone(home: Home) -> None:
    context = Context(home)
    got = fetch(home, order(symbols=["NONE", "AAA"]), Memory(), context)
    assert (got["not_found"], got["instruments"], got["chunks"]) == (["NONE"], ["AAA.made"], 14)
    assert any("nobody knows NONE" in line for line in context.lines)


@pytest.mark.parametrize("fault", ["flaky", "429"])
def test_what_passes_is_waited_for(home: Home, fault: str) -> None:
    context, plain = Context(home), Memory()
    store = Memory()
    asked = order(options={"fault": fault})
    got = fetch(home, asked, store, context)
    assert got["chunks"] == 28
    assert got["requests"] == 28 * (2 if fault == "flaky" else 3)
    assert any("again in" in line for line in context.lines)
    fetch(home, order(), plain)
    assert rows(store) == rows(plain)


@pytest.mark.parametrize(
    ("fault", "code", "tries"),
    [
        ("key", "credential_refused", 1),
        ("down", "fetch_failed", work.TRIES),
        ("nonsense", "provider_answer", 1),
    ],
)
def test_what_does_not_pass_ends_the_job_and_what_came_is_kept(
    home: Home, tmp_path: Path, fault: str, code: str, tries: int
) -> None:
    log, since = tmp_path / "log", 1_767_225_600 + 2 * 86_400  # 3 January
    store, one = Lake(home.lake), {"workers": 1, "symbols": ["AAA"]}
    fault_since = fault if fault == "nonsense" else f"{fault}@{since * SECOND}"
    asked = order(**one, options={"fault": fault_since, "log": str(log)})
    with pytest.raises(errors.TidemillError) as failed:
        fetch(home, asked, store)
    assert (failed.value.code, failed.value.retryable) == (code, False)
    if fault == "nonsense":
        return
    assert len(requests(log)) == 8 + tries
    found = store.read(BARS, Query(interval="1m"))
    assert max(found["ts_event"].to_pylist()) < since * SECOND
    assert len(store.read(BARS, Query(interval="1d"))) == 2
    # Two of its three days are there: the same order, with a key that is good by now, asks for the rest.
    before = len(requests(log))
    del asked
    held = plan.estimate(order(**one, options={"fault": fault_since, "log": str(log)}), store)
    assert (held["held"], held["chunks"]) == (8, 6)
    assert len(requests(log)) == before


def test_the_interval_that_is_fetched_is_the_longest_stored_one_that_makes_the_asked(home: Home) -> None:
    for asked, fetched in (
        ("5m", "1m"),
        ("30m", "1m"),
        ("4h", "1h"),
        ("1w", "1d"),
        ("1mo", "1d"),
        ("10s", "1s"),
    ):
        assert order(interval=asked).interval == fetched
    assert order(kind="trades", interval=None).interval == ""


def test_an_order_ends_where_what_is_over_ends(home: Home) -> None:
    now = 1_767_225_600 * SECOND + 3_600 * SECOND + 30 * SECOND
    detail = {"provider": "made", "symbols": ["AAA"], "interval": "1m", "start": "2026-01-01T00:00:30Z"}
    asked = Order.of(detail, now)
    # A minute's delay, and a minute that is not over.
    assert (asked.start % (3_600 * SECOND), asked.end) == (0, (1_767_225_600 + 3_540) * SECOND)
    assert Order.of(asked.detail(), now + 10**15) == asked
    with pytest.raises(errors.UsageError) as refused:
        Order.of({**detail, "start": "2027-01-01"}, now)
    assert refused.value.code == "span_invalid"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"provider": None}, "detail_unfit"),
    ({"provider": "nobody"}, "provider_unknown"),
    ({"symbols": []}, "detail_unfit"),
    ({"symbols": "AAA"}, "detail_unfit"),
    ({"symbols": ["../x"]}, "symbol_invalid"),
    ({"symbols": ["AAA"] * 1001}, "detail_unfit"),
    ({"kind": "quotes"}, "detail_unfit"),
    ({"interval": "7x"}, "interval_invalid"),
    ({"start": None}, "detail_unfit"),
    ({"start": "yesterday"}, "time_invalid"),
    ({"start": "2026-01-05"}, "range_reversed"),
    ({"workers": 0}, "detail_unfit"),
    ({"workers": 51}, "detail_unfit"),
    ({"options": {"a": 1}}, "detail_unfit"),
    ({"again": 1}, "detail_unfit"),
    ({"else": 1}, "detail_unfit"),
    ({"options": {"chunk_s": "60"}}, "fetch_too_large"),
]


@pytest.mark.parametrize(("change", "code"), BAD)
def test_what_makes_no_sense_is_refused(home: Home, change: dict[str, Any], code: str) -> None:
    with pytest.raises(errors.TidemillError) as refused:
        order(**change)
    assert refused.value.code == code


def test_each_instrument_comes_once(home: Home) -> None:
    assert order(symbols=["BBB", "AAA", "BBB"]).symbols == ("BBB", "AAA")
