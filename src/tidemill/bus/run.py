"""The publisher as a process: a thread per venue, one that answers requests for refills, a control socket."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from tidemill import __version__
from tidemill.address import shown
from tidemill.errors import TidemillError
from tidemill.home import Home, Lock
from tidemill.log import Log

if TYPE_CHECKING:
    from tidemill.bus.api import Bus, Request
    from tidemill.bus.publisher import Publisher

PART = "publisher"
LOOK_FOR_VENUES_S = 2.0
REFILLS_MAX = 4
"""Requests that are answered at one time; the others are asked again."""
END_S = 5.0


def main(argv: list[str]) -> int:
    """Runs until SIGTERM or SIGINT, or end-of-file on stdin with --supervised; returns the exit code."""
    arguments = _parser().parse_args(argv)
    log = Log(PART)
    lock = None
    try:
        home = Home.at(arguments.home)
        home.create()
        lock = Lock(home.run / "publisher.lock", f"the publisher of {home.path}")
        return Process(home, arguments, log).run()
    except TidemillError as error:
        log.error(error.message, error=error.as_dict())
        return error.exit_code
    except Exception as error:
        cause = "".join(traceback.format_exception(error))
        log.error("the publisher failed; it goes on at its next start", cause=cause)
        return 1
    finally:
        if lock:
            lock.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tidemill publisher", description="Journals into a bus.")
    parser.add_argument("--home", help="the platform's folder")
    parser.add_argument(
        "--bus", help="redis://HOST:6379/0, rediss://… or kafka://HOST:9092 (default TIDEMILL_BUS_URL)"
    )
    parser.add_argument("--venues", help="comma list (default all that have a journal)")
    parser.add_argument(
        "--entry-records", type=int, default=2_000, help="records of one entry at most (default 2000)"
    )
    parser.add_argument(
        "--gather-ms", type=float, default=50.0, help="an entry waits so long to fill (default 50)"
    )
    parser.add_argument(
        "--stream-max-records",
        type=int,
        default=5_000_000,
        help="records in a stream from which on nothing is added; the journal keeps them (default 5000000)",
    )
    parser.add_argument("--supervised", action="store_true", help="end at end-of-file on stdin")
    return parser


class Process:
    """One publisher process."""

    def __init__(self, home: Home, arguments: argparse.Namespace, log: Log) -> None:
        self.home = home
        self.log = log
        self.stopping = threading.Event()
        self._arguments = arguments
        self._bus: Bus | None = None
        self._name = ""
        self._publishers: dict[str, Publisher] = {}
        self._refilling: dict[str, threading.Thread] = {}
        self._refills = 0
        self._refilled = 0
        self._state = "starting"
        self._since_ns = time.time_ns()
        self._started = time.monotonic()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop("signal"))
        if self._arguments.supervised:
            threading.Thread(target=self._watch_stdin, daemon=True).start()
        control = threading.Thread(target=self._serve_control, daemon=True)
        control.start()
        from tidemill.bus.api import own_name
        from tidemill.bus.opening import open_bus

        self._bus = bus = open_bus(self._arguments.bus)
        self._name = own_name(self.home.path / "publisher-name", "home")
        self.log.info("publisher starts", home=str(self.home.path), pid=os.getpid())
        threading.Thread(target=self._answer_requests, args=(bus,), daemon=True).start()
        self._state, self._since_ns = "live", time.time_ns()
        while not self.stopping.is_set():
            self._look_for_venues(bus)
            self.stopping.wait(LOOK_FOR_VENUES_S)
        self._state = "draining"
        until = time.monotonic() + END_S
        for publisher in self._publishers.values():
            publisher.join(max(0.0, until - time.monotonic()))
        control.join(1.0)
        bus.close()
        published = sum(publisher.published for publisher in self._publishers.values())
        self.log.info("publisher ends", records=published)
        return 0

    def _stop(self, why: str) -> None:
        self.stopping.set()
        self.log.info("asked to end", by=why)

    def _watch_stdin(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self._stop("supervisor")

    def _look_for_venues(self, bus: Bus) -> None:
        from tidemill.bus.publisher import Publisher
        from tidemill.stores.source import venues

        wanted = self._arguments.venues
        for name in venues(self.home.path):
            if name in self._publishers or (wanted and name not in wanted.split(",")):
                continue
            self._publishers[name] = Publisher(
                self.home.path,
                name,
                bus.outlet(name, self._name),
                self.log,
                self.stopping,
                records=self._arguments.entry_records,
                gather_s=self._arguments.gather_ms / 1000,
                stream_max_records=self._arguments.stream_max_records,
            )
            self._publishers[name].start()

    # ── refills ───────────────────────────────────────────────────────────────────────────────────

    def _answer_requests(self, bus: Bus) -> None:
        from tidemill.bus.api import BusError

        while not self.stopping.is_set():
            try:
                found = bus.requests(500)
            except BusError:
                self.stopping.wait(1.0)  # every venue's own thread has told of it
                continue
            except Exception as error:  # a request that is none must not end all others
                self.log.warn("a request for a refill cannot be read", cause=str(error))
                continue
            self._refilling = {id_: thread for id_, thread in self._refilling.items() if thread.is_alive()}
            for request in found:
                if request.venue in self._publishers and len(self._refilling) < REFILLS_MAX:
                    thread = threading.Thread(target=self._refill, args=(bus, request), daemon=True)
                    self._refilling[request.id] = thread
                    thread.start()

    def _refill(self, bus: Bus, request: Request) -> None:
        from tidemill.bus import journal

        self._refills += 1
        records = 0
        try:
            for entry in journal.between(
                self.home.path, request.venue, request.after, request.through, self._arguments.entry_records
            ):
                if self.stopping.is_set() or not bus.answer(request, entry):
                    return
                records += entry.end - entry.first
        except Exception as error:
            self.log.warn("a refill was not finished; it is asked for again", cause=str(error))
            return
        self._refilled += records
        self.log.info("answered a refill", records=records, **request.as_dict())

    # ── control socket ────────────────────────────────────────────────────────────────────────────

    def _serve_control(self) -> None:
        from tidemill.control import Handler, Server

        async def status(_: dict[str, Any]) -> dict[str, Any]:
            return self.status()

        async def metrics(_: dict[str, Any]) -> dict[str, Any]:
            return {"text": metrics_text(self.status())}

        async def drain(_: dict[str, Any]) -> dict[str, Any]:
            self._stop("drain")
            return {"ok": True}

        async def serve() -> None:
            handlers: dict[str, Handler] = {"status": status, "metrics": metrics, "drain": drain}
            server = Server(self.home.control(PART), handlers)
            await server.start()
            while not self.stopping.is_set():
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.2)  # the answer to a drain is on its way
            await server.close()

        asyncio.run(serve())

    def status(self) -> dict[str, Any]:
        """The answer to `status`."""
        venues = {name: publisher.status() for name, publisher in list(self._publishers.items())}
        troubled = {name: said["error"] for name, said in venues.items() if said["error"]}
        blocked = any(said["state"] == "blocked" for said in venues.values())
        error = None
        if troubled:
            error = {
                "code": "bus_unavailable",
                "category": "upstream",
                "message": f"{', '.join(troubled)}: {next(iter(troubled.values()))}",
                "hint": "the journal keeps what arrives; it is tried again by itself",
                "retryable": True,
            }
        state = "stale" if troubled else "blocked" if blocked else self._state
        return {
            "part": PART,
            "pid": os.getpid(),
            "state": self._state if self._state in ("starting", "draining") else state,
            "since_ns": self._since_ns,
            "version": __version__,
            "bus": shown(self._arguments.bus or os.environ.get("TIDEMILL_BUS_URL") or ""),
            "venues": venues,
            "error": error,
            "metrics": {
                "records": sum(said["records"] for said in venues.values()),
                "lag_records": sum(said["lag_records"] for said in venues.values()),
                "stream_entries": sum(said["stream_entries"] for said in venues.values()),
                "stream_records": sum(said["stream_records"] for said in venues.values()),
                "refills": self._refills,
                "refilled_records": self._refilled,
                "uptime_s": round(time.monotonic() - self._started, 1),
            },
        }


def metrics_text(status: dict[str, Any]) -> str:
    """The status in Prometheus' text format."""
    lines = []

    def metric(name: str, kind: str, help_: str, values: list[tuple[str, float]]) -> None:
        lines.append(f"# HELP tidemill_publisher_{name} {help_}")
        lines.append(f"# TYPE tidemill_publisher_{name} {kind}")
        lines.extend(f"tidemill_publisher_{name}{labels} {value:g}" for labels, value in values)

    venues = [(f'{{venue="{name}"}}', said) for name, said in status["venues"].items()]
    groups = [
        (f'{{venue="{venue}",group="{name}"}}', group)
        for venue, said in status["venues"].items()
        for name, group in said["groups"].items()
    ]
    metric("up", "gauge", "1 while every venue is published.", [("", 0.0 if status["error"] else 1.0)])
    for name, kind, key, help_ in (
        ("records_total", "counter", "records", "Records added to the stream."),
        ("entries_total", "counter", "entries", "Entries added to the stream."),
        ("trimmed_entries_total", "counter", "trimmed", "Entries let go: every group had acknowledged them."),
        ("lost_records_total", "counter", "lost", "Records that the journal lost."),
        ("retries_total", "counter", "retries", "Failures after which it was tried again."),
        ("emptied_total", "counter", "emptied", "Times that the stream was gone or had become shorter."),
        ("lag_records", "gauge", "lag_records", "Records in the journal that are not in the stream."),
        ("stream_entries", "gauge", "stream_entries", "Entries in the stream."),
        ("stream_records", "gauge", "stream_records", "Records in the stream."),
    ):
        metric(name, kind, help_, [(labels, said[key]) for labels, said in venues])
    for name, key, help_ in (
        ("group_entries", "entries", "Entries that a group has not acknowledged: the queue's depth."),
        ("group_records", "records", "Records that a group has not acknowledged."),
        ("group_pending_entries", "pending", "Entries delivered to a group and not acknowledged."),
        ("group_oldest_seconds", "oldest_s", "Age of the oldest entry that is not acknowledged."),
    ):
        metric(name, "gauge", help_, [(labels, said[key]) for labels, said in groups])
    for name, key, help_ in (
        ("refills_total", "refills", "Requests for records that a stream lacked."),
        ("refilled_records_total", "refilled_records", "Records given again."),
    ):
        metric(name, "counter", help_, [("", status["metrics"][key])])
    return "\n".join(lines) + "\n"
