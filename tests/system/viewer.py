"""A screen without a screen: follows the stream as the web app does, and keeps what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from decimal import Decimal
from typing import Any, Self

from websockets.asyncio.client import connect

from tests.system.harness import Platform, until
from tests.system.oracle import Gap, Trade, Verdict, judge


class Viewer:
    """Subscribes to every venue in a thread of its own, through the service's `/stream`."""

    def __init__(self, platform: Platform, channels: list[str], venues: list[str] | None = None) -> None:
        self.platform = platform
        self.channels = channels
        self.venues = venues or ["sim-kraken", "sim-coinbase", "sim-binance"]
        self.trades: list[Trade] = []
        self.messages: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        self.broken_chains: list[str] = []
        self.positions: dict[str, tuple[int, int]] = {}
        self.connections = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.positions, "the viewer sees something")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def catch_up(self, seconds: float = 20) -> None:
        """Waits until the viewer has seen what every journal holds now."""
        for venue in self.venues:
            wanted = self.platform.collector(venue)["sequence"] - 500
            until(
                lambda venue=venue, wanted=wanted: self.positions.get(venue, (0, 0))[1] >= wanted,
                f"the viewer caught up with {venue}",
                seconds,
            )

    def frozen(self) -> Viewer:
        """What was seen until now, which the going stream no longer changes."""
        copy = Viewer(self.platform, self.channels, self.venues)
        copy.trades = list(self.trades)
        return copy

    def judge(self, venue: str, journal: list[Trade]) -> Verdict:
        """What the screen saw against what the journal holds, between the first and last trade it saw."""
        mine = [t for t in self.trades if t.instrument.endswith("." + venue)]
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for trade in mine:
            first.setdefault(trade.instrument, trade.id)
            last[trade.instrument] = trade.id
        known = [t for t in journal if t.instrument in first]
        holes: list[Gap] = []
        return judge(known, mine, holes, since=first, upto=last)

    async def _follow(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError, Exception):
                await self._connection()
            await asyncio.sleep(0.1)

    async def _connection(self) -> None:
        url = f"ws://127.0.0.1:{self.platform.port}/stream"
        headers = {"Authorization": f"Bearer {self.platform.home.read_token()}"}
        async with connect(url, additional_headers=headers, max_size=None) as socket:
            self.connections += 1
            subscribe: dict[str, Any] = {
                "op": "subscribe",
                "id": 1,
                "instruments": [],
                "venues": self.venues,
                "channels": self.channels,
            }
            if self.positions:
                subscribe["from"] = {venue: list(position) for venue, position in self.positions.items()}
            await socket.send(json.dumps(subscribe))
            previous: dict[str, int] = {}
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        self._take(json.loads(await socket.recv()), previous)

    def _take(self, message: dict[str, Any], previous: dict[str, int]) -> None:
        if "prev" in message:
            venue = message["venue"]
            if venue in previous and message["prev"] != previous[venue]:
                self.broken_chains.append(f"{venue}: {message['prev']} after {previous[venue]}")
            previous[venue] = message["sequence"]
            self.positions[venue] = (message["epoch"], message["sequence"])
        if message["type"] == "trades":
            self.trades.extend(
                Trade(
                    message["instrument"], int(row["id"]), Decimal(row["price"]), Decimal(row["size"]),
                    row["aggressor"], int(row["ts_event"]),
                )
                for row in message["rows"]
            )  # fmt: skip
        elif message["type"] == "gap":
            self.gaps.append(message)
        elif message["type"] not in ("heartbeat", "hello", "subscribed"):
            self.messages.append({**message, "seen": time.monotonic()})
