"""What every provider keeps, whatever its protocol: over a table of them, each played in its own JSON."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.providers import played
from tests.providers.played import DAY, ENDING, MINUTE, OPENING, Bar, Played, Trade
from tests.providers.server import Fault, Reply, Server, cut, refuse, slow
from tests.system import report
from tidemill import errors, providers
from tidemill.providers import page
from tidemill.providers.api import Ask, BarColumns, Chunk, Limits, TradeColumns
from tidemill.providers.bucket import Bucket, Memory
from tidemill.providers.http import Patience

HOUR = 60 * MINUTE
NOW = ENDING + 30 * MINUTE
QUICK = Patience(backoff_s=0.001, silence_s=0.25, pause_s=7.0, tries=5)
FREE = Limits(per_s=1e6, burst=1000)


@dataclass(frozen=True)
class Case:
    name: str
    model: type[Played]
    symbol: str
    instrument: str
    unknown: str
    stock: bool
    keys: dict[str, str]
    size_places: int


PROVIDERS = [
    Case("kraken", played.Kraken, "BTC/USD", "BTC-USD.kraken", "ABC/USD", False, {}, 8),
    Case("coinbase", played.Coinbase, "BTC-USD", "BTC-USD.coinbase", "ABC-USD", False, {}, 8),
    Case("binance", played.Binance, "BTCUSDT", "BTC-USDT.binance", "ABC-USDT", False, {}, 8),
    Case("polygon", played.Polygon, "AAPL", "AAPL.polygon", "ABCD", True, {"key": Played.key}, 0),
    Case(
        "alpaca", played.Alpaca, "AAPL", "AAPL.alpaca", "ABCD", True,
        {"key": Played.key, "secret": played.Alpaca.secret}, 0,
    ),
]  # fmt: skip
TRUTH = {True: played.day(True), False: played.day(False)}


@pytest.fixture(params=PROVIDERS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def play(
    case: Case,
    act: Callable[[Any, Server, Any], Awaitable[Any]],
    *,
    now: int = NOW,
    keys: dict[str, str] | None = None,
    limits: Limits = FREE,
    **habits: Any,
) -> Any:
    """Runs `act(provider, server, model)` against the model of this provider."""

    async def main() -> Any:
        clock = Clock()
        model = case.model(TRUTH[case.stock], now, **habits)
        async with Server(model, clock).running() as server:
            gate = Bucket(Memory(limits, clock), sleep=clock.sleep)
            maker: Any = providers.load(case.name)
            provider = maker(
                case.name,
                gate,
                server.url,
                keys=case.keys if keys is None else keys,
                now=lambda: now,
                patience=QUICK,
            )
            try:
                return await act(provider, server, model)
            finally:
                await provider.close()

    return asyncio.run(main())


def asked(case: Case, kind: Any, start: int = OPENING, end: int = ENDING, interval: str = "1m") -> Ask:
    # The delay of those that have one is over for the whole day anyway.
    return Ask(case.symbol, kind, start, end, interval if kind == "bars" else "")


def bar_rows(columns: BarColumns) -> list[tuple[Any, ...]]:
    """Rows whose numbers compare whatever their scale."""
    price, size = Decimal(1).scaleb(-columns.price_scale), Decimal(1).scaleb(-columns.size_scale)
    prices = zip(*(getattr(columns, n).tolist() for n in ("open", "high", "low", "close")), strict=True)
    rows = zip(columns.start.tolist(), prices, columns.volume.tolist(), strict=True)
    return [(start, *(p * price for p in ohlc), volume * size) for start, ohlc, volume in rows]


def true_bars(case: Case, made: list[Bar]) -> list[tuple[Any, ...]]:
    cent, unit = Decimal("0.01"), Decimal(1).scaleb(-case.size_places)
    return [(b.start, *(c * cent for c in (b.open, b.high, b.low, b.close)), b.volume * unit) for b in made]


def trade_rows(columns: TradeColumns) -> list[tuple[Any, ...]]:
    price, size = Decimal(1).scaleb(-columns.price_scale), Decimal(1).scaleb(-columns.size_scale)
    ids: Any = columns.text_id or columns.id.tolist()
    return [
        (ts, p * price, s * size, a, i, x, c)
        for ts, p, s, a, i, x, c in zip(
            columns.ts_event.tolist(), columns.price.tolist(), columns.size.tolist(),
            columns.aggressor.tolist(),
            ids, columns.irregular.tolist(), columns.conditions or [""] * len(columns), strict=True,
        )
    ]  # fmt: skip


def true_trades(case: Case, start: int, end: int) -> list[tuple[Any, ...]]:
    def name(t: Trade) -> Any:
        return {"polygon": str(t.id % 50), "alpaca": str(t.id)}.get(case.name, t.id)

    def conditions(t: Trade) -> str:
        if not case.stock:
            return ""
        return " ".join(str(played._NUMBER[c]) if case.name == "polygon" else c for c in t.conditions)

    return [
        (t.ts, t.cents * Decimal("0.01"), t.units * Decimal(1).scaleb(-case.size_places),
         0 if case.stock else 1 if t.buy else 2, name(t), t.irregular, conditions(t))
        for t in TRUTH[case.stock]
        if start <= t.ts < end
    ]  # fmt: skip


async def all_bars(provider: Any, ask: Ask, parts: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for part in parts for row in bar_rows(await provider.bars(ask, part))]


async def all_trades(provider: Any, ask: Ask, parts: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for part in parts for row in trade_rows(await provider.trades(ask, part))]


def whole(ask: Ask) -> list[Chunk]:
    return [Chunk(ask.start, ask.end, 1, 1)]


def abut(ask: Ask, parts: list[Chunk]) -> None:
    assert parts[0].start == ask.start
    assert parts[-1].end == ask.end
    assert all(a.end == b.start for a, b in pairwise(parts))
    assert all(part.start < part.end and part.requests >= 1 and part.rows >= 0 for part in parts)


def test_it_says_what_it_is(case: Case) -> None:
    maker: Any = providers.load(case.name)
    assert maker.summary
    assert maker.site.startswith("https://")
    assert set(maker.kinds) <= {"bars", "trades"}
    assert maker.limits.per_s > 0
    assert maker.limits.burst >= 1
    assert maker(case.name, None).instrument(case.symbol) == case.instrument
    assert maker("sim-x", None).instrument(case.symbol).endswith(".sim-x")
    with pytest.raises(errors.UsageError):
        maker(case.name, None).instrument("a b/../c")


@pytest.mark.parametrize("kind", ["bars", "trades"])
def test_chunks_abut_and_stay_the_same(case: Case, kind: Any) -> None:
    provider: Any = providers.load(case.name)(case.name, None)  # type: ignore[arg-type]
    for span in (1, MINUTE, DAY + 17, 40 * DAY):
        ask = asked(case, kind, OPENING - 5, OPENING + span)
        parts = provider.chunks(ask)
        abut(ask, parts)
        assert parts == provider.chunks(ask)


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": "7m"}, {"start": ENDING}, {"kind": "quotes"}, {"options": {"nonsense": "1"}},
        {"symbol": "?"},
    ],
)  # fmt: skip
def test_what_it_lacks_is_said_before_a_request(case: Case, wrong: dict[str, Any]) -> None:
    provider: Any = providers.load(case.name)(case.name, None)  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError):
        provider.chunks(dataclasses.replace(asked(case, "bars"), **wrong))


def test_bars_are_those_of_the_provider(case: Case) -> None:
    ask = asked(case, "bars")

    async def act(provider: Any, server: Server, model: Any) -> Any:
        return await all_bars(provider, ask, whole(ask)), await all_bars(provider, ask, provider.chunks(ask))

    one, many = play(case, act)
    assert one == many == true_bars(case, played.bars(TRUTH[case.stock], MINUTE))


def test_trades_are_those_of_the_provider(case: Case) -> None:
    ask = asked(case, "trades")

    async def act(provider: Any, server: Server, model: Any) -> Any:
        return await all_trades(provider, ask, whole(ask)), await all_trades(
            provider, ask, provider.chunks(ask)
        )

    one, many = play(case, act)
    assert one == many == true_trades(case, OPENING, ENDING)


def test_bars_of_its_trades_are_its_bars(case: Case) -> None:
    ask = asked(case, "trades")

    async def act(provider: Any, server: Server, model: Any) -> Any:
        made = page.built(await provider.trades(ask, whole(ask)[0]), MINUTE)
        bars = asked(case, "bars")
        return bar_rows(made), bar_rows(await provider.bars(bars, whole(bars)[0]))

    built, given_ = play(case, act)
    assert built == given_
    assert len(built) > 60


def cut_any_way(case: Case, data: st.DataObject) -> None:
    start = data.draw(st.integers(OPENING - MINUTE, ENDING - 40 * MINUTE), "start")
    end = start + data.draw(st.integers(1, 40 * MINUTE), "length")
    edges = sorted({start, end, *data.draw(st.lists(st.integers(start, end), max_size=4), "edges")})
    # A trade's own moment, and the one after it, are where a mistake of one would show.
    near = [t.ts for t in TRUTH[case.stock] if start < t.ts < end]
    if near:
        ts = data.draw(st.sampled_from(near), "near")
        edges = sorted({*edges, *(edge for edge in (ts, ts + 1) if start < edge < end)})
    habits = {"page": st.integers(4, 40), "overlap": st.booleans(), "short": st.booleans()}
    same_rows(case, edges, **data.draw(st.fixed_dictionaries(habits), "habits"))


def same_rows(case: Case, edges: list[int], **habits: Any) -> None:
    """By chunks with these edges, the rows are those of the provider: nothing twice, no hole."""
    start, end = edges[0], edges[-1]
    parts = [Chunk(a, b, 1, 1) for a, b in pairwise(edges)]

    async def act(provider: Any, server: Server, model: Any) -> Any:
        bars, trades = asked(case, "bars", start, end), asked(case, "trades", start, end)
        return await all_bars(provider, bars, parts), await all_trades(provider, trades, parts)

    bars, trades = play(case, act, **habits)
    everything = true_bars(case, played.bars(TRUTH[case.stock], MINUTE))
    assert bars == [row for row in everything if start <= row[0] < end]
    assert trades == true_trades(case, start, end)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("short", [False, True])
def test_pages_that_overlap_or_end_early_lose_and_double_nothing(
    case: Case, overlap: bool, short: bool
) -> None:
    """A25, where every page has few rows, so that trades of one moment lie on both sides of an end."""
    edges = [OPENING, OPENING + 20 * MINUTE + 7, OPENING + 60 * MINUTE]
    same_rows(case, edges, page=4, overlap=overlap, short=short)


@given(data=st.data())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_split_gives_the_same(case: Case, data: st.DataObject) -> None:
    cut_any_way(case, data)


@pytest.mark.soak
@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_thousand_ranges_give_the_same(case: Case, data: st.DataObject) -> None:
    """A25 in full: 200 ranges of each of the five."""
    cut_any_way(case, data)


def test_an_empty_span_is_empty(case: Case) -> None:
    long_before = OPENING - 20 * DAY

    async def act(provider: Any, server: Server, model: Any) -> Any:
        bars = asked(case, "bars", long_before, long_before + HOUR)
        trades = asked(case, "trades", long_before, long_before + HOUR)
        return await provider.bars(bars, whole(bars)[0]), await provider.trades(trades, whole(trades)[0])

    bars, trades = play(case, act)
    assert (len(bars), len(trades)) == (0, 0)
    assert bars.start.dtype == trades.price.dtype == "int64"


def test_a_part_of_a_day_has_no_day(case: Case) -> None:
    """A chunk without a midnight holds no day's bar, wherever the provider's own days begin."""
    midnight = OPENING // DAY * DAY

    async def act(provider: Any, server: Server, model: Any) -> Any:
        ask = asked(case, "bars", midnight, midnight + DAY, "1d")
        return [
            len(await provider.bars(ask, Chunk(a, b, 1, 1)))
            for a, b in pairwise(
                (midnight, midnight + 1, midnight + 6 * HOUR, midnight + 7 * HOUR, midnight + DAY)
            )
        ]

    assert play(case, act, now=midnight + 2 * DAY) == [1, 0, 0, 0]


def test_an_unknown_symbol_is_not_found(case: Case) -> None:
    for kind in ("bars", "trades"):
        ask = dataclasses.replace(asked(case, kind), symbol=case.unknown)

        async def act(provider: Any, server: Server, model: Any, ask: Ask = ask) -> None:
            await getattr(provider, ask.kind)(ask, whole(ask)[0])

        with pytest.raises(errors.NotFoundError):
            play(case, act)


def test_the_running_bar_is_not_given(case: Case) -> None:
    ask = asked(case, "bars")
    delay = int(providers.load(case.name).delay_s * 1e9)
    now = OPENING + 100 * MINUTE + 30_000_000_000 + delay

    async def act(provider: Any, server: Server, model: Any) -> Any:
        return await all_bars(provider, ask, whole(ask))

    rows = play(case, act, now=now)
    ended = [bar for bar in played.bars(TRUTH[case.stock], MINUTE) if bar.start < OPENING + 100 * MINUTE]
    assert rows == true_bars(case, ended)


def test_a_wrong_key_is_refused_once_and_told_nowhere(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    if not case.keys:
        return  # it has none to be wrong
    ask = asked(case, "bars")
    wrong = {"key": "WRONGKEY-5512", "secret": "WRONGSECRET-8841"}
    seen: list[Any] = []

    async def act(provider: Any, server: Server, model: Any) -> None:
        seen.extend((server, repr(provider), repr(provider._http)))
        await provider.bars(ask, whole(ask)[0])

    with caplog.at_level(logging.DEBUG), pytest.raises(errors.AuthError) as caught:
        play(case, act, keys=wrong)
    assert len(seen[0].requests) == 1
    told = (
        "".join(traceback.format_exception(caught.value))
        + str(seen[1:])
        + str(caught.value.as_dict())
        + caplog.text
    )
    assert "WRONGKEY" not in told
    assert "WRONGSECRET" not in told


def test_a_key_that_expires_midway_ends_it(case: Case) -> None:
    ask = asked(case, "trades")

    async def act(provider: Any, server: Server, model: Any) -> None:
        server.faults = [None, refuse(401, data={"message": "expired"})]
        await provider.trades(ask, whole(ask)[0])

    with pytest.raises(errors.AuthError):
        play(case, act, page=50)


def survives(case: Case, faults: list[Fault | None]) -> Server:
    """The rows are right after these faults; the server, for its requests."""
    ask = asked(case, "bars")

    async def act(provider: Any, server: Server, model: Any) -> Any:
        server.faults = list(faults)
        return await all_bars(provider, ask, whole(ask)), server

    rows, server = play(case, act)
    assert rows == true_bars(case, played.bars(TRUTH[case.stock], MINUTE))
    return server


def test_too_often_is_waited_for(case: Case) -> None:
    server = survives(case, [refuse(429, {"retry-after": "13"}), refuse(429, {"retry-after": "2.5"})])
    first, second, third = (request.at for request in server.requests[:3])
    assert second - first >= 13
    assert third - second >= 2.5


def test_too_often_without_a_time_is_waited_for_longer_each_time(case: Case) -> None:
    server = survives(case, [refuse(429), refuse(429)])
    first, second, third = (request.at for request in server.requests[:3])
    assert second - first >= 7
    assert third - second >= 14


def test_a_ban_is_kept_or_told(case: Case) -> None:
    server = survives(case, [refuse(418, {"retry-after": "120"})])
    assert server.requests[1].at - server.requests[0].at >= 120
    with pytest.raises(errors.RateLimitError) as caught:
        survives(case, [refuse(418, {"retry-after": "259200"})])
    assert caught.value.retry_after_s == 259_200


def test_what_fails_and_passes_is_tried_again(case: Case) -> None:
    survives(case, [refuse(500), refuse(503), cut, None])
    survives(case, [lambda reply: Reply(200, b'{"results": [')])
    survives(case, [slow])


def test_what_goes_on_failing_ends(case: Case) -> None:
    with pytest.raises(errors.UpstreamError):
        survives(case, [refuse(502)] * 20)
    with pytest.raises(errors.RateLimitError):
        survives(case, [refuse(429, {"retry-after": "1"})] * 20)


def test_a_redirect_is_not_followed(case: Case) -> None:
    with pytest.raises(errors.UpstreamError, match="redirects"):
        survives(case, [refuse(302, {"location": "http://127.0.0.1:1/"})])


def test_a_number_that_is_none_is_refused(case: Case) -> None:
    for text in (b"NaN", b"1e400", b"null", b"[]"):
        ask = asked(case, "trades")

        def spoil(reply: Reply, text: bytes = text) -> Reply:
            body = reply.body()
            for name in (b'"price": ', b'"p": ', b'[["'):
                at = body.find(name)
                if at >= 0:
                    at += len(name) - (name == b'[["')
                    end = min(i for i in (body.find(b",", at), body.find(b"}", at)) if i > 0)
                    return Reply(200, body[:at] + text + body[end:])
            return reply

        async def act(
            provider: Any, server: Server, model: Any, ask: Ask = ask, spoil: Fault = spoil
        ) -> None:
            server.faults = [spoil] * 20
            await provider.trades(ask, whole(ask)[0])

        with pytest.raises(errors.UpstreamError):
            play(case, act)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_answer_of_another_shape_is_an_error_of_ours(case: Case, seed: int) -> None:
    """Anything anywhere in an answer may be something else: rows or a `TidemillError`, and an end."""
    rng = random.Random(seed)
    junk: tuple[Any, ...] = (None, [], {}, "x", "", -1, 10**30, True, [[1]], {"a": 1}, "2026-03-10T13:30:00Z")

    def spoil(reply: Reply) -> Reply:
        data = json.loads(reply.body())
        node = data
        while isinstance(node, (list, dict)) and node:
            key: Any = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if rng.random() < 0.4 or not isinstance(node[key], (list, dict)):
                node[key] = rng.choice(junk)
                break
            node = node[key]
        return Reply(reply.status, data, reply.headers)

    async def act(provider: Any, server: Server, model: Any) -> None:
        server.faults = [spoil] * 500
        for kind in ("bars", "trades"):
            ask = asked(case, kind, OPENING, OPENING + 20 * MINUTE)
            try:
                await getattr(provider, kind)(ask, whole(ask)[0])
            except errors.TidemillError:
                pass

    play(case, act, page=20)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_answers_with_flipped_bytes_are_rows_or_an_error_of_ours(case: Case) -> None:
    rng, row = random.Random(11), {"answers flipped": 0, "read": 0, "refused": 0}

    def flip(reply: Reply) -> Reply:
        body = bytearray(reply.body())
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] ^= rng.randint(1, 255)
        if rng.random() < 0.1:
            del body[rng.randrange(len(body)) :]
        row["answers flipped"] += 1
        return Reply(reply.status, bytes(body), reply.headers)

    async def act(provider: Any, server: Server, model: Any) -> None:
        while row["answers flipped"] < 10_000:
            server.faults = [flip] * 50
            ask = asked(case, rng.choice(["bars", "trades"]), OPENING, OPENING + 20 * MINUTE)
            try:
                found = await getattr(provider, ask.kind)(ask, whole(ask)[0])
            except errors.TidemillError:
                row["refused"] += 1
                continue
            times = (found.start if ask.kind == "bars" else found.ts_event).tolist()
            assert times == sorted(times)
            assert all(ask.start <= ts < ask.end for ts in times)
            row["read"] += 1

    play(case, act, page=20)
    report.note(f"Answers of {case.name} with flipped bytes", {"Asked": [row]}, "soak-history")


def test_the_gate_is_passed_before_each_request(case: Case) -> None:
    ask = asked(case, "trades")
    limits = Limits(per_s=1.0, burst=30)

    async def act(provider: Any, server: Server, model: Any) -> Any:
        await provider.trades(ask, whole(ask)[0])
        return [request.at for request in server.requests]

    at = play(case, act, page=40, limits=limits)
    assert len(at) >= 3
    burst = 30 if case.name != "binance" else 30 // 4
    assert all(b - a >= 1.0 for a, b in zip(at[burst:], at[burst + 1 :], strict=False))


DOCUMENTED = {
    "kraken": (60, 60),
    "coinbase": (1, 15),
    "binance": (60, 6000),
    "polygon": (60, 5),
    "alpaca": (60, 200),
}
"""A window in seconds, and how much of the provider's own count it allows within one."""


