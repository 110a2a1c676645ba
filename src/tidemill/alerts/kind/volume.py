"""A bar with far more volume than those before it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tidemill.alerts.kind.api import Facts, Occurrence, State, Terms, Word

BARS_MAX = 500


class VolumeAlert(Terms):
    """A closed bar whose volume is at least `factor` times the median of the `bars` before it."""

    kind: Literal["volume"] = "volume"
    instrument: Word
    interval: Annotated[str, Field(min_length=2, max_length=16)] = "1m"
    factor: Annotated[float, Field(gt=1, le=1_000_000)] = 5.0
    bars: Annotated[int, Field(ge=2, le=500)] = 30

    @property
    def sentence(self) -> str:
        return (
            f"volume of {self.instrument}, {self.interval}, is {self.factor:g} times "
            f"the median of the {self.bars} bars before"
        )

    def resolved(self, facts: Facts) -> VolumeAlert:
        from tidemill.model.interval import Interval

        interval = Interval.parse(self.interval).text
        return self.model_copy(update={"instrument": facts.resolve(self.instrument), "interval": interval})

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        import numpy as np

        found = facts.live(
            lambda live: live.bars(self.instrument, self.interval, None, None, self.bars + BARS_MAX)
        )
        if not len(found.bars):
            return state, []
        kept: State = {"through": str(int(found.bars["start"][-1]))}
        if not state:
            return kept, []
        columns = found.floats()
        volumes, starts = columns["volume"], columns["ts"]
        happened = []
        for at in range(self.bars, len(starts)):
            if starts[at] <= int(state["through"]):
                continue
            usual = float(np.median(volumes[at - self.bars : at]))
            if usual > 0 and volumes[at] >= self.factor * usual:
                times = volumes[at] / usual
                happened.append(
                    Occurrence(
                        int(starts[at]), self.instrument, f"{volumes[at]:.6g}",
                        f"{self.sentence}: {volumes[at]:.6g}, {times:.1f} times",
                    )
                )  # fmt: skip
        return kept, happened
