"""What `td.fetch(…)` asks, waits for and answers with, of a home and over REST alike."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tidemill import errors
from tidemill.model import progress
from tidemill.model import time as times
from tidemill.model.time import Time

if TYPE_CHECKING:
    import polars as pl


class Reader(Protocol):
    """Who has the rows once they are here: a `Client` or a `Remote`."""

    def bars(
        self, instrument: str, interval: str, *, start: Time | None, end: Time | None, exact: bool
    ) -> pl.DataFrame: ...

    def trades(
        self, instrument: str, *, start: Time | None, end: Time | None, exact: bool
    ) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Asked:
    """One call of `fetch`."""

    provider: str
    symbols: tuple[str, ...]
    interval: str
    start: str
    end: str | None
    kind: str
    workers: int
    options: tuple[tuple[str, str], ...]
    again: bool
    exact: bool
    quiet: bool
    alone: bool
    """One symbol, not a list of them."""

    @classmethod
    def of(
        cls,
        provider: str,
        symbols: str | Iterable[str],
        interval: str,
        start: Time,
        end: Time | None,
        kind: str,
        workers: int,
        options: Mapping[str, str] | None,
        again: bool,
        exact: bool,
        quiet: bool,
    ) -> Asked:
        """Raises `UsageError` for times that are none."""
        low, high = times.span(start, end)
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        return cls(
            provider, names, interval, times.iso(low or 0), None if high is None else times.iso(high), kind,
            workers, tuple(sorted((options or {}).items())), again, exact, quiet, isinstance(symbols, str),
        )  # fmt: skip

    def body(self) -> dict[str, Any]:
        """As `POST /api/v1/data/fetch` takes it."""
        return {
            "provider": self.provider, "symbols": list(self.symbols), "kind": self.kind,
            "interval": self.interval, "start": self.start, "end": self.end, "workers": self.workers,
            "options": dict(self.options), "again": self.again,
        }  # fmt: skip

    @property
    def key(self) -> str:
        """Asked twice at once it is one job."""
        return "fetch-" + hashlib.sha256(json.dumps(self.body(), sort_keys=True).encode()).hexdigest()[:32]

    def run(self, home: Path) -> Mapping[str, Any]:
        """The job of a home once it has ended, done by `tidemill fetch` as a process."""
        words = [
            "fetch", self.provider, *self.symbols, "--kind", self.kind, "--interval", self.interval,
            "--start", self.start, *(("--end", self.end) if self.end else ()), "--workers", str(self.workers),
            *(word for name, value in self.options for word in ("--option", f"{name}={value}")),
            *(("--again",) if self.again else ()), "--home", str(home), "--json",
        ]  # fmt: skip
        # With --json it tells its progress, and at last its error, in lines of JSON on stderr.
        process = subprocess.Popen(
            [sys.executable, "-m", "tidemill", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
        with self.telling() as tell:
            return self._heard(process, tell)

    def _heard(
        self, process: subprocess.Popen[str], tell: Callable[[Mapping[str, Any]], None]
    ) -> Mapping[str, Any]:
        assert process.stdout is not None and process.stderr is not None  # noqa: PT018, S101 - pipes
        last, out = "", process.stdout
        answer: list[str] = []
        # Both pipes at once: one that nobody reads would stop the other.
        reading = threading.Thread(target=lambda: answer.append(out.read()), daemon=True)
        reading.start()
        try:
            for line in process.stderr:
                last = line
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    tell(json.loads(line)["progress"])
            process.wait()
            reading.join()
        except BaseException:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)
            process.kill()
            raise
        with contextlib.suppress(ValueError):
            ended: Mapping[str, Any] = json.loads(answer[0])
            return ended
        with contextlib.suppress(ValueError, KeyError, TypeError):
            raise errors.from_dict(json.loads(last)["error"])
        told = f"`tidemill fetch` ended with {process.returncode}: {last[:300]}"
        raise errors.InternalError("internal", told)

    @contextlib.contextmanager
    def telling(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Tells on stderr how far a job is: in place on a terminal, elsewhere each new tenth in a line."""
        terminal, last = sys.stderr.isatty(), [""]

        def tell(job: Mapping[str, Any]) -> None:
            mark = progress.line(job) if terminal else f"{job['state']} {int(10 * (job['progress'] or 0))}"
            if self.quiet or mark == last[0]:
                return
            last[0] = mark
            text = progress.line(job)
            sys.stderr.write(f"\r\x1b[K{text}" if terminal else f"{text}\n")
            sys.stderr.flush()

        try:
            yield tell
        finally:
            if terminal and last[0]:
                sys.stderr.write("\n")

    def frame(self, reader: Reader, job: Mapping[str, Any]) -> pl.DataFrame:
        """The rows that were asked for, of a job that has ended. Raises what ended it."""
        import polars as pl

        if job["error"]:
            raise errors.from_dict(job["error"])
        if job["state"] != "done":
            raise errors.CancelledError("job_cancelled", f"the fetch {job['id']} is {job['state']}")
        result = job["result"]
        if self.alone and result["not_found"]:
            raise errors.NotFoundError(
                "symbol_unknown", f"{self.provider} has no {self.symbols[0]}", hint="look for its spelling"
            )
        frames = []
        for name in result["instruments"]:
            rows = self._rows(reader, name, job["detail"]["end"])
            frames.append(rows if self.alone else rows.insert_column(0, pl.lit(name).alias("instrument")))
        return pl.concat(frames) if frames else self._nothing()

    def _rows(self, reader: Reader, name: str, end: str) -> pl.DataFrame:
        try:
            if self.kind == "trades":
                return reader.trades(name, start=self.start, end=self.end or end, exact=self.exact)
            return reader.bars(name, self.interval, start=self.start, end=self.end or end, exact=self.exact)
        except errors.NotFoundError:  # the provider has it, and nothing of it in that time
            return self._nothing()

    def _nothing(self) -> pl.DataFrame:
        from tidemill import frame

        return frame.of(self.kind, [], exact=self.exact)
