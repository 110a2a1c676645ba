"""Live streams of Alpaca and Polygon through the real collector, against the simulator that has their past:
each trade of it is told once, and the time without a connection is a gap."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.system import solo
from tests.system.harness import journal_records, names, until
from tidemill import wire

# Tuesday 10 March 2026, 11:10 in New York, and then half a minute in each second.
WORLD = ("--providers", "alpaca,polygon", "--start", "1773155400000000000", "--speed", "30")
SYMBOLS = ("AAPL", "SPY", "BTC-USD")
STOCKS = SYMBOLS[:2]

REPLACES = 1
"""Polygon's mark of a trade that corrects another, which its stream does not tell."""

Key = tuple[str, str, int, str, str, bool]
"""Symbol, text of the id, time in ms, price, size, irregular."""


def fault(said: dict[str, Any], venue: str, name: str, **about: Any) -> None:
    body = json.dumps({"venue": venue, "fault": name, **about}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{said['control']}/faults", body), timeout=10).read()


def heard(home: Path, venue: str) -> tuple[list[Key], dict[str, list[tuple[int, int]]], int]:
    """Trades of the journal, the gaps in them by symbol as (from, to) in ns, and the newest time of all."""
    records, _ = journal_records(home, venue)
    known = {number: name.removesuffix(f".{venue}") for number, name in names(home, venue).items()}
    keys: list[Key] = []
    gaps: dict[str, list[tuple[int, int]]] = {symbol: [] for symbol in SYMBOLS}
    texts = wire_texts(records)
    newest = 0
    for at, record in enumerate(records):
        symbol = known.get(int(record["instrument"]), "")
        if record["kind"] == wire.KIND_TRADE:
            newest = max(newest, int(record["ts_event"]))
            numbered = bool(record["flags"] & wire.FLAG_HAS_ID)
            text = str(record["id"]) if numbered else texts[at].split("|")[2]
            keys.append((
                symbol, text, int(record["ts_event"]) // 10**6, plain(record, "price"), plain(record, "size"),
                bool(record["flags"] & wire.FLAG_IRREGULAR),
            ))  # fmt: skip
        elif record["kind"] == wire.KIND_GAP and record["price_scale"] == 1:
            if record["flags"] & wire.FLAG_SIDE == wire.FLAG_BUY:
                assert wire.CAUSES[record["size_scale"]] == "disconnect"
                gaps[symbol].append((int(record["ts_event"]), 1 << 62))
            else:
                gaps[symbol][-1] = (gaps[symbol][-1][0], int(record["ts_event"]))
    return keys, gaps, newest


def wire_texts(records: np.ndarray) -> dict[int, str]:
    """The text that follows each record that has one."""
    raw = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), wire.RECORD_BYTES)
    found: dict[int, list[bytes]] = {}
    of = -1
    for at, kind in enumerate(records["kind"].tolist()):
        if kind == wire.KIND_DETAIL:
            found.setdefault(of, []).append(raw[at, 16:].tobytes())
        else:
            of = at
    return {at: wire.detail_text(pieces) for at, pieces in found.items()}


def plain(record: np.void, field: str) -> str:
    return number(wire.text(int(record[field]), int(record[f"{field}_scale"])))


def number(text: Any) -> str:
    text = str(text)
    return text.rstrip("0").rstrip(".") if "." in text else text


