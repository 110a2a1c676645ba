"""Rows in, orders out: a strategy of ours as NautilusTrader sees it. Imports NautilusTrader.

Each bar reaches NautilusTrader as a quote at its open, quotes along its path, and the bar itself at its end.
The path goes from the open to the nearer of high and low, to the other and to the close, and stops at every
price that an order waits for, as a market would. Quotes are left out where no order could meet them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nautilus_trader.core.data import Data
from nautilus_trader.model.data import Bar, BarSpecification, BarType, CustomData, DataType, QuoteTick
from nautilus_trader.model.enums import (
    AggregationSource,
    BarAggregation,
    LiquiditySide,
    OrderSide,
    PriceType,
    TimeInForce,
)
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.objects import QUANTITY_MAX, Quantity
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from tidemill.errors import InternalError
from tidemill.research.nautilus.ledger import FEE_DIGITS, Done, Entry, Ledger
from tidemill.research.nautilus.row import Rows
from tidemill.research.nautilus.venue import PRECISION, VENUE, Fills, Scale

_FEE_UNIT = 10 ** (PRECISION - FEE_DIGITS)
_TIMES = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC}


class Pause(Data):  # type: ignore[misc]
    """Ends a part of the stream: NautilusTrader asks for the next part when it takes this one up, which is
    when everything before it has happened."""

    def __init__(self, ts: int) -> None:
        self._ts = ts

    @property
    def ts_event(self) -> int:
        return self._ts

    @property
    def ts_init(self) -> int:
        return self._ts


_PAUSE = DataType(Pause)


class Pilot(Strategy):  # type: ignore[misc]
    """Carries out what a ledger's orders ask for, and tells it what became of them."""

    def __init__(
        self,
        rows: Rows,
        ledger: Ledger,
        scales: Sequence[Scale],
        fills: Fills,
        inside: list[bool],
        decide: Callable[[int, list[Done]], None],
    ) -> None:
        super().__init__(StrategyConfig(strategy_id="PILOT", order_id_tag="0", oms_type="NETTING"))
        self._rows, self._ledger, self._scales, self._fills = rows, ledger, scales, fills
        self._decide = decide
        """Is told the number of a step's last row when the step is over, and its fills."""
        count = len(scales)
        # Only a label: nothing in NautilusTrader builds or runs on these bars.
        spec = BarSpecification(1, BarAggregation.DAY, PriceType.LAST)
        self._types = [BarType(scale.id, spec, AggregationSource.EXTERNAL) for scale in scales]
        self._number = {scale.id: number for number, scale in enumerate(scales)}
        self._inside = inside
        """Whether the open of each instrument's row is behind it."""
        self._quoted = [False] * count
        self._end = [0] * count
        """Of each instrument the end of the row that has begun last."""
        self._sent: dict[int, Any] = {}
        self._waiting: list[dict[int, Entry]] = [{} for _ in scales]
        """Orders that may only reduce a position, while there is none."""
        self._fresh: list[list[tuple[int, Done]]] = [[] for _ in scales]
        """Fills with the price that they waited for."""
        self._in_row: list[list[tuple[int, int, Done]]] = [[] for _ in scales]
        """Those of a row, with the way that the price was on."""
        self._in_step: list[Done] = []
        self._last = [0] * count
        """Where the market of each instrument is, how it came there, and on which way of its row."""
        self._rises: list[bool | None] = [None] * count
        self._leg = [0] * count
        self._strict = not fills.touch
        self._touched: list[list[Entry]] = [[] for _ in scales]
        """New limits that the open only touched, where they have to be passed."""
        self._at = 0
        self.failed: BaseException | None = None

    # What NautilusTrader is fed.

    def feed(self) -> Iterator[list[Any]]:
        """All data in parts, each up to a step after which the strategy may act."""
        rows, ledger, opens, at = self._rows, self._ledger, 0, 0
        for past in rows.parts:
            part: list[Any] = []
            met: set[int] = set()
            while at < past:
                end = rows.end[at]
                while opens < len(rows.openings) and rows.start[row := rows.openings[opens]] < end:
                    opens += 1
                    each = rows.number[row]
                    self._end[each] = rows.end[row]
                    # Within a part nothing new is sent, and what a part of many steps begins with are market
                    # orders, which the first open fills.
                    self._quoted[each] = bool(ledger.live[each]) and (not rows.long or each not in met)
                    met.add(each)
                    if self._quoted[each]:
                        part.append(self._quote(each, rows.open[row], rows.start[row]))
                each = rows.number[at]
                if self._quoted[each] and not rows.long:
                    for price in self._path(each, at):
                        part.append(self._quote(each, price, end))
                part.append(self._bar(each, at))
                at += 1
            part.append(CustomData(_PAUSE, Pause(rows.end[past - 1])))
            yield part
            if self.failed is not None:
                return

    def _path(self, each: int, at: int) -> list[int]:
        """The prices after the open at which something could happen."""
        rows = self._rows
        levels = [
            level
            for entry in self._ledger.live[each].values()
            for level in (entry.limit, entry.stop)
            if level and rows.low[at] <= level <= rows.high[at]
        ]
        if not levels:
            return []
        found: list[int] = []
        path = rows.path(at)
        for begin, to in itertools.pairwise(path):
            step = 1 if to > begin else -1
            # One beyond as well: a limit that is done only where its price is passed.
            between = {price for level in levels for price in (level, level + step)} | {to}
            low, high = min(begin, to), max(begin, to)
            found += sorted(
                (price for price in between if low <= price <= high and price != begin), reverse=step < 0
            )
        return found

    def _quote(self, each: int, mantissa: int, ts: int) -> Any:
        scale = self._scales[each]
        price, size = scale.price(mantissa), scale.size(1)
        return QuoteTick(scale.id, price, price, size, size, ts, ts)

    def _bar(self, each: int, at: int) -> Any:
        rows, price, ts = self._rows, self._scales[each].price, self._rows.end[at]
        volume = Quantity(min(max(rows.volume[at], 0.0), QUANTITY_MAX), self._ledger.terms[each].size_scale)
        return Bar(
            self._types[each], price(rows.open[at]), price(rows.high[at]), price(rows.low[at]),
            price(rows.close[at]), volume, ts, ts,
        )  # fmt: skip

    # What NautilusTrader tells.

    def on_start(self) -> None:
        # Not by subscribe_bars(): that asks a catalog for more, and the stream is all there is.
        for scale, kind in zip(self._scales, self._types, strict=True):
            self.msgbus.subscribe(topic=f"data.bars.{kind}", handler=self.handle_bar)
            self.msgbus.subscribe(
                topic=f"data.quotes.{VENUE}.{scale.id.symbol}", handler=self.handle_quote_tick
            )

    def on_quote_tick(self, tick: Any) -> None:
        """The market is at a price; orders that rested there are filled already."""
        each = self._number[tick.instrument_id]
        price, before = self._scales[each].price_of(tick.bid_price), self._last[each]
        self._expire(each)
        self._last[each] = price
        if self._inside[each]:
            rises = price > before
            self._leg[each] += self._rises[each] is not rises
            self._rises[each] = rises
            for entry in self._touched[each]:
                if entry.open and entry.limit != price:
                    self._submit(entry)
            self._touched[each] = [one for one in self._touched[each] if one.open and one.limit == price]
            self._gather(each)
            return
        self._leg[each], self._rises[each], self._touched[each] = 0, None, []
        live = self._ledger.live[each]
        for number, entry in list(live.items()):
            # One that was sent may have closed others.
            if not entry.open or number in self._sent or number in self._waiting[each]:
                continue
            if entry.after >= self._end[each]:
                continue  # this row had begun before it was decided
            if self._strict and entry.kind == "limit" and entry.limit == price and not entry.takes:
                # It rested before this price, which touches it and no more.
                self._touched[each].append(entry)
                continue
            self._submit(entry)
            self._expire(each, number + 1)
        self._gather(each)
        self._inside[each] = True
        for entry in live.values():
            entry.takes &= entry.after >= self._end[each]

    def on_bar(self, bar: Any) -> None:
        """A row is over."""
        at = self._at
        each = self._rows.number[at]
        self._at += 1
        self._gather(each)
        self._expire(each)
        self._inside[each] = False
        if self._in_row[each]:
            end = self._rows.end[at]
            for _, _, fill in self._in_row[each]:
                self._ledger.fills.append((end, fill))
                self._in_step.append(fill)
            self._in_row[each] = []
        self._ledger.closes[each] = self._rows.close[at]
        if self._rows.last[at] and self.failed is None:
            done, self._in_step = self._in_step, []
            try:
                self._decide(at, done)
            except BaseException as error:
                self.failed = error
                raise

    def on_order_filled(self, event: Any) -> None:
        entry = self._ledger.orders[int(event.client_order_id.value)]
        each, scale = entry.instrument, self._scales[entry.instrument]
        if not entry.open:
            self.failed = InternalError("internal", f"order {entry.number} was filled after its end")
            return
        before = self._ledger.positions[each]
        fill = self._ledger.fill(
            entry,
            scale.price_of(event.last_px),
            scale.size_of(event.last_qty),
            int(event.commission.raw // _FEE_UNIT),
            maker=self._ledger.maker(entry, rests=event.liquidity_side == LiquiditySide.MAKER),
        )
        self._sent.pop(entry.number, None)
        passed = fill.maker and self._inside[each]
        self._fresh[each].append((entry.limit if passed else self._fills.base[each], fill))
        self._expire(each, entry.number)  # those that came by their price before this one did
        after = self._ledger.positions[each]
        if before * entry.side < 0 and before * after <= 0:
            # The position is closed: what else was there to reduce it has nothing left to do.
            for other in [one for one in self._ledger.live[each].values() if one.reduce_only]:
                if other.side == entry.side:
                    self.withdraw(other, "reduce_only")
        for other in list(self._waiting[each].values()):
            if self._ledger.reducible(other):
                del self._waiting[each][other.number]
                self._submit(other)

    def on_order_canceled(self, event: Any) -> None:
        entry = self._ledger.orders[int(event.client_order_id.value)]
        if entry.open:
            self._ledger.end(entry, "cancelled", "ioc" if entry.time_in_force == "ioc" else "reduce_only")
        self._sent.pop(entry.number, None)

    def on_order_rejected(self, event: Any) -> None:
        self.failed = InternalError("internal", f"NautilusTrader rejected an order: {event.reason}")

    def on_order_denied(self, event: Any) -> None:
        self.on_order_rejected(event)

    # Orders.

    def withdraw(self, entry: Entry, reason: str) -> None:
        """Takes an open order back."""
        self._ledger.end(entry, "cancelled", reason)
        self._waiting[entry.instrument].pop(entry.number, None)
        order = self._sent.pop(entry.number, None)
        if order is not None:
            self.cancel_order(order)

    def _submit(self, entry: Entry) -> None:
        if entry.reduce_only and not self._ledger.reducible(entry):
            # NautilusTrader would reject it; it waits for a position, or for its price.
            self._waiting[entry.instrument][entry.number] = entry
            return
        scale, make = self._scales[entry.instrument], self.order_factory
        given: dict[str, Any] = {
            "instrument_id": scale.id,
            "order_side": OrderSide.BUY if entry.side > 0 else OrderSide.SELL,
            "quantity": scale.size(entry.size),
            "time_in_force": _TIMES[entry.time_in_force],
            "reduce_only": entry.reduce_only,
            "client_order_id": ClientOrderId(str(entry.number)),
        }
        kind = "limit" if entry.triggered else entry.kind
        if kind in ("limit", "stop_limit"):
            given["price"] = scale.price(entry.limit)
        if kind in ("stop", "stop_limit"):
            given["trigger_price"] = scale.price(entry.stop)
        makers = {"market": make.market, "limit": make.limit, "stop": make.stop_market}
        order = self._sent[entry.number] = makers.get(kind, make.stop_limit)(**given)
        self.submit_order(order)

    def _expire(self, each: int, before: int | None = None) -> None:
        """Ends orders that wait for a position, were sent before that order, and whose price came first."""
        for number, entry in list(self._waiting[each].items()):
            if before is not None and number >= before:
                continue
            if entry.meets(self._last[each], strict=self._strict and not entry.takes):
                self.withdraw(entry, "reduce_only")
            elif entry.time_in_force == "ioc":
                self.withdraw(entry, "ioc")

    def _gather(self, each: int) -> None:
        """Fills at one price, on one way of the price, count in the order in which they were sent."""
        row, leg = self._in_row[each], self._leg[each]
        for level, fill in sorted(
            self._fresh[each], key=lambda one: (one[0] == self._last[each], one[1].order)
        ):
            at = len(row)
            while at and row[at - 1][:2] == (leg, level) and row[at - 1][2].order > fill.order:
                at -= 1
            row.insert(at, (leg, level, fill))
        self._fresh[each] = []
