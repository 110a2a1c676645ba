"""Orders and fills, as strategies, engines and accounts have them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Side = Literal["buy", "sell"]
Kind = Literal["market", "limit", "stop", "stop_limit"]
TimeInForce = Literal["gtc", "ioc"]
State = Literal["open", "filled", "cancelled", "refused"]


@dataclass(frozen=True)
class Order:
    """What a strategy asks for."""

    instrument: str
    side: Side
    size: Decimal
    """Above zero, in the instrument's units."""
    kind: Kind = "market"
    limit: Decimal | None = None
    """The worst price of a limit or stop-limit order."""
    stop: Decimal | None = None
    """The price at which a stop or stop-limit order becomes active."""
    time_in_force: TimeInForce = "gtc"
    reduce_only: bool = False
    """It never opens a position or turns it around."""


@dataclass(frozen=True)
class Fill:
    """A part of an order that was done."""

    ts: int
    """UTC ns."""
    instrument: str
    order: int
    side: Side
    price: Decimal
    size: Decimal
    fee: Decimal
    """In the quote currency; below zero for a rebate."""
    maker: bool
    """The order rested in the book before it met the other side."""
