"""Holding what has risen most."""

from collections.abc import Mapping

from tidemill.strategy import Market, Param, Signal, Strategy, when


class MomentumRotation(Strategy):
    """Equal shares in the `best` instruments by their return over `period` bars, of those that have risen;
    the rest stays in cash.

    After N. Jegadeesh and S. Titman, Returns to Buying Winners and Selling Losers (Journal of Finance 48:1,
    1993). Which instruments it is given is a choice of today: take those that one would have chosen then."""

    title = "Momentum rotation"
    author = "Tidemill"

    period = Param(90, low=2, high=5000, help="bars over which returns are compared")
    best = Param(1, low=1, high=50, help="instruments held at a time")
    share = Param(0.95, low=0.05, high=1.0, step=0.05, help="of equity, over all that are held")

    def signals(self, market: Market) -> Mapping[str, Signal]:
        risen = {name: bars.close / bars.close.shift(self.period) - 1 for name, bars in market.items()}
        return {
            name: self._wanted(mine, [risen[one] for one in risen if one != name])
            for name, mine in risen.items()
        }

    def _wanted(self, mine: Signal, others: list[Signal]) -> Signal:
        ahead = 0 * mine
        for other in others:
            better = other > mine
            ahead = ahead + when(better.known() > 0, better, 0.0)
        return when((mine > 0) & (ahead < self.best), self.share / self.best, 0.0)


plugin: type[Strategy] = MomentumRotation
