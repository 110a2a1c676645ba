"""The crossing of two moving averages: the oldest rule there is, and a measure for all others."""

from tidemill.strategy import Bars, Param, Signal, Strategy, when


class SmaCross(Strategy):
    """Long while the fast average of closes is above the slow one, out of the market otherwise."""

    title = "Crossing averages"
    author = "Tidemill"

    fast = Param(20, low=2, high=500, help="bars in the fast average")
    slow = Param(50, low=3, high=2000, help="bars in the slow average")

    def signal(self, bars: Bars) -> Signal:
        return when(bars.sma(self.fast) > bars.sma(self.slow), 1.0, 0.0)


plugin: type[Strategy] = SmaCross
