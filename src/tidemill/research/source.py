"""A strategy's code, found again by a reference that is plain text, and where it may run.

    sma_cross       one of the package: anywhere
    mine            a file of DIR/strategies
    mine@3          a version of the database
    /a/file.py      a file of this machine, or one class of it: file.py:Class

What a person runs from the own shell or notebook is theirs and runs as they do (`own`); all else but the
package's runs in the sandbox.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import NotFoundError, UsageError
from tidemill.home import Home
from tidemill.strategies import description, library
from tidemill.strategies.api import Strategy

if TYPE_CHECKING:
    from tidemill.metadata import Metadata


@dataclass(frozen=True)
class Code:
    """A strategy's code."""

    reference: str
    name: str
    """What the ledger counts its trials under."""
    text: str
    """The source of the module that it stands in: what its fingerprint is made of."""
    kind: type[Any]
    """Its class; of code that runs in the sandbox alone one that has its parameters and nothing else."""
    trusted: bool
    """It may run in this process and in others of this user."""
    wanted: str | None = None
    """The class that is meant, where the module does not say it."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of parameters that are other than the code's defaults."""


def find(home: Home, metadata: Metadata, name: str, *, own: bool, version: int | None = None) -> Code:
    """The code of a name that a home knows, of a version of it, or of a file. `own` says that whoever asked
    runs this process, and that files are theirs.

    Raises `NotFoundError` (`strategy_unknown`, `version_unknown`) and `UsageError` (`strategy_invalid`)."""
    from tidemill.research.conduct import entry  # a worker needs no database

    path, _, wanted = name.partition(":")
    if path.endswith(".py"):
        if own:
            return of(load(name), reference(name))
        return _guest(library.file(Path(path)), reference(name), wanted or None)
    name, at, number = name.partition("@")
    if at:
        if not number.isdecimal() or len(number) > 9:
            raise NotFoundError("version_unknown", f"{name[:80]} has no version {number[:20]!r}")
        version = int(number)
    found = entry(home, metadata, name, version)
    if found.origin == "database" and found.stored is not None:
        return _guest(found, f"{name}@{found.stored.version}")
    if found.trusted:
        return of(library.load(found), name)
    if own and found.path is not None:
        return replace(of(library.load(found), reference(str(found.path))), name=found.name)
    return _guest(found, name)


def _guest(found: library.Entry, named: str, wanted: str | None = None) -> Code:
    """Code that is described from its text, and never imported here."""
    if wanted is None and (refused := description.refusal(found.about, found.name)) is not None:
        raise refused
    about = found.about
    defaults = found.stored.newest.parameters if found.stored else {}
    return Code(named, found.name, found.source, about.stand_in(), False, wanted, dict(defaults))


def of(strategy: type[Strategy], named: str | None = None) -> Code:
    """That of a class of the package, or of a person who runs this process."""
    from tidemill.research.conduct import source_of

    return Code(named or reference(strategy), strategy.name(), source_of(strategy), strategy, True)


def load(reference: str) -> type[Strategy]:
    """The class of code that may run here. Raises `NotFoundError` `strategy_unknown`, and `UsageError`
    `strategy_invalid` for a file that has none, or several and no name beside it."""
    path, _, wanted = reference.partition(":")
    if not path.endswith(".py"):
        # No home, so that there is nothing but the package.
        return library.load(library.find(Home(Path("/nonexistent")), reference))
    found = library.file(Path(path))
    if not wanted:
        return library.load(found)
    try:
        library.load(found)
    except UsageError as error:
        # Several classes and no `plugin` is no fault where one of them is named.
        if found.path is None or f"tidemill_strategy_{found.name}" not in sys.modules:
            raise error from None
    one = getattr(sys.modules[f"tidemill_strategy_{found.name}"], wanted, None)
    if not (isinstance(one, type) and issubclass(one, Strategy)):
        raise UsageError(
            "strategy_invalid",
            f"{found.name} has no strategy {wanted[:80]!r}",
            hint="name a class of that file",
        )
    return one


def reference(strategy: type[Strategy] | str) -> str:
    """The text that `load` takes. A class must stand in a file."""
    if isinstance(strategy, str):
        path, colon, wanted = strategy.partition(":")
        return f"{Path(path).resolve()}{colon}{wanted}" if path.endswith(".py") else strategy
    module = strategy.__module__
    if module.startswith("tidemill.strategies."):
        return module.rpartition(".")[2]
    try:
        file = inspect.getsourcefile(strategy)
    except (TypeError, OSError):
        file = None
    if file is None or not Path(file).is_file():
        raise UsageError(
            "strategy_invalid",
            f"{strategy.__name__} stands in no file, so that no other process can find it",
            hint="write it into a .py file and import it from there",
        )
    return f"{Path(file).resolve()}:{strategy.__name__}"
