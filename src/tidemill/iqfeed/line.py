"""IQFeed's lines out of bytes, wherever the network cut them."""

from __future__ import annotations

from tidemill.errors import UpstreamError

LINE_BYTES_MAX = 64 << 10
"""Its longest lines, fundamentals, have less than two thousand."""


class Lines:
    """Bytes in, whole lines out; an unfinished one waits for its rest. No I/O."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` finishes, without CR LF; empty ones are left out.

        Text is Latin-1: every byte is a character. Raises `UpstreamError` for a line that never ends.
        """
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            text = (self._rest + whole).decode("latin-1")
            self._rest = rest
        else:
            text = ""
            self._rest += rest
        if len(self._rest) > LINE_BYTES_MAX:
            raise UpstreamError(
                "iqfeed_unreadable",
                f"IQFeed sent {len(self._rest)} bytes without the end of a line",
                hint="is it IQConnect that listens on this port?",
            )
        # Not `splitlines`: to it other characters of Latin-1 end a line too.
        return [line for raw in text.split("\n") if (line := raw.rstrip("\r"))]
