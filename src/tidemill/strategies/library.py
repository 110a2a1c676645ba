"""Which strategies there are: those of this package, a person's files in `DIR/strategies`, those stored.

A name is its file's. It belongs to the first of the three that has it; another of that name is listed with
the fault that it is taken. Code of the database came over HTTP: it is shown and described from its text, and
never imported here (`tidemill.sandbox` runs it).
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal

from tidemill import errors
from tidemill.errors import UsageError
from tidemill.home import Home
from tidemill.strategies import description
from tidemill.strategies.api import Strategy
from tidemill.strategies.description import CODE_BYTES_MAX, Description, Fault

if TYPE_CHECKING:
    from tidemill.metadata.strategy import Stored

Origin = Literal["builtin", "folder", "database"]
NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
FILES_MAX: Final = 1_000
"""Files of a folder that are looked at."""
_HERE = Path(__file__).parent
_NOT_STRATEGIES = {
    "api", "description", "diagnosis", "evaluation", "language", "library", "operation", "param", "scope",
    "signal", "template",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One strategy, and where it is."""

    name: str
    origin: Origin
    source: str
    about: Description
    path: Path | None = None
    stored: Stored | None = None

    @property
    def sha256(self) -> str:
        """Of its text in UTF-8."""
        return hashlib.sha256(self.source.encode("utf-8", "replace")).hexdigest()

    @property
    def trusted(self) -> bool:
        """It is part of this package: it may run anywhere."""
        return self.origin == "builtin"

    @property
    def changed(self) -> int | None:
        """When its file was written, ns UTC; None for what is no file of a person."""
        if self.origin != "folder" or self.path is None:
            return None
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None

    @property
    def description(self) -> str:
        """In the words of who keeps it, else of its class."""
        return (self.stored.newest.description if self.stored else "") or self.about.text

    @property
    def author(self) -> str:
        return (self.stored.newest.author if self.stored else "") or self.about.author


def folder(home: Home) -> Path:
    """Where a person's own strategies are."""
    return home.path / "strategies"


def entries(home: Home, stored: Iterable[Stored] = ()) -> list[Entry]:
    """All of them by name, those that belong to it first; each fault is in `about`."""
    found = [*_builtin(), *_folder(folder(home)), *map(kept, stored)]
    owner: dict[str, Origin] = {}
    for at, one in enumerate(found):
        first = owner.setdefault(one.name, one.origin)
        if first != one.origin:
            taken = Fault(
                f"the name {one.name} is taken by a strategy of the {_WORDS[first]}; choose another"
            )
            found[at] = replace(one, about=replace(one.about, faults=(taken, *one.about.faults)))
    return sorted(found, key=lambda one: (one.name, _ORDER.index(one.origin)))


_ORDER: Final[tuple[Origin, ...]] = ("builtin", "folder", "database")
_WORDS: Final[dict[Origin, str]] = {"builtin": "package", "folder": "folder", "database": "database"}


def ours() -> list[str]:
    """Names of those of this package."""
    return [one.name for one in _builtin()]


def find(home: Home, name: str, stored: Iterable[Stored] = ()) -> Entry:
    """The strategy of that name. Raises `NotFoundError` `strategy_unknown` with the nearest names."""
    found = entries(home, stored)
    for one in found:
        if one.name == name:
            return one
    raise errors.unknown("strategy", name[:200], {one.name for one in found})


def file(path: Path) -> Entry:
    """A strategy in any file of this person. Raises `NotFoundError` `file_unknown`."""
    return _file(path, "folder")


def load(entry: Entry) -> type[Strategy]:
    """Its class. Raises `UsageError`: `strategy_invalid` with the line for one that cannot be imported,
    `strategy_untrusted` for code of the database."""
    if entry.origin == "database":
        raise UsageError(
            "strategy_untrusted",
            f"{entry.name} came over HTTP: it runs in the sandbox alone",
            hint="run it as a backtest, or save its code as a file in DIR/strategies to make it yours",
        )
    if entry.origin == "builtin":
        return _class(import_module(f"tidemill.strategies.{entry.name}"), entry)
    assert entry.path is not None  # noqa: S101 - files have a path
    return _class(_imported(entry, entry.path), entry)


@cache
def _builtin() -> tuple[Entry, ...]:
    names = sorted({path.stem for path in _HERE.glob("[a-z]*.py")} - _NOT_STRATEGIES)
    return tuple(_file(_HERE / f"{name}.py", "builtin") for name in names)


def _folder(place: Path) -> list[Entry]:
    try:
        paths = sorted(path for path in place.glob("*.py") if not path.name.startswith(("_", ".")))
    except OSError:
        return []
    found = []
    for path in paths[:FILES_MAX]:
        try:
            found.append(_file(path, "folder"))
        except errors.TidemillError as error:
            found.append(Entry(path.stem, "folder", "", Description(faults=(Fault(error.message),)), path))
    return found


def _file(path: Path, origin: Origin) -> Entry:
    try:
        with path.open("rb") as opened:
            source = opened.read(CODE_BYTES_MAX + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise errors.NotFoundError(
            "file_unknown", f"{path} cannot be read: {why}", hint="`tidemill strategy ls` shows what there is"
        ) from error
    about = description.read(source)
    if not re.match(NAME, path.stem):
        wrong = Fault(f"{path.stem[:64]!r} is no name: lower-case letters, digits and _, 64 at most")
        about = replace(about, faults=(*about.faults, wrong))
    return Entry(path.stem, origin, source, about, path)


def kept(stored: Stored) -> Entry:
    """One of the database."""
    source = stored.newest.code
    return Entry(stored.name, "database", source, description.read(source), stored=stored)


class _Fresh(SourceFileLoader):
    """Compiles the file as it is now: a cached one may be older by less than a second."""

    def get_code(self, fullname: str) -> CodeType | None:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _imported(entry: Entry, path: Path) -> ModuleType:
    name = f"tidemill_strategy_{entry.name}"
    spec = spec_from_loader(name, _Fresh(name, str(path)))
    assert spec is not None  # noqa: S101 - a loader makes a spec
    assert spec.loader is not None  # noqa: S101
    module = module_from_spec(spec)
    # Pickles and dataclasses look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, errors.TidemillError) and error.code != "strategy_invalid":
            raise
        raise _failed(entry, path, error) from error
    return module


def _failed(entry: Entry, path: Path, error: BaseException) -> UsageError:
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line = frame.lineno
    said = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
    kind = "" if isinstance(error, (SyntaxError, errors.TidemillError)) else f"{type(error).__name__}: "
    where = "" if line is None else f"line {line}: "
    return UsageError(
        "strategy_invalid",
        f"{entry.name} cannot be imported: {where}{kind}{said}"[:500],
        hint=f"mend {path}",
    )


def _class(module: ModuleType, entry: Entry) -> type[Strategy]:
    named: Any = getattr(module, "plugin", None)
    found = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Strategy) and one.__module__ == module.__name__
    ]
    if named is None and len(found) == 1:
        named = found[0]
    if not (isinstance(named, type) and issubclass(named, Strategy)):
        raise UsageError(
            "strategy_invalid",
            f"{entry.name} has {len(found)} classes that are strategies, and `plugin` names none of them",
            hint="end it with `plugin: type[Strategy] = YourClass`",
        )
    return named
