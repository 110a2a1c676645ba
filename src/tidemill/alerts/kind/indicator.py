"""An indicator goes through a level, or through another indicator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidemill.alerts.kind.api import Direction, Facts, Occurrence, State, Terms, Word, crossed
from tidemill.errors import UsageError

if TYPE_CHECKING:
    from tidemill.calculated import Wanted

BARS_MAX = 500
"""Closed bars that are looked through at once; after a longer sleep only the newest count."""
_WORDS = {"above": "rises through", "below": "falls through", "either": "crosses"}


class Line(BaseModel):
    """One output of an indicator: the first one where none is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    indicator: Word
    params: dict[str, float] = Field(default_factory=dict, max_length=20)
    output: Word | None = None

    @property
    def text(self) -> str:
        inner = ", ".join(f"{name}={value:g}" for name, value in self.params.items())
        return f"{self.indicator}({inner})" + (f".{self.output}" if self.output else "")

    def wanted(self) -> Wanted:
        """Raises `UsageError` for what there is not."""
        from tidemill.calculated import Wanted

        wanted = Wanted.of(self.indicator, self.params)
        have = [one.name for one in wanted.spec.outputs]
        if self.output is not None and self.output not in have:
            raise UsageError(
                "parameter_invalid", f"{self.indicator} has no output {self.output!r}",
                hint=f"it has: {', '.join(have)}",
            )  # fmt: skip
        return wanted

    def of(self, values: Any) -> Any:
        """Its column of what was calculated."""
        return values.columns[self.output or next(iter(values.columns))]


class IndicatorAlert(Terms):
    """Only bars that have closed count, so that nothing fires which a later trade takes back."""

    kind: Literal["indicator"] = "indicator"
    instrument: Word
    interval: Annotated[str, Field(min_length=2, max_length=16)]
    line: Line
    direction: Direction = "either"
    level: float | None = None
    other: Line | None = None

    @property
    def sentence(self) -> str:
        goal = self.other.text if self.other else f"{self.level:g}"
        return f"{self.line.text} of {self.instrument}, {self.interval}, {_WORDS[self.direction]} {goal}"

    def resolved(self, facts: Facts) -> IndicatorAlert:
        from tidemill.model.interval import Interval

        if (self.level is None) == (self.other is None):
            raise UsageError(
                "parameter_invalid", "an alert of an indicator needs a level or another line, one of them"
            )
        interval = Interval.parse(self.interval).text
        self.line.wanted()
        if self.other:
            self.other.wanted()
        return self.model_copy(update={"instrument": facts.resolve(self.instrument), "interval": interval})

    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        from tidemill import calculated

        newest = facts.live(lambda live: live.bars(self.instrument, self.interval, None, None, 1)).bars
        if not len(newest):
            return state, []
        start = int(newest["start"][-1])
        if not state:
            return {"through": str(start)}, []
        through = int(state["through"])
        if start <= through:
            return state, []
        wanted = [self.line.wanted(), *([self.other.wanted()] if self.other else [])]
        found = facts.live(
            lambda live: calculated.calculate(
                live, self.instrument, self.interval, wanted, through, None, BARS_MAX
            )
        )
        kept: State = {"through": str(start)}
        if found.bars.more:
            return kept, []
        count = found.closed
        ours = self.line.of(found.values[0])[:count]
        theirs = self.other.of(found.values[1])[:count] if self.other else None
        happened = []
        for at in range(1, count):
            level = self.level or 0.0
            was, now = (level, level) if theirs is None else (theirs[at - 1], theirs[at])
            # A value that is not there yet is NaN, and goes through nothing.
            if crossed(ours[at - 1], ours[at], was, now, self.direction):
                ts = int(found.bars.bars["start"][at])
                happened.append(
                    Occurrence(ts, self.instrument, f"{ours[at]:.6g}", f"{self.sentence}: {ours[at]:.6g}")
                )
        return kept, happened
