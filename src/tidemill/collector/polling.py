"""Polls a provider for new trades of its symbols and appends them to the journal of its venue.

Every symbol has rounds of its own. What a round brings is appended first and then noted as reached; what a
killed process had appended is read back, so that nothing comes twice or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidemill import _native, providers, wire
from tidemill.collector import memory, record
from tidemill.collector.clock import Clock
from tidemill.control import Answer, Handler, Server
from tidemill.errors import (
    ConflictError,
    RateLimitError,
    ResourceError,
    TidemillError,
    UpstreamError,
    UsageError,
)
from tidemill.home import Home
from tidemill.log import Log
from tidemill.model.collector import SIM_PREFIX
from tidemill.model.interval import SECOND
from tidemill.providers.api import Provider
from tidemill.providers.poll import Poller, Round

AT_ONCE = 3
"""Requests under way at one time. So many tries a wrong key has before all stop."""
PAUSE_S_MAX = 60.0
"""A provider that wants peace for longer is not asked before that either: its gate says no."""
LAGS_KEPT = 4096
PLACES_FIRST = 2
"""Decimal places of a price, for those who show it, until one with more has come."""


@dataclass(frozen=True)
class Settings:
    """How to poll."""

    every_s: float = 15.0
    again_s: float = 60.0
    catch_up_s: float = 3600.0
    options: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 0
    keep_hours: int = 0
    supervised: bool = False


@dataclass
class Line:
    """One symbol."""

    name: str
    poller: Poller
    number: int = 0
    """0 until the provider has answered: a name that it does not know gets none."""
    scales: tuple[int, int] = (PLACES_FIRST, 0)
    state: str = "starting"
    """starting, live, stale or refused."""
    error: TidemillError | None = None
    failures: int = 0
    """In a row."""
    next_ns: int | None = None
    """When a failed round is tried again."""
    gap: memory.Position | None = None
    """Where a hole opens that has not ended."""


class Collector:
    """One venue's collector. It holds the journal from its making to `close`."""

    def __init__(
        self,
        home: Home,
        venue: str,
        symbols: Sequence[str],
        settings: Settings,
        log: Log,
        *,
        url: str | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """Raises `UsageError` for what is no symbol, `ConflictError` where the venue has a collector."""
        self.venue, self.settings = venue, settings
        self.stopping = asyncio.Event()
        self._home, self._log, self._clock = home, log, Clock()
        kind = providers.load(venue)
        if "trades" not in kind.kinds:
            raise UsageError("kind_unfit", f"{venue} has no trades to poll", hint="its bars can be fetched")
        self.provider: Provider = providers.open(venue, home, url=url)
        named = {self.provider.instrument(symbol): symbol for symbol in symbols}
        # Whether the symbols and options are any is known before the journal is opened.
        for symbol in named.values():
            self.provider.chunks(providers.api.Ask(symbol, "trades", 0, 1, options=settings.options))
        self._writer = _opened(home, venue, settings)
        known = {one["name"]: one for one in _native.instruments(os.fspath(home.path), venue)}
        self.lines = [Line(name, self._poller(symbol, now)) for name, symbol in named.items()]
        for line in self.lines:
            if had := known.get(line.name):
                line.number, line.scales = had["number"], (had["price_scale"], had["size_scale"])
        past, position = memory.recall(
            home,
            venue,
            {line.number: line.name for line in self.lines if line.number},
            int(settings.again_s * SECOND),
        )
        for line in self.lines:
            before = past.get(line.number, memory.Past())
            line.gap = before.gap
            if before.reached is not None:
                line.poller.resume(before.reached, before.rows)
        # Where a restart must begin to read, for what was reached when it was appended.
        reached = max((one.reached or 0 for one in past.values()), default=0)
        self._begins: deque[tuple[int, memory.Position]] = deque([(reached, position)])
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._note_failed = False
        self.state_of_key: TidemillError | None = None
        self.since_ns, self._state = time.time_ns(), "starting"
        self.started = time.monotonic()
        self.counts = dict.fromkeys(("messages", "records", "trades", "gaps", "failures"), 0)
        self.last_message_ns: int | None = None
        self.lags: deque[int] = deque(maxlen=LAGS_KEPT)
        self.appends: deque[int] = deque(maxlen=LAGS_KEPT)
        self.rounds: deque[float] = deque(maxlen=1000)

    def _poller(self, symbol: str, now: Callable[[], int]) -> Poller:
        return Poller(
            self.provider, symbol, again_s=self.settings.again_s, catch_up_s=self.settings.catch_up_s,
            options=self.settings.options, now=now,
        )  # fmt: skip

    def _register(self, line: Line) -> None:
        """Gives the instrument its number, and tells how fine its digits are."""
        base, _, quote = line.name.rpartition(".")[0].partition("-")
        tick, lot = (wire.text(1, scale) for scale in line.scales)
        line.number = self._writer.instrument(
            line.name, symbol=line.poller.symbol, base=base, quote=quote, tick=tick, lot=lot,
            price_scale=line.scales[0], size_scale=line.scales[1],
        )  # fmt: skip

    # ── running ───────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Until `stopping` is set. Raises where the journal can be written no more, or nothing can be asked
        and nobody supervises."""
        from tidemill.collector import status

        async def answer_status(_: Answer) -> Answer:
            return status.status(self)

        async def answer_metrics(_: Answer) -> Answer:
            return {"text": status.text(status.status(self))}

        async def answer_drain(_: Answer) -> Answer:
            # After the answer is on its way.
            asyncio.get_running_loop().call_later(0.1, self.stopping.set)
            return {"draining": True}

        handlers: dict[str, Handler] = {
            "status": answer_status, "metrics": answer_metrics, "drain": answer_drain
        }  # fmt: skip
        server = Server(self._home.control(self.part), handlers)
        await server.start()
        self._tell("connecting")
        polling = [asyncio.create_task(self._poll(line), name=line.name) for line in self.lines]
        stopping = asyncio.create_task(self.stopping.wait())
        try:
            pending: set[asyncio.Task[Any]] = {stopping, *polling}
            while not stopping.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if not self.settings.supervised and len(pending) == 1 and not stopping.done():
                    raise next(line.error for line in self.lines if line.error)
            self._enter("draining")
            for task in polling:
                task.cancel()
            await asyncio.gather(*polling, return_exceptions=True)
            self._tell("closed")
        finally:
            for task in (stopping, *polling):
                task.cancel()
            await asyncio.gather(stopping, *polling, return_exceptions=True)
            await self.provider.close()
            await server.close()

    def close(self) -> None:
        """Syncs, and lets go of the journal."""
        self._writer.close()

    @property
    def part(self) -> str:
        return f"collector-{self.venue}"

    async def _poll(self, line: Line) -> None:
        """Rounds of one symbol, until it is refused."""
        while True:
            began = time.monotonic()
            wait_s = self.settings.every_s
            async with self._turn:
                if self.state_of_key is not None:
                    self._refuse(line, self.state_of_key)
                    return
                try:
                    found = await line.poller.round()
                except TidemillError as error:
                    if not (isinstance(error, RateLimitError | UpstreamError) and error.retryable):
                        if error.category in ("auth", "config"):
                            self.state_of_key = error
                        self._refuse(line, error)
                        return
                    wait_s = max(wait_s, min(getattr(error, "retry_after_s", 0.0), PAUSE_S_MAX))
                    self._fail(line, error, wait_s)
                else:
                    if found is not None:
                        self._take(line, found)
            line.next_ns = time.time_ns() + int(wait_s * SECOND) if line.failures else None
            await asyncio.sleep(max(0.05, began + wait_s - time.monotonic()))

    def _fail(self, line: Line, error: TidemillError, wait_s: float) -> None:
        line.failures += 1
        line.error = error
        self.counts["failures"] += 1
        if line.state != "stale":
            line.state = "stale"
            self._log.warn(
                "a round failed; the next asks for its time too", instrument=line.name,
                next_in_s=wait_s, error=error.as_dict(),
            )  # fmt: skip
            self._tell("stale", line)
        if line.gap is None and (hole := line.poller.hole()):
            self._open_gap(line, hole.start, self._now())

    def _refuse(self, line: Line, error: TidemillError) -> None:
        line.state, line.error = "refused", error
        self._log.error(error.message, instrument=line.name, error=error.as_dict())
        self._tell("closed", line)

    def _take(self, line: Line, found: Round) -> None:
        """Appends what a round brought, and notes that it was reached."""
        if not line.number:
            self._register(line)
        now = self._now()
        position = (self._writer.epoch, self._writer.next_sequence)
        if line.gap is None and found.hole is not None:
            self._open_gap(line, found.hole.start, now)
        if line.gap is not None:
            end = found.hole.end if found.hole else now - line.poller.delay_ns
            self._append(record.gap(line.number, end, now, line.gap[1]))
            self._log.info("what is too long ago was left out", instrument=line.name, until=end)
            line.gap = None
        if line.state != "live":
            line.state, line.error, line.failures, line.next_ns = "live", None, 0, None
            self._tell("live", line, now)
        trades = found.trades
        self.counts["messages"] += 1
        self.last_message_ns = now
        self.rounds.append(time.monotonic())
        if len(trades):
            scales = max(line.scales[0], trades.price_scale), max(line.scales[1], trades.size_scale)
            if scales != line.scales:
                line.scales = scales
                self._register(line)
            for message in record.messages(trades, line.number, now):
                self._append(message)
            self.counts["trades"] += len(trades)
            self.lags.extend((now - trades.ts_event[-LAGS_KEPT:]).tolist())
            self._begins.append((line.poller.reached or 0, position))
        self._note()

    def _tell(self, code: str, line: Line | None = None, now: int | None = None) -> None:
        """A status record: of a symbol, or of the whole venue."""
        if line is None or line.number:
            number = line.number if line else 0
            self._append(record.status(number, code, self._writer.epoch, now or self._now()))

    def _open_gap(self, line: Line, start: int, now: int) -> None:
        sequence = self._append(record.gap(line.number, start, now))
        line.gap = (self._writer.epoch, sequence)
        self.counts["gaps"] += 1
        self._log.warn("trades may be missing", instrument=line.name, since=start)

    def _now(self) -> int:
        now, step = self._clock.now()
        if step:
            self._log.warn("the clock was set", by_ns=step)
            self._append(record.clock_step(step, now))
        return now

    def _append(self, records: wire.Records) -> int:
        began = time.monotonic_ns()
        try:
            sequence = self._writer.append(records)
        except (OSError, RuntimeError) as error:
            raise ResourceError(
                "journal_failed",
                f"the journal of {self.venue} cannot be written: {error}",
                hint="the next start goes on behind what is in it",
                http_status=507,
            ) from error
        self.counts["records"] += len(records)
        self.appends.append(time.monotonic_ns() - began)
        return sequence

    def _note(self) -> None:
        """Notes what was reached. A note that cannot be written costs a restart its time, nothing else."""
        begun = [line for line in self.lines if line.poller.reached is not None]
        asks_from = min((line.poller.asks_from for line in begun), default=0)
        while len(self._begins) > 1 and self._begins[0][0] <= asks_from:
            self._begins.popleft()
        first = self._begins[0]
        if len(self._begins) == 1 and first[0] <= asks_from:
            first = (first[0], (self._writer.epoch, self._writer.next_sequence))
        position = min([first[1], *(line.gap for line in self.lines if line.gap)])
        reached = {line.name: line.poller.reached or 0 for line in begun}
        try:
            memory.Note(self._writer.next_sequence, position, reached).write(
                memory.note_path(self._home, self.venue)
            )
        except OSError as error:
            if not self._note_failed:
                self._log.warn("the note of what was reached cannot be written", cause=str(error))
            self._note_failed = True
        else:
            self._note_failed = False

    # ── what is told ──────────────────────────────────────────────────────────────────────────────

    @property
    def writer(self) -> _native.JournalWriter:
        return self._writer

    @property
    def protocol(self) -> str:
        return self.venue.removeprefix(SIM_PREFIX)

    def state(self) -> str:
        """One word for how it goes."""
        states = {line.state for line in self.lines}
        if self._state == "draining":
            return self._state
        if states == {"refused"}:
            word = "failed"
        elif states == {"live"}:
            word = "live"
        elif "live" in states:
            word = "stale" if states & {"stale", "refused"} else "live"
        else:
            word = "reconnecting" if "stale" in states else "starting"
        self._enter(word)
        return word

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state, self.since_ns = state, time.time_ns()


def _opened(home: Home, venue: str, settings: Settings) -> _native.JournalWriter:
    """The writer of the venue's journal. Its protocol is the provider's own, so that a native collector of
    that name can go on with it, and the other way round; never both at once."""
    try:
        return _native.JournalWriter(
            os.fspath(home.path), venue, venue.removeprefix(SIM_PREFIX),
            max_bytes=settings.max_bytes, keep_hours=settings.keep_hours,
        )  # fmt: skip
    except RuntimeError as error:
        if "being written by" not in str(error):
            raise ResourceError("journal_failed", str(error), http_status=507) from error
        raise ConflictError(
            "journal_held",
            f"{venue} has a collector already: {error}",
            hint="a venue's journal has one writer; `tidemill status` shows who runs",
        ) from error
    except OSError as error:
        raise ResourceError("journal_failed", str(error), http_status=507) from error


async def collect(collector: Collector) -> None:
    """Runs a collector until SIGTERM or SIGINT, or end-of-file on stdin where it is supervised."""
    import signal
    import sys

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, collector.stopping.set)
    if collector.settings.supervised:

        def gone() -> None:
            with contextlib.suppress(OSError):
                if os.read(sys.stdin.fileno(), 4096):
                    return
            loop.remove_reader(sys.stdin.fileno())
            collector.stopping.set()

        loop.add_reader(sys.stdin.fileno(), gone)
    await collector.run()
