"""The bar kernel again, in Python compiled by Numba (`pip install 'tidemill[jit]'`): the same definition in a
second hand, to check the native one against, and in its place with `TIDEMILL_BAR_KERNEL=numba`.

It takes and gives rows of dtype BAR. Sums have 128 bits in two halves, and what does not fit is a ValueError,
of which more than one may be true.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tidemill.model.bar import BAR, Bars
from tidemill.model.calendar import Instants
from tidemill.model.interval import DAY, Interval

_FINE, _PRICE, _VOLUME, _ORDER = 0, 1, 2, 3
_SAID = {
    _PRICE: "a price does not fit 64 bits at the finest scale of its bar",
    _VOLUME: "a volume does not fit 128 bits",
    _ORDER: "bars to merge must ascend by start",
}
_TOP = np.int64(2**63 - 1)
_HALF = np.uint64(0xFFFFFFFF)
_32, _10 = np.uint64(32), np.uint64(10)
_TENTH = np.int64(2**63 // 10)


def merge(bars: Bars, interval: Interval) -> Bars:
    """Bars of a longer interval from bars that ascend."""
    starts = _starts(interval, bars["start"])
    first = np.append(True, starts[1:] != starts[:-1])[: len(starts)]
    starts = starts[first]
    if interval.months:
        ends = np.array([interval.end(int(start)) for start in starts], np.int64)
    else:
        ends = starts + interval.length_ns
    return merge_by(bars, starts, ends)


def _starts(interval: Interval, ts: Instants) -> Instants:
    if interval.months:
        # Few days have many bars.
        days, of = np.unique(ts // DAY, return_inverse=True)
        return np.array([interval.start(day * DAY) for day in days.tolist()], np.int64)[of]
    anchor = interval.start(0) if interval.text.endswith("w") else 0
    return (ts - anchor) // interval.length_ns * interval.length_ns + anchor


def merge_by(bars: Bars, starts: Instants, ends: Instants) -> Bars:
    """Bars of spans that ascend and do not overlap; what begins in none is in none."""
    made = np.zeros(min(len(bars), len(starts)), BAR)
    # Copies, so that no read-only or strided array makes Numba compile it all again.
    count, state = _merge(np.array(bars), np.array(starts, np.int64), np.array(ends, np.int64), made)
    if state != _FINE:
        raise ValueError(_SAID[state])
    return made[:count]


@njit(cache=True)
def _scaled(value: Any, by: Any) -> Any:
    """A price with `by` more decimal places, and whether it fits."""
    for _ in range(by):
        if value > _TENTH or value < -_TENTH:
            return value, False
        value *= 10
    return value, True


@njit(cache=True)
def _wide(low: Any, high: Any, by: Any) -> Any:
    """128 bits with `by` more decimal places, and whether they fit."""
    for _ in range(by):
        if high > _TENTH or high < -_TENTH:
            return low, high, False
        lower = (low & _HALF) * _10
        upper = (low >> _32) * _10 + (lower >> _32)
        low = (upper << _32) | (lower & _HALF)
        tenfold = high * 10
        high = tenfold + np.int64(upper >> _32)
        if high < tenfold:
            return low, high, False
    return low, high, True


@njit(cache=True)
def _merge(bars: Any, starts: Any, ends: Any, made: Any) -> Any:
    count, at, span = 0, 0, 0
    while at < len(bars):
        ts = bars[at].start
        while span < len(starts) and ends[span] <= ts:
            span += 1
        if span == len(starts):
            break
        if ts < starts[span]:
            at += 1
            continue
        to = at
        price_scale, size_scale = bars[at].price_scale, bars[at].size_scale
        while to < len(bars) and bars[to].start < ends[span]:
            if to > at and bars[to].start < bars[to - 1].start:
                return count, _ORDER
            price_scale = max(price_scale, bars[to].price_scale)
            size_scale = max(size_scale, bars[to].size_scale)
            to += 1
        one = made[count]
        one.start, one.end = starts[span], ends[span]
        one.price_scale, one.size_scale = price_scale, size_scale
        one.ts_known = one.ts_recv = ends[span]
        low, high = np.uint64(0), np.int64(0)
        for index in range(at, to):
            bar = bars[index]
            finer = price_scale - bar.price_scale
            opened, fits = _scaled(bar.open, finer)
            top, fits_top = _scaled(bar.high, finer)
            bottom, fits_bottom = _scaled(bar.low, finer)
            closed, fits_closed = _scaled(bar.close, finer)
            if not (fits and fits_top and fits_bottom and fits_closed):
                return count, _PRICE
            if index == at:
                one.open, one.high, one.low = opened, top, bottom
            one.high = max(one.high, top)
            one.low = min(one.low, bottom)
            one.close = closed
            lower, upper, fits = _wide(bar.volume_low, bar.volume_high, size_scale - bar.size_scale)
            if not fits:
                return count, _VOLUME
            summed = low + lower
            carry = np.int64(1) if summed < low else np.int64(0)
            whole = high + upper + carry
            if (high >= 0) == (upper >= 0) and (whole >= 0) != (high >= 0):
                return count, _VOLUME
            low, high = summed, whole
            one.trades += bar.trades
            one.ts_known = max(one.ts_known, bar.ts_known)
            one.instrument = bar.instrument
            one.revision = max(one.revision, bar.revision)
            one.sequence = max(one.sequence, bar.sequence)
            one.ts_recv = max(one.ts_recv, bar.ts_recv)
        one.ts_recv = max(one.ts_recv, one.ts_known)
        one.volume_low, one.volume_high = low, high
        count += 1
        at = to
    return count, _FINE
