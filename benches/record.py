"""A million trades to a column in Python, and its sum: our records as numpy views, beside databento-dbn,
whose decoder makes an object of each. Once from bytes in memory on both sides, and once ours from the
journal on disk with every checksum verified.

Goal: 50 times dbn, from memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from benches.contest import Contest, Metric, Party, Run, timed
from tidemill import wire

PRICE, SIZE = 6_423_150, 11_400
FRAME = 1_000
"""Records a message."""
AT_ONCE = 10_000
"""Records a batch: what a processor's cache holds."""


def trades(count: int) -> wire.Records:
    records = np.zeros(count, wire.RECORD)
    records["kind"], records["price"], records["size"] = wire.KIND_TRADE, PRICE, SIZE
    records["ts_event"] = np.arange(count)
    return records


def memory(count: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        payload = trades(count).tobytes()

        def read() -> int:
            return int(wire.view(payload)["price"].sum())

        if read() != count * PRICE:
            raise RuntimeError("the sum is another")
        yield timed(read, count, name="sum of a column")

    return open_


def journal(count: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        from tidemill import _native

        with tempfile.TemporaryDirectory(prefix="bench-record-") as home:
            records = trades(count)
            with _native.JournalWriter(home, "bench", "bench") as writer:
                records["instrument"] = writer.instrument(
                    "BTC-USD.bench", symbol="BTC/USD", base="BTC", quote="USD", tick="0.1", lot="1",
                    price_scale=0, size_scale=0,
                )  # fmt: skip
                for at in range(0, count, FRAME):
                    writer.append(records[at : at + FRAME])

                def read() -> tuple[int, int]:
                    reader = _native.JournalReader(home, "bench")
                    reader.seek("oldest")
                    seen = total = 0
                    while seen < count:
                        batch = reader.read(AT_ONCE, 1000)
                        if batch is None:
                            raise RuntimeError(f"{seen} of {count} records came")
                        view = wire.view(batch)
                        seen, total = seen + len(view), total + int(view["price"].sum())
                    return seen, total

                if read() != (count, count * PRICE):
                    raise RuntimeError("the records that come back are others")
                yield timed(read, count, name="sum of a column")

    return open_


def databento(count: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import databento_dbn as dbn

        metadata = dbn.Metadata(
            dataset="XNAS.ITCH", start=0, stype_in=dbn.SType.RAW_SYMBOL, stype_out=dbn.SType.INSTRUMENT_ID,
            schema=dbn.Schema.TRADES,
        )  # fmt: skip
        trade = dbn.TradeMsg(
            publisher_id=1, instrument_id=1, ts_event=1, price=PRICE, size=SIZE, action=dbn.Action.TRADE,
            side=dbn.Side.BID, depth=0, ts_recv=1, flags=0, ts_in_delta=0, sequence=1,
        )  # fmt: skip
        data = metadata.encode() + bytes(trade) * count

        def read() -> tuple[int, int]:
            decoder = dbn.DBNDecoder()
            decoder.write(data)
            prices = np.fromiter((one.price for one in decoder.decode() if hasattr(one, "price")), np.int64)
            return len(prices), int(prices.sum())

        if read() != (count, count * PRICE):
            raise RuntimeError("dbn's records that come back are others")
        yield timed(read, count, name="sum of a column")

    return open_


def contests(tiny: bool) -> Iterator[Contest]:
    count = 2_000 if tiny else 1_000_000
    dbn = {"databento-dbn": databento(count)}
    for where, ours, goals in (("memory", memory, {"databento-dbn": 50}), ("the journal", journal, {})):
        metric = Metric("sum of a column", "ns/record", goals)
        yield Contest(f"{count:,} trades from {where} to a column", (metric,), ours(count), dbn)
