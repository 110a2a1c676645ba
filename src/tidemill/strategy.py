"""What a strategy is written with: `from tidemill.strategy import Strategy, Param, when`.

How: `tidemill.strategies.api`, and `docs/strategies.md`.
"""

from tidemill.model.order import Fill, Order
from tidemill.strategies.api import Bar, Market, Strategy, Watch
from tidemill.strategies.param import Param
from tidemill.strategies.signal import Bars, Lines, Signal, least, most, switch, when

__all__ = [
    "Bar", "Bars", "Fill", "Lines", "Market", "Order", "Param", "Signal", "Strategy", "Watch",
    "least", "most", "switch", "when",
]  # fmt: skip
