"""Self-hosted platform for quantitative trading: live market data you can prove, and research on it.

    import tidemill as tm
    td = tm.connect()
    td.bars("BTC-USD.kraken", "1m", last="1d")

Names are imported when first used, so that `import tidemill` costs nothing to a native part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill._native import JournalWriter
    from tidemill.client import Batch, Client, connect
    from tidemill.errors import TidemillError

__version__ = "0.1.0"
__all__ = ["Batch", "Client", "JournalWriter", "TidemillError", "__version__", "connect"]

_HOMES = {
    "Batch": "tidemill.client",
    "Client": "tidemill.client",
    "JournalWriter": "tidemill._native",
    "connect": "tidemill.client",
    "TidemillError": "tidemill.errors",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tidemill' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
