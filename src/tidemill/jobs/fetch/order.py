"""What was asked of a provider, checked: the same order gives the same chunks, today and after a crash."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from tidemill import providers
from tidemill.errors import UsageError
from tidemill.jobs.detail import Detail, unfit
from tidemill.model import time as times
from tidemill.model.interval import MINUTE, SECOND, STORED, Interval
from tidemill.providers.api import Ask, Chunk, Kind, Provider

KINDS = ("bars", "trades")
WORKERS_MAX = 50
WORKERS = 8
CHUNKS_MAX = 200_000
"""Of all symbols of one order together."""


class Closed:
    """A gate that lets nothing through: whoever only checks or estimates asks a provider nothing."""

    async def enter(self, cost: int = 1) -> None:
        raise RuntimeError("a request was made where none may be")

    def pause(self, seconds: float) -> None:
        """Nobody is there to wait."""


@dataclass(frozen=True)
class Order:
    """A span of history of some symbols."""

    provider: str
    symbols: tuple[str, ...]
    kind: Literal["bars", "trades"]
    interval: str
    """Of bars the stored interval that is fetched; empty for trades."""
    start: int
    end: int
    """ns UTC, at whole intervals; trades at whole minutes."""
    workers: int
    options: tuple[tuple[str, str], ...]
    again: bool
    """Fetch what is held, too."""

    @classmethod
    def of(cls, detail: dict[str, Any], now: int | None = None) -> Order:
        """What a job's detail says. Raises `UsageError` for what does not fit, `NotFoundError` for a provider
        that nobody has. What is not over yet, or not to be had yet, is left out at its end."""
        asked = Detail(detail)
        name, kind = asked.text("provider"), cast(Kind, asked.text("kind", "bars", choices=KINDS))
        symbols = asked.words("symbols", [])
        interval = asked.text("interval", "" if kind == "trades" else "1m") if "interval" in detail else None
        start, end = asked.text("start"), asked.text("end")
        workers = asked.number("workers", WORKERS, 1, WORKERS_MAX)
        options, again = asked.pairs("options"), asked.flag("again")
        asked.done()
        if name is None or start is None or not symbols:
            missing = "provider" if name is None else "symbols" if not symbols else "start"
            raise unfit(missing, "it must be named")
        provider = providers.load(name)
        if kind not in provider.kinds:
            raise unfit("kind", f"{name} has no {kind}, only {', '.join(provider.kinds)}")
        fetched = "" if kind == "trades" else fetched_interval(name, provider, interval or "1m")
        asleep = provider(name, Closed())
        # Each symbol may have its own; what the slowest does not have yet is left to the next fetch.
        late = max(delay_ns(asleep, Ask(one, kind, 0, 1, fetched, dict(options))) for one in symbols)
        low, high = _span(fetched, start, end, (time.time_ns() if now is None else now) - late, late)
        order = cls(
            name, tuple(symbols), kind, fetched, low, high, min(workers, provider.limits.workers),
            tuple(sorted(options.items())), again,
        )  # fmt: skip
        return order.checked()

    def checked(self) -> Order:
        """The same with each instrument once, and not too much of it all."""
        provider = self.asleep()
        by_name: dict[str, str] = {}
        for symbol in self.symbols:
            by_name.setdefault(provider.instrument(symbol), symbol)
        order = replace(self, symbols=tuple(by_name.values()))
        chunks = len(provider.chunks(order.ask(order.symbols[0]))) * len(order.symbols)
        if chunks > CHUNKS_MAX:
            raise UsageError(
                "fetch_too_large",
                f"that is about {chunks:,} chunks; one job fetches {CHUNKS_MAX:,} at most",
                hint="ask for fewer symbols, a shorter span or a longer interval, in several jobs",
            )
        return order

    def detail(self) -> dict[str, Any]:
        """The order as a job keeps it; `of` reads it back."""
        return {
            "provider": self.provider, "symbols": list(self.symbols), "kind": self.kind,
            **({"interval": self.interval} if self.interval else {}),
            "start": times.iso(self.start), "end": times.iso(self.end), "workers": self.workers,
            "options": dict(self.options), "again": self.again,
        }  # fmt: skip

    @property
    def what(self) -> str:
        """The interval, or "trades": as application ids name it."""
        return self.interval or "trades"

    def asleep(self) -> Provider:
        """The provider, for all that needs no request."""
        return providers.load(self.provider)(self.provider, Closed())

    def ask(self, symbol: str) -> Ask:
        """What is asked of one symbol."""
        return Ask(symbol, self.kind, self.start, self.end, self.interval, dict(self.options))

    def chunk_name(self, chunk: Chunk, job_id: str) -> str:
        """The chunk's part of its application id. Other options bring other rows, so they are in it; and what
        is fetched again is another chunk, of that job."""
        said = hashlib.sha256(json.dumps(self.options).encode()).hexdigest()[:8] if self.options else ""
        parts = (f"{chunk.start}-{chunk.end}", said, job_id if self.again else "")
        return "-".join(part for part in parts if part)


def fetched_interval(name: str, provider: type[Provider], text: str) -> str:
    """The longest stored interval that the provider has and that makes the asked one. Raises `UsageError`."""
    base = Interval.parse(text).base
    for stored in reversed(STORED[: STORED.index(base) + 1]):
        if stored in provider.intervals:
            return stored
    raise unfit("interval", f"{name} has no bars that make {text}; it has {', '.join(provider.intervals)}")


def delay_ns(provider: Provider, ask: Ask) -> int:
    """How long after the event rows can be had; some providers say it of each ask."""
    own = getattr(provider, "delay_ns", None)
    return int(own(ask)) if own is not None else int(provider.delay_s * SECOND)


def _span(interval: str, start: str, end: str | None, known: int, late: int) -> tuple[int, int]:
    """The span in whole intervals, as far as it is over and to be had: up to the moment `known`."""
    length = Interval.parse(interval).length_ns if interval else MINUTE
    asked_low, asked_high = times.span(start, end)
    low = (asked_low or 0) // length * length
    high = -(-(known if asked_high is None else asked_high) // length) * length
    high = min(high, known // length * length)
    if low >= high:
        raise UsageError(
            "span_invalid",
            f"nothing that is over yet lies between {start} and {end or 'now'}",
            hint=f"this provider gives what is {late / SECOND:g} s old, in whole {interval or 'minutes'}",
        )
    return low, high
