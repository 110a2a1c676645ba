"""One socket to IQConnect, its protocol agreed: text lines out, whole lines in."""

from __future__ import annotations

import asyncio
import contextlib

from tidemill.errors import UpstreamError
from tidemill.iqfeed.line import Lines

PROTOCOLS = ("6.2", "6.1", "5.2")
"""Asked for in this order, until one is granted; anything older prints other lines than these."""
OLDEST = (5, 0)
LABELLED = (6, 2)
"""From here on rows of history begin with LH, rows of look-ups with LS."""
READ_BYTES = 256 << 10
OPEN_S = 5.0


class Link:
    """An open socket. Whatever IQConnect said before the protocol was agreed is read first."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: str) -> None:
        self.where = where
        self.protocol: tuple[int, ...] = OLDEST
        self._reader = reader
        self._writer = writer
        self._lines = Lines()
        self._early: list[str] = []

    @classmethod
    async def open(
        cls, host: str, port: int, name: str, *, what: str = "IQFeed", timeout_s: float = OPEN_S
    ) -> Link:
        """Connects, agrees on the newest protocol that both know, and says who we are.

        Raises `UpstreamError`: `iqfeed_unreachable` where nobody listens, `iqfeed_silent` where nobody
        answers, `iqfeed_protocol` where no protocol is shared.
        """
        where = f"{what} at {host}:{port}"
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(host, port, limit=READ_BYTES)
        except TimeoutError:
            raise _silent(where, timeout_s) from None
        except OSError as error:
            raise UpstreamError(
                "iqfeed_unreachable",
                f"{where} cannot be reached: {error.strerror or error}",
                hint="`tidemill iqfeed keep-alive` starts IQConnect and keeps it alive",
            ) from error
        link = cls(reader, writer, where)
        try:
            async with asyncio.timeout(timeout_s):
                link.protocol = await link._agree()
            await link.send(f"S,SET CLIENT NAME,{name}")
        except BaseException as error:
            link.abort()
            if isinstance(error, TimeoutError):
                raise _silent(where, timeout_s) from None
            raise
        return link

    @property
    def labelled(self) -> bool:
        """Whether rows say what they are: LH, LS."""
        return self.protocol >= LABELLED

    async def _agree(self) -> tuple[int, ...]:
        for wanted in PROTOCOLS:
            await self.send(f"S,SET PROTOCOL,{wanted}")
            answer = ""
            while not answer:
                for line in await self._more():
                    if line.startswith("S,CURRENT PROTOCOL,") or line.startswith(("E,", "!")):
                        answer = line
                    else:
                        self._early.append(line)
            if answer.startswith("S,"):
                granted = _version(answer.split(",")[2])
                if granted < OLDEST:
                    break
                return granted
        raise UpstreamError(
            "iqfeed_protocol",
            f"{self.where} speaks none of the protocols {', '.join(PROTOCOLS)}",
            hint="install a newer IQConnect",
            retryable=False,
        )

    async def send(self, line: str) -> None:
        """Sends a line. Raises `UpstreamError` where the socket is gone."""
        try:
            self._writer.write(line.encode("latin-1", "replace") + b"\r\n")
            await self._writer.drain()
        except OSError as error:
            raise self._lost(error) from error

    async def read(self) -> list[str]:
        """The next lines, one at least. Raises `UpstreamError` at the end of the stream."""
        if self._early:
            early, self._early = self._early, []
            return early
        return await self._more()

    async def _more(self) -> list[str]:
        while True:
            try:
                data = await self._reader.read(READ_BYTES)
            except OSError as error:
                raise self._lost(error) from error
            if not data:
                raise self._lost(None)
            if lines := self._lines.feed(data):
                return lines

    def _lost(self, cause: OSError | None) -> UpstreamError:
        why = f": {cause.strerror or cause}" if cause else ""
        return UpstreamError("iqfeed_lost", f"{self.where} closed the connection{why}")

    def abort(self) -> None:
        """Lets go at once; whoever reads gets the end of the stream."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Sends what is left and lets go."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()


def _version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError:
        return (0,)


def _silent(where: str, timeout_s: float) -> UpstreamError:
    return UpstreamError(
        "iqfeed_silent",
        f"{where} gave no answer within {timeout_s:g} s",
        hint="`tidemill iqfeed status` tells how IQConnect is",
    )
