"""The programs of escape/*.py: each tries to get out in one way, as `try_NAME(t, p)`, and returns what it got
hold of. Anything true is an escape, and what can be judged from outside is (test_escape.py).

Those marked `control` harm nothing where nobody holds them: run without a sandbox they must succeed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

THEMES = ("file", "process", "network", "resource", "kernel", "channel")
_FOLDER = Path(__file__).parent / "escape"
_IMPORT = "from tests.sandbox.escape.common import *\n"
# Whatever fills something up or ends its guest, or leaves something behind, has a guest of its own.
_ALONE = {"resource", "channel"}
_STAY = {"stay", "stay_and_hold"}


@dataclass(frozen=True)
class Program:
    name: str
    theme: str
    codes: tuple[str, ...]
    """The errors one of which must come; none: an answer of nothing, or an exception of the code."""
    control: bool

    @property
    def alone(self) -> bool:
        return self.theme in _ALONE or bool(self.codes) or self.name in _STAY

    @property
    def slow(self) -> bool:
        """It loads pyarrow first."""
        return self.name.startswith("table_") and self.name not in ("table_first", "table_names")


def _programs(theme: str) -> list[Program]:
    module = import_module(f"tests.sandbox.escape.{theme}")
    found: dict[str, Callable[..., object]] = {
        name: value for name, value in vars(module).items() if name.startswith("try_")
    }
    return [
        Program(name.removeprefix("try_"), theme, value.codes, value.control)  # type: ignore[attr-defined]
        for name, value in found.items()
    ]


PROGRAMS = [program for theme in THEMES for program in _programs(theme)]
CONTROL = [program for program in PROGRAMS if program.control]
SOURCE = "\n".join(
    [
        (_FOLDER / "common.py").read_text(),
        *((_FOLDER / f"{theme}.py").read_text().replace(_IMPORT, "") for theme in THEMES),
    ]
)
