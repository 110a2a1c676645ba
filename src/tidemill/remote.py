"""A platform on another machine, over REST: what `tidemill.connect(url=…)` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill import errors
from tidemill.client import Book, span
from tidemill.errors import UpstreamError
from tidemill.model.time import Time

if TYPE_CHECKING:
    import polars as pl


class Remote:
    """The same data over REST, from another machine."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    def __repr__(self) -> str:
        return f"<tidemill.Remote of {self.url}>"

    def _get(self, path: str, **query: Any) -> Any:
        import httpx

        asked = {key: value for key, value in query.items() if value is not None}
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            answer = httpx.get(f"{self.url}/api/v1{path}", params=asked, headers=headers, timeout=60.0)
        except httpx.HTTPError as error:
            raise UpstreamError(
                "platform_unreachable",
                f"{self.url} did not answer: {error}",
                hint="is `tidemill up` running?",
            ) from error
        if answer.status_code >= 400:
            try:
                raise errors.from_dict(answer.json())
            except ValueError:
                raise UpstreamError(
                    "platform_answer", f"{self.url}{path} answered {answer.status_code} without a reason"
                ) from None
        return answer

    def _frame(self, path: str, exact: bool, **query: Any) -> pl.DataFrame:
        import polars as pl
        import polars.selectors as cs

        frame = pl.read_ipc_stream(self._get(path, format="arrow", **query).content)
        return frame if exact else frame.with_columns(cs.decimal().cast(pl.Float64))

    def instruments(self, venue: str | None = None) -> pl.DataFrame:
        """Instruments of all venues or of one."""
        import polars as pl

        lines = self._get("/instruments", venue=venue, limit=1_000).json()["items"]
        return pl.DataFrame([{key: v for key, v in line.items() if key != "last"} for line in lines])

    def bars(
        self,
        instrument: str,
        interval: str = "1m",
        *,
        start: Time | None = None,
        end: Time | None = None,
        last: str | None = None,
        limit: int | None = None,
        exact: bool = False,
    ) -> pl.DataFrame:
        """As `Client.bars` (decimals with `exact`), at most 5,000 unless `limit` says otherwise."""
        low, high = span(start, end, last)
        return self._frame(
            f"/data/{instrument}/bars", exact, interval=interval, start=low, end=high, limit=limit or 5_000
        )

    def trades(
        self,
        instrument: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        last: str | None = None,
        limit: int | None = None,
        exact: bool = False,
    ) -> pl.DataFrame:
        """As `Client.trades` (decimals with `exact`), at most 10,000 unless `limit` says otherwise."""
        low, high = span(start, end, last)
        return self._frame(f"/data/{instrument}/ticks", exact, start=low, end=high, limit=limit or 10_000)

    def quotes(
        self,
        instrument: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        last: str | None = None,
        limit: int | None = None,
        exact: bool = False,
    ) -> pl.DataFrame:
        """As `Client.quotes` (decimals with `exact`), at most 10,000 unless `limit` says otherwise."""
        low, high = span(start, end, last)
        return self._frame(f"/data/{instrument}/quotes", exact, start=low, end=high, limit=limit or 10_000)

    def book(self, instrument: str, *, depth: int = 20, exact: bool = False) -> Book:
        """The order book now."""
        answer = self._get(f"/data/{instrument}/book", depth=depth).json()
        sides = {
            side: [(p, s) if exact else (float(p), float(s)) for p, s in answer[side]]
            for side in ("bids", "asks")
        }
        return Book(
            answer["instrument"],
            int(answer["epoch"]),
            int(answer["sequence"]),
            int(answer["ts_event"] or 0),
            int(answer["ts_recv"] or 0),
            bool(answer["valid"]),
            sides["bids"],
            sides["asks"],
        )

    def gaps(self, *, venue: str | None = None) -> pl.DataFrame:
        """The newest 1,000 lines of the gap ledger."""
        import polars as pl

        return pl.DataFrame(self._get("/gaps", venue=venue, limit=1_000).json()["items"])
