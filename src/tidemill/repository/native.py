"""Market data of a home with Rust at the front: the newest trades and quotes and the book come straight from
the journal. What reaches further back, bars, and homes without a journal go the way of `python`."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from tidemill import _native
from tidemill.model.instrument import venue_of
from tidemill.repository.api import OrderBook, Quote, Trade
from tidemill.repository.python import PythonRepository
from tidemill.stores.api import Position, Query
from tidemill.stores.table import QUOTES, TRADES, Table

FOLLOWED_MAX = 128
"""Instruments followed at once, about half a megabyte each; who was asked for longest ago goes first."""
AGAIN_S = 60.0
"""What came before the rows that are followed is looked up again after this long: imports appear."""


@dataclass
class _Followed:
    recent: _native.Recent
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held from reading on until the rows are out, so that both speak of the same rows."""
    before: dict[str, tuple[Position, float, int | None]] = field(default_factory=dict)
    """By table: the first record followed, when it was looked up, the greatest `ts_event` before it."""


class NativeRepository(PythonRepository):
    """A `MarketDataRepository`. One event loop or several may share it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._followed: OrderedDict[str, _Followed] = OrderedDict()
        self._following = threading.Lock()

    def trades(self, symbol: str, start: int | None, end: int | None, limit: int) -> list[Trade]:
        if followed := self._follow(symbol):
            with followed.lock:
                before = self._before(followed, TRADES, symbol)
                found = followed.recent.trades(start, end, limit, before)
            if found is not None:
                return list(map(Trade._make, found))
        return super().trades(symbol, start, end, limit)

    def quotes(self, symbol: str, start: int | None, end: int | None, limit: int) -> list[Quote]:
        if followed := self._follow(symbol):
            with followed.lock:
                before = self._before(followed, QUOTES, symbol)
                found = followed.recent.quotes(start, end, limit, before)
            if found is not None:
                return list(map(Quote._make, found))
        return super().quotes(symbol, start, end, limit)

    def book(self, symbol: str, depth: int) -> OrderBook:
        if followed := self._follow(symbol):
            found = followed.recent.book(depth)
            if found is not None:
                (epoch, sequence), *_ = found
                return OrderBook(symbol, epoch, sequence, *found[1:])
        return super().book(symbol, depth)

    def _follow(self, symbol: str) -> _Followed | None:
        """What is followed of an instrument; None where this home has no journal of its venue."""
        self.known(symbol)
        with self._following:
            found = self._followed.get(symbol)
            if found is None:
                number, venue = self._number(symbol), venue_of(symbol)
                if number is None or not (self.view.home / "journal" / venue / "head").exists():
                    return None
                found = _Followed(_native.Recent(str(self.view.home), venue, number))
                self._followed[symbol] = found
                while len(self._followed) > FOLLOWED_MAX:
                    self._followed.popitem(last=False)
            self._followed.move_to_end(symbol)
            return found

    def _number(self, symbol: str) -> int | None:
        lines = _native.instruments(str(self.view.home), venue_of(symbol))
        return next((line["number"] for line in lines if line["name"] == symbol), None)

    def _before(self, followed: _Followed, table: Table, symbol: str) -> int | None:
        """Reads on, and says the greatest `ts_event` of the rows before those that are followed; None where
        there are none."""
        first = followed.recent.read_on()
        if first is None:
            venue = venue_of(symbol)
            first = _native.JournalReader(str(self.view.home), venue).newest()
        now = time.monotonic()
        kept = followed.before.get(table.name)
        if kept is None or kept[0] != first or now - kept[1] > AGAIN_S:
            query = Query(instruments=(symbol,), through=(first[0], first[1] - 1), limit=1)
            rows, _ = self.view.read(table, venue_of(symbol), query)
            greatest = rows["ts_event"][0].as_py() if len(rows) else None
            kept = followed.before[table.name] = first, now, greatest
        return kept[2]
