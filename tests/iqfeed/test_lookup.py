"""The pool of lookup sockets: replies told apart, errors named, and what the simulator does wrong."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.servers.iqfeed import IQFeed
from tidemill.errors import AuthError, NotFoundError, RateLimitError, TidemillError, UpstreamError
from tidemill.iqfeed import request
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.lookup import Pool, Reply, failure

TICK = "2018-04-17 17:51:22.123456,96.0700,1061909,0,0.0000,0.0000,4145784264,O,19,143A,2,17"
DAY = request.ticks_between("AAPL", "20240702 093000", "20240702 093500")


@contextlib.asynccontextmanager
async def pool_of(sim: IQFeed, **options: float):
    pool = Pool(Address.of(sim.url), **options)  # type: ignore[arg-type]
    try:
        yield pool
    finally:
        await pool.close()


def test_rows_are_told_apart_by_their_id() -> None:
    reply = Reply("R1", labelled=True)
    assert not reply.take([f"R1,LH,{TICK}", f"R2,LH,{TICK}", "R2,!ENDMSG!,", "S,CURRENT PROTOCOL,6.2,"])
    assert reply.take([f"R1,LH,{TICK}", "R1,!ENDMSG!,"])
    assert (reply.rows, reply.dropped) == ([TICK, TICK], 2)
    old = Reply("R1", labelled=False)
    assert old.take([f"R1,{TICK}", "R1,!ENDMSG!,"])
    assert old.rows == [TICK]


def test_no_data_is_no_failure() -> None:
    reply = Reply("R1", labelled=True)
    assert reply.take(["R1,E,!NO_DATA!,,"])
    assert reply.rows == []


@pytest.mark.parametrize(
    ("line", "error", "code"),
    [
        ("R1,E,Unauthorized user ID.,,", AuthError, "iqfeed_unauthorized"),
        ("R1,E,Invalid symbol.,", NotFoundError, "symbol_unknown"),
        ("R1,E,Too many simultaneous history requests.,", RateLimitError, "iqfeed_busy"),
        ("R1,E,Invalid number of parameters.,", UpstreamError, "iqfeed_refused"),
        ("R1,E,Socket Error: 10054,", UpstreamError, "iqfeed_failed"),
        ("E,Disconnected from server", UpstreamError, "iqfeed_failed"),
        ("!SYNTAX_ERROR!", UpstreamError, "iqfeed_refused"),
        ("E,!SYNTAX_ERROR!,", UpstreamError, "iqfeed_refused"),
        ("S,SERVER DISCONNECTED", UpstreamError, "iqfeed_disconnected"),
    ],
)
def test_errors(line: str, error: type[TidemillError], code: str) -> None:
    with pytest.raises(error) as caught:
        Reply("R1", labelled=True).take([f"R1,LH,{TICK}", line])
    assert caught.value.code == code
    assert caught.value.retryable == (code not in ("iqfeed_unauthorized", "symbol_unknown", "iqfeed_refused"))
    assert failure("Request queue full").code == "iqfeed_busy"


async def _same_however_sent(sim: IQFeed) -> None:
    async with pool_of(sim) as pool:
        plain = await pool.ask(DAY)
        assert len(plain) > 20
        sim.fault("split", seconds=60)
        assert await pool.ask(DAY) == plain
        sim.clear()
        sim.fault("slow", seconds=60)
        assert await pool.ask(DAY) == plain
        sim.clear()
        sim.fault("late")
        assert await pool.ask(DAY) == plain
        assert pool.dropped == 2


def test_a_reply_is_the_same_however_it_is_sent(iqfeed_sim: IQFeed) -> None:
    asyncio.run(_same_however_sent(iqfeed_sim))


def test_protocol_6_1_has_no_labels(iqfeed_sim: IQFeed) -> None:
    async def ask() -> list[str]:
        async with pool_of(iqfeed_sim) as pool:
            return await pool.ask(DAY)

    new = asyncio.run(ask())
    iqfeed_sim.fault("old", seconds=60)
    assert asyncio.run(ask()) == new
    assert not new[0].startswith("L")


def test_many_at_once_and_one_after_another_are_the_same(iqfeed_sim: IQFeed) -> None:
    days = [
        request.ticks_between("SPY", f"202407{day:02} 093000", f"202407{day:02} 100000")
        for day in range(1, 20)
    ]

    async def ask(sockets: int) -> list[list[str]]:
        async with pool_of(iqfeed_sim, sockets=sockets) as pool:
            return await asyncio.gather(*(pool.ask(day) for day in days))

    assert asyncio.run(ask(1)) == asyncio.run(ask(15))


async def _abandoned(sim: IQFeed) -> None:
    async with pool_of(sim, sockets=1) as pool:
        plain = await pool.ask(DAY)
        sim.fault("slow", seconds=60)
        long = asyncio.create_task(
            pool.ask(request.ticks_between("SPY", "20240702 093000", "20240702 160000"))
        )
        await asyncio.sleep(0.15)
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        assert await pool.ask(DAY) == plain
        sim.clear()
        assert await pool.ask(DAY) == plain
        assert pool.dropped > 100, "the rest of what nobody waits for came on the same socket"


def test_lines_of_an_abandoned_request_are_dropped(iqfeed_sim: IQFeed) -> None:
    asyncio.run(_abandoned(iqfeed_sim))


async def _errors(sim: IQFeed) -> None:
    async with pool_of(sim, silent_s=0.5) as pool:
        for fault, error in (
            ("busy", RateLimitError), ("syntax", UpstreamError), ("truncate", UpstreamError),
        ):  # fmt: skip
            # A kept socket that breaks is replaced once; the second time it is told.
            sim.fault(fault, count=2 if fault == "truncate" else 1)
            with pytest.raises(error):
                await pool.ask(DAY)
            assert await pool.ask(DAY), f"goes on after {fault}"
        with pytest.raises(NotFoundError):
            await pool.ask(request.last_days("NONE", 1))
        assert await pool.ask(request.ticks_between("AAPL", "20240706 000000", "20240706 235959")) == []
        sim.fault("expired", seconds=60)
        with pytest.raises(AuthError):
            await pool.ask(DAY)
        sim.clear()
        sim.fault("hang", seconds=60)
        with pytest.raises(UpstreamError) as caught:
            await pool.ask(DAY)
        assert caught.value.code == "iqfeed_silent"
        sim.clear()
        assert await pool.ask(DAY)


def test_errors_of_the_simulator(iqfeed_sim: IQFeed) -> None:
    asyncio.run(_errors(iqfeed_sim))


async def _kept_sockets_die(sim: IQFeed) -> None:
    async with pool_of(sim) as pool:
        plain = await pool.ask(DAY)
        await asyncio.gather(*(pool.ask(DAY) for _ in range(5)))
        sim.fault("cut")
        assert await pool.ask(DAY) == plain, "the next one has a new socket, and nobody notices"
        sim.fault("dead", seconds=60)
        with pytest.raises(UpstreamError) as caught:
            await pool.ask(DAY)
        assert caught.value.code == "iqfeed_unreachable"


def test_kept_sockets_that_died_are_replaced(iqfeed_sim: IQFeed) -> None:
    asyncio.run(_kept_sockets_die(iqfeed_sim))


def test_failing_ends_every_request_at_once(iqfeed_sim: IQFeed) -> None:
    async def ask() -> None:
        async with pool_of(iqfeed_sim) as pool:
            assert await pool.ask(DAY)
            iqfeed_sim.fault("hang", seconds=60)
            waiting = [asyncio.create_task(pool.ask(DAY)) for _ in range(4)]
            await asyncio.sleep(0.1)
            pool.fail(UpstreamError("iqfeed_disconnected", "gone"))
            done = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2)
            codes = {error.code for error in done if isinstance(error, UpstreamError)}
            assert codes == {"iqfeed_disconnected"}
            with pytest.raises(UpstreamError):
                await pool.ask(DAY)
            iqfeed_sim.clear()
            pool.recover()
            assert await pool.ask(DAY)

    asyncio.run(ask())
