"""What a new strategy begins with: one that runs as it is."""

from __future__ import annotations

SIGNAL = '''"""{title}: what it does, and why that should pay."""

from tidemill.strategy import Bars, Param, Signal, Strategy, when


class {name}(Strategy):
    """Long while closes are above their average, out of the market otherwise."""

    title = "{title}"

    period = Param(50, low=2, high=500, help="bars in the average")

    def signal(self, bars: Bars) -> Signal:
        # The wanted share of equity at each bar. A formula: it cannot look ahead.
        return when(bars.close > bars.sma(self.period), 1.0, 0.0)


plugin: type[Strategy] = {name}
'''

EVENT = '''"""{title}: what it does, and why that should pay."""

from tidemill.strategy import Bar, Market, Param, Strategy


class {name}(Strategy):
    """Buys above the average of closes, and protects that with a stop order below it."""

    title = "{title}"

    period = Param(50, low=2, high=500, help="bars in the average")
    below = Param(0.05, low=0.005, high=0.5, step=0.005, help="from the close to the stop, as a share of it")

    def start(self, market: Market) -> None:
        self.part = 1 / len(market)
        self.average = {{name: self.watch(bars.sma(self.period)) for name, bars in market.items()}}

    def on_bar(self, bar: Bar) -> None:
        # Orders that are sent here are filled at the next bar at best.
        name, held = bar.instrument, self.position(bar.instrument)
        if held == 0 and bar.close > self.average[name].value:
            size = self.size(name, self.part * float(self.equity) / bar.close)
            if size > 0:
                self.buy(name, size)
        elif held > 0 and not any(order.instrument == name for order in self.broker.orders().values()):
            self.sell(name, held, stop=self.price(name, bar.close * (1 - self.below)), reduce_only=True)


plugin: type[Strategy] = {name}
'''


def text(name: str, *, event: bool) -> str:
    """The text of a new file: `name` in snake_case."""
    words = name.split("_")
    class_name = "".join(word.capitalize() for word in words if word)
    return (EVENT if event else SIGNAL).format(name=class_name, title=" ".join(words).strip().capitalize())
