"""A platform on another machine, over REST: what `tidemill.connect(url=…)` returns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from tidemill import errors, fetched, frame
from tidemill.client import BARS_NEWEST, TICKS_NEWEST, Book, concerning, span, with_last
from tidemill.errors import UpstreamError, UsageError
from tidemill.model import time as times
from tidemill.model.instrument import resolve
from tidemill.model.time import Time
from tidemill.query.limit import ROWS_MAX

if TYPE_CHECKING:
    import httpx
    import polars as pl

    from tidemill.model.adjust import Adjusted
    from tidemill.model.calendar import Hours
    from tidemill.research.run import Costs, Settings
    from tidemill.research.studied import StudyResult
    from tidemill.run import Run
    from tidemill.strategies.api import Strategy

_LOOK_S = 0.5
"""Between two looks at a job that is waited for."""
_PAGE = 50_000
"""Bars, trades or quotes of one request."""


class Remote:
    """As `Client`, over REST: the same calls give the same frames. What REST does not have is refused."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    def __repr__(self) -> str:
        return f"<tidemill.Remote of {self.url}>"

    def _get(self, path: str, **query: Any) -> Any:
        asked = {key: value for key, value in query.items() if value is not None}
        return self._ask("GET", path, params=asked)

    def _ask(self, method: str, path: str, **rest: Any) -> Any:
        return self._said(path, self._send(method, path, **rest))

    def _send(self, method: str, path: str, timeout_s: float = 60.0, **rest: Any) -> httpx.Response:
        import httpx

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            return httpx.request(
                method, f"{self.url}/api/v1{path}", headers=headers, timeout=timeout_s, **rest
            )
        except httpx.HTTPError as error:
            raise UpstreamError(
                "platform_unreachable",
                f"{self.url} did not answer: {error}",
                hint="is `tidemill up` running?",
            ) from error

    def _said(self, path: str, answer: httpx.Response) -> Any:
        """The JSON of an answer; raises the error that it tells."""
        try:
            said = answer.json()
        except ValueError:
            raise UpstreamError(
                "platform_answer", f"{self.url}{path} answered {answer.status_code} without a reason"
            ) from None
        if answer.status_code >= 400:
            raise errors.from_dict(said)
        return said

    def _pages(self, path: str, limit: int, most: int, **query: Any) -> Iterator[dict[str, Any]]:
        """Answers of at most `most` lines that follow each other, until `limit` lines or all have come."""
        cursor = None
        while limit > 0:
            page = self._get(path, limit=min(limit, most), cursor=cursor, **query)
            yield page
            limit -= len(page["items"])
            cursor = page["next"]
            if cursor is None:
                return

    def _list(self, path: str, most: int, **query: Any) -> list[dict[str, Any]]:
        return [line for page in self._pages(path, 1 << 40, most, **query) for line in page["items"]]

    def _series(
        self, path: str, start: int | None, end: int | None, limit: int | None, newest: int, **query: Any
    ) -> list[dict[str, Any]]:
        """Pages of a series, ascending."""
        wanted = limit if limit is not None else newest if start is None else 1 << 40
        if wanted < 1:
            raise UsageError("limit_invalid", f"limit {wanted} is below 1", hint="ask for at least one row")
        pages = list(self._pages(path, wanted, _PAGE, format="rows", start=start, end=end, **query))
        return pages if start is not None else pages[::-1]

    def _instruments(self, venue: str | None) -> list[dict[str, Any]]:
        lines = self._list("/instruments", 2_000)
        venues = {str(line["venue"]) for line in lines}
        if venue is not None and venue not in venues:
            raise errors.unknown("venue", venue, venues)
        return [line for line in lines if venue in (None, line["venue"])]

    def instruments(self, venue: str | None = None) -> pl.DataFrame:
        """As `Client.instruments`."""
        return frame.of("instruments", map(with_last, self._instruments(venue)))

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
        current: bool = False,
        adjusted: Adjusted = "raw",
        known: Time | None = None,
        zone: str | None = None,
        calendar: str | None = None,
        hours: Hours = "regular",
    ) -> pl.DataFrame:
        """As `Client.bars`; REST shows the open bar as floats: not both `exact` and `current`."""
        if exact and current:
            _refuse("the exact open bar", "leave out exact or current")
        low, high = span(start, end, last)
        by = {name: text for name, text in (("zone", zone), ("calendar", calendar)) if text is not None}
        if by:
            by["hours"] = hours
        if adjusted not in ("raw", "none"):
            by["adjusted"] = adjusted
            if known is not None:
                by["known"] = str(times.parse(known))
        pages = self._series(
            f"/data/{instrument}/bars", low, high, limit, BARS_NEWEST, interval=interval, **by
        )
        lines = [line for page in pages for line in page["items"]]
        if current:
            for open_ in (page["current"] for page in pages if page["current"]):
                texts = {name: str(value) for name, value in open_.items() if isinstance(value, float)}
                lines.append({**open_, **texts, "revision": 0})
        return frame.of("bars", lines, exact=exact)

    def indicator(
        self,
        name: str,
        instrument: str,
        interval: str = "1m",
        *,
        start: Time | None = None,
        end: Time | None = None,
        last: str | None = None,
        limit: int | None = None,
        current: bool = False,
        adjusted: Adjusted = "raw",
        known: Time | None = None,
        since: Time | None = None,
        **params: float,
    ) -> pl.DataFrame:
        """As `Client.indicator`: computed there, and equal to the bit."""
        low, high = span(start, end, last)
        wanted = limit if limit is not None else BARS_NEWEST if low is None else 1 << 40
        if wanted < 1:
            raise UsageError("limit_invalid", f"limit {wanted} is below 1", hint="ask for at least one row")
        texts = {
            key: str(times.parse(value)) for key, value in (("known", known), ("since", since))
            if value is not None
        }  # fmt: skip
        texts |= {key: str(value) for key, value in (("start", low), ("end", high)) if value is not None}
        asked = {
            "instrument": instrument, "interval": interval, "indicator": name, "params": params,
            "adjusted": adjusted, **texts,
        }  # fmt: skip
        pages: list[dict[str, Any]] = []
        while wanted > 0:
            page = self._ask("POST", "/indicators/calculate", json={**asked, "limit": min(wanted, _PAGE)})
            pages.append(page)
            wanted -= len(page["ts"])
            if page["next"] is None:
                break
            asked["cursor"] = page["next"]
        ordered = pages if low is not None else pages[::-1]
        ts = [int(at) for page in ordered for at in page["ts"]]
        said = [page["indicators"][0] for page in ordered]
        columns = {
            output: [value for one in said for value in one["values"][output]]
            for output in said[0]["values"]
        }  # fmt: skip
        moving = [(page["current"], one["current"]) for page, one in zip(ordered, said, strict=True)]
        if current:
            for at, values in moving:
                if at is not None:
                    ts.append(int(at))
                    for output, column in columns.items():
                        column.append(values[output])
        return frame.indicator(ts, columns)

    def trades(
        self,
        instrument: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        last: str | None = None,
        limit: int | None = None,
        exact: bool = False,
        as_of: Time | None = None,
    ) -> pl.DataFrame:
        """As `Client.trades`, without `as_of`."""
        lines = self._ticks("ticks", instrument, start, end, last, limit, as_of)
        return frame.of("trades", lines, exact=exact)

    def quotes(
        self,
        instrument: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        last: str | None = None,
        limit: int | None = None,
        exact: bool = False,
        as_of: Time | None = None,
    ) -> pl.DataFrame:
        """As `Client.quotes`, without `as_of`."""
        pairs = self._ticks("quotes", instrument, start, end, last, limit, as_of)
        lines = [side for pair in pairs for side in _sides(pair)]
        if limit is not None:
            lines = lines[-limit:] if start is None and last is None else lines[:limit]
        return frame.of("quotes", lines, exact=exact)

    def _ticks(
        self,
        kind: str,
        instrument: str,
        start: Time | None,
        end: Time | None,
        last: str | None,
        limit: int | None,
        as_of: Time | None,
    ) -> list[dict[str, Any]]:
        if as_of is not None:
            _refuse("what was known at a time", "leave out as_of and filter by ts_recv")
        low, high = span(start, end, last)
        pages = self._series(f"/data/{instrument}/{kind}", low, high, limit, TICKS_NEWEST)
        return [line for page in pages for line in page["items"]]

    def book(
        self,
        instrument: str,
        *,
        at: Time | tuple[int, int] | None = None,
        depth: int = 20,
        exact: bool = False,
    ) -> Book:
        """As `Client.book`, now or at a time, not at a position."""
        if isinstance(at, tuple):
            _refuse("the book at a position", "name a time")
        when = None if at is None else times.parse(at)
        answer = self._get(f"/data/{instrument}/book", depth=depth, at=when)
        bids, asks = (
            [(p, s) if exact else (float(p), float(s)) for p, s in answer[side]] for side in ("bids", "asks")
        )
        epoch, sequence, ts_event, ts_recv = (
            int(answer[name] or 0) for name in ("epoch", "sequence", "ts_event", "ts_recv")
        )
        valid = bool(answer["valid"])
        return Book(answer["instrument"], epoch, sequence, ts_event, ts_recv, valid, bids, asks)

    def import_file(
        self,
        file: str | os.PathLike[str],
        *,
        recipe: str | None = None,
        member: str | None = None,
        strict: bool = False,
        dry_run: bool = False,
        save_recipe: str | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """As `Client.import_file`: the file is sent there, and this waits for its import."""
        from tidemill import importing

        return importing.there(
            self.url, self._token, file, recipe, member, strict, dry_run, save_recipe, changes
        )

    def gaps(self, instrument: str | None = None, *, venue: str | None = None) -> pl.DataFrame:
        """As `Client.gaps`; a new gap is here within seconds."""
        known = self._instruments(venue)
        lines: Iterable[dict[str, Any]] = self._list("/gaps", 1_000, venue=venue)
        if instrument is not None:
            lines = concerning(resolve(instrument, [str(line["instrument"]) for line in known]), lines)
        return frame.of("gaps", sorted(lines, key=lambda gap: (gap["venue"], gap["epoch"], gap["sequence"])))

    def datasets(self) -> pl.DataFrame:
        """As `Client.datasets`."""
        return frame.of("datasets", self._list("/datasets", 2_000))

    def fetch(
        self,
        provider: str,
        symbols: str | Iterable[str],
        interval: str = "1m",
        *,
        start: Time,
        end: Time | None = None,
        kind: Literal["bars", "trades"] = "bars",
        workers: int = 8,
        options: Mapping[str, str] | None = None,
        again: bool = False,
        exact: bool = False,
        quiet: bool = False,
    ) -> pl.DataFrame:
        """As `Client.fetch`: the platform there does it, by its own keys."""
        asked = fetched.Asked.of(
            provider, symbols, interval, start, end, kind, workers, options, again, exact, quiet
        )
        body = {**asked.body(), "key": asked.key}
        job_id = self._ask("POST", "/data/fetch", json=body)["job_id"]
        with asked.telling() as tell:
            while True:
                job = self._get(f"/jobs/{job_id}")
                tell(job)
                if job["ended"] is not None:
                    return asked.frame(self, job)
                time.sleep(_LOOK_S)

    def sql(
        self, query: str, *, limit: int | None = None, exact: bool = False, timeout_s: float | None = None
    ) -> pl.DataFrame:
        """As `Client.sql`."""
        import json

        import pyarrow as pa

        body = {"sql": query, "limit": limit or ROWS_MAX, "format": "arrow", "timeout_s": timeout_s}
        answer = self._send("POST", "/data/query", timeout_s=(timeout_s or 60.0) + 60.0, json=body)
        if answer.status_code >= 400:
            self._said("/data/query", answer)
        with pa.ipc.open_stream(answer.content) as reader:
            facts = json.loads(reader.schema.metadata[b"tidemill"])
        return frame.answered(answer.content, facts, whole=limit is None, exact=exact)

    def backtest(
        self,
        strategy: str | type[Strategy] | Strategy,
        instruments: str | Iterable[str],
        interval: str = "1m",
        *,
        start: Time | None = None,
        end: Time | None = None,
        engine: Literal["fast", "nautilus"] = "fast",
        cash: str | float | int = "100000",
        costs: Costs | Mapping[str, Any] | None = None,
        limit_fill: Literal["touch", "through"] = "touch",
        as_recorded: bool = False,
        stress: bool = True,
        quiet: bool = False,
        **params: Any,
    ) -> Run:
        """As `Client.backtest`: the platform there runs it, or answers with its kept run of the same
        fingerprint. `strategy` is a name that it has: classes stay here."""
        from tidemill import backtested

        if not isinstance(strategy, str):
            _refuse("a class", "store its code there, and name it: POST /api/v1/strategies/create")
        names = [instruments] if isinstance(instruments, str) else list(instruments)
        asked = backtested.asked(
            strategy, names, interval, start=start, end=end, engine=engine, cash=cash, costs=costs,
            limit_fill=limit_fill, as_recorded=as_recorded, stress=stress, params=params,
        )  # fmt: skip
        return backtested.There(self).run(asked, quiet=quiet)

    def run(self, name: str) -> Run:
        """As `Client.run`."""
        from tidemill import backtested

        return backtested.There(self).get(name)

    def study(
        self,
        strategy: type[Strategy] | str,
        instruments: str | Sequence[str],
        interval: str = "1h",
        *,
        start: Time | None = None,
        end: Time | None = None,
        params: Mapping[str, Any] | None = None,
        sampler: str = "grid",
        trials: int | None = None,
        objective: str | Sequence[str] = "sharpe",
        seed: int = 0,
        batch: int | None = None,
        walk_forward: int = 0,
        anchored: bool = False,
        settings: Settings | Mapping[str, Any] | None = None,
        workers: int | None = None,
    ) -> StudyResult:
        """As `Client.study`: the platform there makes it. `strategy` is a name that it has."""
        from tidemill.research import studied

        if not isinstance(strategy, str):
            _refuse("a class", "store its code there, and name it: POST /api/v1/strategies/create")
        low, high = times.span(start, end)
        asked = {
            "strategy": strategy, "interval": interval, "params": dict(params or {}),
            "instruments": [instruments] if isinstance(instruments, str) else list(instruments),
            "start": None if low is None else times.iso(low),
            "end": None if high is None else times.iso(high),
            "sampler": sampler, "trials": trials, "objective": objective, "seed": seed, "batch": batch,
            "walk_forward": walk_forward, "anchored": anchored, "workers": workers or 0,
            "settings": dict(settings or {}) if not is_dataclass(settings) else asdict(settings),
        }  # fmt: skip
        name = self._ask("POST", "/studies", json=asked)["study_id"]
        while (found := self._get(f"/studies/{name}"))["state"] in ("queued", "running"):
            time.sleep(_LOOK_S)
        if found["result"] is None:
            if found["error"]:
                raise errors.from_dict(found["error"])
            raise errors.CancelledError(
                "study_stopped", f"study {name} is {found['state']}", hint="`tidemill study resume` goes on"
            )
        return studied.answered(found, self._list(f"/studies/{name}/trials", 5_000))

    def stream(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: streams are read in place, from a journal on this machine."""
        _refuse("a stream", "connect(home) where the journal is, or subscribe to /api/v1/ws/market/{symbol}")

    def close(self) -> None:
        """Nothing is held between calls."""

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refuse(what: str, hint: str) -> NoReturn:
    raise UsageError("remote_unable", f"{what} cannot be had over REST", hint=hint)


def _sides(pair: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of an update: its bid, its ask, or one after the other."""
    both = pair["bid_price"] is not None and pair["ask_price"] is not None
    for side, sequence in (("bid", pair["sequence"]), ("ask", pair["sequence"] + both)):
        if pair[f"{side}_price"] is not None:
            yield {
                **pair,
                "side": side,
                "price": pair[f"{side}_price"],
                "size": pair[f"{side}_size"],
                "sequence": sequence,
            }
