"""The fetching: N workers ask, one writer keeps what has come, several chunks in one commit.

A chunk counts as done once it is kept, never before; its application id makes keeping it twice impossible. So
an attempt may end at any moment, and the next one asks only for what is not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tidemill import providers
from tidemill.errors import NotFoundError, RateLimitError, TidemillError, UpstreamError, UsageError
from tidemill.jobs.fetch.mark import Mark
from tidemill.jobs.fetch.order import Order
from tidemill.jobs.fetch.plan import ROW_BYTES, Plan, Series
from tidemill.jobs.kind.api import Context
from tidemill.model.time import iso
from tidemill.providers.api import Chunk, Gate, Provider
from tidemill.stores import imported
from tidemill.stores.api import Store

BATCH_S = 3.0
BATCH_ROWS = 500_000
"""A commit holds what came in this time, or this many rows."""
IN_FLIGHT_ROWS = {"bars": 5_000_000, "trades": 1_500_000}
"""Rows that may be under way at once, by what is expected of their chunks: this bounds the memory."""
TRIES = 6
PAUSE_S = 1.0
PAUSE_S_MAX = 60.0
LOOK_S = 0.1


class CancelledByUser(Exception):
    """The job was asked to end."""


class Counted:
    """A gate that counts who goes through."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.requests = 0

    async def enter(self, cost: int = 1) -> None:
        await self._gate.enter(cost)
        self.requests += 1

    def pause(self, seconds: float) -> None:
        self._gate.pause(seconds)


@dataclass(frozen=True)
class Fetched:
    """A chunk that has come."""

    unit: int
    at: int
    """Its symbol's place."""
    rows: int
    part: imported.Part


