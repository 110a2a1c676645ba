"""A venue's JSON message to a 48-byte record, all fields checked: our parsers beside cryptofeed's own
handlers, and beside msgspec and orjson with the least Python that makes the same record.

Goal: 20 times cryptofeed.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches import program
from benches.contest import Contest, Metric, Party, Run, timed

SYMBOL, SCALE = "BTCUSDT", 2
PACK = struct.Struct("<BBBBIqqqqQ").pack
ARRIVED = 1_700_000_000_000_000_000


def trades(count: int, kind: str = "trade", id_: str = "t") -> list[bytes]:
    """Messages of Binance's trade stream; cryptofeed listens to its twin, `aggTrade`."""
    return [
        (
            f'{{"stream":"btcusdt@{kind}","data":{{"e":"{kind}","E":1723161255343123,"s":"{SYMBOL}",'
            f'"{id_}":{n},'
            f'"p":"{61_000 + n % 999}.63000000","q":"0.02{n % 97:02}0000","T":1723161255342456,'
            f'"m":{"true" if n % 2 else "false"},"M":true}}}}'
        ).encode()
        for n in range(3_735_683_259, 3_735_683_259 + count)
    ]


def quotes(count: int) -> list[bytes]:
    """Messages of Binance's bookTicker stream."""
    return [
        (
            f'{{"stream":"btcusdt@bookTicker","data":{{"u":{n},"s":"{SYMBOL}",'
            f'"b":"{61_000 + n % 999}.63000000","B":"3.78{n % 97:02}6000",'
            f'"a":"{61_000 + n % 999}.64000000","A":"1.54698000"}}}}'
        ).encode()
        for n in range(50_093_239_212, 50_093_239_212 + count)
    ]


def ours(messages: list[bytes]) -> Party:
    """The session a collector runs, in a process of its own."""

    @contextmanager
    def open_() -> Iterator[Run]:
        with tempfile.NamedTemporaryFile(prefix="bench-parser-") as file:
            Path(file.name).write_bytes(b"\n".join(messages) + b"\n")
            command = [program.native("parse"), "binance", SYMBOL, str(SCALE), file.name]

            def run() -> dict[str, float]:
                said = subprocess.run(command, capture_output=True, check=True, timeout=60)
                return {"time": float(json.loads(said.stdout)["ns"])}

            yield run

    return open_


def cryptofeed(messages: list[bytes], channel: str) -> Party:
    """Its Binance handler, from text to a typed object in a callback that does nothing."""

    @contextmanager
    def open_() -> Iterator[Run]:
        from cryptofeed.exchanges import Binance
        from cryptofeed.symbols import Symbols

        seen = 0

        async def take(_: Any, __: float) -> None:
            nonlocal seen
            seen += 1

        Symbols.set(Binance.id, {"BTC-USDT": SYMBOL}, {"tick_size": {}, "instrument_type": {}})
        feed = Binance(symbols=["BTC-USDT"], channels=[channel], callbacks={channel: take})
        texts = [message.decode() for message in messages]

        async def handle() -> None:
            for text in texts:
                await feed.message_handler(text, None, 1_700_000_000.0)

        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(handle())
            if seen != len(texts):
                raise RuntimeError(f"cryptofeed made {seen} objects of {len(texts)} messages")
            yield timed(lambda: loop.run_until_complete(handle()), len(texts))
        finally:
            loop.close()

    return open_


def mantissa(text: str, places: int) -> int:
    """Exact digits of decimal text at a scale."""
    whole, _, part = text.partition(".")
    if part[places:].strip("0"):
        raise ValueError(text)
    return int(whole + part[:places].ljust(places, "0"))


def record(sell: bool, price: str, size: str, ts_event: int, id_: int) -> bytes:
    """A trade as our record."""
    sides = 2 if sell else 1
    return PACK(
        1, sides | 32, SCALE, 8, 1, ts_event * 1000, ARRIVED, mantissa(price, SCALE), mantissa(size, 8), id_
    )


def pair(bid: str, bid_size: str, ask: str, ask_size: str, id_: int) -> bytes:
    """A quote as our two records."""
    return b"".join(
        PACK(2, side, SCALE, 8, 1, ARRIVED, ARRIVED, mantissa(price, SCALE), mantissa(size, 8), id_)
        for side, price, size in ((1, bid, bid_size), (2, ask, ask_size))
    )


@contextmanager
def msgspec_trades(messages: list[bytes]) -> Iterator[Run]:
    import msgspec

    fields = [("s", str), ("t", int), ("p", str), ("q", str), ("T", int), ("m", bool)]
    event = msgspec.defstruct("Event", [("data", msgspec.defstruct("Trade", fields))])
    decode = msgspec.json.Decoder(event).decode

    def work() -> None:
        for message in messages:
            found = decode(message).data
            record(found.m, found.p, found.q, found.T, found.t)

    yield timed(work, len(messages))


@contextmanager
def msgspec_quotes(messages: list[bytes]) -> Iterator[Run]:
    import msgspec

    fields = [("s", str), ("u", int), ("b", str), ("B", str), ("a", str), ("A", str)]
    event = msgspec.defstruct("Event", [("data", msgspec.defstruct("Quote", fields))])
    decode = msgspec.json.Decoder(event).decode

    def work() -> None:
        for message in messages:
            found = decode(message).data
            pair(found.b, found.B, found.a, found.A, found.u)

    yield timed(work, len(messages))


@contextmanager
def orjson_trades(messages: list[bytes]) -> Iterator[Run]:
    import orjson

    def work() -> None:
        for message in messages:
            found = orjson.loads(message)["data"]
            record(found["m"], found["p"], found["q"], found["T"], found["t"])

    yield timed(work, len(messages))


@contextmanager
def orjson_quotes(messages: list[bytes]) -> Iterator[Run]:
    import orjson

    def work() -> None:
        for message in messages:
            found = orjson.loads(message)["data"]
            pair(found["b"], found["B"], found["a"], found["A"], found["u"])

    yield timed(work, len(messages))


def contests(tiny: bool) -> Iterator[Contest]:
    count = 200 if tiny else 20_000
    metrics = (Metric("time", "ns/message", {"cryptofeed": 20}),)
    sold, quoted = trades(count), quotes(count)
    twins = trades(count, "aggTrade", "a")
    yield Contest(
        "Binance trade to record", metrics, ours(sold),
        {
            "cryptofeed": cryptofeed(twins, "trades"),
            "msgspec": lambda: msgspec_trades(sold),
            "orjson": lambda: orjson_trades(sold),
        },
    )  # fmt: skip
    yield Contest(
        "Binance quote to records", metrics, ours(quoted),
        {
            "cryptofeed": cryptofeed(quoted, "ticker"),
            "msgspec": lambda: msgspec_quotes(quoted),
            "orjson": lambda: orjson_quotes(quoted),
        },
    )  # fmt: skip
