"""A screen without a screen: follows the stream as the web app does, and keeps what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Self

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.system.book import ASK, BID, Ladder, Level, book_records, rows_of, units
from tests.system.harness import Journal, Platform, until
from tests.system.oracle import Trade, Verdict, judge
from tidemill import control, wire
from tidemill.home import Home

DEPTH = 20
"""Levels of each side that a subscription gets unless it asks for others."""


WHOLE_S = 10.0
"""A heartbeat comes each second; from a bridge that hangs or is gone, none."""


def stream_url(home: Home, port: int, *, direct: bool) -> str:
    """Address of `/stream`: of the bridge itself, or through the service at `port`."""
    if direct:
        port = control.ask_now(home.control("bridge"), "status")["port"]
    return f"ws://127.0.0.1:{port}/stream"


class Viewer:
    """Subscribes to every venue in a thread of its own, through the service's `/stream` or, `direct`, at the
    bridge itself."""

    def __init__(
        self,
        platform: Platform,
        channels: list[str],
        venues: list[str] | None = None,
        *,
        direct: bool = False,
    ) -> None:
        self.platform = platform
        self.direct = direct
        self.channels = channels
        self.venues = venues or ["sim-kraken", "sim-coinbase", "sim-binance"]
        self.trades: list[Trade] = []
        self.messages: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        self.broken_chains: list[str] = []
        # By venue, behind which position all was promised, and how far it has come.
        self.began: dict[str, tuple[int, int]] = {}
        self.positions: dict[str, tuple[int, int]] = {}
        # Up to where it has seen all of it, as the last heartbeat said. Exact messages come before those that
        # are merged, so that a trade's position says nothing of the books.
        self.whole: dict[str, tuple[int, int]] = {}
        self._whole_messages = 0
        self._is_subscribed = self._is_whole = False
        self._stop_by = 0.0
        self.connections = 0
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self._healthy() and self.positions, "the viewer sees something")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop_by = time.monotonic() + WHOLE_S
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the viewer does not end"
        self._healthy()

    def catch_up(self, seconds: float = 60) -> None:
        """Waits until the viewer has seen what every journal holds now."""
        for venue in self.venues:
            wanted = until(
                lambda venue=venue: self.platform.collector(venue).get("sequence"), f"{venue} answers"
            )
            try:
                until(
                    lambda venue=venue, wanted=wanted: (
                        self._healthy() and self.positions.get(venue, (0, 0))[1] >= wanted
                    ),
                    f"the viewer caught up with {venue}",
                    seconds,
                )
            except AssertionError as error:
                error.add_note(f"it is at {self.positions} of {wanted}, connected {self.connections} times")
                raise

    def judge(self, journal: Journal) -> Verdict:
        """The trades that the screen saw against those that the journal holds, from where the screen began
        to where it was at its end."""
        mine = [t for t in self.trades if t.instrument.endswith("." + journal.venue)]
        (_, began), (_, ended) = self.began[journal.venue], self.positions[journal.venue]
        return judge(journal.trades(after=began, through=ended), mine, [])

    def judge_books(self, journal: Journal) -> list[str]:
        """Where a book on the screen was not the best levels of the journal's book at that position, or
        was shown although the journal's was not sound, or was not what the journal's was at the last
        heartbeat. Empty when all is well."""
        # A large snapshot spans several frames: what is not whole yet is not shown.
        is_whole = journal.records["flags"] & wire.FLAG_LAST != 0
        # A client that is slower than the stream gets no heartbeat: each of its books is judged all the same.
        is_whole &= journal.sequences <= self.whole.get(journal.venue, (0, 0))[1]
        ended = int(journal.sequences[is_whole].max(initial=0))
        shown: dict[str, list[dict[str, Any]]] = {}
        until: dict[str, int] = {}
        for at, message in enumerate(self.messages):
            if message["type"] == "book" and message["venue"] == journal.venue:
                of_one = shown.setdefault(message["instrument"], [])
                of_one.append(message)
                if at < self._whole_messages:
                    until[message["instrument"]] = len(of_one)
        wrong: list[str] = []
        for number, name in journal.names.items():
            mine = shown.get(name, [])
            wrong += _wrong_books(name, mine, until.get(name, 0), journal, number, ended)
        return wrong

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except BaseException as failure:
            self._failure = failure

    def _healthy(self) -> bool:
        """True, or raises what ended the viewer."""
        if self._failure:
            raise AssertionError("the viewer failed") from self._failure
        return True

    async def _follow(self) -> None:
        while not self._stop.is_set():
            # A killed service, bridge or port; anything else is a fault of the stream or of this viewer.
            with contextlib.suppress(OSError, WebSocketException):
                await self._connection()
            await asyncio.sleep(0.1)

    async def _connection(self) -> None:
        url = stream_url(self.platform.home, self.platform.port, direct=self.direct)
        headers = {"Authorization": f"Bearer {self.platform.home.read_token()}"}
        async with connect(url, additional_headers=headers, max_size=None) as socket:
            self.connections += 1
            self._is_subscribed = self._is_whole = False
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
            while not self._is_over():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        self._take(json.loads(await socket.recv()), previous)

    def _is_over(self) -> bool:
        """Whether it is told to end, and stands where everything before has come."""
        return self._stop.is_set() and (self._is_whole or time.monotonic() > self._stop_by)

    def _take(self, message: dict[str, Any], previous: dict[str, int]) -> None:
        if "prev" in message:
            venue = message["venue"]
            if venue in previous and message["prev"] != previous[venue]:
                self.broken_chains.append(f"{venue}: {message['prev']} after {previous[venue]}")
            previous[venue] = message["sequence"]
            self._is_whole = False
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
        elif message["type"] == "heartbeat":
            if not self._is_subscribed:
                return  # all of nothing was sent
            # Everything up to here was sent: where nothing came, this is how far it is.
            self._is_whole = True
            self._whole_messages = len(self.messages)
            for venue, position in message["venues"].items():
                self.whole[venue] = (position["epoch"], position["sequence"])
                if venue in self.positions:
                    self.positions[venue] = (position["epoch"], position["sequence"])
        elif message["type"] == "subscribed":
            self._is_subscribed = True
            for venue, (epoch, sequence) in message["from"].items():
                self.began.setdefault(venue, (epoch, sequence))
        elif message["type"] != "hello":
            self.messages.append({**message, "seen": time.monotonic()})


def _wrong_books(
    name: str, messages: list[dict[str, Any]], whole: int, journal: Journal, number: int, ended: int
) -> list[str]:
    """The first `whole` messages make the book as of `ended`."""
    of_books = book_records(journal.records)
    mine = of_books[journal.records["instrument"][of_books] == number]
    rows = rows_of(journal.records[mine], journal.sequences[mine])
    row = next(rows, None)
    kept, sound = Ladder(), False

    def replay(through: int) -> None:
        """The journal's book as of this sequence."""
        nonlocal row, sound
        while row and row.sequence <= through:
            if row.kind == wire.KIND_GAP:
                sound = sound and row.flags & wire.FLAG_SIDE != wire.FLAG_BUY
            else:
                kept.apply(row)
                sound = sound or row.kind == wire.KIND_CLEAR
            row = next(rows, None)

    def equals(seen: Ladder) -> bool:
        return all(seen.best(side, None) == kept.best(side, DEPTH) for side in (BID, ASK))

    seen: Ladder | None = None
    wrong: list[str] = []

    def judge_end() -> None:
        replay(ended)
        if sound and not (seen and equals(seen)):
            wrong.append(f"{name} at the end, {ended}")

    for at, message in enumerate(messages):
        if at == whole:
            judge_end()
        replay(message["sequence"])
        place = f"{name} {message['kind']} at {message['sequence']}"
        if message["kind"] == "snapshot":
            seen = Ladder() if message["valid"] else None
        elif seen is None:
            wrong.append(f"{place} on no valid book")
            continue
        if seen is None:
            continue
        for level in _levels(message):
            seen.set(*level)
        if not sound:
            wrong.append(f"{place} while the journal's book is not sound")
        if not equals(seen):
            wrong.append(place)
    if whole == len(messages):
        judge_end()
    return wrong


def _levels(message: dict[str, Any]) -> Iterator[Level]:
    for side, rows in ((BID, message["bids"]), (ASK, message["asks"])):
        for price, size in rows:
            yield side, units(price), units(size)
