"""A venue of NautilusTrader that charges our costs. Imports NautilusTrader."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import FeeModel, FillModel
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder
from nautilus_trader.model.enums import (
    AccountType,
    BookType,
    CurrencyType,
    LiquiditySide,
    OmsType,
    OrderSide,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import FIXED_PRECISION, Currency, Money, Price, Quantity

from tidemill.research.history import Terms
from tidemill.research.nautilus.ledger import DIGITS, FEE_DIGITS, Ledger

PRECISION: Final[int] = FIXED_PRECISION
"""Decimal digits of NautilusTrader's numbers."""
VENUE: Final = Venue("TIDEMILL")
# Digits enough for every fee. What the currency is called says nothing: a history knows no currencies.
QUOTE: Final = Currency("TMQ", FEE_DIGITS, 0, "quote currency", CurrencyType.CRYPTO)
BASE: Final = Currency("TMB", FEE_DIGITS, 0, "what is traded", CurrencyType.CRYPTO)
_FEE_UNIT: Final = 10 ** (PRECISION - FEE_DIGITS)


class Scale:
    """Prices and sizes of one instrument, to NautilusTrader's fixed-point numbers and back."""

    def __init__(self, number: int, terms: Terms) -> None:
        self.id = InstrumentId(Symbol(str(number)), VENUE)
        self._price, self._size = terms.price_scale, terms.size_scale
        self._price_unit = 10 ** (PRECISION - terms.price_scale)
        self._size_unit = 10 ** (PRECISION - terms.size_scale)

    def price(self, mantissa: int) -> Any:
        return Price.from_raw(mantissa * self._price_unit, self._price)

    def size(self, mantissa: int) -> Any:
        return Quantity.from_raw(mantissa * self._size_unit, self._size)

    def price_of(self, price: Any) -> int:
        return int(price.raw // self._price_unit)

    def size_of(self, size: Any) -> int:
        return int(size.raw // self._size_unit)

    def instrument(self, terms: Terms) -> Any:
        """A pair with the instrument's steps. Fees and margins are ours to reckon."""
        return CurrencyPair(
            instrument_id=self.id,
            raw_symbol=self.id.symbol,
            base_currency=BASE,
            quote_currency=QUOTE,
            price_precision=terms.price_scale,
            size_precision=terms.size_scale,
            price_increment=self.price(terms.tick),
            size_increment=self.size(terms.lot),
            ts_event=0,
            ts_init=0,
            margin_init=Decimal(0),
            margin_maint=Decimal(0),
            maker_fee=Decimal(0),
            taker_fee=Decimal(0),
        )


class Fees(FeeModel):  # type: ignore[misc]
    """The ledger's fees."""

    def __init__(self, ledger: Ledger, scales: Sequence[Scale]) -> None:
        self._ledger, self._scales = ledger, scales

    def get_commission(self, order: Any, fill_qty: Any, fill_px: Any, instrument: Any) -> Any:
        entry = self._ledger.orders[int(order.client_order_id.value)]
        scale = self._scales[entry.instrument]
        maker = self._ledger.maker(entry, rests=order.liquidity_side == LiquiditySide.MAKER)
        price, size = scale.price_of(fill_px), scale.size_of(fill_qty)
        fee = self._ledger.fee(entry.instrument, price, size, maker=maker)
        return Money.from_raw(fee * _FEE_UNIT, QUOTE)


class Fills(FillModel):  # type: ignore[misc]
    """Room for any size at the price that the ledger names: a bar does not say how deep the book was."""

    def __init__(self, ledger: Ledger, scales: Sequence[Scale], inside: list[bool], *, touch: bool) -> None:
        state = random.getstate()  # the base seeds everybody's generator
        super().__init__(prob_fill_on_limit=1.0 if touch else 0.0, random_seed=0)
        random.setstate(state)
        self._ledger, self._scales, self._inside = ledger, scales, inside
        self.touch = touch
        self.base = [0] * len(scales)
        """Where the market was when an order of each instrument was last filled."""

    def get_orderbook_for_fill_simulation(
        self, instrument: Any, order: Any, best_bid: Any, best_ask: Any
    ) -> Any:
        entry = self._ledger.orders[int(order.client_order_id.value)]
        at, buys = entry.instrument, entry.side > 0
        scale = self._scales[at]
        base = self.base[at] = scale.price_of(best_ask if buys else best_bid)
        maker = self._ledger.maker(entry, rests=order.liquidity_side == LiquiditySide.MAKER)
        price = self._ledger.price(entry, base, maker=maker, resting=self._inside[at])
        book = OrderBook(instrument_id=scale.id, book_type=BookType.L2_MBP)
        side = OrderSide.SELL if buys else OrderSide.BUY
        book.add(BookOrder(side=side, price=scale.price(price), size=order.quantity, order_id=1), 0, 0)
        return book


def opened(ledger: Ledger, scales: Sequence[Scale], fills: Fills) -> Any:
    """An engine of NautilusTrader with the venue, its account and its instruments; `dispose()` it."""
    engine = BacktestEngine(
        config=BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            # The ledger says which orders go out, and nobody counts them by the second.
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money.from_raw(ledger.cash // 10 ** (DIGITS - PRECISION), QUOTE)],
        base_currency=QUOTE,
        default_leverage=Decimal(1),
        fill_model=fills,
        fee_model=Fees(ledger, scales),
        book_type=BookType.L1_MBP,
        # An order meets the market when it is sent, before the next one is.
        use_message_queue=False,
        # A stop that the open has passed is done at once, as anywhere in a gap.
        reject_stop_orders=False,
        support_contingent_orders=False,
        # Prices come as quotes, so that the path inside a bar goes by every order's price.
        bar_execution=False,
        trade_execution=False,
    )
    for scale, terms in zip(scales, ledger.terms, strict=True):
        engine.add_instrument(scale.instrument(terms))
    return engine
