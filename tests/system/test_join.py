"""History and stream meet exactly: the bars of a page, and the trades after the position that it names."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.system.harness import Platform, running, seeded, until
from tests.system.viewer import stream_url

VENUE = "sim-kraken"
INSTRUMENTS = (f"BTC-USD.{VENUE}", f"ETH-USD.{VENUE}")
JOINS = 210
CONNECTIONS = 4
"""One has at most 64 subscriptions."""
SECOND_NS = 10**9


@pytest.fixture(scope="module")
def platform(module_path: Path) -> Iterator[Platform]:
    with running(module_path / "home", "--venues", VENUE, rate=600, history=False) as found:
        found.wait_trades(VENUE, 200)
        yield found


class Stream:
    """One connection with many subscriptions, each from a position of its own."""

    def __init__(self, platform: Platform) -> None:
        self._line = connect(
            stream_url(platform.home, platform.port, direct=False),
            additional_headers={"Authorization": f"Bearer {platform.home.read_token()}"},
            max_size=None,
            proxy=None,
        )
        self.began: dict[int, list[int]] = {}
        """The position that each subscription begins after, as the bridge says it."""
        self.trades: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._line.close()
        self._thread.join(10)

    def subscribe(self, number: int, instrument: str, through: dict[str, int]) -> None:
        wanted = {"op": "subscribe", "id": number, "instruments": [instrument], "channels": ["trades"]}
        since = {VENUE: [through["epoch"], through["sequence"]]}
        self._line.send(json.dumps(wanted | {"from": since}))

    def _follow(self) -> None:
        try:
            for text in self._line:
                message = json.loads(text)
                if message["type"] == "subscribed":
                    self.began[message["id"]] = message["from"][VENUE]
                elif message["type"] == "trades":
                    self.trades[message["id"]] += message["rows"]
        except ConnectionClosed:
            pass


def bars(platform: Platform, instrument: str, limit: int) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """A page of one-second bars, and its bars by start, the open one among them."""
    status, page = platform.get(f"/api/v1/data/{instrument}/bars?interval=1s&format=rows&limit={limit}")
    assert status == 200, page
    shown = [*page["items"], *([page["current"]] if page["current"] else [])]
    return page, {int(bar["ts"]): bar for bar in shown}


def counted(bar: dict[str, Any] | None) -> tuple[int, Decimal]:
    return (bar["trades"], Decimal(str(bar["volume"]))) if bar else (0, Decimal(0))


@pytest.mark.timeout(120)
def test_a_page_and_the_trades_after_its_position_are_the_stored_bars(platform: Platform) -> None:
    """Wherever in a second, and whatever the recorder and the cache are at: no trade is lost, none counts
    twice."""
    dice = seeded()
    joins = []
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(platform)) for _ in range(CONNECTIONS)]
        for number in range(JOINS):
            instrument = dice.choice(INSTRUMENTS)
            stream = streams[number % CONNECTIONS]
            page, seen = bars(platform, instrument, 5)
            stream.subscribe(number, instrument, page["through"])
            joins.append((number, stream, instrument, page["through"], seen))
            time.sleep(dice.random() * 0.03)
        newest = max(max(seen) for *_, seen in joins)
        for instrument in INSTRUMENTS:
            # A later bar that is closed is beyond the grace of those that are looked at.
            until(
                lambda name=instrument: (
                    max(map(int, (bar["ts"] for bar in bars(platform, name, 3)[0]["items"])))
                    > newest + 3 * SECOND_NS
                ),
                f"the bars of {instrument} that were joined are closed",
            )
        stored = {instrument: bars(platform, instrument, 1_000)[1] for instrument in INSTRUMENTS}
        wrong = []
        for number, stream, instrument, through, seen in joins:
            assert stream.began[number] == [through["epoch"], through["sequence"]]
            made = {start: counted(bar) for start, bar in seen.items()}
            opened = max(seen)
            for row in stream.trades[number]:
                start = int(row["ts_event"]) // SECOND_NS * SECOND_NS
                count, volume = made.get(start, (0, Decimal(0)))
                made[start] = count + 1, volume + Decimal(row["size"])
            for start in (*seen, opened + SECOND_NS):
                if made.get(start, (0, Decimal(0))) != counted(stored[instrument].get(start)):
                    wrong.append(
                        (number, instrument, through, start, made.get(start), stored[instrument].get(start))
                    )
        assert not wrong, f"{len(wrong)} of {JOINS} joins: {wrong[:3]}"
