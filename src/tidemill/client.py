"""Tidemill from Python: `import tidemill as tm; td = tm.connect()`.

Frames are polars (`.to_pandas()` and `.to_arrow()` give the others). Times are UTC with nanoseconds; prices
and sizes are float64 for research, or decimal text exactly as the venue printed it with `exact=True`.
Errors are `tidemill.TidemillError`: message, hint, code.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from tidemill import backtested, errors, fetched, frame, wire
from tidemill.errors import ConfigError, NotFoundError, UsageError
from tidemill.model import time as times
from tidemill.model.instrument import resolve, venue_of
from tidemill.model.time import Time

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from tidemill._native import JournalReader, Records
    from tidemill.model.adjust import Adjusted
    from tidemill.model.calendar import Hours
    from tidemill.query.pool import Pool
    from tidemill.remote import Remote
    from tidemill.research.run import Costs, Settings
    from tidemill.research.studied import StudyResult
    from tidemill.run import Run
    from tidemill.stores.book_view import BookView
    from tidemill.stores.live import LiveView
    from tidemill.strategies.api import Strategy

Kind = Literal["trades", "quotes", "levels", "status", "gaps"]

_KINDS: Mapping[str, tuple[int, ...]] = {
    "trades": (wire.KIND_TRADE,),
    "quotes": (wire.KIND_QUOTE,),
    "levels": (wire.KIND_LEVEL, wire.KIND_CLEAR),
    "status": (wire.KIND_STATUS,),
    "gaps": (wire.KIND_GAP,),
}
_STREAM_RECORDS = 1 << 16
BARS_NEWEST = 5_000
TICKS_NEWEST = 10_000
"""How many bars, trades and quotes come where neither a beginning nor a limit is given."""


@dataclass(frozen=True)
class Batch:
    """Records of a stream as they lie in the journal."""

    records: wire.Records
    """Structured array of dtype `tidemill.wire.RECORD`, shape (n,): prices and sizes are mantissas."""
    epoch: int
    """The writer's generation."""
    sequences: npt.NDArray[np.uint64]
    """Our number of each record, shape (n,). Dense in the journal; a filter leaves gaps here."""

    @property
    def sequence(self) -> int:
        """Number of the first record."""
        return int(self.sequences[0])

    def __len__(self) -> int:
        return len(self.records)

    @property
    def prices(self) -> npt.NDArray[np.float64]:
        """Prices of trades, quotes and levels as floats, shape (n,)."""
        return wire.floats(self.records["price"], self.records["price_scale"])

    @property
    def sizes(self) -> npt.NDArray[np.float64]:
        """Sizes of trades, quotes and levels as floats, shape (n,)."""
        return wire.floats(self.records["size"], self.records["size_scale"])


@dataclass(frozen=True)
class Book:
    """An order book at one moment, best levels first."""

    instrument: str
    epoch: int
    sequence: int
    """The last record that it holds."""
    ts_event: int
    """The venue's time of its last change, ns UTC."""
    ts_recv: int
    valid: bool
    """False while it is not known to be whole: after a gap, before the next snapshot."""
    bids: list[tuple[float, float]] | list[tuple[str, str]]
    """(price, size); decimal text with `exact=True`."""
    asks: list[tuple[float, float]] | list[tuple[str, str]]


def connect(
    home: str | os.PathLike[str] | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    rest: bool = False,
) -> Client | Remote:
    """The data of a platform: of the home on this disk, whether or not it runs, or of one behind a URL.

    Without arguments: `TIDEMILL_URL` where it is set, else `TIDEMILL_HOME`, else this user's data folder.
    `token` (or `TIDEMILL_TOKEN`) is the owner's, from `DIR/token`. With `rest` the platform that runs on the
    home is asked over its REST, as other machines ask it. Raises `ConfigError` when there is no such home,
    `NotFoundError` `not_running` when nothing runs there that could be asked.
    """
    if url is None and home is None:
        url = os.environ.get("TIDEMILL_URL")
    if url is not None:
        if home is not None:
            raise UsageError("connect_twice", "both a home and a URL were given", hint="give one of them")
        from tidemill.remote import Remote

        return Remote(url, token or os.environ.get("TIDEMILL_TOKEN", ""))
    from tidemill.home import Home

    path = Home.at(os.fspath(home) if home is not None else None).path
    if not path.is_dir():
        raise ConfigError(
            "home_missing",
            f"there is no home at {path}",
            hint="start one with `tidemill up`, or name another",
        )
    return _over_rest(path) if rest else Client(path)


