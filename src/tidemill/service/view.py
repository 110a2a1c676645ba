"""Stored and live data as routes see them: `stores.live.LiveView`, imported once the service answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from tidemill.cache import Shared
from tidemill.errors import NotFoundError, TidemillError, UpstreamError
from tidemill.home import Home
from tidemill.model import instrument

if TYPE_CHECKING:
    from tidemill.stores.live import LiveView

T = TypeVar("T")
# Lists of instruments and datasets are made at most this often.
LIST_S = 1.0
# Made anew at the next change of the lake: this only bounds how long nobody's list is kept.
KEPT_S = 3600.0
# How long health tells of what could not be read: nobody may ask for it again.
TROUBLE_S = 60.0
CODE = "data_unreadable"
AWAY = "store_unavailable"


class View:
    """One `LiveView`, made on first use: its libraries take a second to import. Call from worker threads."""

    def __init__(self, home: Home, cache: Shared) -> None:
        self._home = home
        self._cache = cache
        self._live: LiveView | None = None
        self._making = threading.Lock()
        self._failed = (float("-inf"), "")
        self._instruments = _List(lambda live: {str(row["instrument"]): row for row in live.instruments()})
        self._stored = _List(lambda live: {name: {} for name in live.stored_names()})
        self._datasets = _List(self._kept_datasets)

    def call(self, ask: Callable[[LiveView], T]) -> T:
        """What `ask` gets from the view. Raises an error `data_unreadable` (503), which names the file where
        one is damaged, while journal or lake cannot be read, and `store_unavailable` (503) while the store is
        away and the journal alone has no whole answer."""
        try:
            return ask(self._made())
        except Exception as error:
            told = _unreadable(error)
            if told is None:
                raise
            self._failed = (time.monotonic(), told.message)
            raise told from error

    @property
    def trouble(self) -> str | None:
        """What could not be read in the last minute; None where everything that was asked for could."""
        at, message = self._failed
        return message if time.monotonic() - at < TROUBLE_S else None

    def instruments(self) -> dict[str, dict[str, Any]]:
        """Every instrument by name."""
        return self.call(self._instruments.get)

    def listed(self) -> dict[str, dict[str, Any]]:
        """As `instruments`, and those that were fetched or imported, which are in no registry: their names
        are all that is known of them."""
        known = self.instruments()
        names = self.call(self._stored.get).keys() - known.keys()
        return {**known, **{name: _named(name) for name in names}}

    def datasets(self) -> dict[str, dict[str, Any]]:
        """Every dataset by id, in that order."""
        return self.call(self._datasets.get)

    def resolve(self, asked: str) -> str:
        """The instrument meant by `asked`. Raises `NotFoundError` or, for several venues, `ConflictError`."""
        known = self.instruments()
        try:
            return instrument.resolve(asked[:200], known)
        except NotFoundError:
            # An imported instrument is in no registry.
            return instrument.resolve(asked[:200], {*known, *self.call(self._stored.get)})

    def _kept_datasets(self, live: LiveView) -> dict[str, dict[str, Any]]:
        """Counting what is stored opens every new file: one process does it for all that share a cache."""
        kept = self._cache.get_or_compute(
            f"datasets:{live.list_version()}",
            lambda: orjson.dumps({str(row["id"]): row for row in live.datasets()}),
            KEPT_S,
        )
        found: dict[str, dict[str, Any]] = orjson.loads(kept)
        return found

    def close(self) -> None:
        """Ends the view's background thread."""
        with self._making:
            if self._live is not None:
                self._live.close()

    def _made(self) -> LiveView:
        with self._making:
            if self._live is None:
                from tidemill.stores.live import LiveView

                self._live = LiveView(self._home.path)
            return self._live


def _named(name: str) -> dict[str, Any]:
    symbol, _, venue = name.rpartition(".")
    base, _, quote = symbol.partition("-")
    # How finely it is priced no registry says: cents at least, and whatever digits a row has beyond.
    return {
        "instrument": name, "venue": venue, "symbol": symbol, "base": base, "quote": quote, "tick": None,
        "lot": None, "price_scale": 2, "size_scale": 0, "status": "stored",
    }  # fmt: skip


def _unreadable(error: Exception) -> TidemillError | None:
    """The error to tell when journal or lake could not be read; None for anything else."""
    if isinstance(error, TidemillError):
        return error if error.code in (CODE, AWAY) else None
    # Loaded by whatever has failed: at the start of the service they would cost a second.
    from deltalake.exceptions import DeltaError
    from pyarrow import ArrowException

    if not isinstance(error, RuntimeError | OSError | ArrowException | DeltaError):
        return None
    return UpstreamError(
        CODE,
        f"journal or lake cannot be read: {error}",
        hint="`tidemill doctor` names what is damaged, GET /api/v1/health the part that is down; try again",
        http_status=503,
    )


class _List:
    """A list that is made at most once a second, by one caller while the others wait for it."""

    def __init__(self, make: Callable[[LiveView], dict[str, dict[str, Any]]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made_at = float("-inf")
        self._found: dict[str, dict[str, Any]] = {}

    def get(self, live: LiveView) -> dict[str, dict[str, Any]]:
        with self._lock:
            if time.monotonic() - self._made_at > LIST_S:
                self._found = self._make(live)
                self._made_at = time.monotonic()
            return self._found
