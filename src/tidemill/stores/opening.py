"""Where rows live, by setting: the lake of the home, a database with the lake behind it, or ArcticDB."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.address import named, scheme, shown
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.stores.api import Store
    from tidemill.stores.lake import Lake


def open_store(home: Path, url: str | None = None) -> Store:
    """The store of a home: what `url` names, else `TIDEMILL_STORE_URL`, else the lake.

    `lake` is that of `TIDEMILL_LAKE_URL`, or `DIR/lake`; `postgresql://…` is a window of recent rows there
    with the lake behind it; `arctic://…` is an ArcticDB. Nothing is connected before something is read
    or kept. Raises `ConfigError` for another address, or where a package is missing.
    """
    address = named("TIDEMILL_STORE_URL", url)
    kind = "lake" if address is None else scheme(address)
    if address is None or kind == "lake":
        return _lake(home)
    if kind == "arctic":
        arctic: Store = _part("arctic", "Arctic")(address)
        return arctic
    from tidemill.stores.window import Window

    return Window(_part("postgres", "Postgres")(address), _lake(home))


def place(home: Path, url: str | None = None) -> str:
    """The same place in words that may be shown: no password is in them."""
    address = named("TIDEMILL_STORE_URL", url)
    if address is not None and scheme(address) != "lake":
        return shown(address)
    elsewhere = named("TIDEMILL_LAKE_URL")
    return shown(elsewhere) if elsewhere else str(home / "lake")


def is_lake(url: str | None = None) -> bool:
    """Is the lake alone the store?"""
    address = named("TIDEMILL_STORE_URL", url)
    return address is None or scheme(address) == "lake"


def _lake(home: Path) -> Lake:
    from tidemill.stores.lake import Lake

    return Lake.of(home)


def _part(module: str, name: str) -> Any:
    """A class whose module needs packages that not every installation has."""
    try:
        return getattr(importlib.import_module(f"tidemill.stores.{module}"), name)
    except ModuleNotFoundError as error:
        extra = "arctic" if module == "arctic" else "postgres"
        raise ConfigError(
            "extra_missing",
            f"rows were to be kept by tidemill.stores.{module}, which needs the package {error.name}",
            hint=f"pip install 'tidemill[{extra}]'",
        ) from error
