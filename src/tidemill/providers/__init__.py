"""Who has history: a file each, found by its name; others by entry points `tidemill.providers`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

from tidemill import errors
from tidemill.home import Home
from tidemill.model.collector import SIM_PREFIX
from tidemill.providers.api import Gate, Provider

GROUP = "tidemill.providers"
_NOT_PROVIDERS = {
    "__init__", "api", "bucket", "condition", "credential", "exact", "http", "opening", "page", "poll",
    "rest", "shared",
}  # fmt: skip


def names() -> list[str]:
    """Every provider there is here. `sim-<name>` is the same one, played by the simulator."""
    return sorted(_own() | {point.name for point in metadata.entry_points(group=GROUP)})


@cache
def _own() -> frozenset[str]:
    return frozenset(file.stem for file in Path(__file__).parent.glob("*.py")) - _NOT_PROVIDERS


@cache
def load(name: str) -> type[Provider]:
    """The provider of that name, `sim-` before it or not. Raises `NotFoundError` naming the nearest."""
    plain = name.removeprefix(SIM_PREFIX)
    if plain in _own():
        plugin: type[Provider] = import_module(f"{__name__}.{plain}").plugin
        return plugin
    for point in metadata.entry_points(group=GROUP, name=plain):
        found: type[Provider] = point.load()
        return found
    raise errors.unknown("provider", name, names())


def open(  # noqa: A001
    name: str, home: Home, *, url: str | None = None, through: Callable[[Gate], Gate] = lambda gate: gate
) -> Provider:
    """The provider of that name, behind the limits of its key, which every process of the home shares.

    `url` replaces its address; that of a simulated one stands in `DIR/run/sim.json`. `through` puts a gate
    of the caller's around the shared one. Its secrets are asked for at its first request. Raises
    `NotFoundError` for a name that nobody has, or that no simulator plays.
    """
    from tidemill.providers.opening import opened

    return opened(name, load(name), home, url, through)