def test_a_fifth_of_what_is_allowed_is_left_to_others(case: Case) -> None:
    window, allowed = DOCUMENTED[case.name]
    limits = providers.load(case.name).limits
    # The end of a window is not in it.
    assert limits.burst + limits.per_s * window - (case.name == "polygon") <= 0.8 * allowed + 1e-9


# What some of them alone have.


def by_name(name: str) -> Case:
    return next(case for case in PROVIDERS if case.name == name)


def test_a_next_page_elsewhere_is_not_asked() -> None:
    ask = asked(by_name("polygon"), "trades")

    def act_for(link: str) -> Any:
        async def act(provider: Any, server: Server, model: Any) -> None:
            def foreign(reply: Reply) -> Reply:
                return Reply(200, {**reply.data, "next_url": link})

            server.faults = [foreign]
            try:
                await provider.trades(ask, whole(ask)[0])
            finally:
                assert len(server.requests) == 1

        return act

    for link in (
        "https://evil.example/v3/trades/AAPL?cursor=1",
        "http://127.0.0.1:1/v3/trades/AAPL?cursor=1",
        "https://api.massive.com/v3/trades/AAPL?cursor=1",
        "//evil.example/x",
        "",
    ):
        if link:
            with pytest.raises(errors.UpstreamError, match="next page"):
                play(by_name("polygon"), act_for(link), page=50)


