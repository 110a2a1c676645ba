"""Bars as a backtest takes them: exact for the engine, floats for signals, each with when it was known."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tidemill import wire
from tidemill.errors import NotFoundError, UsageError
from tidemill.model.bar import Bars, volume_floats
from tidemill.model.interval import Interval
from tidemill.strategies.evaluation import Series

if TYPE_CHECKING:
    from tidemill.stores.live import LiveView

Ints = npt.NDArray[np.int64]
SETTLING_MAX = 3
"""Bars of one second that are over and within their grace at once, at most: of longer ones it is one."""
COLUMNS = ("start", "end", "known", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Terms:
    """How an instrument is traded: what an engine must know of it. Steps are mantissas at its scales."""

    name: str
    price_scale: int
    size_scale: int
    tick: int = 1
    lot: int = 1

    def price(self, value: float) -> Decimal:
        """The nearest price of whole ticks, one at least. Raises `UsageError` `order_invalid` for NaN."""
        ticks = _finite(self.name, value).scaleb(self.price_scale) / self.tick
        return Decimal(max(round(ticks), 1) * self.tick).scaleb(-self.price_scale)

    def size(self, value: float) -> Decimal:
        """The largest size of whole lots that is not above `value`, 0 at least. Raises as `price`."""
        lots = _finite(self.name, value).scaleb(self.size_scale) / self.lot
        return Decimal(max(math.floor(lots), 0) * self.lot).scaleb(-self.size_scale)


def _finite(name: str, value: float) -> Decimal:
    # By its shortest text, so that 0.3 is 0.3.
    found = Decimal(str(value))
    if not found.is_finite() or abs(found) >= 10**18:
        raise UsageError("order_invalid", f"{value} is neither a price nor a size of {name}")
    return found


@dataclass(frozen=True)
class Track:
    """Bars of one instrument, shape (n,), ascending by start; prices are mantissas of `terms.price_scale`."""

    terms: Terms
    start: Ints
    end: Ints
    known: Ints
    """When each could first be used, never before its end (ns)."""
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def series(self) -> Series:
        """The same as floats, for signals."""
        scale = np.full(len(self), self.terms.price_scale, np.uint8)
        columns = {name: wire.floats(getattr(self, name), scale) for name in ("open", "high", "low", "close")}
        return Series(self.start, self.known, columns | {"volume": self.volume})

    def part(self, first: int, past: int) -> Track:
        """Bars `first` to `past`, the latter excluded."""
        columns = {name: getattr(self, name)[first:past] for name in COLUMNS}
        return replace(self, **columns)


@dataclass(frozen=True)
class History:
    """What a backtest runs on."""

    interval: str
    tracks: Mapping[str, Track]
    """By instrument, in the order in which they were asked for."""

    @property
    def rows(self) -> int:
        return sum(map(len, self.tracks.values()))

    @property
    def series(self) -> dict[str, Series]:
        return {name: track.series for name, track in self.tracks.items()}

    @property
    def digest(self) -> str:
        """SHA-256 over everything in it: the same rows have the same digest on any machine."""
        found = hashlib.sha256(self.interval.encode())
        for name, track in self.tracks.items():
            terms = track.terms
            found.update(
                f"\n{name} {terms.price_scale} {terms.size_scale} {terms.tick} {terms.lot}\n".encode()
            )
            for column in COLUMNS:
                values = getattr(track, column)
                found.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
        return found.hexdigest()

    def within(self, ends: Mapping[str, tuple[int, int]]) -> History:
        """Of each instrument that is named the bars that end from the one time to the other, both included
        (ns)."""
        tracks = dict(self.tracks)
        for name, (first, last) in ends.items():
            end = tracks[name].end
            low, high = np.searchsorted(end, first, side="left"), np.searchsorted(end, last, side="right")
            tracks[name] = tracks[name].part(int(low), int(high))
        return History(self.interval, tracks)

    def until(self, known: int) -> History:
        """What could be known by then: for re-runs on truncated data."""
        return History(
            self.interval,
            {
                name: track.part(0, int(np.searchsorted(track.known, known, side="right")))
                for name, track in self.tracks.items()
            },
        )


def track(terms: Terms, bars: Bars, *, as_recorded: bool = False) -> Track:
    """A track of stored bars. `as_recorded` takes the time at which this platform had them, instead of the
    earliest time at which anybody could have known them."""
    known = np.maximum(bars["ts_recv" if as_recorded else "ts_known"], bars["end"]).astype(np.int64)
    return Track(
        terms,
        bars["start"].astype(np.int64),
        bars["end"].astype(np.int64),
        # A bar cannot be used before the one that it follows.
        np.maximum.accumulate(known) if len(known) else known,
        open=_rescaled(bars["open"], bars["price_scale"], terms),
        high=_rescaled(bars["high"], bars["price_scale"], terms),
        low=_rescaled(bars["low"], bars["price_scale"], terms),
        close=_rescaled(bars["close"], bars["price_scale"], terms),
        volume=volume_floats(bars),
    )


def _rescaled(mantissas: npt.NDArray[np.int64], scales: npt.NDArray[np.uint8], terms: Terms) -> Ints:
    if len(scales) and int(scales.max()) > terms.price_scale:
        raise UsageError(
            "history_invalid",
            f"bars of {terms.name} have {scales.max()} decimal places, the instrument {terms.price_scale}",
        )
    return np.ascontiguousarray(mantissas * 10 ** (terms.price_scale - scales.astype(np.int64)), np.int64)


def load(
    view: LiveView,
    instruments: Sequence[str],
    interval: str,
    start: int | None = None,
    end: int | None = None,
    *,
    as_recorded: bool = False,
) -> History:
    """Closed bars of a home with `start` <= their start < `end` (ns); all that it has where both are None.

    Raises `UsageError` `history_invalid` for no instrument or one named twice, and `NotFoundError`
    `bars_missing` where one of them has no bar in the span."""

    def read(name: str) -> Bars:
        # What a backtest ran on is there the next time: nothing that a late trade may still change.
        return view.bars(name, interval, start if start is not None else 0, end, 1 << 24).settled

    return _made(view, instruments, interval, read, as_recorded=as_recorded)


def newest(view: LiveView, instruments: Sequence[str], interval: str, count: int) -> History:
    """The last `count` closed bars of each instrument. Raises as `load`."""

    def read(name: str) -> Bars:
        return view.bars(name, interval, None, None, count + SETTLING_MAX).settled[-count:]

    return _made(view, instruments, interval, read)


def _made(
    view: LiveView,
    instruments: Sequence[str],
    interval: str,
    read: Callable[[str], Bars],
    *,
    as_recorded: bool = False,
) -> History:
    names = list(instruments)
    if not names or len(set(names)) != len(names):
        raise UsageError("history_invalid", "a backtest needs instruments, each of them once")
    Interval.parse(interval)
    known = {str(line["instrument"]): line for line in view.instruments()}
    tracks: dict[str, Track] = {}
    for name in names:
        bars = read(name)
        if not len(bars):
            raise NotFoundError(
                "bars_missing",
                f"{name} has no bar of {interval} in the span",
                hint="`tidemill data ls` shows what is there, `tidemill fetch` brings more",
            )
        tracks[name] = track(_terms(name, bars, known.get(name, {})), bars, as_recorded=as_recorded)
    return History(interval, tracks)


def _terms(name: str, bars: Bars, line: Mapping[str, object]) -> Terms:
    """From the registry, or where it does not know the instrument from the digits of its bars."""
    price_scale = max(int(bars["price_scale"].max()), int(str(line.get("price_scale", 0))))
    size_scale = max(int(bars["size_scale"].max()), int(str(line.get("size_scale", 0))))
    steps = []
    for key, scale in (("tick", price_scale), ("lot", size_scale)):
        mantissa, places = wire.parse(str(line.get(key) or "0"))
        # A step finer than the digits says nothing.
        steps.append(max(mantissa * 10 ** (scale - places), 1) if places <= scale else 1)
    return Terms(name, price_scale, size_scale, *steps)
