"""The providers' answers in their own JSON, out of one made-up day of trades. Shapes: their own
documentation.

Each model has a page size that it never exceeds, and two bad habits to switch on: `overlap` repeats rows of
the page before, `short` ends some pages early.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.providers.server import Reply, Request

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
# 10 March 2026, 13:30 UTC: the opening of a US session in summer time.
OPENING = 1_773_149_400 * SECOND
HOURS = 3
ENDING = OPENING + HOURS * 60 * MINUTE


@dataclass(frozen=True)
class Trade:
    ts: int
    cents: int
    units: int
    """1e-8 of a coin, or shares."""
    buy: bool
    id: int
    conditions: tuple[str, ...] = ("@",)
    exchange: str = "V"

    @property
    def irregular(self) -> bool:
        """By hand, from the table of the tapes: an odd lot and an average price set no high and no low."""
        return bool({"I", "W", "M"} & set(self.conditions))


def day(stock: bool, seed: int = 7) -> list[Trade]:
    """Trades with bursts at one moment, quiet minutes, and some that bars leave out."""
    rng = random.Random(seed)
    made: list[Trade] = []
    ts, cents = OPENING + 1_234_000_000, 15_000
    while ts < ENDING:
        for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
            cents = max(100, cents + rng.randint(-9, 9))
            conditions = (
                rng.choice((("@",), ("@", "F"), ("T",), ("@", "I"), ("W",), ("@", "6"))) if stock else ("@",)
            )
            units = rng.randint(1, 900) if stock else rng.randint(1, 3 * 10**8)
            made.append(
                Trade(ts, cents, units, rng.random() < 0.5, 1_000 + len(made), conditions, rng.choice("VQD"))
            )
        ts += rng.choice((1, 500, 9_000, 30_000, 200_000)) * 1_000_000
    return made


@dataclass(frozen=True)
class Bar:
    start: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    count: int


def bars(trades: list[Trade], length: int) -> list[Bar]:
    """Written anew, slowly and plainly, so that it can be wrong in other ways than what it is compared
    with."""
    found: dict[int, list[Trade]] = {}
    for trade in trades:
        if not trade.irregular:
            found.setdefault(trade.ts // length * length, []).append(trade)
    return [
        Bar(
            start,
            rows[0].cents,
            max(t.cents for t in rows),
            min(t.cents for t in rows),
            rows[-1].cents,
            sum(t.units for t in rows),
            len(rows),
        )
        for start, rows in sorted(found.items())
    ]


def dollars(cents: int, places: int = 2) -> str:
    return f"{cents // 100}.{cents % 100:02d}" + "0" * (places - 2)


def coins(units: int) -> str:
    return f"{units // 10**8}.{units % 10**8:08d}"


def iso(ts: int) -> str:
    return datetime.fromtimestamp(ts // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ts % SECOND:09d}Z"


def from_iso(text: str) -> int:
    whole, _, rest = text.removesuffix("Z").partition(".")
    at = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * SECOND + int((rest or "0").ljust(9, "0"))


@dataclass
class Played:
    trades: list[Trade]
    now: int
    page: int = 1_000_000
    overlap: bool = False
    short: bool = False
    base: str = ""
    rng: random.Random = field(default_factory=lambda: random.Random(3))
    key = "the-key-7f3a"

    def size(self, limit: int) -> int:
        """How many rows the next page has."""
        most = min(limit, self.page)
        return self.rng.randint(max(1, most // 2), most) if self.short else most

    def back(self, start: int) -> int:
        """Where a page begins that should begin at row `start`: some rows before, with the habit."""
        return max(0, start - self.rng.randint(1, 4)) if self.overlap else start

    def first(self, ts: int) -> int:
        """The place of the first trade not before a moment."""
        return bisect_left(self.trades, ts, key=lambda trade: trade.ts)


class Kraken(Played):
    def answer(self, request: Request) -> Reply:
        ask = request.params
        if ask.get("pair") != "XBTUSD":
            return Reply(200, {"error": ["EQuery:Unknown asset pair"]})
        if request.path == "/0/public/OHLC":
            length = int(ask["interval"]) * MINUTE
            running = self.now // length * length
            made = {bar.start: bar for bar in bars([t for t in self.trades if t.ts < self.now], length)}
            rows: list[list[Any]] = []
            last = 0
            for start in range(running - 719 * length, running + 1, length):
                bar = made.get(start)
                last = bar.close if bar else last
                if start // SECOND > int(ask["since"]) and last:
                    ohlc = [bar.open, bar.high, bar.low, bar.close] if bar else [last] * 4
                    volume, count = (coins(bar.volume), bar.count) if bar else ("0.00000000", 0)
                    rows.append([start // SECOND, *map(dollars, ohlc), "0.0", volume, count])
            return Reply(200, {"error": [], "result": {"XXBTZUSD": rows, "last": running // SECOND}})
        since = int(ask["since"])
        at = bisect_right(self.trades, since, key=lambda trade: trade.ts)
        end = at + self.size(int(ask["count"]))
        part = self.trades[self.back(at) : end]
        rows = [
            [dollars(t.cents, 5), coins(t.units), f"@{t.ts // SECOND}.{t.ts % SECOND // 100:07d}@",
             "b" if t.buy else "s", "l", "", t.id]
            for t in part
        ]  # fmt: skip
        last_ts = self.trades[min(end, len(self.trades)) - 1].ts if at < len(self.trades) else since
        if at >= len(self.trades):
            rows = []
        import json

        text = json.dumps({"error": [], "result": {"XXBTZUSD": rows, "last": str(last_ts)}})
        return Reply(200, text.replace('"@', "").replace('@"', "").encode())


class Coinbase(Played):
    def answer(self, request: Request) -> Reply:
        ask = request.params
        _, _, product, what = request.path.split("/")
        if product != "BTC-USD":
            return Reply(404, {"message": "NotFound"})
        if what == "candles":
            length = int(ask["granularity"]) * SECOND
            start, end = from_iso(ask["start"]), from_iso(ask["end"])
            if (end - start) // length > 300:
                return Reply(400, {"message": "granularity too small for the requested time range"})
            made = [b for b in bars(self.trades, length) if start <= b.start <= end and b.start <= self.now]
            if self.overlap:
                made = [b for b in bars(self.trades, length) if start - 2 * length <= b.start <= end]
            made = made[::-1][: self.size(300)]
            return Reply(
                200,
                [
                    [
                        b.start // SECOND,
                        b.low / 100,
                        b.high / 100,
                        b.open / 100,
                        b.close / 100,
                        b.volume / 1e8,
                    ]
                    for b in made
                ],
            )
        after = int(ask.get("after", 10**15))
        end = bisect_left(self.trades, after, key=lambda trade: trade.id)
        if self.overlap and "after" in ask and end > 0:
            end = min(len(self.trades), end + 2)
        start = max(0, end - self.size(int(ask["limit"])))
        rows = [
            {"trade_id": t.id, "side": "sell" if t.buy else "buy", "size": coins(t.units),
             "price": dollars(t.cents, 8), "time": iso(t.ts)}
            for t in self.trades[start:end][::-1]
        ]  # fmt: skip
        return Reply(200, rows)


class Binance(Played):
    def answer(self, request: Request) -> Reply:
        ask = request.params
        if ask.get("symbol") != "BTCUSDT":
            return Reply(400, {"code": -1121, "msg": "Invalid symbol."})
        limit = self.size(int(ask["limit"]))
        if request.path == "/api/v3/klines":
            length = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": 60 * MINUTE, "1d": DAY}[ask["interval"]]
            start, end = int(ask["startTime"]) * 1_000_000, int(ask["endTime"]) * 1_000_000
            made = {bar.start: bar for bar in bars(self.trades, length)}
            rows: list[list[Any]] = []
            for at in range(-(-start // length) * length, min(end, self.now) + 1, length):
                if bar := made.get(at):
                    ohlc, volume, count = (
                        [bar.open, bar.high, bar.low, bar.close],
                        coins(bar.volume),
                        bar.count,
                    )
                else:
                    ohlc, volume, count = [15_000] * 4, "0.00000000", 0
                rows.append(
                    [at // 1_000_000, *(dollars(c, 8) for c in ohlc), volume,
                     (at + length) // 1_000_000 - 1, "0",
                     count, "0", "0", "0"]
                )  # fmt: skip
            return Reply(200, rows[:limit])
        if request.path == "/api/v3/aggTrades":
            at = self.first(int(ask["startTime"]) * 1_000_000)
            return Reply(
                200,
                [
                    {"a": t.id * 7, "f": t.id, "l": t.id, "T": t.ts // 1_000_000}
                    for t in self.trades[at : at + limit]
                ],
            )
        at = bisect_left(self.trades, int(ask["fromId"]), key=lambda trade: trade.id)
        part = self.trades[self.back(at) : at + limit] if at < len(self.trades) else []
        return Reply(
            200,
            [
                {"id": t.id, "price": dollars(t.cents, 8), "qty": coins(t.units), "time": t.ts // 1_000_000,
                 "isBuyerMaker": not t.buy, "isBestMatch": True}
                for t in part
            ],
        )  # fmt: skip


_NUMBER = {"@": 0, "F": 14, "T": 12, "I": 37, "W": 2, "6": 8}
_PLACE = {"V": 15, "Q": 12, "D": 4}


class Polygon(Played):
    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            told = request.headers.get("authorization", "").removeprefix("Bearer ")
            return Reply(401, {"status": "ERROR", "request_id": "r", "error": f"Unknown API Key {told}"})
        ask, words = request.params, request.path.strip("/").split("/")
        if words[:3] == ["v3", "reference", "tickers"]:
            found = (
                [{"ticker": "AAPL", "name": "Apple", "market": "stocks"}] if ask["ticker"] == "AAPL" else []
            )
            return Reply(200, {"status": "OK", **({"results": found} if found else {})})
        if words[0] == "v2":
            ticker, count, span, first, last = words[3], *words[5:9]
            rows = self._bars(ticker, int(count), span, first, last)
        else:
            ticker = words[2]
            start, end = int(ask.get("timestamp.gte", 0)), int(ask.get("timestamp.lt", 1 << 62))
            rows = [self._trade(t) for t in self.trades if start <= t.ts < end and ticker == "AAPL"]
        at = int(ask.get("cursor", 0))
        limit = self.size(int(ask.get("limit", 50_000)))
        part = rows[self.back(at) if at else 0 : at + limit]
        reply: dict[str, Any] = {
            "status": "OK",
            "request_id": "r",
            "ticker": ticker,
            "resultsCount": len(part),
        }
        if part:
            reply["results"] = part
        if at + limit < len(rows):
            query = "&".join(f"{k}={v}" for k, v in {**ask, "cursor": at + limit}.items())
            reply["next_url"] = f"{self.base}{request.path}?{query}"
        return Reply(200, reply)

    def _bars(self, ticker: str, count: int, span: str, first: str, last: str) -> list[dict[str, Any]]:
        if ticker != "AAPL":
            return []
        if span == "day":
            return [
                self._bar(b, b.start // DAY * DAY + 4 * 3600 * SECOND)
                for b in bars(self.trades, DAY)
                if first <= iso(b.start)[:10] <= last
            ]
        length = count * {"second": SECOND, "minute": MINUTE, "hour": 60 * MINUTE}[span]
        start, end = int(first) * 1_000_000, int(last) * 1_000_000
        return [self._bar(b, b.start) for b in bars(self.trades, length) if start <= b.start <= end]

    def _bar(self, b: Bar, at: int) -> dict[str, Any]:
        return {"v": float(b.volume), "vw": 1.0, "o": b.open / 100, "c": b.close / 100, "h": b.high / 100,
                "l": b.low / 100, "t": at // 1_000_000, "n": b.count}  # fmt: skip

    def _trade(self, t: Trade) -> dict[str, Any]:
        return {"conditions": [_NUMBER[c] for c in t.conditions], "exchange": _PLACE[t.exchange],
                "id": str(t.id % 50),
                "participant_timestamp": t.ts - 5, "price": t.cents / 100, "sequence_number": t.id,
                "sip_timestamp": t.ts, "size": t.units, "tape": 3}  # fmt: skip


class Alpaca(Played):
    secret = "the-secret-9c1b"

    def answer(self, request: Request) -> Reply:
        sent = request.headers.get("apca-api-key-id"), request.headers.get("apca-api-secret-key")
        if sent != (self.key, self.secret):
            return Reply(403, {"message": f"forbidden. {sent[0]}"})
        ask, words = request.params, request.path.strip("/").split("/")
        if words[1] == "assets":
            return (
                Reply(200, {"symbol": "AAPL"})
                if words[2] == "AAPL"
                else Reply(404, {"message": "asset not found"})
            )
        what = words[2]
        start, end = from_iso(ask["start"]), from_iso(ask["end"])
        if what == "trades":
            rows = [
                {"t": iso(t.ts), "x": t.exchange, "p": t.cents / 100, "s": t.units, "c": [*t.conditions, " "],
                 "i": t.id,
                 "z": "C"}
                for t in self.trades
                if start <= t.ts <= end
            ]  # fmt: skip
        else:
            frame = ask["timeframe"]
            length = {"1Min": MINUTE, "5Min": 5 * MINUTE, "1Hour": 60 * MINUTE, "1Day": DAY}[frame]
            shift = 4 * 3600 * SECOND if frame == "1Day" else 0
            rows = [
                {"t": iso(b.start + shift)[:19] + "Z", "o": b.open / 100, "h": b.high / 100, "l": b.low / 100,
                 "c": b.close / 100, "v": b.volume, "n": b.count, "vw": 1.0}
                for b in bars(self.trades, length)
                if start <= b.start + shift <= end
            ]  # fmt: skip
        if ask["symbols"] != "AAPL":
            rows = []
        at = int(ask.get("page_token", "p0")[1:])
        limit = self.size(int(ask["limit"]))
        part = rows[self.back(at) if at else 0 : at + limit]
        token = f"p{at + limit}" if at + limit < len(rows) else None
        return Reply(200, {what: {ask["symbols"]: part} if part else {}, "next_page_token": token})
