"""The price of an instrument goes through a level."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from tidemill.alerts.kind.api import Direction, Facts, Occurrence, State, Terms, Word

SECONDS_MAX = 5_000
"""Seconds that are looked through at once; after a longer sleep only the newest counts."""
_WORDS = {"above": "rises to", "below": "falls to", "either": "crosses"}


class PriceAlert(Terms):
    """Any trade counts, also one between two looks: they are seen as the highest and lowest of each second.

    A price that is beyond the level when the rule is made fires when it comes back and goes through again.
    """

    kind: Literal["price"] = "price"
    instrument: Word
    direction: Direction = "either"
    level: Annotated[str, Field(pattern=r"^-?[0-9]{1,19}(\.[0-9]{1,18})?$", description="decimal text")]

    @property
    def sentence(self) -> str:
        return f"{self.instrument} {_WORDS[self.direction]} {self.level}"

    def resolved(self, facts: Facts) -> PriceAlert:
        return self.model_copy(update={"instrument": facts.resolve(self.instrument)})

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        # From the last second that was looked at: it may not have been over.
        since = int(state["through"]) if state else None
        limit = 1 if since is None else SECONDS_MAX
        found = facts.live(lambda live: live.bars(self.instrument, "1s", since, None, limit))
        if found.more and since is not None:
            return {}, []
        level = Decimal(self.level)
        last = None if "last" not in state else Decimal(state["last"])
        through, counted, fired = (int(state.get(name, 0)) for name in ("through", "counted", "fired"))
        happened = []
        for bars, closed in ((found.bars, True), (found.current, False)):
            for bar in bars:
                start = int(bar["start"])
                if start <= counted:
                    continue
                high, low, close = (_price(bar, name) for name in ("high", "low", "close"))
                hit = None if last is None or start <= fired else self._hit(last, high, low, level)
                if hit is not None:
                    fired = start
                    message = f"{self.sentence}: traded at {hit}"
                    happened.append(Occurrence(start, self.instrument, str(hit), message))
                through = start
                if closed:
                    last, counted = close, start
        if not through:
            return {}, happened
        kept: State = {"through": str(through), "counted": str(counted), "fired": str(fired)}
        return kept if last is None else {**kept, "last": str(last)}, happened

    def _hit(self, last: Decimal, high: Decimal, low: Decimal, level: Decimal) -> Decimal | None:
        if self.direction != "below" and last < level <= high:
            return high
        if self.direction != "above" and last > level >= low:
            return low
        return None


def _price(bar: Any, name: str) -> Decimal:
    return Decimal(int(bar[name])).scaleb(-int(bar["price_scale"]))