def _over_rest(path: Path) -> Remote:
    from tidemill.home import Home
    from tidemill.remote import Remote

    home = Home(path)
    running = home.running()
    if running is None:
        raise NotFoundError(
            "not_running",
            f"no platform runs at {path}, so there is none to ask over REST",
            hint="`tidemill up` starts one; without rest=True the data on disk is read",
        )
    return Remote(f"http://{running['host']}:{running['port']}", home.read_token())


def span(start: Time | None, end: Time | None, last: str | None) -> tuple[int | None, int | None]:
    """Start and end in ns; `last` counts back from `end`, or from now."""
    if last is None:
        return times.span(start, end)
    if start is not None:
        raise UsageError("span_invalid", "both start and last were given", hint="give one of them")
    end_ns = None if end is None else times.parse(end)
    return (time.time_ns() if end_ns is None else end_ns) - times.duration(last), end_ns


class Client:
    """Everything in one home: stored and just arrived, as one. Thread-safe."""

    def __init__(self, home: str | os.PathLike[str]) -> None:
        self.home = Path(home)
        self._view: LiveView | None = None
        self._pool: Pool | None = None

    def __repr__(self) -> str:
        return f"<tidemill.Client of {self.home}>"

    @property
    def view(self) -> LiveView:
        """What answers: see `tidemill.stores.live`."""
        if self._view is None:
            from tidemill.stores.live import LiveView

            self._view = LiveView(self.home, follow=False)
        return self._view

    def _name(self, instrument: str) -> str:
        try:
            return resolve(instrument, self.view.names())
        except NotFoundError:
            if "." in instrument and instrument in self.view.stored_names():
                return instrument
            raise

    def _known_venue(self, venue: str | None) -> None:
        if venue is not None and venue not in self.view.venues():
            raise errors.unknown("venue", venue, self.view.venues())

    def instruments(self, venue: str | None = None) -> pl.DataFrame:
        """Instruments with tick, lot, scales and the last trade's price and time."""
        self._known_venue(venue)
        return frame.of(
            "instruments",
            (with_last(line) for line in self.view.instruments() if venue in (None, line["venue"])),
        )

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
        """Bars, ascending: ts (start of the interval), open, high, low, close, volume, trades, revision.

        `start` and `end` bound the bars' starts, `last` ("6h") counts back from now; without any of them
        the newest 5,000 come. `current` adds the bar that is still open. An interval without trades has
        no row. Bars are cut in UTC; with `zone` ("America/New_York") at its midnights, with `calendar`
        ("XNYS", `hours` "regular" or "extended") by the sessions of an exchange.

        Prices and volumes are raw; `adjusted="split"` divides those before a split by its ratio, `"all"`
        takes dividends out too, with the facts that were `known` at a time (all of them when left out).
        """
        low, high = span(start, end, last)
        # A span is answered whole unless the caller bounds it.
        rows = limit if limit is not None else BARS_NEWEST if low is None else 1 << 40
        found = self.view.bars(
            self._name(instrument), interval, low, high, min(rows, 1 << 24),
            zone=zone, calendar=calendar, hours=hours,
        )  # fmt: skip
        columns: dict[str, Any] = dict(found.floats(current=current))
        if adjusted not in ("raw", "none"):
            from tidemill import adjusted as adjusting

            moment = None if known is None else times.parse(known)
            steps = adjusting.steps(self.view, found.instrument, interval, adjusted, moment)
            bars = np.concatenate([found.bars, found.current]) if current else found.bars
            if exact:
                columns |= adjusting.texts(bars, steps)
            else:
                adjusting.floats(columns, bars["start"], steps)
        elif exact:
            from tidemill.model.bar import volumes

            bars = np.concatenate([found.bars, found.current]) if current else found.bars
            for name in ("open", "high", "low", "close"):
                columns[name] = wire.texts(bars[name], bars["price_scale"])
            scales = bars["size_scale"].tolist()
            columns["volume"] = [
                wire.text(volume, scale) for volume, scale in zip(volumes(bars), scales, strict=True)
            ]
        return frame.of("bars", columns, exact=exact)

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
        """What an indicator says of the rows that `bars` has of the same span: ts, and each of its outputs
        (float64, null before its first value).

            td.indicator("rsi", "BTC-USD.kraken", "1h", last="90d", period=14)["rsi"]

        Values are exact from the first row on: what the indicator has to see before it is read, too, and what
        is asked for in pieces is equal to the whole. One that remembers everything begins with the first bar
        there is, or at `since`. Which there are: `tidemill.indicator.registry()`, and `talib:NAME`.

        Raises `UsageError` `indicator_unknown` and `parameter_invalid`, and `ResourceError`
        `history_too_long`.
        """
        from tidemill import adjusted as adjusting
        from tidemill import calculated

        wanted = calculated.Wanted.of(name, params)
        low, high = span(start, end, last)
        rows = limit if limit is not None else BARS_NEWEST if low is None else 1 << 40
        one = self._name(instrument)
        moment = None if known is None else times.parse(known)
        steps = (
            [] if adjusted in ("raw", "none")
            else adjusting.steps(self.view, one, interval, adjusted, moment)
        )  # fmt: skip
        found = calculated.calculate(
            self.view, one, interval, [wanted], low, high, min(rows, 1 << 24),
            since=None if since is None else times.parse(since), steps=steps,
        )  # fmt: skip
        count = found.closed + (len(found.bars.current) if current else 0)
        ts = np.concatenate([found.bars.bars["start"], found.bars.current["start"]])[:count]
        return frame.indicator(ts, {key: value[:count] for key, value in found.values[0].columns.items()})

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
        """Trades, ascending: ts_event, ts_recv, price, size, aggressor (buy, sell, none), id, epoch and
        sequence.

        Without `start` and `last` the newest `limit` (default 10,000) come. `as_of` shows what this
        platform had at that time.
        """
        return self._ticks("trades", instrument, start, end, last, limit, exact, as_of)

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
        """Best bids and offers, ascending, one row per side: ts_event, ts_recv, price, size, side (bid, ask),
        epoch and sequence; otherwise as `trades`."""
        return self._ticks("quotes", instrument, start, end, last, limit, exact, as_of)

    def _ticks(
        self,
        kind: str,
        instrument: str,
        start: Time | None,
        end: Time | None,
        last: str | None,
        limit: int | None,
        exact: bool,
        as_of: Time | None,
    ) -> pl.DataFrame:
        low, high = span(start, end, last)
        rows = limit if limit is not None else TICKS_NEWEST if low is None else 1 << 40
        read = self.view.trades if kind == "trades" else self.view.quotes
        known = times.parse(as_of) if as_of is not None else None
        found = read(self._name(instrument), low, high, min(rows, 1 << 40), as_of=known).rows
        return frame.of(kind, _tick_columns(kind, found, exact), exact=exact)

    def book(
        self,
        instrument: str,
        *,
        at: Time | tuple[int, int] | None = None,
        depth: int = 20,
        exact: bool = False,
    ) -> Book:
        """The order book now, or as it was at a time or after a position (epoch, sequence)."""
        when = at if at is None or isinstance(at, tuple) else times.parse(at)
        return _book(self.view.book(self._name(instrument), when, depth), exact)

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
        """Keeps a file of bars, trades or quotes: CSV, JSON lines, Parquet or Arrow; returns what came of it.

        The layout is guessed, or read with the saved `recipe`; `changes` are fields of the recipe
        (`instrument="AAPL.polygon"`, `interval="1m"`, `zone="America/New_York"`). `dry_run` keeps nothing and
        returns what is seen. Bad rows are put aside and counted; `strict` ends at the first. The same file
        again keeps nothing twice. Raises what `tidemill data import` tells.
        """
        from tidemill import importing

        return importing.here(self.home, file, recipe, member, strict, dry_run, save_recipe, changes)

    def gaps(self, instrument: str | None = None, *, venue: str | None = None) -> pl.DataFrame:
        """Known holes in what venues sent or journals kept; `instrument` null is the whole venue."""
        self._known_venue(venue)
        lines = self.view.gaps(venue)
        if instrument is not None:
            lines = list(concerning(self._name(instrument), lines))
        return frame.of("gaps", lines)

    def datasets(self) -> pl.DataFrame:
        """What is stored: rows, span and bytes per instrument and kind."""
        return frame.of("datasets", self.view.datasets())

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
        """History from a provider, once it is here: the frame of `bars`, or of `trades`, of that span; of
        several symbols with the column `instrument` before it.

        What is held already is not fetched again, unless `again`. `symbols` are spelled as the provider does.
        How far it is stands on stderr, unless `quiet`. The platform's worker does it where there is one, else
        a process of this call's own, which an interrupt cancels. Raises what ended it: `AuthError` for a key,
        `UpstreamError` for a provider that fails; what had come by then is kept.
        """
        asked = fetched.Asked.of(
            provider, symbols, interval, start, end, kind, workers, options, again, exact, quiet
        )
        return asked.frame(self, asked.run(self.home))

    def sql(
        self, query: str, *, limit: int | None = None, exact: bool = False, timeout_s: float | None = None
    ) -> pl.DataFrame:
        """The answer to one SELECT over the lake's datasets (docs/query.md): its first `limit` rows, or all
        of them. Decimals are float64; with `exact=True` they are decimals.

        Runs in a process beside this one, which ends after `timeout_s` (30). What has only just arrived is
        not in the lake yet. Raises `UsageError` `query_invalid` and `ResourceError` `query_too_large` when
        all rows are more than a million.
        """
        from tidemill.query.pool import Pool

        if self._pool is None:
            self._pool = Pool(self.home)
        rows = self._pool.limits.rows if limit is None else limit
        found = self._pool.ask(query, limit=rows, timeout_s=timeout_s)
        return frame.answered(found.body, found.facts, whole=limit is None, exact=exact)

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
        """Runs a strategy over bars of this home and keeps what came of it (docs/backtests.md).

        `strategy` is a name, a class or an instance; `params` are its parameters. Without `start` and `end`
        all bars are used. `costs` are `tidemill.research.run.Costs` or an object of their names, `{"taker":
        "0.001", "spread_bps": 2}`. `stress` runs it with 0, 2 and 4 times the costs as well, where that is
        cheap. How far it is stands on stderr where it takes longer than a second, unless `quiet`. Raises
        what the strategy's code raises, and `NotFoundError` for what is not here.
        """
        names = [instruments] if isinstance(instruments, str) else list(instruments)
        ask = backtested.asked(
            strategy, [self._name(one) for one in names], interval, start=start, end=end, engine=engine,
            cash=cash, costs=costs, limit_fill=limit_fill, as_recorded=as_recorded, stress=stress,
            params=params,
        )  # fmt: skip
        with backtested.telling(quiet) as told:
            return backtested.Here(self.home, lambda: self.view).run(strategy, ask, told)

    def run(self, name: str) -> Run:
        """A run that is kept, by its id or the beginning of one. Raises `NotFoundError` `run_unknown`."""
        return backtested.Here(self.home, lambda: self.view).get(name)

    def stream(
        self,
        instruments: str | Iterable[str],
        kinds: Kind | Iterable[Kind] = "trades",
        *,
        since: Literal["live", "oldest"] | tuple[int, int] = "live",
        timeout_s: float | None = None,
    ) -> Iterator[Batch]:
        """Records as they are written, read in place from the journal of one venue.

        `instruments` are names of one venue, or the venue's own name for all of them. `since` is the first
        record wanted. Blocks until something comes; ends after `timeout_s` seconds without any of these.
        Raises `DataQualityError` where the journal has let go of records that were not read yet, or they are
        damaged, after all that lies before; `NotFoundError` where this home has no journal of the venue.
        """
        begin = since if isinstance(since, str) and since in ("live", "oldest") else _position(since)
        if begin is None:
            raise UsageError(
                "position_invalid",
                f"since={since!r} is neither 'live', 'oldest' nor a position (epoch, sequence)",
                hint="resume with (batch.epoch, int(batch.sequences[-1]) + 1)",
            )
        from tidemill.stores.source import Names

        venue, names = self._streamed([instruments] if isinstance(instruments, str) else list(instruments))
        asked = [kinds] if isinstance(kinds, str) else list(kinds)
        for kind in asked:
            if kind not in _KINDS:
                raise errors.unknown("kind", kind, _KINDS)
        wanted = [number for kind in asked for number in _KINDS[kind]]
        reader = self._reader(venue, begin)
        known = Names(self.home, venue)
        return self._batches(venue, reader, [known.number(name) for name in names], wanted, begin, timeout_s)

    def _streamed(self, asked: list[str]) -> tuple[str, list[str]]:
        """The one venue of these names, and the instruments; none of them is all."""
        if len(asked) == 1 and asked[0] in self.view.venues():
            return asked[0], []
        names = [self._name(one) for one in asked]
        of = {venue_of(name) for name in names}
        if len(of) != 1:
            raise UsageError(
                "stream_venues",
                f"a stream reads one venue, asked were {', '.join(sorted(of)) or 'none'}",
                hint="open one stream for each venue: each has an order of its own",
            )
        return of.pop(), names

    def _reader(self, venue: str, since: str | tuple[int, int]) -> JournalReader:
        """A reader of a venue's journal that stands nowhere yet; refuses a place that it does not have."""
        from tidemill import _native

        try:
            reader = _native.JournalReader(str(self.home), venue)
        except RuntimeError as error:
            raise NotFoundError(
                "journal_missing",
                f"{self.home} has no journal of {venue} to stream from: {error}",
                hint="stream where its collector runs; what is stored here, `.trades()` and the others read",
            ) from error
        if isinstance(since, tuple) and since > (newest := reader.newest()):
            raise UsageError(
                "position_foreign",
                f"{venue} has no {since[0]}:{since[1]}: its journal goes on at {newest[0]}:{newest[1]}",
                hint="a home made anew begins again: stream with since='oldest'",
            )
        return reader

    def _batches(
        self,
        venue: str,
        reader: JournalReader,
        numbers: list[int],
        kinds: list[int],
        since: str | tuple[int, int],
        timeout_s: float | None,
    ) -> Iterator[Batch]:
        if isinstance(since, tuple):
            oldest = reader.seek(since)
            if oldest is not None:
                raise _lapped(venue, since, oldest, "overrun")
        else:
            reader.seek("oldest" if since == "oldest" else "newest")
        quiet_since = time.monotonic()
        while True:
            # Short waits, so that Ctrl+C and a timeout are heard.
            found = reader.read(_STREAM_RECORDS, 200)
            holes = [((epoch, first), (epoch, end), why) for epoch, first, end, why in reader.take_lost()]
            if holes and (found is None or holes[0][0] < (found.epoch, found.sequence)):
                raise _lapped(venue, *holes[0])
            batch = _chosen(found, numbers, kinds) if found else None
            if batch is not None:
                yield batch
                quiet_since = time.monotonic()
            elif timeout_s is not None and time.monotonic() - quiet_since >= timeout_s:
                return
            if holes:  # behind what was given out
                raise _lapped(venue, *holes[0])

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
        """Tries parameters by `workers` processes and judges the best: `.best`, `.verdict`, `.trials`,
        `.heatmap()`. A strategy's class must stand in a file. How: docs/studies.md."""
        from tidemill.home import Home
        from tidemill.metadata import Metadata
        from tidemill.research import studied

        names = [instruments] if isinstance(instruments, str) else list(instruments)
        asked = {
            "instruments": [self._name(name) for name in names], "interval": interval, "start": start,
            "end": end, "params": params, "sampler": sampler, "trials": trials, "objective": objective,
            "seed": seed, "batch": batch, "walk_forward": walk_forward, "anchored": anchored,
            "settings": settings,
        }  # fmt: skip
        home = Home.at(os.fspath(self.home))
        metadata = Metadata.of(home)
        try:
            return studied.make(home, metadata, strategy, asked, workers=workers or os.cpu_count() or 1)
        finally:
            metadata.close()

    def close(self) -> None:
        """Lets go of what is held; the object may be used again."""
        if self._view is not None:
            self._view.close()
            self._view = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ── frames ────────────────────────────────────────────────────────────────────────────────────────


