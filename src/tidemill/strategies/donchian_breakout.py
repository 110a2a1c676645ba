"""The breakout of the Turtles, with a stop that trails."""

from tidemill.strategy import Bar, Fill, Market, Param, Strategy


class DonchianBreakout(Strategy):
    """Buys when a close is above the highest price of the bars before, and follows with a stop order a few
    average true ranges below the close, which only rises.

    After Richard Donchian's channel (1960) and the rules of the Turtles (1983): a trade that is stopped out
    where it began costs `risk` of the equity, gaps and fees aside."""

    title = "Donchian breakout"
    author = "Tidemill"

    period = Param(20, low=2, high=500, help="bars in the channel")
    atr = Param(20, low=2, high=200, help="bars in the average true range")
    distance = Param(2.0, low=0.5, high=10.0, step=0.5, help="average true ranges from close to stop")
    risk = Param(0.01, low=0.001, high=0.1, step=0.001, help="share of equity that a trade may lose")

    def start(self, market: Market) -> None:
        self.part = 1 / len(market)
        self.high = {
            name: self.watch(bars.donchian(self.period).upper.shift(1)) for name, bars in market.items()
        }
        self.range = {name: self.watch(bars.atr(self.atr)) for name, bars in market.items()}
        self.stops: dict[str, tuple[int, float]] = {}

    def on_bar(self, bar: Bar) -> None:
        name, away = bar.instrument, self.distance * self.range[bar.instrument].value
        if self.position(name) > 0:
            self._follow(name, bar.close - away)
        elif bar.close > self.high[name].value and away > 0:
            share = min(self.part, self.risk * bar.close / away)
            size = self.size(name, share * float(self.equity) / bar.close)
            if size > 0:
                self.buy(name, size)

    def on_fill(self, fill: Fill) -> None:
        name = fill.instrument
        if self.position(name) > 0:
            self._follow(name, float(fill.price) - self.distance * self.range[name].value)
        elif name in self.stops:
            self.cancel(self.stops.pop(name)[0])

    def _follow(self, name: str, price: float) -> None:
        if name in self.stops:
            order, before = self.stops[name]
            if price <= before:
                return
            self.cancel(order)
        stop = self.price(name, price)
        self.stops[name] = self.sell(name, self.position(name), stop=stop, reduce_only=True), price


plugin: type[Strategy] = DonchianBreakout
