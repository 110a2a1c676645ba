"""A connection to IQFeed's history that has been proven to answer."""

from __future__ import annotations

import asyncio
import contextlib

from tidemill.errors import DeadlineError, RateLimitError, TidemillError, UpstreamError
from tidemill.iqfeed import request
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.admin import STATS, Stats, open_admin
from tidemill.iqfeed.link import Link
from tidemill.iqfeed.lookup import SOCKETS, Pool, disconnected
from tidemill.iqfeed.request import Request

PROOF_S = 10.0
"""All of the proof; STATS comes every second."""
SILENT_S = 5.0
RECONNECT_S = 1.0


class HistoryConnection:
    """Asks for history, and watches the admin port meanwhile: a lost connection to DTN ends every request at
    once with an error that may be tried again, and new ones are refused until it is back."""

    def __init__(self, address: Address, pool: Pool, admin: Link) -> None:
        self.address = address
        self._pool = pool
        self._watching = asyncio.create_task(self._watch(admin))

    async def ask(self, wanted: Request) -> list[str]:
        """The rows of a reply: `Pool.ask`."""
        return await self._pool.ask(wanted)

    @property
    def dropped(self) -> int:
        """Lines of requests that nobody waited for any more."""
        return self._pool.dropped

    async def close(self) -> None:
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        await self._pool.close()

    async def _watch(self, admin: Link) -> None:
        link: Link | None = admin
        try:
            while True:
                try:
                    link = link or await open_admin(self.address, "tidemill-history-watch")
                    while True:
                        async with asyncio.timeout(SILENT_S):
                            self._heard(await link.read())
                except (UpstreamError, TimeoutError):
                    # A dead IQConnect closes the pool's sockets too; here is nothing to add.
                    if link:
                        link.abort()
                    link = None
                    await asyncio.sleep(RECONNECT_S)
        finally:
            if link:
                link.abort()

    def _heard(self, lines: list[str]) -> None:
        for line in lines:
            stats = Stats.of(line)
            if line.startswith("S,SERVER DISCONNECTED") or (stats and not stats.connected):
                self._pool.fail(disconnected())
            elif stats:
                self._pool.recover()


async def get_history_connection(
    url: str | None = None, *, sockets: int = SOCKETS, wait_s: float = 0.0
) -> HistoryConnection | None:
    """A connection that is proven to answer, else None: `open_history_connection` says why."""
    try:
        return await open_history_connection(url, sockets=sockets, wait_s=wait_s)
    except TidemillError:
        return None


async def open_history_connection(
    url: str | None = None, *, sockets: int = SOCKETS, wait_s: float = 0.0
) -> HistoryConnection:
    """A connection to the IQConnect at `url` (`Address.of`) that is proven to answer.

    Proven means: the admin port says within ten seconds that IQConnect is connected to DTN, and the lookup
    port answers a question that only DTN can. Where that fails it is tried again for `wait_s` seconds, in
    which the watchdog may bring IQConnect back. Raises `UpstreamError` (`iqfeed_unreachable`, `_silent`,
    `_disconnected` and the like) or `AuthError`.
    """
    address = Address.of(url)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while True:
        try:
            return await _proven(address, sockets)
        except UpstreamError as error:
            if not error.retryable or loop.time() + RECONNECT_S > deadline:
                raise
            await asyncio.sleep(RECONNECT_S)


async def _proven(address: Address, sockets: int) -> HistoryConnection:
    pool = Pool(address, sockets=sockets)
    admin: Link | None = None
    try:
        async with asyncio.timeout(PROOF_S):
            admin = await open_admin(address, "tidemill-history-watch")
            await _connected(admin)
            # One that has too much to do answers too.
            with contextlib.suppress(RateLimitError):
                await pool.ask(request.markets())
    except BaseException as error:
        if admin:
            admin.abort()
        await pool.close()
        if isinstance(error, TimeoutError | DeadlineError):
            raise UpstreamError(
                "iqfeed_silent",
                f"IQConnect at {address.host} gave no proof of life within {PROOF_S:g} s",
                hint="`tidemill iqfeed status` tells how it is",
            ) from error
        raise
    return HistoryConnection(address, pool, admin)


async def _connected(admin: Link) -> None:
    """Returns at the first STATS that says so. Raises `UpstreamError` at one that does not."""
    while True:
        for line in await admin.read():
            if line.startswith(STATS) and (stats := Stats.of(line)):
                if stats.connected:
                    return
                raise disconnected()
