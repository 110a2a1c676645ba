"""Series at any zoom: the first, highest, lowest and last price of every bucket of time, in tiles.

Time is cut into buckets of a fixed width, 1,000 of them to a tile, so that a screen of 2,000 pixels needs a
few tiles whatever span it shows. Whoever draws, for each pixel, the first, highest, lowest and last price of
the buckets under it draws the same picture as from all the trades (M4: Jugel and others, "M4: a
visualization-oriented time series data aggregation", VLDB 2014, https://doi.org/10.14778/2732951.2732953).

The wider levels are bars, which the store keeps at every size: nothing is stored twice, and a late trade
changes its tiles as it changes its bars. The narrow ones are made of the trades themselves. Where only longer
bars are stored, as of imported minutes, those stand in the bucket they begin in, and `grain` says so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill import wire
from tidemill.errors import ResourceError, UsageError
from tidemill.model.bar import Bars, volume_floats
from tidemill.model.gap import Gap
from tidemill.model.interval import DAY, HOUR, MINUTE, SECOND, STORED, Interval
from tidemill.stores.live import LiveView

BUCKETS = 1_000
"""Of a tile."""
MILLI = SECOND // 1_000
RAW = 0
"""The level of single trades; its tiles are `RAW_NS` long."""
RAW_NS = 2 * SECOND
LEVELS = (
    RAW,
    *(10 * MILLI, 100 * MILLI),
    *(SECOND, 5 * SECOND, 15 * SECOND),
    *(MINUTE, 5 * MINUTE, 15 * MINUTE),
    *(HOUR, 4 * HOUR),
    *(DAY, 5 * DAY, 20 * DAY),
)
"""Widths of a bucket, ns, narrow to wide: from one to the next it is at most six times (raw apart)."""
TRADES_MAX = 1_000_000
"""Trades that one tile may be made of; a market this busy has more than 10,000 of them a second."""

Ints = npt.NDArray[np.int64]
Prices = tuple[Ints, Ints, Ints, Ints]

MAGIC, VERSION = 0x4C544D54, 1  # "TMTL"
HEAD = struct.Struct("<IBBBBqqII")
OPEN, INCOMPLETE = 1, 2
"""Flags: the last bucket is still filling; something is known to be missing."""


@dataclass(frozen=True)
class Tile:
    """Buckets that hold trades, ascending; arrays of shape (n,)."""

    level: int
    start: int
    """ns UTC."""
    end: int
    at: npt.NDArray[np.uint32]
    """Which bucket of the tile; at level 0 nanoseconds since the tile's start."""
    first: Ints
    high: Ints
    low: Ints
    last: Ints
    """Mantissas at `price_scale`."""
    volume: npt.NDArray[np.float64]
    trades: npt.NDArray[np.uint32]
    price_scale: int
    open: bool
    complete: bool
    grain: int = 0
    """ns; where longer bars than a bucket stand in for it, the longest of them; else 0."""

    def encode(self) -> bytes:
        """The tile in bytes, little-endian: a head of 32 (magic `TMTL`, version, price scale, flags, zero,
        start, width of a bucket in ns, number n, grain in ms), then `first`, `high`, `low`, `last` (i64
        each), `volume` (f64), `trades` and `at` (u32 each)."""
        flags = (OPEN if self.open else 0) | (0 if self.complete else INCOMPLETE)
        head = HEAD.pack(
            MAGIC, VERSION, self.price_scale, flags, 0, self.start, self.level, len(self.at),
            self.grain // MILLI,
        )  # fmt: skip
        columns = (self.first, self.high, self.low, self.last)
        return b"".join(
            [
                head,
                *(column.astype("<i8").tobytes() for column in columns),
                self.volume.astype("<f8").tobytes(),
                self.trades.astype("<u4").tobytes(),
                self.at.astype("<u4").tobytes(),
            ]
        )


def span(level: int, index: int) -> tuple[int, int]:
    """First ns of a tile, and first ns after it. Raises `UsageError` for what is no tile."""
    if level not in LEVELS:
        raise UsageError(
            "tile_unknown",
            f"there are no tiles with buckets of {level} ns",
            hint=f"one of: {', '.join(map(str, LEVELS))}",
        )
    width = RAW_NS if level == RAW else level * BUCKETS
    start, end = index * width, (index + 1) * width
    if index < 0 or end >= 2**63:
        raise UsageError(
            "tile_unknown",
            f"tile {index} lies beyond the times there are",
            hint="tile n of a level begins n times its length after 1 January 1970",
        )
    return start, end


def tile(live: LiveView, instrument: str, level: int, index: int) -> Tile:
    """One tile; see `tiles`."""
    return tiles(live, instrument, level, range(index, index + 1))[0]


def tiles(live: LiveView, instrument: str, level: int, indexes: range) -> list[Tile]:
    """Tiles of an instrument's prices that follow one another, read at once. Raises `UsageError` for what is
    no tile, `NotFoundError` for an unknown instrument and `ResourceError` where more trades lie in them than
    may be read."""
    spans = [span(level, index) for index in indexes]
    if not spans:
        return []
    start, end = spans[0][0], spans[-1][1]
    found = _of_trades(live, instrument, level, start, end) if level < SECOND else None
    if found is None:
        found = _of_bars(live, instrument, level, start, end)
    return [found.tile(level, *one) for one in spans]


