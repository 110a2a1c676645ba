"""The recorder as a process: threads that tail, one thread that commits, a control socket, signals.

Each venue has a thread that sleeps in its journal. Nothing is queued without a bound: when as many records
wait for a commit as `Pace` allows, the tails stop reading, and the journal is the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill import __version__
from tidemill.errors import ConflictError, DataQualityError, InternalError, TidemillError, UsageError
from tidemill.home import Home, Lock
from tidemill.log import Log

if TYPE_CHECKING:
    from tidemill.recorder.housekeeping import Housekeeping
    from tidemill.recorder.recorder import Recorder, Venue
    from tidemill.stores.api import FencedError, Store
    from tidemill.stores.source import Batch, Hole, Place, Source
    from tidemill.stores.window import Keeping

PART = "recorder"
TAIL_PAUSE_S = 0.2
"""Between two reads of a quiet tail: no store needs milliseconds, and few wake-ups cost little."""
LOOK_FOR_VENUES_S = 2.0
DRAIN_S = 1.0
"""How long reading may go on after the order to end."""
RETRY_S = 2.0
"""After a commit that failed for a reason that may pass, such as a full disk."""
AWAY_S = (0.2, 5.0)
"""Between two tries while the store is away: the first pause, which doubles, and the longest."""
DEAD_S = 10.0
"""Between two looks at the rows that a store would not take."""
UNREADABLE_S = 10.0
"""Between two tries at a venue of which a stored file cannot be read: somebody has to put it back."""


@dataclass(frozen=True)
class Pace:
    """How much is committed at once, which is also what memory is needed for."""

    commit_s: float
    """Between two commits."""
    commit_records: int
    """A commit comes early when this many records wait."""
    pending_max: int
    """Records that may wait for a commit, all venues together; 48 bytes each, and about ten times as much
    while they become rows."""
    read_records: int
    """Read from a journal at once."""


LAKE = Pace(10.0, 500_000, 1_000_000, 1 << 17)
"""Few and large files."""
DATABASE = Pace(1.0, 16_000, 32_000, 1 << 13)
"""Rows are there soon, and ten minutes without a server cost 32 MiB at most."""


def main(argv: list[str]) -> int:
    """Runs until SIGTERM or SIGINT, or end-of-file on stdin with --supervised; returns the exit code."""
    arguments = _parser().parse_args(argv)
    log = Log(PART)
    try:
        home = Home.at(arguments.home)
        home.create()
        lock = Lock(home.run / "recorder.lock", f"the recorder of {home.path}")
    except TidemillError as error:
        log.error(error.message, error=error.as_dict())
        return error.exit_code
    try:
        return Process(home, arguments, log).run()
    except TidemillError as error:
        log.error(error.message, error=error.as_dict())
        return error.exit_code
    except OSError as error:
        # An fsync that failed is never tried again: what the disk holds now is unknown, a restart reads it.
        log.error("the disk failed; the recorder ends and recovers at its next start", cause=str(error))
        return 1
    except Exception as error:
        cause = "".join(traceback.format_exception(error))
        log.error("the recorder failed; it recovers at its next start", cause=cause)
        return 1
    finally:
        lock.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tidemill recorder", description="Journals into the store.")
    parser.add_argument(
        "--source",
        default="journal",
        help="journal (in place, default) or relay:ADDRESS (socket, tls:host:port or host:port)",
    )
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of everything that fills a store."""
    parser.add_argument("--home", help="the platform's folder")
    parser.add_argument(
        "--store",
        help="where rows go: lake (default), postgresql://… or arctic://…; TIDEMILL_STORE_URL says it too",
    )
    parser.add_argument(
        "--commit-s", type=float, help="seconds between commits (default 10 for the lake, 1 for a database)"
    )
    parser.add_argument(
        "--levels-hours", type=float, default=48.0, help="hours of book levels kept (default 48; 0 keeps all)"
    )
    parser.add_argument(
        "--sim-hours",
        type=float,
        default=48.0,
        help="hours of simulated venues kept (default 48; 0 keeps all)",
    )
    parser.add_argument("--supervised", action="store_true", help="end at end-of-file on stdin")


