"""History and look-ups: a pool of sockets, each busy with one request at a time.

Lines are told apart by the request's id. Lines of an id that nobody waits for any more, as after a
cancellation, are dropped: they may come long after, in the middle of another reply.
"""

from __future__ import annotations

import asyncio
import itertools

from tidemill.errors import AuthError, NotFoundError, RateLimitError, TidemillError, UpstreamError
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.link import Link
from tidemill.iqfeed.request import Request

SOCKETS = 15
SILENT_S = 30.0
"""A request whose reply stands still for so long has failed, and its socket with it."""
ROWS_MAX = 20_000_000
"""No reply has more: beyond it the memory of this process is worth more."""
END = "!ENDMSG!"
NO_DATA = "!NO_DATA!"
SYNTAX_ERROR = "!SYNTAX_ERROR!"


class Pool:
    """Sockets to the lookup port, opened as they are needed and kept."""

    def __init__(
        self,
        address: Address,
        *,
        name: str = "tidemill-history",
        sockets: int = SOCKETS,
        silent_s: float = SILENT_S,
    ) -> None:
        self._address = address
        self._name = name
        self._silent_s = silent_s
        self._turn = asyncio.Semaphore(sockets)
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._opening: set[asyncio.Task[Link]] = set()
        self._ids = itertools.count(1)
        self._down: UpstreamError | None = None
        self.dropped = 0
        """Lines of requests that nobody waits for any more."""

    async def ask(self, request: Request) -> list[str]:
        """The rows of a reply without id and label, in the order sent; empty where there is no data.

        Raises `AuthError`, `NotFoundError` for an unknown symbol, `RateLimitError` where it has too much to
        do, `UpstreamError` for anything else that goes wrong.
        """
        async with self._turn:
            while True:
                if self._down:
                    raise self._down
                link, was_idle = await self._take()
                try:
                    rows = await self._reply(link, request, f"T{next(self._ids)}")
                except asyncio.CancelledError:
                    self._release(link)
                    raise
                except UpstreamError as error:
                    link.abort()
                    self._busy.discard(link)
                    # Kept sockets die with the IQConnect they led to; the next one has new ones.
                    if error.code == "iqfeed_lost" and was_idle and not self._down:
                        self._forget()
                        continue
                    raise (self._down or error) from error
                except TidemillError:
                    self._release(link)
                    raise
                self._release(link)
                return rows

    def fail(self, error: UpstreamError) -> None:
        """Ends every request with `error` and refuses new ones, until `recover`."""
        self._down = error
        for link in self._busy:
            link.abort()
        for opening in self._opening:
            opening.cancel()
        self._forget()

    def recover(self) -> None:
        """Takes requests again."""
        self._down = None

    async def close(self) -> None:
        self.fail(UpstreamError("iqfeed_lost", "the connection to IQFeed was closed", retryable=False))

    def _forget(self) -> None:
        for link in self._idle:
            link.abort()
        self._idle.clear()

    async def _take(self) -> tuple[Link, bool]:
        if self._idle:
            # The one that rested longest: what was abandoned on it has had time to pass.
            link, was_idle = self._idle.pop(0), True
        else:
            link = await self._open()
            was_idle = False
        self._busy.add(link)
        return link, was_idle

    async def _open(self) -> Link:
        opening = asyncio.create_task(
            Link.open(self._address.host, self._address.lookup, self._name, what="IQFeed's lookup port")
        )
        self._opening.add(opening)
        try:
            return await opening
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._down and task and not task.cancelling():
                raise self._down from None  # it was `fail` that ended this, not who asked
            raise
        finally:
            self._opening.discard(opening)

    def _release(self, link: Link) -> None:
        self._busy.discard(link)
        if self._down:
            link.abort()
        else:
            self._idle.append(link)

    async def _reply(self, link: Link, request: Request, id_: str) -> list[str]:
        reply = Reply(id_, labelled=link.labelled)
        await link.send(request.line(id_))
        while True:
            try:
                async with asyncio.timeout(self._silent_s):
                    lines = await link.read()
            except TimeoutError:
                raise UpstreamError(
                    "iqfeed_silent",
                    f"{link.where} stopped in the middle: no line for {self._silent_s:g} s",
                    hint="`tidemill iqfeed status` tells how IQConnect is",
                ) from None
            try:
                if reply.take(lines):
                    return reply.rows
            finally:
                self.dropped += reply.dropped
                reply.dropped = 0


class Reply:
    """Gathers the rows of one id out of a socket's lines. No I/O."""

    def __init__(self, id_: str, *, labelled: bool) -> None:
        self.rows: list[str] = []
        self.dropped = 0
        self._id = id_ + ","
        self._labels = ("LH,", "LS,") if labelled else ()

    def take(self, lines: list[str]) -> bool:
        """Whether the reply is complete. Raises the error that it says."""
        for line in lines:
            if line.startswith(self._id):
                rest = line[len(self._id) :]
                if rest.startswith(self._labels):
                    self.rows.append(rest[3:])
                elif rest.startswith(END):
                    return True
                elif rest.startswith("E,"):
                    if NO_DATA in rest:
                        return True
                    raise failure(rest.split(",")[1])
                else:
                    self.rows.append(rest)
            elif line.startswith("S,SERVER DISCONNECTED"):
                raise disconnected()
            elif line.startswith(("E,", SYNTAX_ERROR)):
                # Only a request that cannot be read at all has an answer without its id.
                raise failure(SYNTAX_ERROR if SYNTAX_ERROR in line else line.split(",")[1])
            elif not line.startswith("S,"):
                self.dropped += 1
        if len(self.rows) > ROWS_MAX:
            raise UpstreamError("iqfeed_unreadable", f"IQFeed's reply has more than {ROWS_MAX} rows")
        return False


def disconnected() -> UpstreamError:
    """IQConnect runs, and has no connection to DTN's servers."""
    return UpstreamError(
        "iqfeed_disconnected",
        "IQConnect has lost its connection to DTN",
        hint="it connects again by itself; `tidemill iqfeed keep-alive` sees to it",
    )


def failure(text: str) -> TidemillError:
    """The error that an `E,` line says."""
    said = text.strip()
    folded = said.lower()
    if "unauthorized" in folded or "invalid login" in folded or "not authorized" in folded:
        return AuthError(
            "iqfeed_unauthorized",
            f"IQFeed refuses: {said[:120]!r}",
            hint="the DTN account lacks this feed or has expired: ask DTN",
        )
    if "invalid symbol" in folded:
        return NotFoundError("symbol_unknown", "IQFeed has no such symbol", hint="search for its spelling")
    if "too many" in folded or "queue full" in folded:
        return RateLimitError("iqfeed_busy", f"IQFeed has too much to do: {said[:120]!r}")
    if SYNTAX_ERROR.lower() in folded or "invalid number of param" in folded:
        return UpstreamError(
            "iqfeed_refused",
            f"IQFeed cannot read the request: {said[:120]!r}",
            hint="is this IQConnect older than protocol 6.2?",
            retryable=False,
        )
    return UpstreamError("iqfeed_failed", f"IQFeed answers {said[:120]!r}")
