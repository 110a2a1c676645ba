"""Bars and ticks of one instrument, and what is known of how whole they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill import wire
from tidemill.model.bar import Bars, volume_floats
from tidemill.model.gap import Gap
from tidemill.stores.api import Position


@dataclass(frozen=True)
class BarSeries:
    """Bars of one instrument, ascending, and what they are worth."""

    instrument: str
    interval: str
    bars: Bars
    """Closed bars, dtype BAR, shape (n,)."""
    current: Bars
    """The bar that is still open, shape (0,) or (1,)."""
    through: Position | None
    """The last record that was taken in; None where there is no journal."""
    gaps: list[Gap]
    """Gaps that the bars touch."""
    more: bool
    """There are bars beyond the limit."""
    dropped: bool = False
    """Bars of the span closed while no recorder ran, too many to be kept until one does."""
    settling: int = 0
    """So many of the last of `bars` are within their grace: their interval is over, a later one has begun,
    and a trade that is late may still change them."""

    @property
    def complete(self) -> bool:
        """Nothing is known to be missing."""
        return not self.gaps and not self.dropped

    @property
    def settled(self) -> Bars:
        """Those of `bars` that nothing but a revision changes any more."""
        return self.bars[: len(self.bars) - self.settling]

    def floats(self, *, current: bool = False) -> dict[str, npt.NDArray[Any]]:
        """Columns for research and charts: ts (start, ns), open, high, low, close, volume (float64),
        trades, revision; each of shape (n,). With `current` the open bar comes last."""
        bars = np.concatenate([self.bars, self.current]) if current else self.bars
        columns: dict[str, npt.NDArray[Any]] = {"ts": bars["start"]}
        for name in ("open", "high", "low", "close"):
            columns[name] = wire.floats(bars[name], bars["price_scale"])
        columns["volume"] = volume_floats(bars)
        columns["trades"] = bars["trades"].astype(np.int64)
        columns["revision"] = bars["revision"].astype(np.int64)
        return columns


@dataclass(frozen=True)
class Ticks:
    """Trades or quotes of one instrument, ascending by (ts_event, epoch, sequence)."""

    instrument: str
    rows: pa.Table
    """As in the table's schema (`table.TRADES`, `table.QUOTES`)."""
    through: Position | None
    gaps: list[Gap]
    more: bool

    @property
    def complete(self) -> bool:
        return not self.gaps
