"""Tells of every followed dataset that has grown, as an event `stock_update`; and keeps who was asked for."""

from __future__ import annotations

import threading
import time
from typing import Any

from tidemill.metadata import Metadata, catalogue, event, setting
from tidemill.service.view import View

READ_S = 2.0
KEEP_S = 30.0
_TOLD = "datasets_told"


class Grown:
    """Compares followed datasets with what was told of them last. The setting that says so is written
    together with the events: a service that is killed tells nothing twice and leaves nothing out."""

    def __init__(self, metadata: Metadata, view: View) -> None:
        self._metadata = metadata
        self._view = view

    def read(self) -> int:
        """One round; returns how many datasets had grown."""
        with self._metadata.read() as connection:
            followed = catalogue.subscribed(connection)
            told: dict[str, list[int]] = setting.get(connection, _TOLD) or {}
        if not followed and not told:
            return 0
        stored = self._view.datasets()
        now = {name: [stored[name]["rows"], stored[name]["end"]] for name in followed if name in stored}
        if now == told:
            return 0
        grown = [name for name in sorted(now) if name in told and now[name] != told[name]]
        with self._metadata.write() as connection:
            if (setting.get(connection, _TOLD) or {}) != told:
                return 0  # another service told of them since
            for name in grown:
                data = _data(stored[name], now[name][0] - told[name][0])
                event.append(connection, "stock_update", name, actor="service", data=data)
            setting.keep(connection, _TOLD, now, actor="service")
        return len(grown)


def _data(row: dict[str, Any], added: int) -> dict[str, Any]:
    return {
        "instrument": row["instrument"], "kind": row["kind"], "rows": row["rows"], "added": added,
        "end": str(row["end"]),
    }  # fmt: skip


class Accessed:
    """When datasets were asked for last: noted at once, kept every half minute."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._lock = threading.Lock()
        self._noted: dict[str, int] = {}

    def note(self, instrument: str, kind: str) -> None:
        """Rows of this dataset are asked for."""
        with self._lock:
            self._noted[f"{instrument}:{kind}"] = time.time_ns()

    def keep(self) -> None:
        """Writes down what was noted."""
        with self._lock:
            noted, self._noted = self._noted, {}
        if noted:
            known = self.known(noted)
            with self._metadata.write() as connection:
                catalogue.touch(connection, known)

    def known(self, noted: dict[str, int]) -> dict[str, int]:
        """Names are what clients write; what is too long is no dataset."""
        return {name: ts for name, ts in noted.items() if len(name) <= 200 and "\0" not in name}