def ask(url: str, **params: str) -> dict[str, Any]:
    """One page of a provider's history, numbers as they were printed."""
    headers = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s", "Authorization": "Bearer k"}
    request = urllib.request.Request(f"{url}?{urllib.parse.urlencode(params)}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer, parse_float=str)
    return found


def told(protocol: str, rest: str, symbol: str, start: int, end: int) -> set[tuple[str, str, str]]:
    """Id, price and size of what history has of a span; nothing that replaces another trade."""
    if protocol == "polygon":
        ticker = symbol if symbol in STOCKS else f"X:{symbol.replace('-', '')}"
        params = {"timestamp.gte": str(start), "timestamp.lt": str(end), "limit": "50000", "order": "asc"}
        rows = ask(f"{rest}/v3/trades/{ticker}", **params).get("results", [])
        return {
            (row["id"], number(row["price"]), number(row["size"]))
            for row in rows
            if row.get("correction") != REPLACES
        }
    stock = symbol in STOCKS
    times = [str(np.datetime64(ts, "ns")) + "Z" for ts in (start, end - 1)]
    params = {"symbols": symbol.replace("-", "/"), "start": times[0], "end": times[1], "limit": "10000"}
    path = "/v2/stocks/trades" if stock else "/v1beta3/crypto/us/trades"
    page = ask(f"{rest}{path}", **params | ({"feed": "sip"} if stock else {}))
    rows = (page["trades"] or {}).get(params["symbols"], [])
    return {
        (str(row["i"]), number(row["p"]), number(row["s"])) for row in rows if row.get("u") != "corrected"
    }


@pytest.mark.parametrize("protocol", ["alpaca-sip", "polygon"])
def test_each_trade_once_and_a_cut_is_a_gap(protocol: str, tmp_path: Path) -> None:
    seller = "polygon" if protocol == "polygon" else "alpaca"
    venue = f"sim-{protocol}"
    with solo.simulator(tmp_path, *WORLD) as said:
        where = said["providers"][f"sim-{seller}"]
        words = ("--instruments", ",".join(SYMBOLS), "--channels", "trades,quotes")
        with solo.collector(tmp_path, protocol, where["stream"], where["rest"], *words) as part:
            part.live()
            part.records(150)
            fault(said, f"sim-{seller}", "duplicate", channel="trades", count=20)
            part.records(100)
            fault(said, f"sim-{seller}", "cut")
            clear = urllib.request.Request(f"{said['control']}/faults", method="DELETE")
            urllib.request.urlopen(clear, timeout=10).read()  # or the next answer of REST is cut too
            part.until("has lost its connections", lambda now: now["reconnects"] >= 2)
            part.live()
            part.records(150)
            assert part.stop() == 0
            assert part.log_tail().count("simulated") == 0  # the key it was given
        keys, gaps, newest = heard(tmp_path, venue)
        assert [key for key, count in Counter(keys).items() if count > 1] == []
        assert {key[0] for key in keys} == set(SYMBOLS)
        for symbol in SYMBOLS:
            mine = [key for key in keys if key[0] == symbol]
            # the one of the cut, and the one of the end
            assert len(gaps[symbol]) == 2
            (lost, found), (ends, _) = gaps[symbol]
            first = min(key[2] for key in mine) * 10**6
            for start, end in ((first, lost + 1), (found, min(ends, newest) + 1)):
                times = range(start // 10**6, (end - 1) // 10**6 + 1)
                got = {key[1:2] + key[3:5] for key in mine if key[2] in times}
                low, high = times.start * 10**6, times.stop * 10**6
                assert got == told(protocol, where["rest"], symbol, low, high), symbol
        assert {key[5] for key in keys if key[0] in STOCKS} == {True, False}
        assert not any(key[5] for key in keys if key[0] == "BTC-USD")


def test_a_key_that_is_refused_is_said_and_not_tried_at_once(tmp_path: Path) -> None:
    with solo.simulator(tmp_path, *WORLD) as said:
        where = said["providers"]["sim-alpaca"]
        fault(said, "sim-alpaca", "expired")
        words = ("--instruments", "AAPL", "--channels", "trades")
        with solo.collector(tmp_path, "alpaca", where["stream"], where["rest"], *words) as part:
            now = part.until("says that the key is refused", lambda now: now.get("error"))
            assert (now["error"]["code"], now["error"]["category"]) == ("venue_key", "auth")
            assert now["state"] == "reconnecting"
            assert now["next_try_ns"] - now["since_ns"] > 50 * 10**9
            assert now["attempt"] == 1


def test_without_a_key_it_ends_before_any_connection(tmp_path: Path) -> None:
    env = {"ALPACA_API_KEY": "visible-part", "ALPACA_API_SECRET": ""}
    words = ("collector", "alpaca", "--instruments", "AAPL")
    with solo.running(tmp_path, "collector-alpaca", *words, env=env) as part:
        until(lambda: part.process.poll() is not None, "it ends")
        assert part.process.returncode == 4
        assert "ALPACA_API_SECRET is not set" in part.log.read_text()
        assert "visible-part" not in part.log.read_text()
    assert not any((tmp_path / "journal").iterdir())
