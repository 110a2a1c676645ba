"""How far a strategy looks back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidemill.strategies.api import Strategy
from tidemill.strategies.signal import Bars, warm_up


def of(strategy: type[Strategy], names: Sequence[str], corners: Iterable[Mapping[str, Any]]) -> int:
    """Steps at most at any of these parameters, on the instruments `names`; those of event code are not
    known, nor those that never forget, and count as none."""
    if not strategy.by_signal():
        return 0
    market = {name: Bars(name) for name in names}
    longest = 0
    for params in corners:
        longest = max(longest, warm_up(strategy(**params).signals(market).values()) or 0)
    return longest
