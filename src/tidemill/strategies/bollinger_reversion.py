"""Waiting at the edge: limit orders at Bollinger's bands."""

from tidemill.strategy import Bar, Market, Param, Strategy


class BollingerReversion(Strategy):
    """Waits with a limit order at the lower band, and sells with another one at the middle. Both move with
    their bands at each close.

    The bands are John Bollinger's (1983). Orders that rest are done at their price or not at all: where a run
    counts them as done as soon as they are touched, a live market may not have. It has no stop."""

    title = "Bollinger reversion"
    author = "Tidemill"

    period = Param(20, low=2, high=500, help="bars in the bands")
    deviations = Param(2.0, low=0.5, high=5.0, step=0.25, help="from the middle to a band")
    share = Param(0.9, low=0.05, high=1.0, step=0.05, help="of equity, over all instruments")

    def start(self, market: Market) -> None:
        self.part = self.share / len(market)
        self.middle, self.lower = {}, {}
        for name, bars in market.items():
            bands = bars.bollinger(period=self.period, deviations=self.deviations)
            self.middle[name], self.lower[name] = self.watch(bands.middle), self.watch(bands.lower)
        self.waiting: dict[str, int] = {}

    def on_bar(self, bar: Bar) -> None:
        name = bar.instrument
        middle, lower = self.middle[name].value, self.lower[name].value
        if name in self.waiting:
            self.cancel(self.waiting.pop(name))
        held = self.position(name)
        if held > 0:
            self.waiting[name] = self.sell(name, held, limit=self.price(name, middle), reduce_only=True)
        elif 0 < lower < middle:
            size = self.size(name, self.part * float(self.equity) / bar.close)
            if size > 0:
                self.waiting[name] = self.buy(name, size, limit=self.price(name, lower))


plugin: type[Strategy] = BollingerReversion
