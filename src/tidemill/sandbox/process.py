"""One guest: its start, one exchange at a time, its end."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tidemill import errors
from tidemill.sandbox import command, frame, group, isolation, seccomp
from tidemill.sandbox.answer import Answer, Frames, Unfit, text
from tidemill.sandbox.answer import json as read_json
from tidemill.sandbox.limit import Limits

START_S = 30.0
_POLL_S = 0.05
_READ_BYTES = 1 << 16
_PROGRESS_S = 0.1
# Waits for one line before it becomes the guest: until then it can be put under its bounds.
_GATE = 'read -r _ && exec "$@"'

Progress = Callable[[dict[str, Any]], object]


class Guest:
    """A process that serves orders of one owner. Whatever goes wrong but an error of the code ends it."""

    def __init__(self, limits: Limits, modules: tuple[str, ...] = (), shown: Path | None = None) -> None:
        """Starts it, with these imported where they are installed, and a folder that it may read. Raises
        `ConfigError` (`sandbox_missing`, and `sandbox_failed` when it is first asked)."""
        self.isolated = isolation.required()
        self.limits = limits
        self._group = _new_group(limits)
        self._log = _Log(limits)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders = ours
        self._results, results = os.pipe()
        self._said, said = os.pipe()
        fds = [results]
        words = (",".join(modules), *(() if self.isolated else ("trusted",)))
        try:
            if self.isolated:
                held = memory("filter", seccomp.program(platform.machine()))
                fds.append(held)
                told = memory("arguments", _joined(command.bubblewrap(limits, held, shown)))
                fds.append(told)
                line = [isolation.bwrap() or "bwrap", "--args", str(told), "--"]
                line += command.python(results, command.LIBRARY, words)
            else:
                line = command.python(results, str(command.package().parent), words)
            self._process = _start(
                ["/bin/sh", "-c", _GATE, "sh", *line], stdin=theirs.fileno(), stdout=said, stderr=said,
                pass_fds=fds, env={} if self.isolated else _own_environment(), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            for fd in (self._results, self._said):
                os.close(fd)
            if self._group:
                self._group.end()
            raise
        finally:
            theirs.close()
            for fd in (said, *fds):
                os.close(fd)
        self.pid = self._process.pid
        self._ended = False
        self._ready = False
        for fd in (self._results, self._said):
            os.set_blocking(fd, False)
        ours.setblocking(False)
        if self._group:
            with contextlib.suppress(OSError):
                self._group.add(self.pid)
        with contextlib.suppress(OSError):
            ours.send(b"\n")

    def wait_ready(self) -> None:
        """Returns once it waits for orders; raises `ConfigError` (`sandbox_failed`) if it does not start."""
        if self._ready:
            return
        frames = Frames(1 << 12)
        deadline = time.monotonic() + START_S
        try:
            while not frames.ready and time.monotonic() < deadline:
                if not self._read(frames, _POLL_S):
                    break
        except Unfit:
            pass
        if not frames.ready:
            self._log.drain(self._said)
            self.end()
            raise errors.ConfigError(
                "sandbox_failed",
                f"the sandbox did not start: {self._log.text()[-500:] or 'it said nothing'}",
                hint="`tidemill doctor` tries it, too",
            )
        self._ready = True
        self._log = _Log(self.limits)

    def exchange(
        self,
        order: dict[str, Any],
        fds: list[int],
        limits: Limits,
        *,
        cancel: Callable[[], bool] | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """One order and its answer. Raises what docs/sandbox.md lists; only after `code_failed`,
        `code_invalid` and refusals of the task does the guest live on."""
        if self._ended:
            raise errors.ConflictError(
                "sandbox_ended", "this guest is gone: an earlier run ended it, or its lease was closed",
                hint="lease another",
            )  # fmt: skip
        self.wait_ready()
        if limits != self.limits:
            self.limits = limits
            if self._group:
                self._group.bound(limits)
        self._log = _Log(limits)
        order |= {
            "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes, "pids": limits.pids,
            "trusted": not self.isolated,
        }  # fmt: skip
        frames = Frames(limits.answer_bytes)
        began, used = time.monotonic(), self._group.cpu_s() if self._group else 0.0
        held = memory("order", json.dumps(order).encode())
        try:
            socket.send_fds(self._orders, [frame.ORDER], [held, *fds])
        except OSError:
            self._died()
        finally:
            os.close(held)
        told = 0.0
        try:
            while not frames.whole:
                now = time.monotonic()
                if now - began > limits.wall_s:
                    self._fail(errors.DeadlineError, "sandbox_timeout", _too_slow(limits.wall_s, "seconds"))
                if self._group and self._group.cpu_s() - used > limits.cpu_s:
                    self._fail(errors.DeadlineError, "sandbox_timeout", _too_slow(limits.cpu_s, _OF_CPU))
                if cancel is not None and cancel():
                    self._fail(errors.CancelledError, "cancelled", "the run was cancelled")
                if not self._read(frames, min(_POLL_S, max(0.0, began + limits.wall_s - now) + 0.001)):
                    self._died(frames)
                if frames.progress is not None and progress is not None and now - told >= _PROGRESS_S:
                    told, said, frames.progress = now, frames.progress, None
                    progress(said)
            self._log.drain(self._said)
            if frames.progress is not None and progress is not None:
                progress(frames.progress)
            return self._answer(frames)
        except Unfit as error:
            self._unfit(error)
        except errors.TidemillError:
            raise
        except BaseException:
            self.end()  # what the caller's own functions raise, such as Ctrl-C
            raise

    def end(self) -> None:
        """Kills it with all that it started, and waits until they are gone."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            if not self.isolated:
                os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()
        if self._group:
            self._group.end()
        self._process.wait()
        self._orders.close()
        os.close(self._results)
        os.close(self._said)

    @property
    def alive(self) -> bool:
        return not self._ended and self._process.poll() is None

    def _read(self, frames: Frames, wait_s: float) -> bool:
        """Reads what is there, after at most `wait_s`; False when the guest is gone. Raises `Unfit`."""
        poll = select.poll()
        poll.register(self._results, select.POLLIN)
        if not self._log.closed:
            poll.register(self._said, select.POLLIN)
        for fd, _event in poll.poll(wait_s * 1000):
            if fd == self._said:
                self._log.take(self._said)
                continue
            try:
                data = os.read(self._results, _READ_BYTES * 16)
            except BlockingIOError:
                continue
            if not data:
                return False
            frames.feed(data)
        return True

    def _answer(self, frames: Frames) -> Answer:
        kind, body = frames.head or (frame.FAILED, b"{}")
        if kind == frame.FAILED:
            self._tell(read_json(body))
        return frames.answer(self._log.text())

    def _tell(self, said: dict[str, Any]) -> NoReturn:
        """Raises what a guest says went wrong: its words are quoted, never trusted."""
        code = said.get("code")
        if code == "sandbox_memory":
            self._memory()
        lines = said.get("lines")
        trail = [_at(one) for one in lines if isinstance(one, dict)] if isinstance(lines, list) else []
        if code == "code_invalid":
            where = f"{_short(said.get('file'))}:{_number(said.get('line'))}:{_number(said.get('column'))}"
            self._raise(errors.UsageError("code_invalid", f"{where}: {_short(said.get('text'), 1000)}"))
        if code == "refused" and isinstance(said.get("error"), dict):
            known = errors.from_dict(said["error"])
            kind = type(known) if isinstance(known, _PASSED_ON) else errors.UsageError
            name = (
                known.code
                if known.code.replace("_", "").isalpha() and len(known.code) < 50
                else "code_failed"
            )
            hint = text(known.hint)[:1000]
            at = f" (at {trail[-1]})" if trail else ""
            self._raise(kind(name, text(known.message)[:1000] + at, hint=hint))
        where = f" at {trail[-1]}" if trail else ""
        self._raise(
            errors.UsageError(
                "code_failed",
                f"the code failed{where}: {_short(said.get('type'))}: {_short(said.get('text'), 1000)}",
                hint=" → ".join(trail),
            )
        )

    def _raise(self, error: errors.TidemillError) -> NoReturn:
        log = self._log.text()
        if log:
            error.add_note(log)
        raise error

    def _fail(self, kind: type[errors.TidemillError], code: str, message: str, hint: str = "") -> NoReturn:
        """Ends the guest and raises."""
        with contextlib.suppress(Unfit):
            self._log.drain(self._said)
        self.end()
        self._raise(kind(code, message, hint=hint, retryable=False))

    def _unfit(self, error: Unfit) -> NoReturn:
        self._fail(
            errors.ResourceError, "sandbox_output", f"the code's output was refused: {error}",
            "return less, print less, and answer with the function's value alone",
        )  # fmt: skip

    def _memory(self) -> NoReturn:
        self._fail(
            errors.ResourceError, "sandbox_memory",
            f"the code needed more than {self.limits.memory_bytes >> 20} MiB of memory",
            "work on fewer rows at a time",
        )  # fmt: skip

    def _died(self, frames: Frames | None = None) -> NoReturn:
        """The guest closed its pipe: says why, by how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        if self._group and self._group.ran_out():
            self._memory()
        if code is None:
            self._fail(
                errors.UsageError, "sandbox_died", "the code closed its channel and went on; it was ended"
            )
        number = code - 128 if code > 128 else -code
        if number == signal.SIGXCPU:
            self._fail(errors.DeadlineError, "sandbox_timeout", _too_slow(self.limits.cpu_s, _OF_CPU))
        try:
            how = f"by {signal.Signals(number).name}"
        except ValueError:
            how = f"with exit code {code}"
        self._fail(
            errors.UsageError, "sandbox_died", f"the process of the code ended {how}",
            "look for compiled code that crashes, or for os._exit",
        )  # fmt: skip


_PASSED_ON = (errors.UsageError, errors.NotFoundError, errors.DataQualityError, errors.ConflictError)
_OF_CPU = "seconds of processor time"


def _too_slow(limit: float, what: str) -> str:
    return f"the code took more than {limit:g} {what}, and was ended"


def _short(value: Any, chars: int = 200) -> str:
    return text(str(value))[:chars]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _at(one: dict[str, Any]) -> str:
    return f"{_short(one.get('file'))}:{_number(one.get('line'))} in {_short(one.get('function'))}"


class _Log:
    """What the guest prints: the beginning is kept, the rest counted."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept = bytearray()
        self._seen = 0
        self.closed = False

    def take(self, fd: int) -> bool:
        """Reads once; False when there is nothing now. Raises `Unfit` for a flood."""
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.closed = True
            return False
        self._seen += len(data)
        self._kept += data[: max(0, self._limits.log_bytes - len(self._kept))]
        if self._seen > self._limits.flood_bytes:
            raise Unfit(f"it printed more than {self._limits.flood_bytes >> 20} MiB")
        return True

    def drain(self, fd: int) -> None:
        """Reads what was printed before now."""
        while self.take(fd):
            pass

    def text(self) -> str:
        said = text(bytes(self._kept).decode(errors="replace"))
        left = self._seen - len(self._kept)
        return f"{said}\n… {left} bytes more were left out" if left else said


