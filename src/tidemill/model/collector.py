"""A venue that is or was wanted: its name, the protocol it speaks, and where when not the real one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidemill.model.instrument import pair, symbol

SIM_PREFIX = "sim-"
# How a venue instance may be named: it names folders, sockets and processes.
VENUE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
# The protocols there are, and what a real venue collects until told otherwise.
DEFAULT_INSTRUMENTS = {
    "kraken": ("BTC-USD", "ETH-USD"),
    "coinbase": ("BTC-USD", "ETH-USD"),
    "coinbase-advanced": ("BTC-USD", "ETH-USD"),
    "binance": ("BTC-USDT", "ETH-USDT"),
    "iqfeed": ("AAPL", "SPY"),
}
PROTOCOLS = tuple(DEFAULT_INSTRUMENTS)
# Sellers of market data and the provider of each, whom `fetch` asks for history. Their instruments are
# symbols as they spell them, and the simulator plays them as providers.
SELLERS = {"iqfeed": "iqfeed"}
# Where instruments are traded: anybody may see their data, and the simulator invents a past of them.
EXCHANGES = tuple(protocol for protocol in PROTOCOLS if protocol not in SELLERS)


def plain(text: str, protocol: str, venue: str) -> str:
    """An instrument as people name it, without its venue: `BTC-USD`, `AAPL`. Raises `UsageError`."""
    return symbol(text, venue) if protocol in SELLERS else pair(text, venue)


@dataclass(frozen=True)
class Collector:
    """A collector as it is wanted. Empty `instruments` means the venue's default set."""

    name: str
    protocol: str
    instruments: tuple[str, ...] = ()
    url: str | None = None
    rest_url: str | None = None
    wanted: bool = True
    owner: str = "owner"
    changed: int = 0  # ns UTC of the last change

    @property
    def simulated(self) -> bool:
        """Whether the platform's own simulator plays this venue."""
        return self.name.startswith(SIM_PREFIX) and not self.url

    @property
    def possible(self) -> bool:
        """False for a simulated venue that the simulator does not play: it plays `sim-<protocol>` alone."""
        return not self.simulated or self.name == SIM_PREFIX + self.protocol
