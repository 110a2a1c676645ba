"""A venue that is or was wanted: its name, the protocol it speaks, and where when not the real one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidemill.model.instrument import collected, symbol

SIM_PREFIX = "sim-"
# How a venue instance may be named: it names folders, sockets and processes.
VENUE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
# The protocols there are, and what a real venue collects until told otherwise.
DEFAULT_INSTRUMENTS = {
    "kraken": ("BTC-USD", "ETH-USD"),
    "coinbase": ("BTC-USD", "ETH-USD"),
    "coinbase-advanced": ("BTC-USD", "ETH-USD"),
    "binance": ("BTC-USDT", "ETH-USDT"),
    "alpaca": ("AAPL", "BTC-USD"),
    "alpaca-sip": ("AAPL", "BTC-USD"),
    "polygon": ("AAPL", "BTC-USD"),
    "iqfeed": ("AAPL", "SPY"),
}
PROTOCOLS = tuple(DEFAULT_INSTRUMENTS)
POLL = "poll"
"""Stands for the protocol of a venue that is a provider asked again and again: it has no stream. What such a
collector collects is named by the provider's own symbols."""
# Sellers of market data and the provider of each: `fetch` brings their history, and the simulator plays them
# as providers.
SELLERS = {"alpaca": "alpaca", "alpaca-sip": "alpaca", "polygon": "polygon", "iqfeed": "iqfeed"}
# Where instruments are traded: anybody may see their data, and the simulator invents a past of them.
EXCHANGES = tuple(protocol for protocol in PROTOCOLS if protocol not in SELLERS)


def plain(text: str, protocol: str, venue: str) -> str:
    """An instrument as people name it, without its venue: `BTC-USD`, `AAPL`. Raises `UsageError`."""
    if protocol == "iqfeed":
        return symbol(text, venue)
    return collected(text, venue, stocks=protocol in SELLERS)


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
    def polled(self) -> bool:
        """Whether its provider is asked again and again, because it has no stream."""
        return self.protocol == POLL

    @property
    def possible(self) -> bool:
        """False for a simulated venue that the simulator does not play: it plays `sim-<protocol>` alone."""
        return not self.simulated or self.polled or self.name == SIM_PREFIX + self.protocol
