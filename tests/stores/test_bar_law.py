"""Laws of bars: exact in integers, whatever the order, doubling, lateness or cutting of their trades."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.system import report
from tidemill import _native, wire
from tidemill.model.bar import BAR, Bars, volumes
from tidemill.model.interval import SECOND, STORED, Interval

UNITS = ("1s", "5s", "1m", "7m", "1h", "1d", "1w", "1mo")
INSTRUMENT = (1 << 20) | 1


@st.composite
def trades(draw: st.DrawFn) -> wire.Records:
    """Trades on a coarse grid, so that equal times are common, with prices and sizes of every scale."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 4_000), st.integers(1, 10**6), st.integers(0, 4), st.integers(1, 10**12),
                st.integers(0, 4), st.booleans(),
            ),
            min_size=1, max_size=40,
        )
    )  # fmt: skip
    rows.sort(key=lambda row: row[0])
    records = np.zeros(len(rows), wire.RECORD)
    for at, (ts, price, ps, size, ss, irregular) in enumerate(rows):
        one = records[at]
        one["kind"], one["instrument"], one["id"] = wire.KIND_TRADE, INSTRUMENT, at
        one["flags"] = (
            wire.FLAG_HAS_ID | wire.FLAG_LAST | (wire.FLAG_IRREGULAR if irregular and at % 5 == 0 else 0)
        )
        one["ts_event"] = ts * SECOND // 4 * 37
        one["ts_recv"] = one["ts_event"] + 1_000
        one["price"], one["price_scale"], one["size"], one["size_scale"] = price, ps, size, ss
    return records


def batch(records: wire.Records, sequences: Any, unit: str) -> Bars:
    rows = np.ascontiguousarray(records), np.ascontiguousarray(sequences, np.uint64)
    return np.frombuffer(_native.bars_of_trades(*rows, unit), BAR)


NAMES = ("start", "end", "open", "high", "low", "close", "price_scale", "size_scale", "trades")


def shown(bars: Bars) -> list[tuple[int, ...]]:
    return [
        (*(int(row[name]) for name in NAMES), volume) for row, volume in zip(bars, volumes(bars), strict=True)
    ]


def check_laws(records: wire.Records, seed: int) -> None:
    counted = records[(records["flags"] & wire.FLAG_IRREGULAR) == 0]
    sequences = np.arange(1, len(records) + 1)
    seconds = batch(records, sequences, "1s")
    dice = random.Random(seed)
    # Any order, some twice with a later number.
    order = list(range(len(records)))
    again = [dice.randrange(len(records)) for _ in range(dice.randrange(10))]
    mixed = order + again
    numbers = [at + 1 for at in order] + [len(records) + 1 + at for at in range(len(again))]
    pairs = list(zip(mixed, numbers, strict=True))
    dice.shuffle(pairs)
    picked, numbered = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for unit in UNITS:
        bars = batch(records, sequences, unit)
        whole = shown(bars)
        for bar, volume in zip(bars, volumes(bars), strict=True):
            assert (
                bar["low"] <= min(bar["open"], bar["close"]) <= max(bar["open"], bar["close"]) <= bar["high"]
            )
            inside = counted[(counted["ts_event"] >= bar["start"]) & (counted["ts_event"] < bar["end"])]
            assert len(inside) == bar["trades"]
            scale = int(bar["size_scale"])
            sizes = zip(inside["size"].tolist(), inside["size_scale"].tolist(), strict=True)
            assert volume == sum(size * 10 ** (scale - of) for size, of in sizes)
        assert int(bars["trades"].sum()) == len(counted)
        assert shown(batch(records[picked], numbered, unit)) == whole
        # Merging is associative: by way of every interval between.
        assert shown(merged(seconds, unit)) == whole
        for between in ("5s", "1m", "1h"):
            if (
                Interval.parse(unit).months
                or Interval.parse(unit).length_ns % Interval.parse(between).length_ns == 0
            ):
                assert shown(merged(merged(seconds, between), unit)) == whole
    check_streaming(records, dice)


def merged(bars: Bars, unit: str) -> Bars:
    return np.frombuffer(_native.merge_bars(bars, unit), BAR)


def check_streaming(records: wire.Records, dice: random.Random) -> None:
    """As they arrive, late and twice; and the same with a restart at any place."""
    arrived = records[
        [dice.randrange(len(records)) if dice.random() < 0.2 else at for at in range(len(records))]
    ]
    arrived = np.concatenate([records, arrived])
    arrived["ts_recv"] = arrived["ts_event"] + [dice.randrange(120) * SECOND for _ in arrived]
    arrived = arrived[np.argsort(arrived["ts_recv"], kind="stable")]
    end = np.zeros(1, wire.RECORD)
    end["kind"], end["ts_recv"] = wire.KIND_STATUS, 2**62
    stream = np.concatenate([arrived, end])
    expected = {unit: shown(batch(arrived, np.arange(1, len(arrived) + 1), unit)) for unit in STORED}
    whole = newest(push(_native.BarBuilder(list(STORED)), stream, 1))
    assert whole == expected
    cut = dice.randrange(len(stream))
    first = push(_native.BarBuilder(list(STORED)), stream[:cut], 1)
    again = _native.BarBuilder(list(STORED))
    stored = np.argsort(stream["ts_event"][:cut], kind="stable")
    again.count(np.ascontiguousarray(stream[:cut][stored]), np.ascontiguousarray(stored + 1, np.uint64))
    again.settle(np.ascontiguousarray(first))
    assert newest(np.concatenate([first, push(again, stream[cut:], cut + 1)])) == expected


