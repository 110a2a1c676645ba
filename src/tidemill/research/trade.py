"""Trades of fills: what was held from flat to flat, and what came of it.

A trade opens with the fill that leaves flat and closes with the one that comes back to it; what is added or
taken off meanwhile moves its mean prices (average cost). A fill that turns a position around closes one trade
and opens the next, and its fee is shared by size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.model.order import Fill
from tidemill.research.history import Track
from tidemill.research.run import TRADES
from tidemill.strategies.evaluation import Series


@dataclass
class _Open:
    """A position since it left flat."""

    side: int
    opened: int
    held: Decimal
    most: Decimal
    bought: Decimal
    """Sizes that went in, and what was paid for them."""
    paid: Decimal
    sold: Decimal = Decimal(0)
    got: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)


def of(fills: Sequence[Fill], tracks: Mapping[str, Track]) -> pa.Table:
    """All trades as in `run.TRADES`, in the order in which they were opened; one that is still open is worth
    what its instrument's last close says."""
    series = {name: track.series for name, track in tracks.items()}
    held: dict[str, _Open] = {}
    found: list[dict[str, Any]] = []
    for fill in fills:
        left, sign = fill.size, 1 if fill.side == "buy" else -1
        while left:
            mine = held.get(fill.instrument)
            size = left if mine is None or mine.side == sign else min(left, mine.held)
            fee = fill.fee * size / fill.size
            if mine is None:
                mine = held[fill.instrument] = _Open(
                    sign, fill.ts, Decimal(0), Decimal(0), Decimal(0), Decimal(0)
                )
            if mine.side == sign:
                mine.held += size
                mine.bought += size
                mine.paid += size * fill.price
                mine.most = max(mine.most, mine.held)
            else:
                mine.held -= size
                mine.sold += size
                mine.got += size * fill.price
            mine.fees += fee
            left -= size
            if not mine.held:
                del held[fill.instrument]
                found.append(_told(fill.instrument, mine, fill.ts, series[fill.instrument], None))
    for name, mine in held.items():
        last = Decimal(repr(float(series[name].columns["close"][-1])))
        found.append(_told(name, mine, None, series[name], last))
    found.sort(key=lambda line: (line["opened"], line["instrument"]))
    return pa.Table.from_pylist(found, schema=TRADES)


def _told(name: str, mine: _Open, closed: int | None, series: Series, last: Decimal | None) -> dict[str, Any]:
    entry = mine.paid / mine.bought
    worth = mine.got + (mine.held * last if last is not None else 0)
    net = mine.side * (worth - mine.paid) - mine.fees
    starts = series.start
    first = int(np.searchsorted(starts, mine.opened, side="left"))
    # A fill inside a bar has the bar's end, one at its open the bar's start.
    past = len(starts) if closed is None else int(np.searchsorted(starts, closed, side="left"))
    high = series.columns["high"][first:past]
    low = series.columns["low"][first:past]
    price = float(entry)
    if mine.side > 0:
        worst = float(low.min()) / price - 1 if len(low) else 0.0
        best = float(high.max()) / price - 1 if len(high) else 0.0
    else:
        worst = 1 - float(high.max()) / price if len(high) else 0.0
        best = 1 - float(low.min()) / price if len(low) else 0.0
    return {
        "instrument": name,
        "side": "long" if mine.side > 0 else "short",
        "opened": mine.opened,
        "closed": closed,
        "size": mine.most,
        "entry": price,
        "exit": float(mine.got / mine.sold) if closed is not None else None,
        "fees": float(mine.fees),
        "net": float(net),
        "return": float(net / mine.paid),
        "worst": min(worst, 0.0),
        "best": max(best, 0.0),
        "bars": past - first,
    }
