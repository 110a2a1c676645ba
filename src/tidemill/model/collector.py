"""A venue that is or was wanted: its name, the protocol it speaks, and where when not the real one."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
}
PROTOCOLS = tuple(DEFAULT_INSTRUMENTS)
# Sellers of market data and the provider of each: a key opens them, and `fetch` brings their history.
SELLERS = {"alpaca": "alpaca", "alpaca-sip": "alpaca", "polygon": "polygon"}
# Where instruments are traded: anybody may see their data, and the simulator invents a past of them.
EXCHANGES = tuple(protocol for protocol in PROTOCOLS if protocol not in SELLERS)


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
