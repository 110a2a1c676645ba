"""Following a trend both ways, by Appel's MACD."""

from tidemill.strategy import Bars, Param, Signal, Strategy, when


class MacdTrend(Strategy):
    """Long while the MACD is above its signal line, short while it is below.

    Gerald Appel's (1979). Always in the market, so a market that goes nowhere costs it a fee at each turn."""

    title = "MACD trend"
    author = "Tidemill"

    fast = Param(12, low=2, high=100, help="bars in the fast average")
    slow = Param(26, low=3, high=300, help="bars in the slow average")
    smooth = Param(9, low=2, high=100, help="bars in the signal line")
    short = Param(True, help="goes short, too; otherwise it is out of the market")

    def signal(self, bars: Bars) -> Signal:
        histogram = bars.macd(fast=self.fast, slow=self.slow, signal=self.smooth).histogram
        return when(histogram > 0, 1.0, -1.0 if self.short else 0.0)


plugin: type[Strategy] = MacdTrend
