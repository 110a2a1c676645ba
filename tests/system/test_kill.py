"""kill -9 of every part under load: nothing lost, nothing doubled, every hole recorded."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.system import report
from tests.system.book import judge_books
from tests.system.check import Checked, check, judge_trades
from tests.system.harness import Journal, Platform, is_alive, running, seeded, until
from tests.system.oracle import truth_lines
from tests.system.plant import BUGS, plant
from tests.system.quote import EVERY_CHANGE, judge_quotes
from tests.system.viewer import Viewer
from tidemill import wire
from tidemill.supervisor.child import STABLE_S

VENUES = ("sim-kraken", "sim-coinbase", "sim-binance")
PARTS = ("collector", "relay", "bridge", "recorder", "service")
LOAD_PER_S = 5000
SOAK_KILLS = 20


def settle(platform: Platform) -> None:
    """Waits until every venue is live, its books too, and the platform says that it is ready."""
    for venue in VENUES:
        until(
            lambda venue=venue: (
                (said := platform.collector(venue)).get("state") == "live" and said["gaps_open"] == 0
            ),
            f"{venue} is live without an open gap",
            60,
        )
        platform.wait_trades(venue, 500)
    until(platform.is_ready, "the platform is ready", 60)


@pytest.mark.timeout(600)
def test_random_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    dice = random.Random(3)
    with running(tmp_path / "home", rate=LOAD_PER_S, history=False) as platform:
        settle(platform)
        victims = [part for part in PARTS for _ in range(2)]
        dice.shuffle(victims)
        with Viewer(platform, ["trades", "book"]) as viewer:
            for part in victims:
                kill(platform, part, dice)
                time.sleep(dice.uniform(0.1, 1.0))
            settle(platform)
            viewer.catch_up()
        assert platform.stop() == 0
    found = check(platform.home.path, platform.truth, VENUES, viewer)
    for venue, checked in found.items():
        assert checked.trades.trades > 1000, f"{venue}: {checked.trades}"
        assert checked.books.messages > 500, f"{venue}: {checked.books}"
    planted_bugs_are_found(platform, dice.choice(VENUES))


def kill(platform: Platform, part: str, dice: random.Random) -> float | None:
    """Kills a part, mostly until it works again, sometimes with another kill to come while it starts."""
    name = f"collector-{dice.choice(VENUES)}" if part == "collector" else part
    if dice.random() < 0.75:
        return platform.kill_part(name)
    pid = until(lambda: platform.pid(name), f"{name} runs")
    os.kill(pid, signal.SIGKILL)
    until(lambda: platform.pid(name) not in (None, pid), f"{name} is started again")
    return None


def planted_bugs_are_found(platform: Platform, *venues: str) -> None:
    """The judges that called this very record clean find one bug in it."""
    dice = seeded()
    for venue in venues:
        journal = Journal(platform.home.path, venue)
        number, name = dice.choice(sorted(journal.names.items()))
        # One instrument, and what concerns the whole venue.
        mine = (journal.records["instrument"] == number) | (journal.records["instrument"] == 0)
        records, sequences = journal.records[mine], journal.sequences[mine]
        lines = [line for line in truth_lines(platform.truth) if line["instrument"] == name]
        for bug in BUGS:
            journal.records, journal.sequences = plant(bug, records, sequences, wire.KIND_LEVEL, dice)
            verdict = judge_books(lines, [journal.books()])[venue]
            assert not verdict.clean, f"{bug} level of {name}: {verdict}"
            journal.records, journal.sequences = plant(bug, records, sequences, wire.KIND_TRADE, dice)
            trades = judge_trades(lines, journal)
            assert not trades.clean, f"{bug} trade of {name}: {trades}"
            if venue in EVERY_CHANGE:
                journal.records, journal.sequences = plant(bug, records, sequences, wire.KIND_QUOTE, dice)
                assert judge_quotes(lines, journal), f"{bug} quote of {name}"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_soak_of_kills(tmp_path: Path) -> None:
    """20 of each part. A part that dies often is started ever later (after up to 10 s), so
    each round takes long enough that its parts count as stable again; a kill that comes while the part
    starts is the exception, and counts as two."""
    dice = seeded()
    ready: dict[str, list[float]] = {part: [] for part in PARTS}
    kills: Counter[str] = Counter()
    with running(tmp_path / "home", rate=LOAD_PER_S, history=False) as platform:
        settle(platform)
        with Viewer(platform, ["trades", "book"]) as viewer:
            while min(kills[part] for part in PARTS) < SOAK_KILLS:
                began = time.monotonic()
                for part in dice.sample(PARTS, len(PARTS)):
                    if kills[part] >= SOAK_KILLS:
                        continue
                    kills[part] += 1
                    took = kill(platform, part, dice)
                    if took is not None:
                        ready[part].append(took)
                    time.sleep(dice.uniform(0.1, 4.0))
                time.sleep(max(0.0, STABLE_S + 2 - (time.monotonic() - began)))
            settle(platform)
            viewer.catch_up(120)
        restarts = Counter[str]()
        for name, count in platform.restarts().items():
            restarts[name.partition("-")[0]] += count
        assert platform.stop() == 0
    assert restarts == kills, "a part died that nobody killed"
    found = check(platform.home.path, platform.truth, VENUES, viewer)
    planted_bugs_are_found(platform, *VENUES)
    report.note(
        f"{SOAK_KILLS} random kill -9 of each part under {LOAD_PER_S:,} messages a second",
        {
            "Parts": [
                {
                    "part": part,
                    "kills": kills[part],
                    "ready again p50 s": report.percentile(ready[part], 50),
                    "p99 s": report.percentile(ready[part], 99),
                    "restarts of others": 0,
                }
                for part in PARTS
            ],
            "Records": record_rows(found),
        },
    )


def record_rows(found: dict[str, Checked]) -> list[dict[str, Any]]:
    """What was kept of each venue. `check` has asserted the zeros."""
    return [
        {
            "venue": venue,
            "records": checked.records,
            "trades": checked.trades.trades,
            "missing = in gaps": checked.trades.excused,
            "book messages": checked.books.messages,
            "of them missing = in gaps": checked.books.excused,
            "snapshots equal": checked.books.snapshots,
            "lost": len(checked.trades.lost) + len(checked.books.lost),
            "doubled": len(checked.trades.doubled) + len(checked.books.doubled),
        }
        for venue, checked in found.items()
    ]


@pytest.mark.parametrize("everything", [True, False], ids=["everything", "supervisor"])
@pytest.mark.parametrize(
    "rounds", [1, pytest.param(SOAK_KILLS, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])], ids=str
)
@pytest.mark.timeout(300)
def test_kill_of_everything_at_once_and_of_the_supervisor(
    tmp_path: Path, everything: bool, rounds: int
) -> None:
    """Either way no part is left over, and the next start goes on where the last one ended."""
    dice = seeded()
    rate = LOAD_PER_S if rounds > 1 else 1000
    ready = []
    with running(tmp_path / "home", rate=rate, history=False) as platform:
        for _ in range(rounds):
            for venue in VENUES:
                platform.wait_trades(venue, 300)
            time.sleep(dice.uniform(0, 2))
            if everything:
                platform.kill_all()
            else:
                pids = [pid for name in platform.parts() if (pid := platform.pid(name))]
                assert len(pids) >= 7
                platform.kill()
                until(lambda pids=pids: not any(is_alive(pid) for pid in pids), "every part left", 15)
            began = time.monotonic()
            platform.start()
            ready.append(time.monotonic() - began)
        settle(platform)
        assert platform.stop() == 0
    found = check(platform.home.path, platform.truth, VENUES)
    if rounds > 1:
        what = "everything at once" if everything else "the supervisor, whose parts leave by themselves"
        report.note(
            f"{rounds} kill -9 of {what}, under {rate:,} messages a second",
            {
                "Starts": [
                    {
                        "kills": rounds,
                        "ready again p50 s": report.percentile(ready, 50),
                        "p99 s": report.percentile(ready, 99),
                    }
                ],
                "Records": record_rows(found),
            },
        )


@pytest.mark.timeout(120)
def test_a_second_up_says_who_holds_home_and_port(tmp_path: Path) -> None:
    with running(tmp_path / "home", rate=100, history=False) as platform:
        assert platform.process
        words = [sys.executable, "-m", "tidemill", *platform.words]
        second = subprocess.run(words, capture_output=True, text=True, timeout=30)
        assert second.returncode == 6
        assert str(platform.process.pid) in second.stderr
        other = [w if w != str(platform.home.path) else str(tmp_path / "other") for w in words]
        third = subprocess.run(other, capture_output=True, text=True, timeout=30)
        assert third.returncode == 6
        assert f"port {platform.port}" in third.stderr
