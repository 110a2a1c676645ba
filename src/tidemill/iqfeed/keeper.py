"""The watchdog: keeps IQConnect alive, for as long as it runs.

It holds one connection to the admin port for ever, because IQConnect ends itself when its last client has
gone; everybody else comes and goes. Only one keeper runs, so that only one launches IQConnect.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import Any

from tidemill import __version__
from tidemill.control import Answer, Handler, Server
from tidemill.errors import AuthError, ConfigError, ResourceError, TidemillError, UpstreamError
from tidemill.home import Home, Lock
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.admin import ClientStats, Login, Stats, open_admin, refused_login
from tidemill.iqfeed.link import Link
from tidemill.iqfeed.lookup import disconnected
from tidemill.iqfeed.metric import text as metric_text
from tidemill.iqfeed.program import Program
from tidemill.iqfeed.watch import Action, Budget, Timing, Watch
from tidemill.log import Log

PART = "iqfeed"
CLIENT = "tidemill-keeper"
APP_VERSION = "1.0.0.0"
"""What DTN is told of us beside the product's id."""

COUNTED = ("starts", "attempts", "failures", "connects", "logins", "reconnections")


def lock(home: Home, address: Address) -> list[Lock]:
    """Makes this process the only keeper of the home, and of this IQConnect among all homes of the user.

    Raises `ConflictError` where there is one.
    """
    from platformdirs import user_state_path

    held = [Lock(home.run / "iqfeed.lock", f"the keeper of IQConnect in {home.path}")]
    folder = user_state_path("tidemill")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return held  # a user without a home has no other platforms either
    name = f"iqfeed-{address.host.replace('/', '_')}-{address.admin}.lock"
    try:
        held.append(Lock(folder / name, f"IQConnect at {address.host}:{address.admin}"))
    except TidemillError:
        held[0].close()
        raise
    return held


