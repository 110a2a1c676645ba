"""Tells of every stored bar that a late trade changed, as an event `bar_revised`, each once.

How far each venue has been told is the setting `bars_revised.<venue>`, written together with the events: a
service that is killed tells none twice and leaves none out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill.metadata import Metadata, event, setting
from tidemill.service.view import View

if TYPE_CHECKING:
    from tidemill.stores.api import Position

READ_S = 2.0
# Bars told in a round: what is more is told in the next ones.
BARS = 1000
BEGINNING: Position = (0, 0)


class Revisions:
    """Asks the view for the bars behind what was told last."""

    def __init__(self, metadata: Metadata, view: View) -> None:
        self._metadata = metadata
        self._view = view

    def read(self) -> int:
        """One round; returns how many bars it told of."""
        return sum(self._tell(venue) for venue in self._view.call(lambda live: live.venues()))

    def _tell(self, venue: str) -> int:
        key = f"bars_revised.{venue}"
        with self._metadata.read() as connection:
            told = setting.get(connection, key)
        if told is None:
            self._begin(venue, key)
            return 0
        bars = self._revised(venue, (told[0], told[1]))
        if not bars:
            return 0
        with self._metadata.write() as connection:
            if setting.get(connection, key) != told:
                return 0  # another service told of them since
            for bar in bars:
                data = {"interval": bar["interval"], "ts": str(bar["ts"]), "revision": bar["revision"]}
                event.append(connection, "bar_revised", bar["instrument"], actor="service", data=data)
            setting.keep(connection, key, _position(bars[-1]), actor="service")
        return len(bars)

    def _begin(self, venue: str, key: str) -> None:
        """What was changed before anyone asked is no news: whoever reads it reads it as it is."""
        position = BEGINNING
        while bars := self._revised(venue, position):
            position = _position(bars[-1])
        with self._metadata.write() as connection:
            if setting.get(connection, key) is None:
                setting.keep(connection, key, position, actor="service")

    def _revised(self, venue: str, after: Position) -> list[dict[str, Any]]:
        return self._view.call(lambda live: live.revised(venue, after, BARS))


def _position(bar: dict[str, Any]) -> Position:
    return bar["epoch"], bar["sequence"]
