"""Processes of a bench: the native ones, built by `make bench`, and Python ones; what they say is a line
of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches.contest import ROOT

ENDS_WITHIN_S = 120


def native(name: str) -> str:
    """Path of one of our measuring programs, an example of its crate."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "release" / "examples" / name
    if not path.exists():
        raise FileNotFoundError(f"no {path}: `make bench` builds it")
    return str(path)


def python(module: str) -> list[str]:
    """Command of a module of this folder."""
    return [sys.executable, "-m", f"benches.{module}"]


def environment() -> dict[str, str]:
    """What a Python process of ours needs to find this folder and the platform."""
    found = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found)}


class Program:
    """A process that says `ready` once it is, begins when told to, and says what it found when it ends."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), cwd=ROOT, text=True
        )

    def line(self) -> str:
        """The next line it says."""
        assert self.process.stdout
        said = self.process.stdout.readline()
        if not said:
            raise RuntimeError(f"{' '.join(self.command)} ended with {self.process.wait()}, saying nothing")
        return said.strip()

    def ready(self) -> None:
        said = self.line()
        if said != "ready":
            raise RuntimeError(f"{' '.join(self.command)} said {said!r} instead of 'ready'")

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Its last line, when it has ended."""
        out, _ = self.process.communicate(timeout=ENDS_WITHIN_S)
        if self.process.returncode:
            raise RuntimeError(f"{' '.join(self.command)} ended with {self.process.returncode}")
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@contextmanager
def started(command: Sequence[str]) -> Iterator[Program]:
    """A program that does not outlive the block."""
    program = Program(command)
    try:
        yield program
    finally:
        program.end()
