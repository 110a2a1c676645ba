"""What every kind of alert is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from tidemill.metadata.event import Event
    from tidemill.stores.live import LiveView

T = TypeVar("T")
State = dict[str, Any]
"""What a rule keeps from one look to the next, as JSON takes it. Empty before the first."""
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Direction = Literal["above", "below", "either"]
Seconds = Annotated[int, Field(ge=1, le=86_400)]


@dataclass(frozen=True)
class Occurrence:
    """What a rule waits for has happened. `ts` in ns UTC; `value` as text, such as the price."""

    ts: int
    subject: str
    value: str
    message: str


class Facts(Protocol):
    """What one look sees."""

    now: int
    """ns UTC."""
    events: list[Event]
    """Application events since the look before."""
    collectors: list[dict[str, Any]]
    """As `GET /api/v1/collection/status` says."""
    parts: list[dict[str, Any]]
    """As `GET /api/v1/health` says."""
    queues: Mapping[str, float]
    """What waits, in records or jobs, by part."""

    def resolve(self, asked: str) -> str:
        """The instrument meant. Raises `NotFoundError` or `ConflictError`."""

    def live(self, ask: Callable[[LiveView], T]) -> T:
        """Asks stored and live data."""


class Terms(BaseModel, ABC):
    """Of one rule. Frozen; a field that the kind does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sees: ClassVar[frozenset[str]] = frozenset()
    """Which facts it wants besides the data: collectors, parts, queues, events."""

    @property
    @abstractmethod
    def sentence(self) -> str:
        """What it waits for, in words."""

    def resolved(self, facts: Facts) -> Terms:
        """The same with whole names, checked. Raises `UsageError`, `NotFoundError` and `ConflictError`."""
        del facts
        return self

    @abstractmethod
    def look(self, facts: Facts, state: State) -> tuple[State, list[Occurrence]]:
        """What happened since the look that left `state`, and what to keep for the next."""


@dataclass
class Held:
    """A condition that must hold for a while, and is told once until it ends. One for each thing it is of."""

    state: State
    now: int
    for_s: float
    seen: set[str] = field(default_factory=set)

    def begins(self, name: str, holds: bool) -> bool:
        """Whether the condition of `name` has now held long enough, for the first time since it began."""
        if not holds:
            return False
        self.seen.add(name)
        since, told = self.state.get(name, (self.now, False))
        due = not told and self.now - since >= self.for_s * 1e9
        self.state[name] = [since, told or due]
        return due

    def kept(self) -> State:
        """What goes on; what has ended may begin again."""
        return {name: value for name, value in self.state.items() if name in self.seen}


def crossed(before: float, now: float, level: float, level_now: float, direction: Direction) -> bool:
    """Whether a value went through a level that moves from `level` to `level_now`. On the level is through,
    and a value that leaves the level it stood on was through before."""
    up = before < level and now >= level_now
    down = before > level and now <= level_now
    return (up and direction != "below") or (down and direction != "above")
