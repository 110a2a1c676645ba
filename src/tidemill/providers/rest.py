"""What providers with a REST interface share: how they are made, and how a span is cut into chunks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

from tidemill.errors import UpstreamError, UsageError
from tidemill.model.collector import SIM_PREFIX
from tidemill.model.interval import HOUR, SECOND, Interval
from tidemill.providers import credential
from tidemill.providers.api import Ask, Chunk, Credential, Gate, Kind, Limits, Provider
from tidemill.providers.http import Http, Patience

CHUNKS_MAX = 1_000_000
PAGES_MAX = 10_000
"""Of one chunk: whoever sends more leads nowhere."""

P = ParamSpec("P")
T = TypeVar("T")


def shaped(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Reads an answer that has another shape than documented, anywhere in it, as `UpstreamError`."""

    @wraps(method)
    async def read(*args: P.args, **rest: P.kwargs) -> T:
        try:
            return await method(*args, **rest)
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise UpstreamError(
                "provider_answer",
                f"{cast(Any, args[0]).venue} answers in another shape than documented: "
                f"{type(error).__name__}: {str(error)[:120]}",
            ) from error

    return read


class Rest(ABC):
    """The base of a provider: its file fills in the class variables and the requests."""

    summary: ClassVar[str]
    site: ClassVar[str]
    base: ClassVar[str]
    """Where it really is."""
    hosts: ClassVar[tuple[str, ...]] = ()
    """Other names of the same service."""
    credentials: ClassVar[tuple[Credential, ...]] = ()
    intervals: ClassVar[tuple[str, ...]]
    kinds: ClassVar[tuple[Kind, ...]] = ("bars", "trades")
    limits: ClassVar[Limits]
    delay_s: ClassVar[float] = 0.0
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What `Ask.options` may hold, and the values of each; none listed means any."""
    patience: ClassVar[Patience] = Patience()

    def __init__(
        self,
        venue: str,
        gate: Gate,
        url: str | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        now: Callable[[], int] = time.time_ns,
        patience: Patience | None = None,
    ) -> None:
        """`keys` stand in for the environment's; `now` is ns UTC: what is not over yet is not given."""
        self.venue = venue
        self.now = now
        self._keys = keys
        self._gate, self._url, self._patience = gate, url, patience or self.patience
        self._symbols: set[str] = set()
        """Those that are known to be there although a span of theirs was empty."""
        self._http = Http(
            venue,
            url or self.base,
            gate,
            headers=lambda: self._secret(self.keys()),
            hosts=self.hosts,
            patience=self._patience,
        )

    def keys(self) -> Mapping[str, str]:
        """The secrets. The simulator takes any, and must not be handed the real ones."""
        if self._keys is None:
            if self.venue.startswith(SIM_PREFIX):
                self._keys = {credential.name: "simulated" for credential in self.credentials}
            else:
                self._keys = credential.of(cast(type[Provider], type(self)))
        return self._keys

    def _secret(self, keys: Mapping[str, str]) -> Mapping[str, str]:
        """Headers that carry the secrets."""
        return {}

    async def close(self) -> None:
        await self._http.close()

    def delay_ns(self, ask: Ask) -> int:
        """How long after the event rows can be had, of what this ask wants."""
        return int(self.delay_s * SECOND)

    def settled(self, ask: Ask) -> int:
        """ns UTC: what ended before it is all there and stays as it is."""
        return self.now() - self.delay_ns(ask)

    def cut(self, ask: Ask, length_ns: int, requests: Callable[[int, int], tuple[int, int]]) -> list[Chunk]:
        """The ask in parts of `length_ns` from 1970 on, so that two asks share theirs; `requests` tells of a
        part how many requests it takes and rows it has. Raises `UsageError` for what the provider lacks."""
        self.check(ask)
        first, last = ask.start // length_ns, -(-ask.end // length_ns)
        if last - first > CHUNKS_MAX:
            raise UsageError(
                "span_invalid",
                f"that is {last - first:,} requests to {self.venue} and more",
                hint="ask for a shorter span or a longer interval",
            )
        parts = []
        for at in range(first, last):
            start, end = max(ask.start, at * length_ns), min(ask.end, (at + 1) * length_ns)
            parts.append(Chunk(start, end, *requests(start, end)))
        return parts

    def check(self, ask: Ask) -> None:
        """Raises `UsageError` for what this provider cannot give."""
        if ask.start >= ask.end:
            raise UsageError("range_reversed", "the end is not after the start", hint="swap them")
        if ask.kind not in self.kinds:
            raise UsageError(
                "kind_unfit", f"{self.venue} has no {ask.kind}", hint=f"it has {' and '.join(self.kinds)}"
            )
        if ask.kind == "bars" and ask.interval not in self.intervals:
            raise UsageError(
                "interval_unfit",
                f"{self.venue} has no bars of {ask.interval[:20]!r}",
                hint=f"it has {', '.join(self.intervals)}; other intervals are made of these on reading",
            )
        for name, value in ask.options.items():
            if name not in self.options or (self.options[name] and value not in self.options[name]):
                takes = "; ".join(
                    f"{key}={'|'.join(values) or '…'}" for key, values in sorted(self.options.items())
                )
                raise UsageError(
                    "option_unfit",
                    f"{self.venue} does not take {name[:40]}={value[:40]}",
                    hint=f"it takes {takes}" if takes else "it takes no options",
                )
        self.instrument(ask.symbol)

    @abstractmethod
    def instrument(self, symbol: str) -> str:
        """As `Provider.instrument`."""

    def length_ns(self, ask: Ask) -> int:
        """How long a bar of this ask is."""
        return Interval.parse(ask.interval).length_ns

    def running(self, ask: Ask) -> int:
        """ns UTC, where the bar begins that is not over yet, or may still change: bars before it are
        given."""
        return Interval.parse(ask.interval).start(self.settled(ask))

    def onward(self, cursor: int, to: int) -> int:
        """The place of the next page. Raises `UpstreamError` where a page leads back to where it was."""
        if to <= cursor:
            raise UpstreamError("provider_loop", f"{self.venue} sends a page that leads no further")
        return to

    def malformed(self, what: str) -> UpstreamError:
        return UpstreamError("provider_answer", f"{self.venue} answers in another shape: {what}")

    def listed(self, data: Any, what: str) -> list[Any]:
        """A list where one must be."""
        if not isinstance(data, list):
            raise self.malformed(f"{what} is no list")
        return data


def whole_bars(start: int, end: int, length_ns: int) -> int:
    """How many bars start in [start, end)."""
    return max(0, -(-end // length_ns) - -(-start // length_ns))


def day_delay_ns(ask: Ask) -> int:
    """How much later than its midnight UTC the bar of a US trading date ends: with midnight in New York,
    which is 5:00 UTC at the latest. Trading after hours is over then."""
    return 5 * HOUR if ask.kind == "bars" and ask.interval == "1d" else 0


def pages(rows: int, each: int) -> int:
    return max(1, -(-rows // each))
