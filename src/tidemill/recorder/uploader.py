"""The uploader: the recorder with a bus as its source, so that many machines can keep what one collects.

Everything about rows, bars, gaps and offsets is the recorder's. What is added: venues come and go as members
of the group do, and entries are acknowledged once the store has what they brought. A member that was taken
for dead and wakes up finds its offset moved: it lets go of everything and looks again.
"""

from __future__ import annotations

import argparse
import hashlib
import traceback
from typing import TYPE_CHECKING, Any

from tidemill.address import shown
from tidemill.bus.api import BusError, LostError, own_name
from tidemill.errors import TidemillError
from tidemill.home import Home, Lock
from tidemill.log import Log
from tidemill.recorder import run

if TYPE_CHECKING:
    from tidemill.bus.subscription import Subscription
    from tidemill.stores.api import FencedError

PART = "uploader"


def main(argv: list[str]) -> int:
    """Runs until SIGTERM or SIGINT, or end-of-file on stdin with --supervised; returns the exit code."""
    arguments = _parser().parse_args(argv)
    log = Log(PART)
    lock = None
    try:
        home = Home.at(arguments.home)
        home.create()
        lock = Lock(home.run / "uploader.lock", f"the uploader of {home.path}")
        return Uploader(home, arguments, log).run()
    except TidemillError as error:
        log.error(error.message, error=error.as_dict())
        return error.exit_code
    except OSError as error:
        log.error("the disk failed; the uploader ends and recovers at its next start", cause=str(error))
        return 1
    except Exception as error:
        cause = "".join(traceback.format_exception(error))
        log.error("the uploader failed; it recovers at its next start", cause=cause)
        return 1
    finally:
        if lock:
            lock.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tidemill uploader", description="A bus into the store.")
    run.add_options(parser)
    parser.add_argument(
        "--bus", help="redis://HOST:6379/0, rediss://… or kafka://HOST:9092 (default TIDEMILL_BUS_URL)"
    )
    parser.add_argument(
        "--group", help="uploaders of one group share the venues; one group per store (default: of the store)"
    )
    parser.add_argument(
        "--idle-s",
        type=float,
        default=5.0,
        help="seconds without a word after which another uploader takes over (default 5)",
    )
    return parser


class Uploader(run.Process):
    """One uploader process."""

    part = PART

    def __init__(self, home: Home, arguments: argparse.Namespace, log: Log) -> None:
        # What the control socket shows as the source; addresses may hold passwords.
        arguments.source = "bus"
        super().__init__(home, arguments, log)
        self.group = arguments.group or self._default_group()
        self._subscription: Subscription | None = None
        self._untold = True

    def _default_group(self) -> str:
        """One name for all uploaders of a store that several can write; one of this home for its own lake."""
        if "://" in self.place:
            return f"{self.place.partition(':')[0]}-{hashlib.sha256(self.place.encode()).hexdigest()[:12]}"
        return own_name(self.home.path / "uploader-group", "lake")

    def _open_origin(self) -> Subscription:
        from tidemill.bus.opening import open_bus
        from tidemill.bus.subscription import Subscription

        if self._subscription is None:
            bus = open_bus(self._arguments.bus)
            self._subscription = Subscription(bus, self.group, self._arguments.idle_s, self.log.warn)
        return self._subscription

    def _leave(self, venues: set[str]) -> None:
        for name in venues:
            tail = self._tails.pop(name)
            self._keeper.venues.pop(name, None)
            self._counted.pop(name, None)
            with self._wanted:
                tail.left.set()
                self._inbox = [one for one in self._inbox if one[0] is not tail.venue]
                self._pending = sum(len(b.records) for _, b, _ in self._inbox if b)
                self._pending += self._keeper.pending_records
                self._wanted.notify_all()
            if self._subscription:
                self._subscription.leave(name)
            self.log.info("leaves a venue", venue=name)

    def _settled(self) -> None:
        if self._subscription is None:
            return
        try:
            for venue in self._keeper.venues.values():
                if venue.position is not None:
                    self._subscription.settle(venue.name, venue.position)
        except (BusError, LostError) as error:
            if self._untold:
                self.log.warn("what is stored cannot be acknowledged yet", cause=str(error))
            self._untold = False
        else:
            self._untold = True

    def _fenced(self, error: FencedError) -> None:
        self.log.warn("another uploader has taken over; what is stored is looked at again", cause=str(error))
        self._leave(set(self._tails))
        # A venue that was added and not opened yet has no tail.
        self._keeper.venues.clear()

    def _end(self) -> int:
        code = super()._end()
        if self._subscription:
            self._subscription.close()
        return code

    def status(self) -> dict[str, Any]:
        """The recorder's answer, with the bus."""
        said = super().status()
        said["bus"] = shown(self._arguments.bus or "") or None
        said["group"] = self.group
        unacked = 0
        for name, about in said["venues"].items():
            stream = self._subscription.streams.get(name) if self._subscription else None
            if stream is None:
                continue
            about |= {
                "acked_entries": stream.counts.acked,
                "unacked_entries": stream.unacked,
                "dead_letters": stream.counts.buried,
                "refills": stream.counts.refills,
                "waits_for": stream.waits_for,
            }
            unacked += stream.unacked
            if stream.waits_for and said["error"] is None:
                said["error"] = {
                    "code": "records_missing",
                    "category": "upstream",
                    "message": f"{name}: {stream.waits_for}",
                    "hint": "start the publisher where the journal of this venue is",
                    "retryable": True,
                }
        counts = list(self._subscription.counts.values()) if self._subscription else []
        said["metrics"] |= {
            "acked_entries": sum(one.acked for one in counts),
            "unacked_entries": unacked,
            "dead_entries": sum(one.buried for one in counts),
            "refills": sum(one.refills for one in counts),
        }
        return said

    def metrics_text(self) -> str:
        """The recorder's metrics, with those of the bus."""
        said = self.status()
        lines = [super().metrics_text()]
        for name, kind, help_ in (
            ("acked_entries", "counter", "Entries acknowledged: stored."),
            ("unacked_entries", "gauge", "Entries read and not stored yet."),
            ("dead_entries", "counter", "Entries put aside as dead letters."),
            ("refills", "counter", "Times that records missing in a stream were asked for."),
        ):
            suffix = "_total" if kind == "counter" else ""
            full = f"tidemill_{PART}_{name}{suffix}"
            lines.append(f"# HELP {full} {help_}\n# TYPE {full} {kind}\n{full} {said['metrics'][name]:g}\n")
        return "".join(lines)