class Room:
    """Rows that may be under way at once; one chunk always may, however large."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._news = asyncio.Condition()

    async def enter(self, rows: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: not self._held or self._held + rows <= self._most)
            self._held += rows

    async def leave(self, rows: int) -> None:
        async with self._news:
            self._held -= rows
            self._news.notify_all()


class Fetch:
    """One attempt at a fetch job."""

    def __init__(self, context: Context, order: Order, store: Store, url: str | None = None) -> None:
        self._context, self._order, self._store = context, order, store
        self._gates: list[Counted] = []
        self._provider: Provider = providers.open(
            order.provider, context.home, url=url, through=self._counted
        )
        self._plan = Plan.of(order, self._provider, context.job_id)
        before = context.resumed if isinstance(context.resumed, dict) else {}
        if before.get("units") != self._plan.units:
            before = {}  # cut otherwise by now; what is kept is found by its application ids
        self._done = Mark(before.get("done", ""))
        self._missing: set[int] = set(before.get("missing", ()))
        self._counts: Counter[str] = Counter(before.get("counts", {}))
        self._requests_before = self._counts["requests"]
        self._queue: asyncio.Queue[Fetched | None] = asyncio.Queue(2 * order.workers)
        self._room = Room(IN_FLIGHT_ROWS[order.kind])
        self._rows_seen = 0
        self._seen = 0

    def _counted(self, gate: Gate) -> Gate:
        self._gates.append(Counted(gate))
        return self._gates[-1]

    async def run(self) -> dict[str, Any]:
        """Fetches what is not held and returns the job's result. Raises what ends the job; what has come by
        then is kept."""
        held = await asyncio.to_thread(self._plan.held, self._store)
        new = {unit for unit in held if unit not in self._done}
        self._counts["held"] += len(new)
        self._done.add(new)
        self._wanted = self._wanted_units()
        self._tell()
        watch = asyncio.create_task(self._watch())
        writer = asyncio.create_task(self._write())
        workers = [asyncio.create_task(self._work()) for _ in range(self._order.workers)]
        fetching: asyncio.Future[Any] = asyncio.gather(*workers)
        tasks: list[asyncio.Future[Any]] = [watch, writer, *workers]
        try:
            await asyncio.wait([watch, writer, fetching], return_when=asyncio.FIRST_COMPLETED)
            failure = fetching.exception() if fetching.done() else None
            if fetching.done():
                for worker in workers:
                    worker.cancel()
                # A writer that has ended takes nothing more out of a full queue.
                tasks.append(asyncio.create_task(self._queue.put(None)))
                await asyncio.wait([watch, writer], return_when=asyncio.FIRST_COMPLETED)
            for task in (watch, writer):
                if task.done():
                    task.result()
            if failure is not None:
                await asyncio.to_thread(self._join_begun)
                raise failure
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(fetching, *tasks, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self._provider.close()
        self._tell()
        return self._result()

    def _result(self) -> dict[str, Any]:
        found = [one.instrument for at, one in enumerate(self._plan.series) if at not in self._missing]
        return {
            "instruments": found,
            "rows": self._counts["rows"],
            "chunks": self._counts["chunks"],
            "requests": self._requests(),
            "bytes": self._counts["bytes"],
            "held": self._counts["held"],
            "empty": self._counts["empty"],
            "not_found": [self._plan.series[at].symbol for at in sorted(self._missing)],
        }

    def _requests(self) -> int:
        return self._requests_before + sum(gate.requests for gate in self._gates)

    # ── asking ────────────────────────────────────────────────────────────────────────────────────

    def _wanted_units(self) -> Iterator[tuple[int, int, int]]:
        """Chunks to fetch. Symbols whose chunks are all there come first: theirs are only the shared bars."""
        return (line for line in self._plan.each() if line[0] not in self._done)

    async def _work(self) -> None:
        for unit, at, place in self._wanted:
            if at in self._missing:
                continue
            one = self._plan.series[at]
            chunk = one.chunks[place]
            await self._room.enter(chunk.rows)
            try:
                await self._queue.put(await self._fetched(unit, at, place))
            except NotFoundError as error:
                if at not in self._missing:
                    self._missing.add(at)
                    self._context.log(f"{one.symbol}: {error.message}", "warning")
            finally:
                await self._room.leave(chunk.rows)

    async def _fetched(self, unit: int, at: int, place: int) -> Fetched:
        """One chunk, asked for until it comes. Raises what no further try would mend."""
        one = self._plan.series[at]
        chunk = one.chunks[place]
        tried = 0
        while True:
            tried += 1
            try:
                rows, part = await self._asked(one, chunk, one.applications[place])
                return Fetched(unit, at, rows, part)
            except TidemillError as error:
                where = f"{one.instrument} from {iso(chunk.start)} to {iso(chunk.end)}"
                if not error.retryable:
                    raise
                if tried >= TRIES:
                    raise UpstreamError(
                        "fetch_failed",
                        f"{where} could not be fetched in {tried} tries: {error.message}",
                        hint="what has come is kept; the same fetch again asks for the rest alone",
                        retryable=False,
                    ) from error
                pause = min(PAUSE_S_MAX, PAUSE_S * 2 ** (tried - 1))
                if isinstance(error, RateLimitError):
                    pause = max(pause, error.retry_after_s)
                self._context.log(f"{where}: {error.message}; again in {pause:g} s", "warning")
                await asyncio.sleep(pause)

    async def _asked(self, one: Series, chunk: Chunk, application: str) -> tuple[int, imported.Part]:
        name = application.rpartition("/")[2]
        how: dict[str, Any] = {
            "source": self._order.provider, "chunk": name, "delay_ns": one.delay_ns,
            "span": (chunk.start, chunk.end),
        }  # fmt: skip
        try:
            if self._order.kind == "trades":
                trades = await self._provider.trades(one.ask, chunk)
                how["ts_recv"] = time.time_ns()
                part = await asyncio.to_thread(imported.trades_part, one.instrument, trades, **how)
                return len(trades), part
            bars = await self._provider.bars(one.ask, chunk)
            how["ts_recv"] = time.time_ns()
            columns = vars(bars)
            interval = self._order.interval
            part = await asyncio.to_thread(imported.bars_part, one.instrument, interval, columns, **how)
            return len(bars), part
        except UsageError as error:
            if error.code != "bars_invalid":
                raise
            raise UpstreamError(
                "provider_answer", f"{one.instrument}: {error.message}", hint=error.hint, retryable=False
            ) from error

    # ── keeping ───────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        """Keeps what comes until None does; raises `Stopped` when this attempt is over."""
        await self._finish_symbols()
        last = False
        while not last:
            batch: list[Fetched] = []
            rows = 0
            until = float("inf")
            while rows < BATCH_ROWS:
                try:
                    wait_s = None if until == float("inf") else max(0.0, until - time.monotonic())
                    item = await asyncio.wait_for(self._queue.get(), wait_s)
                except TimeoutError:
                    break
                if item is None:
                    last = True
                    break
                until = min(until, time.monotonic() + BATCH_S)
                batch.append(item)
                rows += len(item.part)
            if batch:
                await asyncio.to_thread(imported.keep_all, self._store, [item.part for item in batch])
                self._count(batch)
            await self._finish_symbols()
            await self._checkpoint()

    def _count(self, batch: list[Fetched]) -> None:
        self._done.add(item.unit for item in batch)
        for item in batch:
            self._counts["rows"] += item.rows
            self._counts["chunks"] += 1
            self._counts["empty"] += not item.rows
            self._counts["bytes"] += item.rows * ROW_BYTES[self._order.kind]
            self._seen += 1
            self._rows_seen += item.rows
        self._tell(self._plan.series[batch[-1].at].instrument)

    async def _finish_symbols(self) -> None:
        """Of symbols whose chunks are all there, the bars that chunks share."""
        for at, one in enumerate(self._plan.series):
            first, last = self._plan.firsts[at], self._plan.firsts[at + 1] - 1
            if last in self._done or any(unit not in self._done for unit in range(first, last)):
                continue
            await asyncio.to_thread(self._join, one, list(one.chunks))
            self._done.add((last,))
            self._context.log(f"{one.instrument}: all {len(one.chunks)} chunks are kept")

    def _join(self, one: Series, chunks: list[Chunk]) -> None:
        imported.join(
            self._store,
            one.instrument,
            self._order.what,
            *((chunk.start, chunk.end) for chunk in chunks),
            source=self._order.provider,
            ts_recv=time.time_ns(),
            delay_ns=one.delay_ns,
        )

    def _join_begun(self) -> None:
        """The same of symbols that the job ends in the middle of: what is kept is to be seen at every
        interval."""
        for at, one in enumerate(self._plan.series):
            first = self._plan.firsts[at]
            there = [chunk for n, chunk in enumerate(one.chunks) if first + n in self._done]
            if 0 < len(there) < len(one.chunks):
                self._join(one, there)

    async def _checkpoint(self) -> None:
        counts = {**self._counts, "requests": self._requests()}
        value = {
            "units": self._plan.units, "done": str(self._done), "missing": sorted(self._missing),
            "counts": counts,
        }  # fmt: skip
        await asyncio.to_thread(self._context.checkpoint, value)

    # ── telling ───────────────────────────────────────────────────────────────────────────────────

    def _tell(self, now_at: str = "") -> None:
        """Rows so far, of as many as the chunks to come will have if they are like those that came."""
        rows = self._counts["rows"]
        chunks = sum(len(one.chunks) for one in self._plan.series)
        left = sum(
            1 for unit, at, _ in self._plan.each() if unit not in self._done and at not in self._missing
        )
        if self._seen:
            each = self._rows_seen / self._seen
        else:
            each = sum(chunk.rows for one in self._plan.series for chunk in one.chunks) / max(chunks, 1)
        note = f"{chunks - left:,} of {chunks:,} chunks" + (f", {now_at}" if now_at else "")
        self._context.progress(rows, rows + round(left * each), "rows", note)

    async def _watch(self) -> None:
        while not self._context.cancelled():
            await asyncio.sleep(LOOK_S)
        raise CancelledByUser


async def run(context: Context, order: Order, store: Store) -> dict[str, Any]:
    """Does the job: see `Fetch.run`."""
    return await Fetch(context, order, store).run()