def push(builder: _native.BarBuilder, records: wire.Records, sequence: int) -> Bars:
    closed = np.frombuffer(builder.push(np.ascontiguousarray(records), sequence), BAR)
    assert builder.take_refused() == []
    return closed


def newest(closed: Bars) -> dict[str, list[tuple[int, ...]]]:
    """Of each interval its bars in their last revision."""
    found: dict[str, dict[int, Bars]] = defaultdict(dict)
    for at in range(len(closed)):
        row = closed[at : at + 1]
        unit = STORED[int(row["interval"][0])]
        before = found[unit].get(int(row["start"][0]))
        assert before is None or before["revision"][0] + 1 == row["revision"][0]
        found[unit][int(row["start"][0])] = row
    return {unit: [line for _, row in sorted(found[unit].items()) for line in shown(row)] for unit in STORED}


@settings(max_examples=60, deadline=None)
@given(trades(), st.integers(0, 2**32))
def test_bars_are_what_their_trades_say(records: wire.Records, seed: int) -> None:
    check_laws(records, seed)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_histories_end_in_the_same_bars() -> None:
    row = {"histories": 0, "trades": 0}

    @settings(max_examples=10_000, deadline=None)
    @given(trades(), st.integers(0, 2**32))
    def check(records: wire.Records, seed: int) -> None:
        check_laws(records, seed)
        row["histories"] += 1
        row["trades"] += len(records)

    check()
    report.note(
        "Bars of trades in any order, doubled, late and cut",
        {"Laws that hold exactly": [{**row, "bars that differ": 0}]},
        "soak-history",
    )


COLUMNS = ("start", "open", "high", "low", "close", "volume", "trades")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 10**6), st.integers(1, 10**12)), max_size=60))
def test_columns_are_the_bars_of_rows(rows: list[tuple[int, int, int]]) -> None:
    ts = np.cumsum(np.array([row[0] for row in rows], np.int64)) * SECOND
    price = np.array([row[1] for row in rows], np.int64)
    size = np.array([row[2] for row in rows], np.int64)
    columns = dict.fromkeys(("open", "high", "low", "close"), price) | {"start": ts, "volume": size}
    every = _native.resample_every(columns, list(UNITS))
    for unit, all_at_once in zip(UNITS, every, strict=True):
        alone = _native.resample_columns(columns, unit)
        bars = np.frombuffer(_native.resample(ts, price, size, 2, 8, unit), BAR)
        expected = [bars["volume_low" if name == "volume" else name].tolist() for name in COLUMNS]
        for found in (alone, all_at_once):
            assert "volume_high" not in found
            assert [np.frombuffer(found[name], np.int64).tolist() for name in COLUMNS] == expected


def test_columns_refuse_what_they_cannot_add_up() -> None:
    top = np.full(2, 2**63 - 1, np.int64)
    ts = np.array([0, SECOND])
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), top) | {"start": ts}
    wide = _native.resample_columns(columns, "1m")
    low, high = (np.frombuffer(wide[name], np.int64) for name in ("volume", "volume_high"))
    assert (int(high[0]) << 64) + int(low.view(np.uint64)[0]) == 2 * (2**63 - 1)
    with pytest.raises(ValueError, match="128 bits"):
        _native.resample_columns({**columns, "volume_high": top}, "1m")
    with pytest.raises(ValueError, match="number of trades"):
        _native.resample_columns({**columns, "trades": top}, "1m")
    with pytest.raises(ValueError, match="int64"):
        _native.resample_columns({**columns, "open": top.astype(np.float64)}, "1m")
    with pytest.raises(ValueError, match="no column close"):
        _native.resample_columns(dict.fromkeys(("start", "open", "high", "low"), top), "1m")
    with pytest.raises(ValueError, match="not overlap"):
        _native.resample_by(columns, np.array([0, 1]), np.array([2, 3]))


def test_day_sums_are_exact_and_columns_stay_alive() -> None:
    ts = np.array([0, SECOND, 86_400 * SECOND])
    price, size = np.array([2**62, 2**62, -3]), np.array([2**62, 5, 7])
    found = {
        name: np.frombuffer(column, np.int64) for name, column in _native.day_sums(ts, price, size).items()
    }
    exact = [
        (high << 64) + low
        for high, low in zip(
            found["value_high"].tolist(), found["value_low"].view(np.uint64).tolist(), strict=True
        )
    ]
    assert exact == [2**124 + 5 * 2**62, -21]
    assert found["size_low"].tolist() == [2**62 + 5, 7]
    for _ in range(100):  # buffers that are given back must not be those that are still looked at
        _native.day_sums(ts, price * 0, size)
    assert found["rows"].tolist() == [2, 1]
    assert found["start"].tolist() == [0, 86_400 * SECOND]