class Tail(threading.Thread):
    """Reads one venue's source and hands batches over."""

    def __init__(self, process: Process, venue: Venue, source: Source) -> None:
        super().__init__(name=f"tail-{venue.name}", daemon=True)
        self._process = process
        self.venue = venue
        self._source = source
        self.failed: str | None = None
        self.left = threading.Event()
        """Set when the venue is not this process's any more."""

    def run(self) -> None:
        process = self._process
        try:
            gone = self._source.seek(self.venue.taken)
            if gone:
                process.hand_over(self, None, [gone])
            while not (process.stopping.is_set() or self.left.is_set()):
                batch = self._source.read(process.pace.read_records, 500)
                process.hand_over(self, batch, list(self._source.holes()))
                if batch is None or len(batch.records) < process.pace.read_records // 2:
                    process.stopping.wait(TAIL_PAUSE_S)
        except Exception as error:  # whatever it was: a thread that ended unseen would end the venue
            self.failed = str(error) or type(error).__name__
            if not self.left.is_set():
                process.log.error(
                    "a tail ended; it is started again", venue=self.venue.name, cause=self.failed
                )
            process.wake()

    def newest(self) -> tuple[int, int]:
        """The next position to be written, as far as the source knows."""
        return self._source.newest()

    def drain(self) -> None:
        """What is in the source right now, read by the caller once the thread has ended. The rest of a
        long backlog stays in the journal for the next start."""
        until = time.monotonic() + DRAIN_S
        # A source that is away now is read at the next start.
        with contextlib.suppress(RuntimeError, OSError):
            while (
                time.monotonic() < until
                and (batch := self._source.read(self._process.pace.read_records, 0)) is not None
            ):
                self._process.hand_over(self, batch, list(self._source.holes()), wait=False)


