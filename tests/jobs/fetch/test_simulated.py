"""Whole fetches from the simulated Polygon and Alpaca, by fifty workers and with every fault of theirs: the
lake has what a plain reader of their REST, without faults, reads."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.jobs.conftest import Office, until
from tests.providers.test_simulated import MONDAY, Faults, simulator
from tidemill.home import Home
from tidemill.model.time import iso, parse
from tidemill.stores.api import Query
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, DETAILS, TRADES

pytestmark = pytest.mark.timeout(600)

HOUR = 3_600_000_000_000
START, END = MONDAY, MONDAY + 48 * HOUR
SYMBOLS = {
    "polygon": {"AAPL": "AAPL", "F": "F", "X:BTCUSD": "BTC-USD"},
    "alpaca": {"AAPL": "AAPL", "F": "F", "BTC/USD": "BTC-USD"},
}
FAULTS: dict[str, dict[str, Any]] = {
    "throttle": {"count": 3, "retry_after_s": 1},
    "cut": {"count": 5},
    "error": {"count": 5, "status": 503},
}
Trade = tuple[int, Decimal, Decimal, str, str, str]
"""Time, price, size, id, exchange and conditions."""


@pytest.fixture
def office(local: Office) -> Iterator[Office]:
    """A home with a worker, whose simulator plays both."""
    words = ["sim", "--home", str(local.home.path), "--providers", "polygon,alpaca", "--density", "1"]
    local.environment |= {
        "TIDEMILL_LIMIT_SIM_POLYGON": "500/second",
        "TIDEMILL_LIMIT_SIM_ALPACA": "500/second",
    }
    for _ in simulator(local.home, words):
        local.start()
        yield local


# ── what is true ──────────────────────────────────────────────────────────────────────────────────


class Plain:
    """Reads a provider's REST page by page, with nothing of ours."""

    def __init__(self, home: Home, name: str) -> None:
        said = json.loads((home.run / "sim.json").read_text())["providers"][f"sim-{name}"]
        self._base, self._name = said["rest"], name

    def trades(self, symbol: str) -> set[Trade]:
        if self._name == "polygon":
            path = f"/v3/trades/{symbol}?timestamp.gte={START}&timestamp.lt={END}&limit=50000&order=asc"
            rows = [row for page in self._pages(path) for row in page.get("results") or ()]
            return {
                (
                    row.get("sip_timestamp") or row["participant_timestamp"], row["price"], row["size"],
                    str(row["id"]), str(row.get("exchange", "")),
                    " ".join(map(str, row.get("conditions") or ())),
                )
                for row in rows
            }  # fmt: skip
        return {
            (
                parse(row["t"]), row["p"], row["s"], str(row["i"]), row.get("x", ""),
                " ".join("".join(code.split()) for code in row.get("c") or () if code.strip()),
            )
            for row in self._alpaca(symbol, "trades", "")
        }  # fmt: skip

    def bars(self, symbol: str) -> set[tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]]:
        if self._name == "polygon":
            path = f"/v2/aggs/ticker/{symbol}/range/1/minute/{START // 10**6}/{END // 10**6 - 1}?limit=50000"
            rows = [row for page in self._pages(path) for row in page.get("results") or ()]
            return {(row["t"] * 10**6, *(Decimal(row[name]) for name in "ohlcv")) for row in rows}  # type: ignore[misc]
        rows = self._alpaca(symbol, "bars", "&timeframe=1Min")
        return {(parse(row["t"]), *(Decimal(row[name]) for name in "ohlcv")) for row in rows}  # type: ignore[misc]

    def _alpaca(self, symbol: str, what: str, more: str) -> list[Any]:
        crypto = "/" in symbol
        span = f"start={iso(START)}&end={iso(END - 1)}&limit=10000{more}"
        path = f"/v1beta3/crypto/us/{what}?symbols={urllib.parse.quote(symbol)}&{span}"
        if not crypto:
            path = f"/v2/stocks/{what}?symbols={symbol}&feed=sip&{span}"
        return [row for page in self._pages(path) for row in (page.get(what) or {}).get(symbol, ())]

    def _pages(self, path: str) -> Iterator[Any]:
        url: str | None = self._base + path
        while url:
            headers = {"Authorization": "Bearer k", "APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                page = json.loads(answer.read(), parse_float=Decimal)
            yield page
            token = page.get("next_page_token")
            url = page.get("next_url") or (f"{self._base}{path}&page_token={token}" if token else None)


# ── what is kept ──────────────────────────────────────────────────────────────────────────────────


def kept_trades(lake: Lake, instrument: str) -> list[Trade]:
    query = Query(instruments=(instrument,))
    details = lake.read(DETAILS, query).to_pylist()
    said = {(row["ts_event"], row["sequence"]): json.loads(row["payload"]) for row in details}
    found = []
    for row in lake.read(TRADES, query).to_pylist():
        more = said.get((row["ts_event"], row["sequence"]), {})
        price = Decimal(row["price"]).scaleb(-row["price_scale"])
        size = Decimal(row["size"]).scaleb(-row["size_scale"])
        name = more.get("id", "" if row["id"] is None else str(row["id"]))
        found.append(
            (row["ts_event"], price, size, name, more.get("exchange", ""), more.get("conditions", ""))
        )
    return found


def kept_bars(lake: Lake, instrument: str) -> list[Any]:
    """Those that the source gave, not what is made of them."""
    rows = lake.read(BARS, Query(instruments=(instrument,), interval="1m")).to_pylist()
    return [
        (
            row["ts_event"],
            *(Decimal(row[name]).scaleb(-row["price_scale"]) for name in ("open", "high", "low", "close")),
            row["volume"].scaleb(-row["size_scale"]),
        )
        for row in rows
        if row["sequence"] == 1
    ]


def detail(name: str, kind: str, symbols: list[str]) -> dict[str, Any]:
    return {
        "provider": f"sim-{name}", "symbols": symbols, "kind": kind, "start": str(START), "end": str(END),
        "workers": 50, **({"interval": "1m"} if kind == "bars" else {}),
    }  # fmt: skip


def check_trades(office: Office, name: str) -> int:
    lake, plain, rows = Lake(office.home.lake), Plain(office.home, name), 0
    for symbol, stem in SYMBOLS[name].items():
        want, got = plain.trades(symbol), kept_trades(lake, f"{stem}.sim-{name}")
        assert len(got) == len(set(got))
        assert set(got) == want, (len(got), len(want), sorted(set(got) ^ want)[:4])
        rows += len(got)
    return rows


@pytest.mark.parametrize(
    ("name", "pages"),
    [
        ("polygon", "overlap"),
        ("alpaca", "short"),
        # Each provider and each kind of page is in the two above; the other pairs of them take as long again.
        pytest.param("polygon", "short", marks=pytest.mark.soak),
        pytest.param("alpaca", "overlap", marks=pytest.mark.soak),
    ],
)
def test_whatever_goes_wrong_the_rows_are_the_simulators(office: Office, name: str, pages: str) -> None:
    first, *others = SYMBOLS[name]
    with Faults(office.home, f"sim-{name}") as faults:
        for fault, about in {**FAULTS, pages: {"seconds": 600}}.items():
            faults.start(fault, **about)
        bars = office.ended(office.submit("fetch", detail=detail(name, "bars", [first, *others])), 300)
        assert bars.state == "done", (bars.error, office.logs(bars.id))
        lake, plain = Lake(office.home.lake), Plain(office.home, name)
        kept = {symbol: kept_bars(lake, f"{stem}.sim-{name}") for symbol, stem in SYMBOLS[name].items()}
        done = office.ended(
            office.submit("fetch", detail=detail(name, "trades", [first, "NOPE", *others])), 300
        )
    assert done.state == "done", (done.error, office.logs(done.id))
    assert done.result is not None
    assert done.result["not_found"] == ["NOPE"]
    assert check_trades(office, name) == done.result["rows"] > 1_000
    assert done.result["requests"] > done.result["chunks"]
    for symbol, rows in kept.items():
        assert len(rows) == len(set(rows)) > 300
        assert set(rows) == plain.bars(symbol)


# The job ends by the same lines whoever refuses the key; the contract of each provider is in tests/providers.
@pytest.mark.parametrize("name", ["polygon", pytest.param("alpaca", marks=pytest.mark.soak)])
def test_a_key_that_expires_midway_ends_it_and_the_next_goes_on(office: Office, name: str) -> None:
    asked = {**detail(name, "trades", list(SYMBOLS[name])), "workers": 10}
    with Faults(office.home, f"sim-{name}") as faults:
        # Slow enough that something is kept and something is not.
        faults.start("slow", seconds=600, delay_ms=1500)
        first = office.submit("fetch", detail=asked)
        until(lambda: office.job(first).progress > 0 or office.job(first).ended, "rows come", 120)
        faults.start("expired", seconds=600)
        failed = office.ended(first, 120)
    assert failed.state == "failed", (failed, office.logs(first))
    assert (failed.error or {})["code"] == "provider_key"
    done = office.ended(office.submit("fetch", detail=asked), 300)
    assert done.state == "done", done
    assert done.result is not None
    assert done.result["held"] > 0
    check_trades(office, name)
