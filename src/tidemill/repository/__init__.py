"""Market data for code that must not wait: an asynchronous reader above stores and journals.

    async with tidemill.repository.repository(home) as market:
        trades = await market.get_trades("BTC-USD.kraken", limit=100)

`python.PythonRepository` and `native.NativeRepository` give the same answers digit for digit, and
`memory.MemoryRepository` gives them of records made up for a test.
"""

from __future__ import annotations

import os
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.repository.api import Bar, MarketDataRepository, OrderBook, Quote, Trade

SWITCH = "USE_RUST_MARKET_DATA"


def repository(home: str | os.PathLike[str]) -> MarketDataRepository:
    """The reader of a home that the environment asks for: `USE_RUST_MARKET_DATA` 1 (default) or 0. Raises
    `ConfigError` for another value."""
    asked = os.environ.get(SWITCH, "").strip().lower()
    if asked in ("0", "false", "no", "off"):
        from tidemill.repository.python import PythonRepository

        return PythonRepository(Path(home))
    if asked in ("", "1", "true", "yes", "on"):
        from tidemill.repository.native import NativeRepository

        return NativeRepository(Path(home))
    raise ConfigError(
        "switch_invalid",
        f"{SWITCH} is {asked!r}",
        hint="1 reads market data with Rust, 0 with Python",
    )


__all__ = ["Bar", "MarketDataRepository", "OrderBook", "Quote", "Trade", "repository"]