class Process:
    """One recorder process."""

    part = PART

    def __init__(self, home: Home, arguments: argparse.Namespace, log: Log) -> None:
        self.home = home
        self.log = log
        self.stopping = threading.Event()
        self._arguments = arguments
        from tidemill.stores.opening import is_lake, place

        self.place = place(home.path, arguments.store)
        """Where rows go, without passwords."""
        self.pace = LAKE if is_lake(arguments.store) else DATABASE
        self._commit_s: float = self.pace.commit_s if arguments.commit_s is None else arguments.commit_s
        self._store: Store | None = None
        self._failing_ns: int | None = None
        """Since when no commit went through."""
        self._pause_s = AWAY_S[0]
        self._dead_letters: int | None = None
        self._next_dead = 0.0
        self._wanted = threading.Condition()
        self._pending = 0
        self._inbox: list[tuple[Venue, Batch | None, list[Hole]]] = []
        self._tails: dict[str, Tail] = {}
        self._recorder: Recorder | None = None
        self._housekeeping: Housekeeping | None = None
        self._keeping: Keeping | None = None
        self._state = "starting"
        self._since_ns = time.time_ns()
        self._started = time.monotonic()
        self._commits = 0
        self._commit_ms = 0.0
        self._commit_ns = 0
        self._rates: dict[str, float] = {}
        self._counted: dict[str, int] = {}
        self._counted_at = time.monotonic()
        self._error: dict[str, Any] | None = None
        self._origin: Place
        self._unreachable = False
        self._refused: set[str] = set()
        self._unreadable: dict[str, tuple[DataQualityError, float]] = {}
        """Venues of which a stored file cannot be read, and when they are tried again."""
        self._readers: dict[str, Any] = {}
        self._control: threading.Thread | None = None

    # ── life ──────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop("signal"))
        if self._arguments.supervised:
            threading.Thread(target=self._watch_stdin, daemon=True).start()
        self._control = control = threading.Thread(target=self._serve_control, daemon=True)
        control.start()
        self.log.info(f"{self.part} starts", home=str(self.home.path), pid=os.getpid())
        try:
            if not self._begun():
                return 0
            self._enter("idle")
            self._work()
            return self._end()
        finally:
            self.stopping.set()
            control.join(1.0)

    def _begun(self) -> bool:
        """Opens the store, as soon as it is there; False when told to end before that."""
        from tidemill.stores.api import UnavailableError

        while not self.stopping.is_set():
            try:
                self._begin()
                return True
            except UnavailableError as error:
                self._away(error)
                self.stopping.wait(self._pause_s)
        return False

    def _work(self) -> None:
        next_commit = time.monotonic() + self._commit_s
        next_look = 0.0
        while not self.stopping.is_set():
            now = time.monotonic()
            if now >= next_look:
                self._look_for_venues()
                next_look = now + LOOK_FOR_VENUES_S
            self._take_inbox()
            full = self._pending >= self.pace.commit_records and self._failing_ns is None
            if now >= next_commit or full:
                ok = self._commit()
                next_commit = time.monotonic() + (self._commit_s if ok else self._pause_s)
                if ok:
                    self._keep_house()
            with self._wanted:
                if (not self._inbox or self._failing_ns is not None) and not self.stopping.is_set():
                    self._wanted.wait(min(max(next_commit - time.monotonic(), 0.05), LOOK_FOR_VENUES_S))

    def _keep_house(self) -> None:
        if self._housekeeping:
            self._housekeeping.step()
        if self._keeping:
            self._keeping.step()
        now = time.monotonic()
        if now >= self._next_dead and (dead := getattr(self._store, "dead", None)):
            from tidemill.stores.api import UnavailableError
            from tidemill.stores.table import TABLES

            self._next_dead = now + DEAD_S
            try:
                self._dead_letters = sum(dead(table) for table in TABLES.values())
            except UnavailableError:
                pass  # the next commit tells of it
            except Exception as error:  # whatever a server says: no row depends on it
                self.log.warn("dead letters cannot be counted", cause=f"{type(error).__name__}: {error}")

    def _begin(self) -> None:
        # Heavy imports come after the control socket answers; the journal keeps what arrives meanwhile.
        from tidemill.recorder.housekeeping import Housekeeping
        from tidemill.recorder.recorder import Recorder
        from tidemill.stores.lake import Lake
        from tidemill.stores.opening import open_store
        from tidemill.stores.table import TABLES
        from tidemill.stores.window import Keeping, Window, in_use

        self._origin = self._open_origin()
        self._store = store = open_store(self.home.path, self._arguments.store)
        kept = {"levels_hours": self._arguments.levels_hours, "sim_hours": self._arguments.sim_hours}
        lake = store.lake if isinstance(store, Window) else store
        if isinstance(lake, Lake):
            for line in lake.mend(list(TABLES.values())):
                self.log.warn("a torn log was mended", what=line)
            if lake is store and in_use(lake):
                raise ConflictError(
                    "store_elsewhere",
                    f"the newest rows of {self.place} lie in the database that it was a window's lake of",
                    hint="give TIDEMILL_STORE_URL as before, or hand them back first (docs/stores.md)",
                )
            self._housekeeping = Housekeeping(lake, self.log, **kept)
        if isinstance(store, Window):
            self._keeping = Keeping(store, self.log, **kept)
        frees_journal = self.part == PART
        self._recorder = Recorder(self.home.path, store, self.log.warn, frees_journal=frees_journal)

    def _open_origin(self) -> Place:
        from tidemill.stores.source import Origin

        return Origin(self.home.path, *self._relay())

    def _relay(self) -> tuple[str | None, str | None]:
        """Address and token of the relay to read from; None for the journals of this home."""
        scheme, _, address = self._arguments.source.partition(":")
        if self._arguments.source == "journal":
            return None, None
        if scheme != "relay" or not address:
            raise UsageError(
                "source_invalid",
                f"--source {self._arguments.source!r} is neither journal nor relay:ADDRESS",
                hint="write relay:/path/to/relay.sock, relay:tls:host:port or relay:host:port",
            )
        # On another machine the token is that of the relay's home; here it is this home's own.
        token = os.environ.get("TIDEMILL_RELAY_TOKEN") or self.home.read_token()
        return address, token

    def _end(self) -> int:
        self._enter("draining")
        for tail in self._tails.values():
            tail.join(2.0)
            if not tail.is_alive() and tail.failed is None:
                tail.drain()
        self._take_inbox()
        stored = self._commit()
        if self._control:
            self._control.join(1.0)
        if self._store:
            self._store.close()
        self.log.info(f"{self.part} ends", stored=stored, records=self._records)
        return 0 if stored else 1

    def _stop(self, why: str) -> None:
        self.stopping.set()
        self.log.info("asked to end", by=why)
        self.wake()

    def wake(self) -> None:
        """Wakes the committing thread. Safe in a signal handler: it never waits for the lock."""
        if self._wanted.acquire(blocking=False):
            try:
                self._wanted.notify_all()
            finally:
                self._wanted.release()

    def _watch_stdin(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self._stop("supervisor")

    @property
    def _keeper(self) -> Recorder:
        if self._recorder is None:
            raise InternalError("recorder_not_begun", "the recorder was used before its lake was open")
        return self._recorder

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()

    # ── venues and batches ────────────────────────────────────────────────────────────────────────

    def _look_for_venues(self) -> None:
        from tidemill.stores.api import UnavailableError

        try:
            names = self._origin.venues()
        except (RuntimeError, OSError) as error:
            if not self._unreachable:
                self.log.warn("the source cannot be reached; it is tried again", cause=str(error))
            self._unreachable = True
            return
        self._unreachable = False
        self._leave(set(self._tails) - set(names))
        # Whoever is first is a batch ahead: a recorder that is killed often must not starve the same venue.
        for name in random.sample(names, len(names)):
            tail = self._tails.get(name)
            if tail and tail.failed is None:
                continue
            if time.monotonic() < self._unreadable.get(name, (None, 0.0))[1]:
                continue
            try:
                newest_epoch = self._origin.newest(name)[0]
                source = self._origin.open(name)
                called = self._origin.names(name)
            except (RuntimeError, OSError) as error:
                if tail is None and name not in self._refused:
                    self._refused.add(name)
                    self.log.warn("a venue cannot be read yet", venue=name, cause=str(error))
                continue
            if tail:
                # Its thread has ended; what it handed over is pending, so reading goes on behind that.
                self._take_inbox()
                venue = tail.venue
            else:
                try:
                    venue = self._keeper.add(name, newest_epoch, called)
                except UnavailableError as error:
                    self._away(error)
                    return
                except DataQualityError as error:
                    # Its journal keeps what arrives, and the other venues are recorded.
                    if name not in self._unreadable:
                        self.log.error("a venue is not recorded", venue=name, error=error.as_dict())
                    self._unreadable[name] = (error, time.monotonic() + UNREADABLE_S)
                    continue
                self._unreadable.pop(name, None)
                self.log.info("records a venue", venue=name, after=venue.position)
            self._tails[name] = Tail(self, venue, source)
            self._tails[name].start()

    def _leave(self, venues: set[str]) -> None:
        """What happens to venues that the source names no more: a journal that is gone may come back."""

    def _settled(self) -> None:
        """Called when everything taken in so far is stored."""

    def _fenced(self, error: FencedError) -> None:
        """Called when another writer has moved an offset."""
        raise ConflictError(
            "writer_fenced",
            f"another recorder writes to {self.place}: {error}",
            hint="let one recorder write each venue; this one ends, and nothing is doubled",
        ) from error

    def _newest(self, name: str) -> tuple[int, int]:
        """The next position of a venue's journal, for the status."""
        if self._origin.address is not None:
            tail = self._tails.get(name)
            return tail.newest() if tail else (0, 0)
        from tidemill import _native

        reader = self._readers.get(name)
        if reader is None:
            reader = self._readers[name] = _native.JournalReader(str(self.home.path), name)
        newest: tuple[int, int] = reader.newest()
        return newest

    def hand_over(self, tail: Tail, batch: Batch | None, holes: list[Hole], *, wait: bool = True) -> None:
        """Called by tails; waits while too much is pending. What a tail brings whose venue was left meanwhile
        is dropped: nobody would commit it, and it would count as pending for ever."""
        if batch is None and not holes:
            return
        with self._wanted:
            while (
                wait
                and self._pending >= self._pending_max
                and not (self.stopping.is_set() or tail.left.is_set())
            ):
                self._wanted.wait(0.5)
            if tail.left.is_set():
                return
            self._inbox.append((tail.venue, batch, holes))
            self._pending += len(batch.records) if batch else 0
            if self._pending >= self.pace.commit_records:
                self._wanted.notify_all()

    @property
    def _pending_max(self) -> int:
        """While nothing can be kept the journal is the better queue."""
        most = self.pace.pending_max
        return most if self._failing_ns is None else min(most, DATABASE.pending_max)

    def _take_inbox(self) -> None:
        with self._wanted:
            taken, self._inbox = self._inbox, []
        for venue, batch, holes in taken:
            for hole in holes:
                self._keeper.lose(venue, hole)
            if batch is not None:
                self._keeper.take(venue, batch)

    # ── commits ───────────────────────────────────────────────────────────────────────────────────

    def _commit(self) -> bool:
        from tidemill.stores.api import FencedError, UnavailableError
        from tidemill.stores.delta import SyncError

        began = time.monotonic()
        try:
            if self._failing_ns is not None:
                self._keeper.look()  # rows are made once the store is back
            records = self._keeper.flush()
        except SyncError:
            raise
        except FencedError as error:
            self._fenced(error)
            return False
        except UnavailableError as error:
            self._away(error)
            return False
        except Exception as error:
            self._failed(
                error,
                "resource",
                "free disk space or mend the folder's rights; the recorder tries again by itself",
            )
            self._pause_s = RETRY_S
            return False
        if self._failing_ns is not None:
            self.log.info("commits go through again", after_s=(time.time_ns() - self._failing_ns) // 10**9)
        self._failing_ns, self._error, self._pause_s = None, None, AWAY_S[0]
        if records:
            self._commits += 1
            self._commit_ms = (time.monotonic() - began) * 1_000
            self._commit_ns = time.time_ns()
            with self._wanted:
                self._pending = sum(len(b.records) for _, b, _ in self._inbox if b)
                self._pending += self._keeper.pending_records
                self._wanted.notify_all()
        self._enter("live" if self._tails else "idle")
        self._measure()
        self._settled()
        return True

    def _away(self, error: Exception) -> None:
        """Takes note that the store is away. Pauses grow, and differ between writers, so that a server that
        comes back is not met by all of them at once."""
        self._failed(error, "upstream", "start it, or mend the way to it; the recorder tries again by itself")
        least, most = AWAY_S
        self._pause_s = min(max(self._pause_s, least) * 2, most) * random.uniform(0.5, 1.0)  # noqa: S311

    def _failed(self, error: Exception, category: str, hint: str) -> None:
        if self._failing_ns is None:
            self._failing_ns = time.time_ns()
            self.log.error("a commit failed; it is tried again", cause=f"{type(error).__name__}: {error}")
        told = error.message if isinstance(error, TidemillError) else str(error)
        where = "" if self.place in told else f" to {self.place}"
        self._error = {
            "code": "commit_failed",
            "category": category,
            "message": f"a commit{where} failed: {told}",
            "hint": hint,
            "retryable": True,
        }
        self._enter("stale")

    def _measure(self) -> None:
        now = time.monotonic()
        elapsed = max(now - self._counted_at, 1e-3)
        for venue in self._keeper.venues.values():
            before = self._counted.get(venue.name, 0)
            self._rates[venue.name] = (venue.records - before) / elapsed
            self._counted[venue.name] = venue.records
        self._counted_at = now

    @property
    def _records(self) -> int:
        return sum(venue.records for venue in self._recorder.venues.values()) if self._recorder else 0

    # ── control socket ────────────────────────────────────────────────────────────────────────────

    def _serve_control(self) -> None:
        from tidemill.control import Server

        async def serve() -> None:
            server = Server(
                self.home.control(self.part),
                {"status": self._answer_status, "metrics": self._answer_metrics, "drain": self._answer_drain},
            )
            await server.start()
            while not self.stopping.is_set():
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.2)  # the answer to a drain is on its way
            await server.close()

        asyncio.run(serve())

    async def _answer_status(self, _: dict[str, Any]) -> dict[str, Any]:
        return self.status()

    async def _answer_metrics(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"text": self.metrics_text()}

    async def _answer_drain(self, _: dict[str, Any]) -> dict[str, Any]:
        self._stop("drain")
        return {"ok": True}

    def metrics_text(self) -> str:
        """The answer to `metrics`."""
        return metrics_text(self.status(), self.part)

    def status(self) -> dict[str, Any]:
        """The answer to `status`."""
        venues = {}
        recorder = self._recorder
        for venue in list(recorder.venues.values()) if recorder else []:
            try:
                newest = self._newest(venue.name)
            except (RuntimeError, OSError):
                newest = (0, 0)
            position = venue.position
            stored = position[1] if position else 0
            lag_records = max(0, newest[1] - 1 - stored) if newest[1] else 0
            venues[venue.name] = {
                "epoch": position[0] if position else 0,
                "sequence": stored,
                "journal": list(newest),
                "lag_records": lag_records,
                "lag_ns": max(0, time.time_ns() - self._commit_ns) if lag_records and self._commit_ns else 0,
                "rows_per_s": round(self._rates.get(venue.name, 0.0), 1),
                "records": venue.records,
                "refused": venue.refused,
                "lost": venue.lost,
            }
        tables = self._housekeeping.sizes() if self._housekeeping else {}
        unreadable = [error.as_dict() for error, _ in list(self._unreadable.values())]
        return {
            "part": self.part,
            "pid": os.getpid(),
            "state": self._state,
            "since_ns": self._since_ns,
            "version": __version__,
            "source": self._arguments.source,
            "store": self.place,
            "failing_since_ns": self._failing_ns,
            "venues": venues,
            "tables": tables,
            **({"window": self._keeping.sizes()} if self._keeping else {}),
            "last_commit_ms": round(self._commit_ms, 3),
            "last_commit_ns": self._commit_ns,
            "error": self._error or next(iter(unreadable), None),
            "metrics": {
                "records": self._records,
                "commits": self._commits,
                "commit_ms": round(self._commit_ms, 3),
                "pending": self._pending,
                "lag_records": sum(v["lag_records"] for v in venues.values()),
                "lost": sum(v["lost"] for v in venues.values()),
                "refused": sum(v["refused"] for v in venues.values()),
                **({} if self._dead_letters is None else {"dead_letters": self._dead_letters}),
                "uptime_s": round(time.monotonic() - self._started, 1),
            },
        }


def metrics_text(status: dict[str, Any], part: str = PART) -> str:
    """The status in Prometheus' text format."""
    lines = []

    def metric(name: str, kind: str, help_: str, values: list[tuple[str, float]]) -> None:
        lines.append(f"# HELP tidemill_{part}_{name} {help_}")
        lines.append(f"# TYPE tidemill_{part}_{name} {kind}")
        lines.extend(f"tidemill_{part}_{name}{labels} {value:g}" for labels, value in values)

    venues = [(f'{{venue="{name}"}}', values) for name, values in status["venues"].items()]
    tables = [(f'{{table="{name}"}}', values) for name, values in status["tables"].items()]
    metric("up", "gauge", "1 while every venue is recorded.", [("", 0.0 if status["error"] else 1.0)])
    place = status["store"].replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    metric("store_info", "gauge", "Where rows go.", [(f'{{store="{place}"}}', 1.0)])
    failing = status["failing_since_ns"]
    seconds = (time.time_ns() - failing) / 1e9 if failing else 0.0
    metric("failing_seconds", "gauge", "So long no commit has gone through.", [("", seconds)])
    if "dead_letters" in status["metrics"]:
        dead = status["metrics"]["dead_letters"]
        metric("dead_letters", "gauge", "Rows that the store would not take.", [("", dead)])
    metric("commits_total", "counter", "Commits.", [("", status["metrics"]["commits"])])
    metric("commit_seconds", "gauge", "Duration of the last commit.", [("", status["last_commit_ms"] / 1e3)])
    metric("pending_records", "gauge", "Records read, not committed.", [("", status["metrics"]["pending"])])
    for name, kind, key, help_ in (
        ("records_total", "counter", "records", "Records stored."),
        ("lag_records", "gauge", "lag_records", "Records in the journal that are not stored."),
        ("lost_records_total", "counter", "lost", "Records that the journal lost."),
        ("refused_trades_total", "counter", "refused", "Trades that fit no bar."),
        ("stored_sequence", "gauge", "sequence", "Last sequence that every table covers."),
    ):
        metric(name, kind, help_, [(labels, values[key]) for labels, values in venues])
    for name, key, help_ in (("rows", "rows", "Rows."), ("bytes", "bytes", "Bytes on disk.")):
        metric(f"table_{name}", "gauge", help_, [(labels, values[key]) for labels, values in tables])
    return "\n".join(lines) + "\n"
