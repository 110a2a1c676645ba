"""Two of a kind: long what has fallen behind, short what has run ahead."""

from collections.abc import Mapping

from tidemill.errors import UsageError
from tidemill.strategy import Market, Param, Signal, Strategy, switch


class PairsSpread(Strategy):
    """Bets on the return of the ratio of two prices to its mean: half the equity long in the one, half short
    in the other, from where the logarithm of the ratio is `enter` deviations away until it is within `leave`.

    After E. Gatev, W. Goetzmann and K. Rouwenhorst, Pairs Trading (Review of Financial Studies 19:3, 2006),
    with a mean that moves. Whether two prices belong together it does not ask."""

    title = "Pairs"
    author = "Tidemill"

    period = Param(100, low=10, high=5000, help="bars in mean and deviation")
    enter = Param(2.0, low=0.5, high=6.0, step=0.25, help="deviations from the mean")
    leave = Param(0.5, low=0.0, high=3.0, step=0.25, help="deviations from the mean")

    def signals(self, market: Market) -> Mapping[str, Signal]:
        if len(market) != 2:
            raise UsageError(
                "market_unfit",
                f"a pair has two instruments, not {len(market)}",
                hint="name two that belong together",
            )
        (first, one), (second, other) = market.items()
        ratio = one.close.log() - other.close.log()
        away = (ratio - ratio.sma(self.period)) / ratio.standard_deviation(self.period)
        cheap = switch(away < -self.enter, away > -self.leave)
        dear = switch(away > self.enter, away < self.leave)
        side = 0.5 * (cheap - dear)
        return {first: side, second: -side}


plugin: type[Strategy] = PairsSpread