def _chosen(found: Records, numbers: list[int], kinds: list[int]) -> Batch | None:
    """Those records of a batch that are wanted; None when none is. No numbers are all instruments."""
    records = wire.view(found)
    mask = np.isin(records["kind"], kinds)
    if numbers:
        # Whole-venue records (number 0) concern every instrument.
        mask &= np.isin(records["instrument"], [*numbers, 0])
    at = np.flatnonzero(mask)
    if not len(at):
        return None
    chosen = records if len(at) == len(records) else records[at]
    return Batch(chosen, found.epoch, at.astype(np.uint64) + np.uint64(found.sequence))


def _position(since: object) -> tuple[int, int] | None:
    """(epoch, sequence) as plain integers; None for what is no position."""
    match since:
        case (SupportsIndex() as epoch, SupportsIndex() as sequence):
            at = epoch.__index__(), sequence.__index__()
            return at if 0 < at[0] < 2**32 and 0 < at[1] < 2**63 else None
    return None


def with_last(line: dict[str, Any]) -> dict[str, Any]:
    """An instrument with the price and time of its last trade."""
    last = line["last"] or {}
    return {**line, "last_price": last.get("price"), "last_ts_event": last.get("ts_event")}


def concerning(instrument: str, gaps: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Gaps of an instrument, or of its whole venue."""
    for line in gaps:
        if line["venue"] == venue_of(instrument) and line["instrument"] in (None, instrument):
            yield line


def _tick_columns(kind: str, rows: pa.Table, exact: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {name: rows[name].to_numpy() for name in ("ts_event", "ts_recv")}
    for name in ("price", "size"):
        mantissa, scale = rows[name].to_numpy(), rows[f"{name}_scale"].to_numpy()
        columns[name] = wire.texts(mantissa, scale) if exact else wire.floats(mantissa, scale)
    for name in ("aggressor" if kind == "trades" else "side", "id", "epoch", "sequence"):
        columns[name] = rows[name]
    return columns


def _book(found: BookView, exact: bool) -> Book:
    def side(levels: list[tuple[str, str]]) -> Any:
        return levels if exact else [(float(price), float(size)) for price, size in levels]

    return Book(
        found.instrument,
        found.epoch,
        found.sequence,
        found.ts_event,
        found.ts_recv,
        found.valid,
        side(found.bids),
        side(found.asks),
    )


def _lapped(venue: str, first: tuple[int, int], end: tuple[int, int], why: str) -> errors.DataQualityError:
    """Records from `first` up to, not including, `end` cannot be had from the journal."""
    happened = "are damaged in its journal" if why == "corrupt" else "left its journal before they were read"
    return errors.DataQualityError(
        "stream_lapped",
        f"records of {venue} from {first[0]}:{first[1]} up to {end[0]}:{end[1]} {happened}",
        hint=f"`.trades()` and the others have what is stored; stream on with since=({end[0]}, {end[1]})",
    )