def test_a_next_page_that_leads_back_ends() -> None:
    ask = asked(by_name("polygon"), "trades")

    async def act(provider: Any, server: Server, model: Any) -> None:
        def again(reply: Reply) -> Reply:
            return Reply(200, {**reply.data, "next_url": f"{server.url}/v3/trades/AAPL?cursor=50"})

        server.faults = [again] * 50
        await provider.trades(ask, whole(ask)[0])

    with pytest.raises(errors.UpstreamError):
        play(by_name("polygon"), act, page=50)


@pytest.mark.parametrize("name", ["polygon", "alpaca"])
def test_a_day_starts_at_midnight_utc_of_its_trading_date(name: str) -> None:
    case = by_name(name)
    midnight = OPENING // DAY * DAY

    async def act(provider: Any, server: Server, model: Any) -> Any:
        ask = asked(case, "bars", midnight - 3 * DAY, midnight + 3 * DAY, "1d")
        parts = [Chunk(midnight - 3 * DAY, midnight, 1, 1), Chunk(midnight, midnight + 3 * DAY, 1, 1)]
        return await all_bars(provider, ask, whole(ask)), await all_bars(provider, ask, parts)

    one, many = play(case, act, now=midnight + 2 * DAY)
    assert one == many
    assert [row[0] for row in one] == [midnight]
    # Its session is over, the date in New York is not.
    assert play(case, act, now=midnight + DAY + 3 * HOUR)[0] == []


def test_kraken_makes_bars_of_trades_where_it_keeps_none() -> None:
    case = by_name("kraken")
    ask = asked(case, "bars")

    async def act(provider: Any, server: Server, model: Any) -> Any:
        rows = await all_bars(provider, ask, whole(ask))
        return rows, {request.path for request in server.requests}

    # Its newest 720 minutes begin in the middle of the day.
    rows, paths = play(case, act, now=OPENING + 720 * MINUTE + 90 * MINUTE)
    assert rows == true_bars(case, played.bars(TRUTH[False], MINUTE))
    assert paths == {"/0/public/OHLC", "/0/public/Trades"}


def test_kraken_says_too_often_with_status_200() -> None:
    case = by_name("kraken")
    said = Reply(200, {"error": ["EAPI:Rate limit exceeded"]})
    server = survives(case, [lambda reply: said])
    assert server.requests[1].at - server.requests[0].at >= 15
