"""What every route works with: one object per service process, made before the first request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anyio
from sqlalchemy import Connection
from starlette.requests import HTTPConnection

from tidemill import address
from tidemill.cache import Shared
from tidemill.home import Home
from tidemill.metadata import Metadata
from tidemill.query.pool import Pool
from tidemill.service import auth, ledger, revision
from tidemill.service.alerting import Alerts
from tidemill.service.auth import SESSION, Keeper
from tidemill.service.backtest import Results
from tidemill.service.calculation import Calculations
from tidemill.service.config import Config
from tidemill.service.follow import EVENT, Follow
from tidemill.service.grown import KEEP_S, READ_S, Accessed, Grown
from tidemill.service.indicator_feed import Feeds
from tidemill.service.kept import Kept
from tidemill.service.lab import Lab
from tidemill.service.observe import Metrics
from tidemill.service.part import Cost, Watch
from tidemill.service.provider import Providers
from tidemill.service.round import Round, Turn
from tidemill.service.view import View

T = TypeVar("T")
# A database that hangs keeps these many threads and no more: market data is read by the others.
DATABASE_THREADS = 16


class Platform:
    """Home, database, data and the other parts, as one service sees them."""

    def __init__(self, config: Config) -> None:
        """Opens home and database. Raises `ConfigError` when they cannot be used."""
        config.home.create()
        self.config = config
        self.home: Home = config.home
        self.metadata = Metadata.of(config.home)
        self.cache = Shared(address.named("TIDEMILL_REDIS_URL"), auth.name(config.home))
        self.keeper = Keeper(config.home, self.metadata, config.port, self.cache)
        self.metrics = Metrics(self.cache)
        self.view = View(config.home, self.cache)
        self.providers = Providers()
        self.kept = Kept(self.cache)
        self.calculations = Calculations(self)
        self.feeds = Feeds(self)
        self.alerts = Alerts(self)
        self.queries = Pool(config.home.path)
        self.results = Results(config.home)
        self.lab = Lab(config.home, config.profile)
        self.watch = Watch(config.home)
        self.follow = Follow(self.metadata, self.cache)
        gaps = ledger.Ledger(self.metadata, self.view)
        bars = revision.Revisions(self.metadata, self.view)
        grown = Grown(self.metadata, self.view)
        self.accessed = Accessed(self.metadata)
        turn = Turn(config.home.run / "housekeeping.lock")
        self.rounds = (
            Round(gaps.read, ledger.READ_S, "gap records cannot be read", turn),
            Round(bars.read, revision.READ_S, "revised bars cannot be told", turn),
            Round(grown.read, READ_S, "the growth of datasets cannot be told", turn),
            Round(self.accessed.keep, KEEP_S, "what was asked for cannot be kept"),
        )
        self._threads = anyio.CapacityLimiter(DATABASE_THREADS)
        self.own = Cost()
        self.started = time.time_ns()
        self.draining = asyncio.Event()

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs a database read in a worker thread."""
        return await anyio.to_thread.run_sync(self._read, query, limiter=self._threads)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Runs a database change in a worker thread, then wakes whoever follows the events, in this process
        and in others."""
        return await anyio.to_thread.run_sync(self._write, change, limiter=self._threads)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Runs something that blocks in a worker thread."""
        return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=False)

    def measure(self) -> None:
        """Reads what this process costs, at most once a second: a share of less is mostly rounding."""
        if time.monotonic() - self.own.read_at >= 1.0:
            self.own.read(os.getpid())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Background work for as long as the service serves."""
        self.measure()
        self.watch.start()
        self.cache.start((EVENT, SESSION))
        self.follow.start()
        for work in self.rounds:
            work.start()
        self.alerts.start()
        try:
            yield
        finally:
            for part in (self.feeds, self.alerts, *self.rounds, self.follow, self.watch):
                await part.close()
            await self.run(self.lab.close)
            await self.run(self.queries.close)
            await self.run(self.results.close)
            await self.run(self.view.close)
            await self.run(self.cache.close)
            self.metadata.close()

    def _read(self, query: Callable[[Connection], T]) -> T:
        with self.metadata.read() as connection:
            return query(connection)

    def _write(self, change: Callable[[Connection], T]) -> T:
        with self.metadata.write() as connection:
            result = change(connection)
        self.cache.publish(EVENT)
        return result


def of(connection: HTTPConnection) -> Platform:
    """The platform of the application that serves a request."""
    platform: Platform = connection.app.state.platform
    return platform