@dataclass(frozen=True)
class _Buckets:
    """Buckets of any number of tiles, ascending; arrays of shape (n,)."""

    start: Ints
    prices: Prices
    volume: npt.NDArray[np.float64]
    trades: npt.NDArray[np.uint32]
    grain: Ints
    price_scale: int
    gaps: list[Gap]
    open: bool = False
    dropped: bool = False

    def tile(self, level: int, start: int, end: int) -> Tile:
        low, high = np.searchsorted(self.start, (start, end)).tolist()
        mine = slice(low, high)
        after = self.start[mine] - start
        first, highest, lowest, last = (column[mine] for column in self.prices)
        return Tile(
            level=level,
            start=start,
            end=end,
            at=(after if level == RAW else after // level).astype(np.uint32),
            first=first,
            high=highest,
            low=lowest,
            last=last,
            volume=self.volume[mine],
            trades=self.trades[mine],
            price_scale=self.price_scale,
            open=self.open and low < high == len(self.start),
            complete=not self.dropped and not any(gap.overlaps(start, end) for gap in self.gaps),
            grain=int(self.grain[mine].max(initial=0)),
        )


def _of_bars(live: LiveView, instrument: str, level: int, start: int, end: int) -> _Buckets:
    most = (end - start) // max(level, SECOND) + 1
    found = live.bars(instrument, f"{max(level // SECOND, 1)}s", start, end, most)
    bars = np.concatenate([found.bars, found.current])
    exact = len(bars)
    bars, longer = _filled(live, instrument, bars, level, start, end)
    grain = np.where(longer, bars["end"] - bars["start"], 0)
    prices, scale = _at_one_scale(bars)
    return _Buckets(
        bars["start"].copy(),
        prices,
        volume_floats(bars),
        bars["trades"].astype(np.uint32),
        grain,
        scale,
        found.gaps,
        open=exact > len(found.bars),
        dropped=found.dropped,
    )


def _filled(
    live: LiveView, instrument: str, bars: Bars, level: int, start: int, end: int
) -> tuple[Bars, npt.NDArray[np.bool_]]:
    """The bars and, where a longer stored one begins and has nothing finer in it, that one; and which those
    are."""
    finest = f"{max(level // SECOND, 1)}s"
    longer = np.zeros(len(bars), bool)
    for text in STORED:
        width = Interval.parse(text).length_ns
        if width <= level:
            continue
        places = np.arange(-(-start // width) * width, end, width)
        if not _free(bars, places, width).any():
            continue
        found = live.bars(instrument, text, start, end, (end - start) // width + 1)
        wanted = np.concatenate([found.bars, found.current])
        wanted = wanted[_free(bars, wanted["start"], width)]
        if len(wanted) and wanted["end"][-1] > end:
            beyond = live.bars(instrument, finest, end, int(wanted["end"][-1]), 1)
            if len(beyond.bars) + len(beyond.current):
                wanted = wanted[:-1]  # it begins here, and what is finer of it lies in the next tile
        bars = np.concatenate([bars, wanted])
        order = np.argsort(bars["start"], kind="stable")
        bars, longer = bars[order], np.concatenate([longer, np.ones(len(wanted), bool)])[order]
    return bars, longer


def _free(bars: Bars, starts: Ints, width: int) -> npt.NDArray[np.bool_]:
    """Which of the spans that begin at `starts` hold no bar's begin."""
    found: npt.NDArray[np.bool_] = np.searchsorted(bars["start"], starts) == np.searchsorted(
        bars["start"], starts + width
    )
    return found


def _at_one_scale(bars: Bars) -> tuple[Prices, int]:
    """Prices at the finest scale among them: a venue may have begun to print more places."""
    scale = int(bars["price_scale"].max(initial=0))
    factor = 10 ** (scale - bars["price_scale"].astype(np.int64))
    return (bars["open"] * factor, bars["high"] * factor, bars["low"] * factor, bars["close"] * factor), scale


def _of_trades(live: LiveView, instrument: str, level: int, start: int, end: int) -> _Buckets | None:
    """None where no trade lies in the span: bars may."""
    found = live.trades(instrument, start, end, TRADES_MAX)
    if found.more:
        raise ResourceError(
            "tile_too_large",
            f"more than {TRADES_MAX} trades of {instrument} lie between {start} and {end}",
            hint="ask for fewer tiles, or for narrower buckets",
        )
    rows = found.rows
    if not len(rows):
        return None
    names = ("ts_event", "price", "price_scale", "size", "size_scale", "flags")
    columns = {name: rows[name].to_numpy().astype(np.int64) for name in names}
    counted = columns["flags"] & wire.FLAG_IRREGULAR == 0
    columns = {name: values[counted] for name, values in columns.items()}
    at, scale = columns["ts_event"], int(columns["price_scale"].max(initial=0))
    price = columns["price"] * 10 ** (scale - columns["price_scale"])
    volume = wire.floats(columns["size"], columns["size_scale"])
    if level == RAW:
        edges = np.arange(len(price))
    else:
        at = at // level * level
        edges = np.flatnonzero(np.diff(at, prepend=-1))
        at = at[edges]
    return _Buckets(
        at,
        _reduced(price, edges),
        _sums(volume, edges),
        np.diff(edges, append=len(price)).astype(np.uint32),
        np.zeros(len(edges), np.int64),
        scale,
        found.gaps,
    )


def _reduced(price: Ints, edges: npt.NDArray[np.intp]) -> Prices:
    """First, highest, lowest and last of each run that begins at an edge."""
    if not len(edges):
        return price[:0], price[:0], price[:0], price[:0]
    lasts = np.append(edges[1:], len(price)) - 1
    high, low = np.maximum.reduceat(price, edges), np.minimum.reduceat(price, edges)
    return price[edges], high, low, price[lasts]


def _sums(values: npt.NDArray[np.float64], edges: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    summed: npt.NDArray[Any] = np.add.reduceat(values, edges) if len(edges) else values[:0]
    return summed
