"""Real recordings through the real collectors: every message journalled, digit for digit, books proven."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import urllib.request
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from tests.system import solo
from tests.system.harness import journal_records, names, until
from tidemill import _native

DATA = (
    Path(os.environ.get("TIDEMILL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "recorded" / "ws"
)
TRADE, LEVEL, CLEAR, GAP = 1, 3, 4, 6
BID, ASK = 1, 2
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no recordings at {DATA}; set TIDEMILL_DATA")


@contextlib.contextmanager
def played(
    home: Path, protocol: str, market: Sequence[str], wanted: Sequence[str]
) -> Iterator[tuple[solo.Part, str]]:
    """The real collector at a simulator of this market; yields it, and where the simulator is asked. Both end
    with the block, as they should."""
    with solo.running(home, "sim", "sim", *market) as sim:
        said = sim.venues()
        venue = said["venues"][f"sim-{protocol}"]
        words = [*wanted, "--url", venue["url"], "--rest-url", venue["rest_url"]]
        if protocol == "kraken":
            words += ["--depth", "10"]  # as it was recorded
        with solo.running(home, f"collector-{protocol}", "collector", protocol, *words) as collector:
            yield collector, said["control"]
            assert collector.stop() == 0, collector.log_tail()
        assert sim.stop() == 0, sim.log_tail()


@contextlib.contextmanager
def replayed(home: Path, protocol: str, recording: Path, instruments: list[str]) -> Iterator[Path]:
    """A home whose journal holds the recording, played by the simulator to the real collector."""
    market = ("--venues", protocol, "--replay", str(recording), "--speed", "0")
    with played(home, protocol, market, ("--instruments", ",".join(instruments))) as (collector, control):
        until(lambda: _status(control).get("done"), "the recording was played", 60)
        sent = _status(control)["sent"]
        collector.until("has taken it all", lambda said: said["messages"] >= sent, 60)
        yield home


def _status(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/status", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def text(mantissa: int, scale: int) -> str:
    """A decimal as the record keeps it: exactly `scale` places."""
    digits = f"{abs(mantissa):0{scale + 1}d}"
    whole, part = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    return ("-" if mantissa < 0 else "") + whole + ("." + part if part else "")


def prices_and_sizes(records: np.ndarray) -> list[tuple[str, str]]:
    return [
        (text(int(r["price"]), int(r["price_scale"])), text(int(r["size"]), int(r["size_scale"])))
        for r in records
    ]


def rebuilt(records: np.ndarray) -> dict[int, dict[Decimal, Decimal]]:
    """The book that a reader of the journal has: side to price to size."""
    book: dict[int, dict[Decimal, Decimal]] = {BID: {}, ASK: {}}
    for r in records:
        if r["kind"] == CLEAR:
            book = {BID: {}, ASK: {}}
        elif r["kind"] == LEVEL:
            side = book[int(r["flags"]) & 3]
            price = Decimal(int(r["price"])).scaleb(-int(r["price_scale"]))
            size = Decimal(int(r["size"])).scaleb(-int(r["size_scale"]))
            if size:
                side[price] = size
            else:
                side.pop(price, None)
    return book


@needs_data
def test_kraken_every_checksum_holds_and_the_last_book_is_right(tmp_path: Path) -> None:
    recording = DATA / "kraken-v2" / "orderbook-v2.json"
    with replayed(tmp_path / "home", "kraken", recording, ["BTC-USD"]) as home:
        records, _ = journal_records(home, "kraken")
    played = json.loads(recording.read_text(), parse_float=Decimal, parse_int=Decimal)
    assert len(played["updates"]) == 509
    assert not (records["kind"] == GAP).any(), "a checksum failed"
    book: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
    for message in [played["init"], *played["updates"]]:
        for side, levels in book.items():
            for level in message["data"][0][side]:
                levels[level["price"]] = level["qty"]
                if not level["qty"]:
                    del levels[level["price"]]
            keep = sorted(levels, reverse=side == "bids")[:10]
            book[side] = {price: levels[price] for price in keep}
    found = rebuilt(records)
    assert {"bids": found[BID], "asks": found[ASK]} == book


@needs_data
def test_coinbase_advanced_digit_for_digit(tmp_path: Path) -> None:
    recording = DATA / "cryptofeed" / "COINBASE.jsonl.zst"
    with replayed(tmp_path / "home", "coinbase-advanced", recording, ["BTC-USD", "ETH-USD"]) as home:
        records, _ = journal_records(home, "coinbase-advanced")
        called = names(home, "coinbase-advanced")
    with recording.open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
    messages = [json.loads(line["data"]) for line in map(json.loads, lines) if line["t"] == "recv"]
    assert len(messages) == 1030
    assert [m["sequence_num"] for m in messages] == list(range(1030))
    for product in ("BTC-USD", "ETH-USD"):
        number = next(n for n, name in called.items() if name == f"{product}.coinbase-advanced")
        mine = records[records["instrument"] == number]
        trades = {
            t["trade_id"]: (t["price"], t["size"])
            for m in messages if m["channel"] == "market_trades"
            for e in m["events"] for t in e["trades"] if t["product_id"] == product
        }  # fmt: skip
        kept = mine[mine["kind"] == TRADE]
        assert dict(zip(map(str, kept["id"]), prices_and_sizes(kept), strict=True)) == trades
        assert len(kept) == len(trades)
        levels = [
            (u["price_level"], u["new_quantity"])
            for m in messages if m["channel"] == "l2_data"
            for e in m["events"] if e["product_id"] == product for u in e["updates"]
        ]  # fmt: skip
        stored = prices_and_sizes(mine[mine["kind"] == LEVEL])
        assert len(stored) == len(levels)
        assert [(Decimal(p), Decimal(s)) for p, s in stored] == [(Decimal(p), Decimal(s)) for p, s in levels]
        assert [p for p, _ in stored] == [p for p, _ in levels]
    assert int((records["kind"] == TRADE).sum()) == 279
    assert int((records["kind"] == LEVEL).sum()) == 74_193
    assert not (records["kind"] == GAP).any()


@needs_data
def test_binance_without_a_break_and_the_last_book_is_right(tmp_path: Path) -> None:
    recording = DATA / "hftbacktest" / "spot" / "btcusdt_20240808.gz"
    with replayed(tmp_path / "home", "binance", recording, ["BTC-USDT"]) as home:
        records, _ = journal_records(home, "binance")
        [instrument] = _native.instruments(str(home), "binance")
    assert instrument["name"] == "BTC-USDT.binance"
    assert not (records["kind"] == GAP).any()
    with gzip.open(recording, "rt") as file:
        lines = [json.loads(line.split(" ", 1)[1]) for line in file if line.strip()]
    depth = [m["data"] for m in lines if m.get("stream", "").endswith("@depth@100ms")]
    assert len(depth) == 3451
    [snapshot] = [m for m in lines if "lastUpdateId" in m]
    book = {
        "b": {Decimal(p): Decimal(q) for p, q in snapshot["bids"]},
        "a": {Decimal(p): Decimal(q) for p, q in snapshot["asks"]},
    }
    for event in depth:
        if event["u"] <= snapshot["lastUpdateId"]:
            continue
        for side, levels in book.items():
            for price, size in event[side]:
                if Decimal(size):
                    levels[Decimal(price)] = Decimal(size)
                else:
                    levels.pop(Decimal(price), None)
    found = rebuilt(records)
    assert (found[BID], found[ASK]) == (book["b"], book["a"])
    trades = [m["data"] for m in lines if m.get("stream", "").endswith("@trade")]
    kept = records[records["kind"] == TRADE]
    assert [int(i) for i in kept["id"]] == [t["t"] for t in trades]
    assert prices_and_sizes(kept) == [(t["p"], t["q"]) for t in trades]