class Keeper:
    """One watchdog over one IQConnect."""

    def __init__(
        self, home: Home, address: Address, program: Program, login: Login | None, timing: Timing, log: Log
    ) -> None:
        self.stopping = asyncio.Event()
        self._home = home
        self._address = address
        self._program = program
        self._login = login
        self._timing = timing
        self._log = log
        self._watch = Watch(timing)
        self._budget = Budget(timing, program.starts)
        self._link: Link | None = None
        self._error: TidemillError | None = None
        self._queued: dict[str, int] = {}
        self._told: str = ""
        # When the admin port has been silent for too long, by the monotonic clock.
        self._until = 0.0
        self._since_ns = time.time_ns()
        self._started = time.monotonic()
        self._state = "starting"
        self.counts = dict.fromkeys(COUNTED, 0)

    async def run(self) -> None:
        """Until `stopping` is set. Then the IQConnect that was started here is ended too."""
        handlers: dict[str, Handler] = {
            "status": self._answer_status, "metrics": self._answer_metrics, "drain": self._answer_drain
        }  # fmt: skip
        server = Server(self._home.control(PART), handlers)
        await server.start()
        keeping = asyncio.create_task(self._keep())
        stopping = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait((keeping, stopping), return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()  # a bug: it never ends by itself
        finally:
            self._set_state("draining")
            for task in (keeping, stopping):
                task.cancel()
            await asyncio.gather(keeping, stopping, return_exceptions=True)
            if self._link:
                await self._link.close()
            await self._program.end()
            await server.close()

    async def _keep(self) -> None:
        while True:
            try:
                await self._listen()
            except UpstreamError as error:
                self._lost(error)
            if self._link is None and self._program.pid is None:
                self._watch.ended()
            try:
                await self._act(self._watch.due(time.monotonic()))
            except UpstreamError as error:
                self._lost(error)
            self._judge()
            if self._link is None:
                await asyncio.sleep(self._timing.retry_s)

    async def _listen(self) -> None:
        """Takes what the admin port says, or connects to it. Raises `UpstreamError`."""
        silence_s = self._timing.silence_s
        if self._link is None:
            self._link = await open_admin(self._address, CLIENT, timeout_s=silence_s)
            await self._link.send("S,CLIENTSTATS ON")
            self._log.info("the admin port answers", protocol=".".join(map(str, self._link.protocol)))
            # Its first STATS has as long as any other.
            self._until = time.monotonic() + silence_s
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                lines = await self._link.read()
        except TimeoutError:
            raise UpstreamError(
                "iqfeed_silent",
                f"{self._link.where} has said nothing for {silence_s:g} s",
                hint="IQConnect hangs; it is started anew if that goes on",
            ) from None
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        """One line of the admin port. It may hold the password, so none is ever told on."""
        if stats := Stats.of(line):
            self._until = time.monotonic() + self._timing.silence_s
            before = self._watch.stats
            self._watch.heard(stats, time.monotonic())
            if before and stats.reconnections > before.reconnections:
                self.counts["reconnections"] += stats.reconnections - before.reconnections
                self._log.warn("IQConnect connected to DTN again", reconnections=stats.reconnections)
        elif client := ClientStats.of(line):
            self._queued[client.id] = client.kb_queued
        elif not self._watch.login_refused and refused_login(line, sent=self.counts["logins"] > 0):
            self._watch.refused()
            self._log.error("DTN does not take the login", hint="look at DTN_LOGIN and DTN_PASSWORD")

    def _lost(self, error: UpstreamError) -> None:
        if self._link:
            self._link.abort()
            self._link = None
        self._queued.clear()
        self.counts["failures"] += 1
        self._watch.failed()
        # What is missing here is why nobody answers there.
        if not isinstance(self._error, ConfigError):
            self._error = error

    async def _act(self, action: Action | None) -> None:
        link = self._link
        if action is Action.START:
            await self._start()
        elif action is Action.LOG_IN and link and self._login:
            self.counts["logins"] += 1
            for line in self._login.lines(APP_VERSION):
                await link.send(line)
            self._log.info("logging in to DTN")
        elif action in (Action.CONNECT, Action.LOG_IN) and link:
            self.counts["connects"] += 1
            await link.send("S,CONNECT")
            self._log.info("told IQConnect to connect to DTN")

    async def _start(self) -> None:
        """Starts IQConnect where the budget allows it now; else it comes up again at the next round."""
        now = time.time()
        if self._budget.wait_s(now) > 0:
            return
        if self._link:
            self._link.abort()
            self._link = None
        self._budget.spend(now)
        self.counts["attempts"] += 1
        try:
            pid = await self._program.start()
        except ConfigError as error:
            self._watch.failed()
            self._error = error
            self._log.error(f"{error.message} (attempt {self.counts['attempts']})", hint=error.hint)
            return
        self.counts["starts"] += 1
        self._error = None
        self._watch.started(time.monotonic())
        # The words hold no secret of ours, and whatever a user put into them is not for a log.
        self._log.info(
            "started IQConnect", pid=pid, program=self._program.words[0], start=self.counts["starts"]
        )

    # ── what is told ──────────────────────────────────────────────────────────────────────────────

    def _judge(self) -> None:
        """The state and the error that tell best how things are."""
        now = time.time()
        watch = self._watch
        if watch.connected:
            self._error = None
            self._set_state("live")
            return
        if watch.login_refused:
            self._error = AuthError(
                "iqfeed_login_refused",
                "DTN does not take the login",
                hint="look at DTN_PRODUCT_ID, DTN_LOGIN and DTN_PASSWORD, or whether the account has expired",
            )
        elif watch.stats:
            self._error = disconnected()
            if self._login is None:
                self._error.hint = "DTN_LOGIN and DTN_PASSWORD are not set; IQConnect has only what it saved"
        elif self._budget.is_exhausted(now) and watch.failures >= self._timing.failures:
            if not isinstance(self._error, ConfigError):
                starts = self._timing.starts
                self._error = ResourceError(
                    "iqconnect_crash_loop",
                    f"IQConnect was started {starts} times within {self._timing.window_s:g} s and is gone",
                    hint=f"see {self._home.logs / 'iqconnect.log'}; it is tried again when that time is over",
                )
            self._set_state("blocked")
            return
        blocked = watch.login_refused or isinstance(self._error, ConfigError)
        self._set_state("blocked" if blocked else "stale" if self._state != "starting" else "starting")

    def _set_state(self, state: str) -> None:
        if self._error and self._error.code != self._told and state != "live":
            self._told = self._error.code
            self._log.warn(self._error.message, error=self._error.as_dict())
        if state == self._state:
            return
        if state == "live":
            self._told = ""
            self._log.info("IQConnect is connected to DTN")
        self._state, self._since_ns = state, time.time_ns()

    def status(self) -> dict[str, Any]:
        """The answer to `status`."""
        stats = self._watch.stats
        now = time.time()
        return {
            "part": PART,
            "pid": os.getpid(),
            "state": self._state,
            "since_ns": self._since_ns,
            "version": __version__,
            "address": self._address.url,
            "iqconnect": {
                "pid": self._program.pid,
                "version": stats.version if stats else None,
                "connected": self._watch.connected,
                "next_start_in_s": round(self._budget.wait_s(now), 1),
                "starts_in_window": len(self._budget.spent),
            },
            "error": self._error.as_dict() if self._error else None,
            "metrics": {
                **self.counts,
                "kb_queued_max": max(self._queued.values(), default=0),
                "clients": stats.clients if stats else 0,
                "symbols": stats.symbols if stats else 0,
                "since_update_s": stats.since_update_s if stats else None,
                "attempted_reconnections": stats.attempted_reconnections if stats else 0,
                "kb_received": stats.kb_received if stats else 0.0,
                "uptime_s": round(time.monotonic() - self._started, 1),
            },
        }

    async def _answer_status(self, _: Answer) -> Answer:
        return self.status()

    async def _answer_metrics(self, _: Answer) -> Answer:
        return {"text": metric_text(self.status())}

    async def _answer_drain(self, _: Answer) -> Answer:
        # After the answer is on its way.
        asyncio.get_running_loop().call_later(0.1, self.stopping.set)
        return {"ok": True}


async def keep(keeper: Keeper, *, supervised: bool) -> None:
    """Runs a keeper until SIGTERM or SIGINT, or end-of-file on stdin where it is supervised."""
    import signal
    import sys

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, keeper.stopping.set)
    if supervised:

        def gone() -> None:
            with contextlib.suppress(OSError):
                if os.read(sys.stdin.fileno(), 4096):
                    return
            loop.remove_reader(sys.stdin.fileno())
            keeper.stopping.set()

        loop.add_reader(sys.stdin.fileno(), gone)
    await keeper.run()