def memory(name: str, data: bytes | memoryview) -> int:
    """A descriptor of sealed memory that holds `data`, to be handed to another process and not changed."""
    if not hasattr(os, "memfd_create"):
        raise errors.ConfigError("sandbox_missing", f"{sys.platform} has no memory to hand over (memfd)")
    fd = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(fd, left) :]
    seal(fd)
    return fd


def seal(fd: int) -> None:
    """Nobody can write, shorten or lengthen it any more; the next reader begins at its beginning."""
    import fcntl

    os.lseek(fd, 0, os.SEEK_SET)
    everything = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, everything)


def _joined(words: list[str]) -> bytes:
    return b"".join(os.fsencode(word) + b"\0" for word in words)


def _own_environment() -> dict[str, str]:
    """For trusted code without isolation: no secret of this process's environment is handed on."""
    return {**command.ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)}


_swept = threading.Event()


def _new_group(limits: Limits) -> group.Group | None:
    if sys.platform != "linux":
        return None
    if not _swept.is_set():
        _swept.set()
        group.sweep()
    return group.make(limits)


# A guest is told to die with its parent, and to the kernel that is the thread that started it: all are
# started by one thread, which lives as long as this process.
_wishes: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], queue.SimpleQueue[Any]]] = (
    queue.SimpleQueue()
)
_starting = threading.Lock()
_starter: threading.Thread | None = None
_starter_pid = 0


def _start(line: list[str], **how: Any) -> subprocess.Popen[bytes]:
    global _starter, _starter_pid
    with _starting:
        if _starter is None or _starter_pid != os.getpid():
            _starter_pid = os.getpid()
            _starter = threading.Thread(target=_serve_starts, daemon=True, name="sandbox-start")
            _starter.start()
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
    _wishes.put((lambda: subprocess.Popen(line, **how), answer))
    made = answer.get()
    if isinstance(made, BaseException):
        raise made
    process: subprocess.Popen[bytes] = made
    return process


def _serve_starts() -> None:
    while True:
        wish, answer = _wishes.get()
        try:
            answer.put(wish())
        except BaseException as error:
            answer.put(error)
