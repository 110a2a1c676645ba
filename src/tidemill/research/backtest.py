"""A strategy over history: `run` gives the whole outcome, `Stage` serves many runs on the same history.

Two clocks keep a strategy from what it could not know. The market's rows come at the end of their interval.
The strategy's come when they were `known`, which is later where a source delivers late; orders that it sends
then are done at the next open after that moment. Arrival up to `SLACK_NS` late counts as on time.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill import _native
from tidemill.errors import UsageError
from tidemill.model.order import Fill, Order
from tidemill.research import trade
from tidemill.research.history import History, Ints, Track
from tidemill.research.run import EQUITY, FILLS, ORDERS, Outcome, Settings
from tidemill.strategies.api import Bar, Strategy
from tidemill.strategies.evaluation import Times, steps, values
from tidemill.strategies.signal import Bars, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = npt.NDArray[np.float64]
FEE_SCALE: Final = 9
SLACK_NS: Final = 1_000_000_000
"""A bar that is known this much after its end still decides what happens at the next one's open."""
ANY: Final = -(2**63)
"""The end of the last row that may not meet an order, where the very next one may."""


def run(
    strategy: Strategy,
    history: History,
    settings: Settings | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """What comes of it. `progress` is told rows done and rows in all, now and then.

    Raises `UsageError`: `strategy_invalid` for a strategy that does neither, or whose signal wants more than
    its leverage allows; what its own code raises passes through."""
    settings = settings or Settings()
    if settings.engine == "nautilus":
        from tidemill.research import nautilus  # the second engine, and only where it is asked for

        return nautilus.run(strategy, history, settings)
    return Stage(history, settings).run(strategy, progress=progress)


@dataclass(frozen=True)
class Curve:
    """The least that is worth knowing of a run, quickly had: for studies."""

    ts: Times
    """End of each step, ascending (ns)."""
    equity: Floats
    fills: int


class Played(Protocol):
    """What an engine says of a run that is over, in the columns of `_native.Engine`."""

    def fills(self) -> Mapping[str, Any]: ...
    def orders(self) -> Mapping[str, Any]: ...
    def equity_curve(self) -> Floats: ...
    def position(self, instrument: int) -> int: ...
    def cash(self) -> str: ...


@dataclass(frozen=True)
class Told:
    """Bars in the order in which a strategy is told of them, each array of shape (n,)."""

    after: Ints
    """The row after which it is told of each, ascending."""
    step: Ints
    """The step of its signals."""
    bars: Iterator[Bar]


class Decided:
    """When orders are decided, and so which row of their instrument may meet them first: one that had begun
    before has its open in the past."""

    def __init__(self, stage: Stage) -> None:
        # Of one instrument alone the next row always begins after what it is decided by.
        self._began = stage.began() if len(stage.history.tracks) > 1 else None
        self._now = 0
        self._moment = 0

    def at(self, now: int, known: int) -> None:
        """The time is `now`, and what is decided by is `known` (ns)."""
        self._now, self._moment = now, max(now, known - SLACK_NS)

    def after(self, instrument: int) -> int:
        """The end of the last row that may not meet an order of this instrument (ns)."""
        if self._began is None:
            return ANY
        starts, ends = self._began[instrument]
        last = bisect_left(starts, self._moment) - 1
        return ends[last] if last >= 0 and ends[last] > self._now else ANY


class Stage:
    """A history, ready for as many runs as one likes."""

    def __init__(self, history: History, settings: Settings) -> None:
        self.history, self.settings = history, settings
        tracks = list(history.tracks.values())
        self._names = list(history.tracks)
        ends = np.concatenate([track.end for track in tracks])
        number = np.repeat(np.arange(len(tracks), dtype=np.uint32), [len(track) for track in tracks])
        order = np.lexsort((number, ends))
        self._end: Ints = np.ascontiguousarray(ends[order])
        self._start: Ints = np.concatenate([track.start for track in tracks])[order]
        self._number = np.ascontiguousarray(number[order])
        self._prices = [
            np.ascontiguousarray(np.concatenate([getattr(track, name) for track in tracks])[order])
            for name in ("open", "high", "low", "close")
        ]
        # Where each track's rows went, to carry what is decided on tracks over to rows.
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        cuts = np.cumsum([0, *(len(track) for track in tracks)])
        self._rows = [place[low:high] for low, high in itertools.pairwise(cuts)]
        self.series = history.series
        axis = steps(self.series)
        # Of each track's bars: the step in which they became known, and the row after which their orders go.
        self._step = {name: np.searchsorted(axis, track.known) for name, track in history.tracks.items()}
        self._decides = {name: _decides(track) for name, track in history.tracks.items()}
        self._last = np.flatnonzero(np.append(np.diff(self._end) != 0, True)) if len(ends) else place

    # Runs.

    def run(self, strategy: Strategy, *, progress: Callable[[int, int], None] | None = None) -> Outcome:
        """The whole outcome."""
        return self.outcome(self._played(strategy, progress))

    def curve(self, strategy: Strategy) -> Curve:
        """Equity alone."""
        engine = self._played(strategy, None)
        equity = np.asarray(engine.equity_curve())[self._last]
        return Curve(self._end[self._last], equity, len(engine.fills()["ts"]))

    def _played(self, strategy: Strategy, progress: Callable[[int, int], None] | None) -> _native.Engine:
        engine = _engine(self.history, self.settings)
        if strategy.by_signal():
            opens, highs, lows, closes = self._prices
            wanted = self.targets(strategy)
            try:
                engine.run(self._end, self._number, opens, highs, lows, closes, wanted)
            except ValueError as error:
                raise UsageError("strategy_invalid", str(error), hint="see docs/engine.md") from error
        elif type(strategy).on_bar is not Strategy.on_bar:
            _Account(self, engine, strategy).play(progress)
        else:
            raise UsageError(
                "strategy_invalid",
                f"{type(strategy).__name__} has neither signal() nor on_bar()",
                hint="docs/strategies.md shows both ways to write one",
            )
        return engine

    def targets(self, strategy: Strategy) -> Floats:
        """What a strategy by signal wants at the end of each row: the share of equity in its instrument, NaN
        where it leaves things as they are. Shape (rows,)."""
        wanted = strategy.signals({name: Bars(name) for name in self._names})
        checked(strategy, wanted, self._names)
        found = np.full(len(self._end), np.nan)
        shares = values(list(wanted.values()), self.series)
        for name, share in zip(wanted, shares, strict=True):
            track = self.history.tracks[name]
            mine = share[self._step[name]]
            decided = np.full(len(track), np.nan)
            told = ~np.isnan(mine)
            decided[self._decides[name][told]] = mine[told]
            found[self._rows[self._names.index(name)]] = decided
        return found

    def rows(self) -> Iterator[tuple[int, ...]]:
        """The market's rows as `Engine.step` takes them, in its order."""
        columns: list[npt.NDArray[Any]] = [self._end, self._number, *self._prices]
        return zip(*(column.tolist() for column in columns), strict=True)

    def bars(self) -> Told:
        """Every bar as the strategy is told of it, in order."""
        tracks = self.history.tracks
        row, step = np.concatenate(self._rows), np.concatenate([self._step[name] for name in tracks])
        until = np.concatenate([self._until(name) for name in tracks])
        order = np.lexsort((row, until))

        def column(parts: list[npt.NDArray[Any]]) -> list[Any]:
            found: list[Any] = np.concatenate(parts)[order].tolist()
            return found

        each = [np.full(len(track), number) for number, track in enumerate(tracks.values())]
        named = [self._names[number] for number in column(each)]
        series = [self.series[name].columns for name in tracks]
        values_ = [column([one[name] for one in series]) for name in series[0]]
        start, known = (
            column([getattr(track, name) for track in tracks.values()]) for name in ("start", "known")
        )
        made = map(Bar, named, itertools.repeat(self.history.interval), start, known, *values_)
        return Told(until[order], step[order], made)

    def _until(self, name: str) -> Ints:
        """The row after which a strategy is told of each bar: the one that `_decides` says, or, where other
        instruments have moved on by the time it is known, their last row before that."""
        track = self.history.tracks[name]
        other = np.searchsorted(self._end, track.known - SLACK_NS, side="left") - 1
        mine = self._rows[self._names.index(name)][self._decides[name]]
        return np.maximum(mine, other)

    def began(self) -> list[tuple[list[int], list[int]]]:
        """Starts and ends of each instrument's rows, ascending (ns)."""
        return [(track.start.tolist(), track.end.tolist()) for track in self.history.tracks.values()]

    # What came of them.

    def outcome(self, engine: Played) -> Outcome:
        """The result of what an engine has played, as tables."""
        terms = [track.terms for track in self.history.tracks.values()]
        fills, orders = engine.fills(), engine.orders()
        market = (np.asarray(orders["kind"], object) == "market")[np.asarray(fills["order"], np.int64)]
        number = np.asarray(fills["instrument"])
        ts = np.array(fills["ts"], np.int64)
        for each, track in enumerate(self.history.tracks.values()):
            # A market order is done at the open, when its row begins; others somewhere within it.
            mine = market & (number == each)
            ts[mine] = track.start[np.searchsorted(track.end, ts[mine])]
        prices, sizes = np.asarray(fills["price"]), np.asarray(fills["size"])
        table = pa.table(
            {
                "ts": ts,
                "instrument": _named(self._names, number),
                "order": np.asarray(fills["order"]).astype(np.int64),
                "side": _sides(fills["side"]),
                "price": _decimals(prices, number, [one.price_scale for one in terms]),
                "size": _decimals(sizes, number, [one.size_scale for one in terms]),
                "fee": _decimals(np.asarray(fills["fee"]), number, [FEE_SCALE] * len(terms)),
                "maker": np.asarray(fills["maker"], np.bool_),
            },
            schema=FILLS,
        )
        done = [Fill(**line) for line in table.to_pylist()]
        cash = Decimal(engine.cash())
        return Outcome(
            orders=self._orders(orders),
            fills=table,
            equity=self._equity(np.asarray(engine.equity_curve()), fills),
            trades=trade.of(done, self.history.tracks),
            cash=cash,
            positions={
                name: Decimal(size).scaleb(-one.size_scale)
                for name, one, size in zip(
                    self._names, terms, map(engine.position, range(len(terms))), strict=True
                )
                if size
            },
        )

    def _orders(self, orders: Mapping[str, Any]) -> pa.Table:
        terms = [track.terms for track in self.history.tracks.values()]
        number = np.asarray(orders["instrument"])
        prices, sizes = [one.price_scale for one in terms], [one.size_scale for one in terms]
        return pa.table(
            {
                "order": np.arange(len(number)),
                "ts": np.asarray(orders["ts"], np.int64),
                "instrument": _named(self._names, number),
                "side": _sides(orders["side"]),
                "kind": pa.array(list(orders["kind"]), pa.string()),
                "size": _decimals(np.asarray(orders["size"]), number, sizes),
                "limit": _optional(orders["limit"], number, prices),
                "stop": _optional(orders["stop"], number, prices),
                "state": pa.array(list(orders["state"]), pa.string()),
                "reason": pa.array([word or None for word in orders["reason"]], pa.string()),
            },
            schema=ORDERS,
        )

    def _equity(self, curve: Floats, fills: Mapping[str, Any]) -> pa.Table:
        axis = self._end[self._last]
        gross, net = np.zeros(len(axis)), np.zeros(len(axis))
        number, when = np.asarray(fills["instrument"]), np.asarray(fills["ts"])
        signed = np.asarray(fills["size"]) * np.asarray(fills["side"])
        for each, track in enumerate(self.history.tracks.values()):
            mine = number == each
            held = np.append(0, np.cumsum(signed[mine]))[np.searchsorted(when[mine], axis, side="right")]
            at = np.searchsorted(track.end, axis, side="right") - 1
            price = np.where(at < 0, 0.0, track.series.columns["close"][np.maximum(at, 0)])
            worth = held / 10.0**track.terms.size_scale * price
            gross += np.abs(worth)
            net += worth
        columns = {"ts": axis, "equity": curve[self._last], "gross": gross, "net": net}
        return pa.table(columns, schema=EQUITY)


def _decides(track: Track) -> Ints:
    """For each bar the row of its track after which its orders go out: the last that had begun when it became
    known, so that they are done at the open of the next one."""
    at = np.searchsorted(track.start, track.known - SLACK_NS, side="left") - 1
    return np.maximum(at, np.arange(len(track)))


def checked(strategy: Strategy, wanted: Mapping[str, Signal], names: list[str]) -> None:
    """Raises `UsageError` `strategy_invalid` for what is no signal, or of an instrument nobody asked for."""
    for name, one in wanted.items():
        if name not in names or not isinstance(one, Signal):
            raise UsageError(
                "strategy_invalid",
                f"{type(strategy).__name__} gives {type(one).__name__} for {name!r}"[:300],
                hint="signal() returns a signal: when(a > b, 1.0, 0.0); it runs on " + ", ".join(names),
            )


def _engine(history: History, settings: Settings) -> _native.Engine:
    costs = settings.costs
    return _native.Engine(
        settings.cash,
        [
            {
                "name": name,
                "price_scale": track.terms.price_scale,
                "size_scale": track.terms.size_scale,
                "tick": track.terms.tick,
                "lot": track.terms.lot,
                "shorts": True,
            }
            for name, track in history.tracks.items()
        ],
        {
            "taker": costs.taker,
            "maker": costs.maker,
            "spread_bps": costs.spread_bps,
            "slippage_bps": costs.slippage_bps,
            "slippage_ticks": costs.slippage_ticks,
            "leverage": costs.leverage,
            "limit_fill": settings.limit_fill,
        },
    )


class _Account:
    """The broker of a strategy that is told bar after bar."""

    def __init__(self, stage: Stage, engine: _native.Engine, strategy: Strategy) -> None:
        self._stage, self._engine, self._strategy = stage, engine, strategy
        self._number = {name: number for number, name in enumerate(stage.history.tracks)}
        self._terms = [track.terms for track in stage.history.tracks.values()]
        self._sent: dict[int, Order] = {}
        self._decided = Decided(stage)
        self._held: dict[str, tuple[int, Decimal]] = {}
        """Positions as they were asked for last: most stay as they are from bar to bar."""

    def play(self, progress: Callable[[int, int], None] | None) -> None:
        """From the first row to the last."""
        strategy, stage = self._strategy, self._stage
        strategy._broker = None
        strategy._watches.clear()
        strategy.start({name: Bars(name) for name in self._number})
        watches = list(strategy._watches)
        told = stage.bars()
        served = [one[told.step].tolist() for one in values([one.signal for one in watches], stage.series)]
        lines = zip(told.bars, zip(*served, strict=True) if served else itertools.repeat(()), strict=False)
        # After each row how many bars are told; none before the last row of a time.
        due = np.full(len(stage._end), -1, np.int64)
        due[stage._last] = np.diff(np.searchsorted(told.after, stage._last, side="right"), prepend=0)
        done, total, step, at = 0, len(due), self._engine.step, self._decided.at
        fills: list[_native.Fill] = []
        strategy._broker = self
        try:
            for row, count in zip(stage.rows(), due.tolist(), strict=True):
                if met := step(*row):
                    fills += met
                if count < 0:
                    continue
                # All that ended at this time is known before anything is decided.
                now = row[0]
                if fills:
                    at(now, now)
                    for fill in fills:
                        strategy.on_fill(self._fill(fill))
                    fills.clear()
                for bar, line in itertools.islice(lines, count):
                    for watch, value in zip(watches, line, strict=True):
                        watch.value = value
                    at(now, bar.known)
                    strategy.on_bar(bar)
                if progress is not None and (done + count) >> 16 != done >> 16:
                    progress(done + count, total)
                done += count
            strategy.stop()
        finally:
            strategy._broker = None

    def _fill(self, fill: _native.Fill) -> Fill:
        terms = self._terms[fill.instrument]
        return Fill(
            fill.ts,
            terms.name,
            fill.order,
            "buy" if fill.side > 0 else "sell",
            Decimal(fill.price).scaleb(-terms.price_scale),
            Decimal(fill.size).scaleb(-terms.size_scale),
            Decimal(fill.fee).scaleb(-FEE_SCALE),
            fill.maker,
        )

    def submit(self, order: Order) -> int:
        number = self._of(order.instrument)
        terms = self._terms[number]
        size = _mantissa(order.size, terms.size_scale, "size", order)
        limit = _mantissa(order.limit, terms.price_scale, "limit", order)
        stop = _mantissa(order.stop, terms.price_scale, "stop", order)
        try:
            found = self._engine.submit(
                number, order.side, size, order.kind, limit, stop, order.time_in_force, order.reduce_only,
                self._decided.after(number),
            )  # fmt: skip
        except ValueError as error:
            raise UsageError("order_invalid", str(error)) from error
        self._sent[found] = order
        return found

    def target(self, instrument: str, share: float) -> None:
        number = self._of(instrument)
        try:
            self._engine.target(number, share, self._decided.after(number))
        except ValueError as error:
            raise UsageError("order_invalid", str(error)) from error

    def cancel(self, order: int) -> bool:
        return self._engine.cancel(order)

    def orders(self) -> Mapping[int, Order]:
        return {number: self._sent[number] for number in self._engine.open_orders() if number in self._sent}

    def position(self, instrument: str) -> Decimal:
        number = self._of(instrument)
        found = self._engine.position(number)
        held = self._held.get(instrument)
        if held is None or held[0] != found:
            held = self._held[instrument] = found, Decimal(found).scaleb(-self._terms[number].size_scale)
        return held[1]

    def equity(self) -> Decimal:
        return Decimal(self._engine.equity())

    def cash(self) -> Decimal:
        return Decimal(self._engine.cash())

    def price(self, instrument: str, value: float) -> Decimal:
        return self._terms[self._of(instrument)].price(value)

    def size(self, instrument: str, value: float) -> Decimal:
        return self._terms[self._of(instrument)].size(value)

    def _of(self, instrument: str) -> int:
        number = self._number.get(instrument)
        if number is None:
            raise UsageError(
                "order_invalid",
                f"the strategy does not run on {instrument[:80]!r}",
                hint="it runs on " + ", ".join(self._number),
            )
        return number


@overload
def _mantissa(value: Decimal, scale: int, what: str, order: Order) -> int: ...
@overload
def _mantissa(value: Decimal | None, scale: int, what: str, order: Order) -> int | None: ...
def _mantissa(value: Decimal | None, scale: int, what: str, order: Order) -> int | None:
    if value is None:
        return None
    found = value.scaleb(scale)
    if found != found.to_integral_value() or abs(found) >= 2**63:
        raise UsageError(
            "order_invalid",
            f"{what} {value} of {order.instrument} has more than {scale} decimal places"[:300],
            hint="round it to the instrument's steps",
        )
    return int(found)


def _named(names: list[str], number: npt.NDArray[Any]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(number, pa.int32()), pa.array(names)).cast(pa.string())


def _sides(side: Any) -> pa.Array:
    return pa.array(np.where(np.asarray(side) > 0, "buy", "sell"), pa.string())


def _decimals(mantissas: npt.NDArray[Any], number: npt.NDArray[Any], scales: list[int]) -> pa.Array:
    """Mantissas as decimals, exact: each at the scale of its instrument."""
    values = [Decimal(m).scaleb(-scales[n]) for m, n in zip(mantissas.tolist(), number.tolist(), strict=True)]
    return pa.array(values, FILLS.field("price").type)


def _optional(prices: Any, number: npt.NDArray[Any], scales: list[int]) -> pa.Array:
    found = [
        Decimal(price).scaleb(-scales[each]) if price else None
        for price, each in zip(prices.tolist(), number.tolist(), strict=True)
    ]
    return pa.array(found, FILLS.field("price").type)
