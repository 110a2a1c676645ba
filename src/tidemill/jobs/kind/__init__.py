"""What kinds of jobs there are: a file each, found by its name; others by entry points `tidemill.jobs`."""

from __future__ import annotations

from functools import cache
from importlib import import_module, metadata
from pathlib import Path

from tidemill import errors
from tidemill.jobs.kind.api import Kind

GROUP = "tidemill.jobs"


def names() -> list[str]:
    """Every kind that can be submitted here."""
    own = {file.stem for file in Path(__file__).parent.glob("*.py")} - {"__init__", "api"}
    return sorted(own | {point.name for point in metadata.entry_points(group=GROUP)})


@cache
def load(name: str) -> Kind:
    """The kind of that name. Raises `NotFoundError` naming the nearest."""
    if name.isidentifier() and (Path(__file__).parent / f"{name}.py").is_file() and name != "api":
        made: type[Kind] = import_module(f"{__name__}.{name}").plugin
        return made()
    for point in metadata.entry_points(group=GROUP, name=name):
        made = point.load()
        return made()
    raise errors.unknown("kind", name, names())
