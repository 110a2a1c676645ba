"""Rows that came no live way: checked, merged into the longer stored intervals, kept once.

Everything here has epoch 0. What a row says is a function of what its source said of that moment, and of
nothing else: not of how a span was cut into chunks, in which order they came or how often. So a bar's
`sequence` is `OWN` where its source gave it and `MADE` where it was made here, from shorter ones or from
trades; a trade's is its place among the trades of the same nanosecond.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import UsageError
from tidemill.model.bar import BAR, Bars, set_volumes, volumes
from tidemill.model.instrument import venue_of
from tidemill.model.interval import DAY, STORED, Interval
from tidemill.stores.api import Query, Store
from tidemill.stores.table import BARS, DETAILS, TRADES, bar_rows, bars_of

if TYPE_CHECKING:
    from tidemill.providers.api import TradeColumns

MADE, OWN = 0, 1
"""`sequence` of a bar: made here, or given by its source. What is made replaces nothing that was given."""
_VALUES = ("open", "high", "low", "close", "volume_low", "volume_high", "trades")
_EDGES_NS = 30 * DAY
"""Shorter bars are read in pieces of this length when the bars that several chunks share are made."""

Span = tuple[int, int]


def application(source: str, instrument: str, what: str, chunk: str) -> str:
    """The application id of a chunk; `what` is an interval or "trades"."""
    return f"import/{source}/{instrument}/{what}/{chunk}"


@dataclass(frozen=True)
class Part:
    """Rows of one chunk, not kept yet."""

    application: str
    instrument: str
    source: str
    bars: Bars
    """Of every stored interval, each whole within the chunk."""
    trades: pa.Table = field(default_factory=TRADES.empty)
    details: pa.Table = field(default_factory=DETAILS.empty)

    def __len__(self) -> int:
        return len(self.bars) + len(self.trades) + len(self.details)


def keep(
    store: Store,
    instrument: str,
    interval: str,
    columns: Mapping[str, Any],
    *,
    source: str,
    chunk: str,
    ts_recv: int,
    delay_ns: int = 0,
    zone: str | None = None,
) -> bool:
    """Keeps bars that came no live way (epoch 0), once per (source, instrument, interval, chunk).

    `columns` holds arrays of one length: `start` (ns, ascending, each the start of an interval),
    `open` `high` `low` `close` `volume` (integer mantissas), `trades`, and the numbers `price_scale`
    and `size_scale`. `ts_recv` is when this platform got them, `delay_ns` how long after a bar's end it could
    be had. Days may start at midnight of their venue's `zone`: they are kept at midnight UTC of their date.
    A bar that differs from the one of this source that is there gets its `revision` + 1; the same again is
    nothing. Longer stored intervals are made from all there is of the source and kept too, where it did not
    give them itself. Returns False when this chunk was kept before. Raises `UsageError` for what is no such
    series.
    """
    if zone is not None and interval == "1d":
        columns = {**columns, "start": trading_days(columns["start"], zone)}
    part = bars_part(
        instrument, interval, columns, source=source, chunk=chunk, ts_recv=ts_recv, delay_ns=delay_ns
    )
    return _keep_alone(store, part, interval, ts_recv, delay_ns)


def keep_trades(
    store: Store,
    instrument: str,
    columns: TradeColumns,
    *,
    source: str,
    chunk: str,
    ts_recv: int,
    delay_ns: int = 0,
) -> bool:
    """Keeps trades that came no live way, once per (source, instrument, chunk), and the bars that their
    regular ones make.

    A trade whose id the store already holds for this instrument at that time, live or from another chunk, is
    not kept again; nor is one without an id that is there from this source. Conditions, exchange and text ids
    go into `details` (`docs/lake.md`). Returns False when this chunk was kept before.
    """
    part = trades_part(instrument, columns, source=source, chunk=chunk, ts_recv=ts_recv, delay_ns=delay_ns)
    return _keep_alone(store, part, "trades", ts_recv, delay_ns)


def _keep_alone(store: Store, part: Part, what: str, ts_recv: int, delay_ns: int) -> bool:
    new = not store.offset(BARS, part.application)
    span = _span_of(part, what)
    keep_all(store, [part])
    # Also where the chunk was there before: what made it may have ended between the two steps.
    if span is not None:
        join(store, part.instrument, what, span, source=part.source, ts_recv=ts_recv, delay_ns=delay_ns)
    return new


def _span_of(part: Part, what: str) -> Span | None:
    """From the first to the last moment that the rows of a chunk cover; None without rows."""
    if what == "trades":
        times = part.trades["ts_event"].to_numpy()
        return (int(times.min()), int(times.max()) + 1) if len(times) else None
    own = part.bars[part.bars["interval"] == STORED.index(what)]
    return (int(own["start"][0]), int(own["end"][-1])) if len(own) else None


# ── chunks as rows ────────────────────────────────────────────────────────────────────────────────


def bars_part(
    instrument: str,
    interval: str,
    columns: Mapping[str, Any],
    *,
    source: str,
    chunk: str,
    ts_recv: int,
    delay_ns: int = 0,
    span: Span | None = None,
) -> Part:
    """Checked bars of one chunk with the longer ones that lie whole within `span` (ns; by default from the
    first bar to the last). Raises `UsageError` as `keep` does."""
    if interval not in STORED:
        raise UsageError(
            "interval_not_stored",
            f"bars of {interval} are not stored",
            hint=f"import one of: {', '.join(STORED)}",
        )
    bars = imported_bars(interval, columns, ts_recv, delay_ns)
    if span is None:
        span = (int(bars["start"][0]), int(bars["end"][-1])) if len(bars) else (0, 0)
    name = application(source, instrument, interval, chunk)
    return Part(name, instrument, source, _with_longer(bars, interval, span, delay_ns))


def trades_part(
    instrument: str,
    columns: TradeColumns,
    *,
    source: str,
    chunk: str,
    ts_recv: int,
    delay_ns: int = 0,
    span: Span | None = None,
) -> Part:
    """Trades of one chunk with the bars that lie whole within `span` (ns; by default from the first trade to
    the last)."""
    from tidemill.stores import imported_trade

    rows, details, regular = imported_trade.rows(instrument, columns, source, ts_recv, delay_ns)
    times = columns.ts_event
    if span is None:
        span = (int(times.min()), int(times.max()) + 1) if len(times) else (0, 0)
    made = imported_trade.bars(*regular, ts_recv=ts_recv, delay_ns=delay_ns)
    bars = _whole(made, span)
    # The longer ones are made of all trades of the chunk: what is whole lies between its edges.
    name = application(source, instrument, "trades", chunk)
    longer = _with_longer(bars, STORED[0], span, delay_ns)
    return Part(name, instrument, source, longer, rows, details)


def _with_longer(bars: Bars, interval: str, span: Span, delay_ns: int) -> Bars:
    """Bars of a stored interval with the longer ones that lie whole within a span."""
    held = [bars]
    for longer in STORED[STORED.index(interval) + 1 :]:
        made = merged(held[-1], longer, STORED.index(longer))
        made["sequence"] = MADE
        made["ts_known"] = made["end"] + delay_ns
        held.append(made)
    return np.concatenate([held[0], *(_whole(part, span) for part in held[1:])])


def _whole(bars: Bars, span: Span) -> Bars:
    within: Bars = bars[(bars["start"] >= span[0]) & (bars["end"] <= span[1])]
    return within


def imported_bars(interval: str, columns: Mapping[str, Any], ts_recv: int, delay_ns: int = 0) -> Bars:
    """Checked columns as bars. Raises `UsageError` naming the first row that cannot be a bar."""
    starts = np.asarray(columns["start"], np.int64)
    bars = np.zeros(len(starts), BAR)
    parsed = Interval.parse(interval)
    bars["interval"] = STORED.index(interval)
    bars["start"] = starts
    bars["end"] = starts + parsed.length_ns
    for name in ("open", "high", "low", "close", "trades"):
        bars[name] = np.asarray(columns[name])
    set_volumes(bars, columns["volume"])
    bars["price_scale"], bars["size_scale"] = columns["price_scale"], columns["size_scale"]
    bars["ts_recv"] = ts_recv
    bars["ts_known"] = bars["end"] + delay_ns
    bars["sequence"] = OWN
    low, high = bars["low"], bars["high"]
    wrong = (starts % parsed.length_ns != 0) | (low > high)
    for name in ("open", "close"):
        wrong |= (bars[name] < low) | (bars[name] > high)
    wrong[1:] |= starts[1:] <= starts[:-1]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            "bars_invalid",
            f"row {row} (start {int(starts[row])}) is not a {interval} bar that follows the row before it",
            hint="starts ascend on interval boundaries, low <= open, close <= high",
        )
    return bars


def trading_days(starts: Any, zone: str) -> np.ndarray:
    """Midnight UTC (ns) of the dates that begin at these moments in a zone: days of 23 and 25 hours too."""
    from datetime import UTC, datetime

    place = ZoneInfo(zone)
    days = []
    for start in np.asarray(starts, np.int64).tolist():
        local = datetime.fromtimestamp(start // 10**9, UTC).astimezone(place)
        days.append((local.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days * DAY)
    return np.array(days, np.int64)


def merged(bars: Bars, interval: str, index: int) -> Bars:
    """Bars of a longer interval; `index` is what their `interval` field says."""
    from tidemill import _native

    longer = np.frombuffer(_native.merge_bars(np.ascontiguousarray(bars), interval), BAR).copy()
    longer["interval"] = index
    longer["revision"] = 0
    return longer


# ── keeping ───────────────────────────────────────────────────────────────────────────────────────


def held(store: Store, applications: Iterable[str]) -> set[str]:
    """Which of these chunks are kept, whole."""
    return {name for name, offset in _offsets(store, BARS, applications).items() if offset is not None}


def _offsets(store: Store, table: Any, applications: Iterable[str]) -> dict[str, int | None]:
    """Offsets of many ids at once where the store can, one by one elsewhere; None also for those that were
    forgotten with their rows, whose offset is 0."""
    names = list(applications)
    lake: Any = getattr(store, "lake", store)
    if hasattr(lake, "snapshot"):
        snapshot = lake.snapshot(table, names)
        found = dict(snapshot.offsets) if snapshot else {}
    else:
        found = {name: store.offset(table, name) for name in names}
    return {name: found.get(name) or None for name in names}


def keep_all(store: Store, parts: Sequence[Part]) -> int:
    """Keeps chunks, each once, in one append per table; returns how many rows that were. The offset in `bars`
    comes last: where it is, the whole chunk is."""
    from tidemill.stores import imported_trade

    parts = list({part.application: part for part in parts}.values())
    before = _offsets(store, BARS, [part.application for part in parts])
    parts = [part for part in parts if before[part.application] is None]
    kept = 0
    ticks = [part for part in parts if len(part.trades)]
    if ticks:
        ticks = imported_trade.without_held(store, ticks)
        kept += _append(store, DETAILS, [part for part in ticks if len(part.details)])
        kept += _append(store, TRADES, ticks)
    return kept + _append(store, BARS, parts)


def _append(store: Store, table: Any, parts: Sequence[Part]) -> int:
    before = _offsets(store, table, [part.application for part in parts])
    parts = [part for part in parts if before[part.application] is None]
    if not parts:
        return 0
    if table is BARS:
        pieces = [_bar_rows(store, mine) for mine in _by_series(parts)]
    else:
        pieces = [part.trades if table is TRADES else part.details for part in parts]
    rows = pa.concat_tables(piece.cast(table.schema) for piece in pieces)
    store.append(table, rows, {part.application: 1 for part in parts})
    return len(rows)


def _by_series(parts: Sequence[Part]) -> list[list[Part]]:
    groups: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        groups.setdefault((part.instrument, part.source), []).append(part)
    return list(groups.values())


def _bar_rows(store: Store, parts: Sequence[Part]) -> pa.Table:
    one = parts[0]
    bars = revised(store, one.instrument, one.source, [part.bars for part in parts])
    return bar_rows(bars, venue_of(one.instrument), 0, lambda _: one.instrument, source=one.source)


def revised(store: Store, instrument: str, source: str, pieces: Sequence[Bars]) -> Bars:
    """Those bars that say something new, each with the revision that follows what is kept or came before.

    A bar that is made here is made of all shorter ones that there are of its source, from whatever chunk."""
    found: list[Bars] = []
    below: Bars | None = None
    for index in range(len(STORED)):
        mine = [part for piece in pieces if len(part := piece[piece["interval"] == index])]
        if not mine:
            below = None
            continue
        if below is not None and len(below):
            mine = [_remade(piece, below, index) for piece in mine]
        longer = [part for piece in pieces if len(part := piece[piece["interval"] == index + 1])]
        low = min(int(piece["start"].min()) for piece in mine + longer)
        high = max(int(piece["end"].max()) for piece in mine + longer)
        there = before = _held_bars(store, instrument, source, index, low, high)
        for piece in mine:
            new = _new(piece, there)
            found.append(new)
            there = np.concatenate([there, new])
        # Without anything from elsewhere the longer bars of the chunks are right as they are.
        if len(before) or below is not None:
            below = _newest(there[np.lexsort((there["revision"], there["start"]))])
    return np.concatenate(found) if found else np.zeros(0, BAR)


def _remade(bars: Bars, below: Bars, index: int) -> Bars:
    """The same bars, those that were made here from all that is `below`."""
    again = merged(below, STORED[index], index)
    at = np.searchsorted(again["start"], bars["start"])
    chosen: Bars = bars.copy()
    made = chosen["sequence"] == MADE
    for name in (*_VALUES, "price_scale", "size_scale"):
        chosen[name][made] = again[name][at[made]]
    return chosen


def _held_bars(store: Store, instrument: str, source: str, index: int, low: int, high: int) -> Bars:
    """Every revision of what is kept of a source, ascending by start and revision."""
    query = Query(instruments=(instrument,), interval=STORED[index], start=low, end=high, revisions=True)
    rows = store.read(BARS, query)
    rows = rows.filter(pc.and_(pc.equal(rows["epoch"], 0), pc.equal(rows["source"], source)))
    return bars_of(rows)


def _new(bars: Bars, there: Bars) -> Bars:
    """Bars that are not `there`, or say something else, with their revisions."""
    if not len(there):
        return bars
    there = there[np.lexsort((there["revision"], there["start"]))]
    at = np.searchsorted(there["start"], bars["start"], "right") - 1
    newest = there[np.maximum(at, 0)]
    known = (at >= 0) & (newest["start"] == bars["start"])
    given = np.unique(there["start"][there["sequence"] == OWN])
    kept_back = known & (bars["sequence"] == MADE) & np.isin(bars["start"], given)
    new = ~known | (~kept_back & ~_same(bars, newest))
    chosen: Bars = bars[new].copy()
    chosen["revision"] = np.where(known, newest["revision"] + 1, 0)[new]
    return chosen


def _same(one: Bars, other: Bars) -> np.ndarray:
    """Where two bars say the same, whatever the number of decimal places."""
    scaled = (one["price_scale"] != other["price_scale"]) | (one["size_scale"] != other["size_scale"])
    same: np.ndarray = np.all([one[name] == other[name] for name in _VALUES], axis=0) & ~scaled
    for row in np.flatnonzero(scaled).tolist():
        same[row] = _exact(one[row : row + 1]) == _exact(other[row : row + 1])
    return same


def _exact(bar: Bars) -> tuple[int, ...]:
    price, size = 10 ** (18 - int(bar["price_scale"][0])), 10 ** (18 - int(bar["size_scale"][0]))
    prices = (int(bar[name][0]) * price for name in ("open", "high", "low", "close"))
    return (*prices, volumes(bar)[0] * size, int(bar["trades"][0]))


# ── bars that several chunks share ────────────────────────────────────────────────────────────────


def join(
    store: Store,
    instrument: str,
    what: str,
    *spans: Span,
    source: str,
    ts_recv: int,
    delay_ns: int = 0,
) -> int:
    """Makes the longer bars that do not lie whole within one of these chunks' spans, from all that is kept of
    the source; `what` is the chunks' interval, or "trades". Returns how many bars that were. Doing it again
    changes nothing."""
    made: list[Bars] = []
    first = 0 if what == "trades" else STORED.index(what) + 1
    below = np.zeros(0, BAR)
    for index in range(first, len(STORED)):
        interval = Interval.parse(STORED[index])
        edges = {interval.start(edge) for span in spans for edge in span if interval.start(edge) != edge}
        pieces = []
        for low, high in _runs(sorted(edges), interval):
            if index == 0:
                from tidemill.stores import imported_trade

                whole = imported_trade.bars_held(store, instrument, low, high, ts_recv, delay_ns)
            else:
                shorter = _newest(_held_bars(store, instrument, source, index - 1, low, high))
                fresh = below[(below["start"] >= low) & (below["start"] < high)]
                whole = merged(_over(shorter, fresh), STORED[index], index)
            pieces.append(whole[np.isin(whole["start"], sorted(edges))])
        bars = np.concatenate(pieces) if pieces else np.zeros(0, BAR)
        bars["sequence"], bars["ts_recv"], bars["ts_known"] = MADE, ts_recv, bars["end"] + delay_ns
        given = revised(store, instrument, source, [bars])
        made.append(given)
        below = given
    rows = np.concatenate(made) if made else np.zeros(0, BAR)
    if not len(rows):
        return 0
    said = rows.copy()
    said["ts_recv"] = 0
    chunk = "edges-" + hashlib.sha256(said.tobytes()).hexdigest()[:32]
    table = bar_rows(rows, venue_of(instrument), 0, lambda _: instrument, source=source).cast(BARS.schema)
    return len(rows) if store.append(BARS, table, {application(source, instrument, what, chunk): 1}) else 0


def _runs(starts: Sequence[int], interval: Interval) -> list[Span]:
    """Spans that hold these intervals, none longer than a month or so."""
    runs: list[Span] = []
    for start in starts:
        if runs and interval.end(start) - runs[-1][0] <= _EDGES_NS:
            runs[-1] = runs[-1][0], interval.end(start)
        else:
            runs.append((start, interval.end(start)))
    return runs


def _newest(bars: Bars) -> Bars:
    """The last revision of each start, of bars that ascend by both."""
    last: Bars = bars[np.append(bars["start"][1:] != bars["start"][:-1], True)] if len(bars) else bars
    return last


def _over(below: Bars, above: Bars) -> Bars:
    """Both, ascending; a row of `above` wins."""
    both = np.concatenate([below[~np.isin(below["start"], above["start"])], above])
    ordered: Bars = both[np.argsort(both["start"], kind="stable")]
    return ordered
