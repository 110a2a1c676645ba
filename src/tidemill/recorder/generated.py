"""Generated history of the simulated venues, so that a first chart is not empty.

The bars are invented like everything of these venues, marked `generated`, and end where the simulator begins.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tidemill import _native
from tidemill.home import Home
from tidemill.stores import imported
from tidemill.stores.opening import open_store
from tidemill.stores.table import BARS

SOURCE = "generated"
CHUNK = "start"
DAYS = 30
_MINUTE_NS = 60 * 10**9
_COLUMNS = ("start", "open", "high", "low", "close", "volume", "trades")


def keep(home: Home, protocols: Sequence[str], seed: int, days: int = DAYS) -> int:
    """Keeps `days` of one-minute bars for every instrument of these simulated venues that has none yet.

    Returns how many instruments got them. Run again it keeps nothing: what an instrument has stays.
    """
    store = open_store(home.path)
    now = time.time_ns()
    kept = 0
    for protocol in protocols:
        mark = home.generated(protocol)
        for instrument in _native.sim_instruments(protocol):
            if store.offset(BARS, f"import/{SOURCE}/{instrument}/1m/{CHUNK}") is not None:
                continue
            said = _native.sim_history(seed, instrument, days * 24 * 60, now - now % _MINUTE_NS)
            columns: dict[str, Any] = {name: np.frombuffer(said[name], dtype="<i8") for name in _COLUMNS}
            columns |= {"price_scale": said["price_scale"], "size_scale": said["size_scale"]}
            kept += imported.keep(store, instrument, "1m", columns, source=SOURCE, chunk=CHUNK, ts_recv=now)
        mark.parent.mkdir(exist_ok=True, mode=0o700)
        mark.touch()
    store.close()
    return kept
