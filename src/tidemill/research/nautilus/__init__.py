"""The same strategies through NautilusTrader: an engine of other people's make, to hold ours against.

NautilusTrader keeps the orders, matches them against the market and says what was filled when; what a fill
costs and whether an order may go out follows docs/engine.md, as in our own engine. docs/nautilus.md has how.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.errors import ConfigError, UsageError
from tidemill.research.backtest import Stage
from tidemill.research.history import History
from tidemill.research.nautilus.account import Account, Wishes
from tidemill.research.nautilus.ledger import DIGITS, Ledger
from tidemill.research.nautilus.row import Rows
from tidemill.research.run import Outcome, Settings
from tidemill.strategies.api import Strategy

_MOST = 10**13
"""NautilusTrader's numbers end here."""


def run(strategy: Strategy, history: History, settings: Settings) -> Outcome:
    """What comes of it, as `research.backtest.run` gives it.

    Raises `ConfigError` `extra_missing` without NautilusTrader, and `UsageError`: `history_invalid` for bars
    that it cannot play, `strategy_invalid` as our engine does; what a strategy's own code raises passes."""
    try:
        from tidemill.research.nautilus import pilot, venue
    except ModuleNotFoundError as error:
        raise ConfigError(
            "extra_missing",
            f"a run through NautilusTrader needs the package {error.name}",
            hint="pip install 'tidemill[nautilus]'",
        ) from error
    _together(history)
    stage, rows = Stage(history, settings), Rows(history)
    terms = [track.terms for track in history.tracks.values()]
    ledger = Ledger(settings.cash, terms, settings.costs)
    _checked(rows, ledger, venue.PRECISION)
    desk: Account | Wishes
    if strategy.by_signal():
        targets = stage.targets(strategy)
        most = float(settings.costs.leverage)
        if (np.abs(targets[~np.isnan(targets)]) > most).any():
            raise UsageError(
                "strategy_invalid",
                f"wants more than leverage × equity: {np.nanmax(np.abs(targets))} where leverage is {most}",
                hint="see docs/engine.md",
            )
        rows.cut(_changes(rows, targets))
        desk = Wishes(rows, ledger, targets)
    elif type(strategy).on_bar is not Strategy.on_bar:
        desk = Account(stage, rows, ledger, strategy)
    else:
        raise UsageError(
            "strategy_invalid",
            f"{type(strategy).__name__} has neither signal() nor on_bar()",
            hint="docs/strategies.md shows both ways to write one",
        )
    equity = np.zeros(len(rows))

    def decide(at: int, done: list[Any]) -> None:
        equity[at] = float(ledger.equity()) / float(10**DIGITS)
        desk.decide(at, done)

    scales = [venue.Scale(number, one) for number, one in enumerate(terms)]
    inside = [False] * len(terms)
    fills = venue.Fills(ledger, scales, inside, touch=settings.limit_fill == "touch")
    engine = venue.opened(ledger, scales, fills)
    try:
        flown = pilot.Pilot(rows, ledger, scales, fills, inside, decide)
        if isinstance(desk, Account):
            desk.withdraw = flown.withdraw
        engine.add_strategy(flown)
        engine.add_data_iterator("history", flown.feed())
        # By name, since it would take the beginning of a stream for 1970.
        engine.run(start=min(rows.start), end=rows.end[-1])
        if flown.failed is not None:
            raise flown.failed
        if isinstance(desk, Account):
            strategy.stop()
    finally:
        strategy._broker = None
        engine.dispose()
    return stage.outcome(Played(ledger, equity))


def _together(history: History) -> None:
    """Raises `UsageError` where a bar of one instrument ends while one of another is under way: an order for
    the other would be met by quotes of a bar that had begun before it, and its position be valued by them."""
    tracks = [track for track in history.tracks.values() if len(track)]
    for one in tracks:
        for other in tracks:
            at = np.minimum(np.searchsorted(other.end, one.end), len(other) - 1)
            inside = (other.start[at] < one.end) & (one.end < other.end[at])
            if inside.any():
                raise UsageError(
                    "history_invalid",
                    f"a bar of {one.terms.name} ends while one of {other.terms.name} is under way: "
                    "several instruments through NautilusTrader need bars that begin and end together",
                    hint="take our own engine (--engine fast), which holds an order back until the next open",
                )


def _checked(rows: Rows, ledger: Ledger, digits: int) -> None:
    for terms in ledger.terms:
        if max(terms.price_scale, terms.size_scale) > digits:
            raise UsageError(
                "history_invalid",
                f"NautilusTrader has no more than {digits} decimal places, {terms.name} has",
            )
    if ledger.cash > _MOST * 10**DIGITS or any(
        high > _MOST * 10 ** ledger.terms[number].price_scale
        for high, number in zip(rows.high, rows.number, strict=True)
    ):
        raise UsageError("history_invalid", f"NautilusTrader has no price or amount above {_MOST:,}")


def _changes(rows: Rows, targets: Any) -> list[int]:
    """Rows at which another share is wanted than before."""
    numbers, found = np.array(rows.number), []
    for number in np.unique(numbers):
        told = np.flatnonzero((numbers == number) & ~np.isnan(targets))
        found += told[np.append(True, np.diff(targets[told]) != 0)[: len(told)]].tolist()
    return found


class Played:
    """The result in the columns of `_native.Engine`."""

    def __init__(self, ledger: Ledger, equity: Any) -> None:
        self._ledger, self._equity = ledger, equity

    def fills(self) -> dict[str, Any]:
        return self._ledger.fill_columns()

    def orders(self) -> dict[str, Any]:
        return self._ledger.order_columns()

    def equity_curve(self) -> Any:
        return self._equity

    def position(self, instrument: int) -> int:
        return self._ledger.positions[instrument]

    def cash(self) -> str:
        whole, part = divmod(abs(self._ledger.cash), 10**DIGITS)
        text = f"{whole}.{part:018d}".rstrip("0").rstrip(".")
        return f"-{text}" if self._ledger.cash < 0 else text
