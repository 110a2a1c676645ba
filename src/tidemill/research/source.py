"""Finding a strategy's class again in another process, by a reference that is plain text.

`sma_cross` is one of ours, `file.py` or `file.py:Class` one of the person who runs it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from pathlib import Path

from tidemill.errors import NotFoundError, UsageError, nearest
from tidemill.strategies.api import Strategy


def load(reference: str) -> type[Strategy]:
    """The class. Raises `NotFoundError` `strategy_unknown`, and `UsageError` `strategy_invalid` for a file
    that has none, or several and no name beside it."""
    path, _, wanted = reference.partition(":")
    if path.endswith(".py"):
        return _of_file(Path(path), wanted)
    import tidemill.strategies as ours

    names = [one.name for one in pkgutil.iter_modules(ours.__path__)]
    if reference in names:
        found = getattr(importlib.import_module(f"tidemill.strategies.{reference}"), "plugin", None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise NotFoundError(
        "strategy_unknown",
        f"no strategy is named {reference[:100]!r}",
        hint=", ".join(nearest(reference, names)) or "name a file: my_strategy.py",
    )


def _of_file(path: Path, wanted: str) -> type[Strategy]:
    if not path.is_file():
        raise NotFoundError("strategy_unknown", f"there is no file {path}", hint="name a file that is there")
    spec = importlib.util.spec_from_file_location(f"tidemill_strategy_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # noqa: S101 - it ends in .py
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {
        name: one for name, one in vars(module).items()
        if inspect.isclass(one) and issubclass(one, Strategy) and one.__module__ == module.__name__
    }  # fmt: skip
    if wanted in found:
        return found[wanted]
    if wanted or len(found) != 1:
        has = ", ".join(found) or "none"
        raise UsageError(
            "strategy_invalid",
            f"{path.name} has these strategies: {has}",
            hint=f"name one: {path.name}:Class",
        )
    return next(iter(found.values()))


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


def text(strategy: type[Strategy]) -> str:
    """The source of the module that it stands in: what its fingerprint is made of."""
    path = inspect.getsourcefile(strategy)
    return Path(path).read_text() if path else ""
