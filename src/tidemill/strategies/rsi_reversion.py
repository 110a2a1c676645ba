"""Buying weakness: Wilder's relative strength index as most people use it."""

from tidemill.strategy import Bars, Param, Signal, Strategy, switch


class RsiReversion(Strategy):
    """Long from where the relative strength index is below `enter` until it is above `leave`.

    The index is J. Welles Wilder's (New Concepts in Technical Trading Systems, 1978). It has no stop: in a
    market that keeps falling it stays long."""

    title = "RSI reversion"
    author = "Tidemill"

    period = Param(14, low=2, high=200, help="bars in the index")
    enter = Param(30.0, low=1.0, high=60.0, step=1.0, help="buys below this")
    leave = Param(55.0, low=20.0, high=99.0, step=1.0, help="sells above this")

    def signal(self, bars: Bars) -> Signal:
        rsi = bars.rsi(self.period)
        return switch(rsi < self.enter, rsi > self.leave)


plugin: type[Strategy] = RsiReversion
