"""Finding a strategy's class again in another process, by a reference that is plain text.

`sma_cross` is one of the package; a path (`file.py`, `file.py:Class`) is one of the person who runs it.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from tidemill.errors import UsageError
from tidemill.home import Home
from tidemill.metadata import Metadata
from tidemill.research.conduct import entry, source_of
from tidemill.strategies import library
from tidemill.strategies.api import Strategy


def load(reference: str) -> type[Strategy]:
    """The class. Raises `NotFoundError` `strategy_unknown`, and `UsageError` `strategy_invalid` for a file
    that has none, or several and no name beside it."""
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


def of_home(home: Home, metadata: Metadata, name: str) -> str:
    """The reference of a name that a home knows, or of a path. Raises `UsageError` `strategy_untrusted` for
    code of the database, which runs in the sandbox alone."""
    if name.partition(":")[0].endswith(".py"):
        return reference(name)
    found = entry(home, metadata, name)
    if found.origin == "database":
        raise UsageError(
            "strategy_untrusted",
            f"{name} came over HTTP: no study runs it, because its trials would run outside the sandbox",
            hint="run it as a backtest, or save its code as a file in DIR/strategies to make it yours",
        )
    return name if found.path is None or found.trusted else str(found.path.resolve())


def text(strategy: type[Strategy]) -> str:
    """The source of the module that it stands in: what its fingerprint is made of."""
    return source_of(strategy)
