"""IQFeed's Level 1 as a collector against the simulated IQConnect: what was told, with what was corrected, is
what its history says, but for what lies in a recorded gap; each trade once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.servers.iqfeed import IQFeed as Server
from tests.system.harness import journal_records, names
from tests.system.solo import Part
from tidemill import wire
from tidemill.providers.api import Ask, Chunk
from tidemill.providers.iqfeed import IQFeed

VENUE = "sim-iqfeed"
SYMBOL = "FAKEPACA"
KIND_AMEND = 8
TEXT = slice(24, 48)
Row = tuple[int, Decimal, Decimal, int, bool, str, str]


class Gate:
    async def enter(self, cost: int = 1) -> None:
        pass

    def pause(self, seconds: float) -> None:
        pass


def collector(home: Path, sim: Server) -> Part:
    words = [
        "collector", "iqfeed", "--name", VENUE, "--url", f"tcp://{sim.addresses['level1']}",
        "--instruments", f"{SYMBOL},BTCUSD", "--channels", "trades,quotes",
    ]  # fmt: skip
    return Part(home, f"collector-{VENUE}", words)


def history(sim: Server, start: int, end: int) -> dict[int, Row]:
    async def ask() -> Any:
        provider = IQFeed(VENUE, Gate(), sim.url)  # type: ignore[arg-type]
        try:
            return await provider.trades(Ask(SYMBOL, "trades", start, end), Chunk(start, end, 1, 0))
        finally:
            await provider.close()

    found = asyncio.run(ask())
    return {
        int(found.id[at]): (
            int(found.ts_event[at]),
            Decimal(int(found.price[at])).scaleb(-found.price_scale),
            Decimal(int(found.size[at])).scaleb(-found.size_scale),
            int(found.aggressor[at]),
            bool(found.irregular[at]),
            found.exchange[at],
            found.conditions[at],
        )
        for at in range(len(found))
    }


class Told:
    """What a journal holds of the symbol."""

    def __init__(self, home: Path) -> None:
        records, _ = journal_records(home, VENUE)
        number = next(number for number, name in names(home, VENUE).items() if name == f"{SYMBOL}.{VENUE}")
        mine = records[records["instrument"] == number]
        self.trades: dict[int, Row] = {}
        self.amended: dict[int, Decimal] = {}
        """Id of each correction, and its size: 0 where the trade was taken out."""
        self.times: Counter[int] = Counter()
        """How often each id was told as a trade."""
        self.gaps: list[list[int]] = []
        """Last good time before each hole in the trades, and the first after it."""
        for at, one in enumerate(mine):
            if one["kind"] == wire.KIND_TRADE:
                text = b""
                for more in mine[at + 1 :]:
                    if more["kind"] != wire.KIND_DETAIL:
                        break
                    text += more.tobytes()[TEXT]
                center, codes, _, _, basis = text.rstrip(b"\0").decode().split("|")
                irregular = bool(one["flags"] & wire.FLAG_IRREGULAR)
                assert irregular == (basis == "O")
                self.times[int(one["id"])] += 1
                self.trades[int(one["id"])] = (
                    int(one["ts_event"]),
                    Decimal(int(one["price"])).scaleb(-int(one["price_scale"])),
                    Decimal(int(one["size"])).scaleb(-int(one["size_scale"])),
                    int(one["flags"] & wire.FLAG_SIDE),
                    irregular,
                    center,
                    codes,
                )
            elif one["kind"] == KIND_AMEND:
                self.amended[int(one["id"])] = Decimal(int(one["size"])).scaleb(-int(one["size_scale"]))
            elif one["kind"] == wire.KIND_GAP and one["price_scale"] == wire.CHANNELS.index("trades"):
                if one["flags"] & wire.FLAG_SIDE == 1:
                    self.gaps.append([int(one["ts_event"]), 0])
                else:
                    self.gaps[-1][1] = int(one["ts_event"])
        self.statuses = [
            wire.STATUSES[int(one)] for one in records[records["kind"] == wire.KIND_STATUS]["id"]
        ]

    def in_gap(self, ts: int) -> bool:
        return any(begin <= ts <= (end or 1 << 62) for begin, end in self.gaps)


def test_live_is_history_but_for_the_gaps(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Server(tmp_path / "sim", "--density", "40") as sim:
        part = collector(home, sim)
        part.live()
        part.records(30)
        sim.fault("split", seconds=1)
        part.records(30)
        sim.fault("cut")
        part.until("has connected anew", lambda said: said["reconnects"] == 1 and said["state"] == "live")
        part.records(30)
        sim.fault("disconnected", seconds=1.5)
        part.until("is stale", lambda said: said["state"] == "stale")
        part.live()
        part.records(30)
        part.process.send_signal(signal.SIGKILL)
        part.process.wait()
        part = collector(home, sim)
        part.live()
        part.records(60)
        time.sleep(9)  # corrections come 8 s after their trades
        part.stop()

        told = Told(home)
        first, last = (pick(row[0] for row in told.trades.values()) for pick in (min, max))
        known = history(sim, first, last + 1)

    assert set(told.times.values()) == {1}, "each once"
    assert len(told.gaps) == 4, "cut, without DTN, killed, ended"
    assert [end == 0 for _, end in told.gaps] == [False, False, False, True], told.gaps
    assert {"live", "stale", "reconnecting"} <= set(told.statuses)
    assert len(told.trades) > 150
    taken = {id_ for id_, size in told.amended.items() if size == 0}
    put = set(told.amended) - taken
    both = told.trades.keys() & known.keys()
    assert {id_: told.trades[id_] for id_ in both} == {id_: known[id_] for id_ in both}
    # Told and taken back; what was taken back while nobody listened lies in a gap.
    gone = told.trades.keys() - known.keys()
    assert all(id_ in taken or told.in_gap(told.trades[id_][0] + 8_000_000_000) for id_ in gone)
    missed = {id_: row for id_, row in known.items() if id_ not in told.trades and id_ not in put}
    unexplained = {id_: row for id_, row in missed.items() if not told.in_gap(row[0])}
    assert not {i: r for i, r in unexplained.items() if not told.in_gap(r[0] + 8_000_000_000)}, unexplained
    assert len(both) > 100
    assert any(row[4] for row in told.trades.values()), "some do not count in bars"
