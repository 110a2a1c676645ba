"""Only a connection that is proven to answer is given."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.servers.iqfeed import IQFeed
from tidemill.errors import TidemillError, UpstreamError
from tidemill.iqfeed import connection, request
from tidemill.iqfeed.connection import get_history_connection, open_history_connection

DAY = request.ticks_between("AAPL", "20240702 093000", "20240702 093500")


@pytest.fixture(autouse=True)
def _short_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PROOF_S", 2.5)
    monkeypatch.setattr(connection, "SILENT_S", 2.0)
    monkeypatch.setattr(connection, "RECONNECT_S", 0.1)


def test_a_proven_connection_answers(iqfeed_sim: IQFeed) -> None:
    async def ask() -> int:
        opened = await get_history_connection(iqfeed_sim.url)
        assert opened
        try:
            return len(await opened.ask(DAY))
        finally:
            await opened.close()

    assert asyncio.run(ask()) > 20


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("dead", "iqfeed_unreachable"),
        ("hang", "iqfeed_silent"),
        ("disconnected", "iqfeed_disconnected"),
        ("expired", "iqfeed_disconnected"),
        ("logout", "iqfeed_disconnected"),
    ],
)
def test_none_where_it_does_not_answer(iqfeed_sim: IQFeed, fault: str, code: str) -> None:
    iqfeed_sim.fault(fault, **({} if fault == "logout" else {"seconds": 60}))
    try:
        with pytest.raises(UpstreamError) as caught:
            asyncio.run(open_history_connection(iqfeed_sim.url))
        assert caught.value.code == code
        assert asyncio.run(get_history_connection(iqfeed_sim.url)) is None
    finally:
        iqfeed_sim.clear()
        asyncio.run(_connect(iqfeed_sim))


async def _connect(sim: IQFeed) -> None:
    """Ends a logout."""
    from tidemill.iqfeed.address import Address
    from tidemill.iqfeed.admin import open_admin

    deadline = time.monotonic() + 5
    while True:
        try:
            link = await open_admin(Address.of(sim.url), "test")
            break
        except UpstreamError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    await link.send("S,CONNECT")
    await asyncio.sleep(0.3)
    await link.close()


def test_it_may_wait_for_the_watchdog(iqfeed_sim: IQFeed) -> None:
    iqfeed_sim.fault("dead", seconds=0.5)

    async def ask() -> None:
        opened = await open_history_connection(iqfeed_sim.url, wait_s=10)
        await opened.close()

    asyncio.run(ask())


async def _loses_dtn(sim: IQFeed) -> None:
    opened = await open_history_connection(sim.url)
    try:
        plain = await opened.ask(DAY)
        sim.fault("slow", seconds=60)
        long = asyncio.create_task(
            opened.ask(request.ticks_between("SPY", "20240624 093000", "20240702 160000"))
        )
        await asyncio.sleep(0.2)
        assert not long.done()
        sim.fault("disconnected", seconds=1.5)
        begun = time.monotonic()
        with pytest.raises(TidemillError) as caught:
            await long
        assert caught.value.code == "iqfeed_disconnected"
        assert caught.value.retryable
        assert time.monotonic() - begun < 1.4, "told by the admin port, not by a timeout"
        sim.clear()
        deadline = time.monotonic() + 5
        while True:
            try:
                assert await opened.ask(DAY) == plain
                return
            except UpstreamError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
    finally:
        await opened.close()


@pytest.mark.alone
def test_losing_dtn_fails_at_once_and_comes_back(iqfeed_sim: IQFeed) -> None:
    asyncio.run(_loses_dtn(iqfeed_sim))
