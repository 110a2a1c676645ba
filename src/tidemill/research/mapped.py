"""A stage in files that any number of processes map: they share its memory, however many they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidemill.research.backtest import Stage
from tidemill.research.daily import Daily
from tidemill.research.history import COLUMNS, History, Terms, Track
from tidemill.research.run import Settings
from tidemill.strategies.evaluation import Series

_OTHERWISE: Final = ("history", "settings", "series", "_names")
"""What of a stage is no array of its own."""


def write(history: History, folder: Path) -> Path:
    """A history as files of arrays below `folder`, with everything that a stage makes of it once."""
    folder.mkdir(parents=True)
    stage = Stage(history, Settings())
    names = list(history.tracks)
    for each, (name, track) in enumerate(history.tracks.items()):
        for column in COLUMNS:
            _save(folder / f"track{each}.{column}", getattr(track, column))
        for column, values in stage.series[name].columns.items():
            _save(folder / f"series{each}.{column}", values)
    kinds = {}
    for attribute, held in vars(stage).items():
        if attribute in _OTHERWISE:
            continue
        # One array, or one of each of several.
        keys = list(held) if isinstance(held, Mapping) else list(range(len(held)))
        kinds[attribute] = [type(held).__name__, keys if not isinstance(held, np.ndarray) else []]
        parts = [held] if isinstance(held, np.ndarray) else [held[key] for key in keys]
        for each, values in enumerate(parts):
            _save(folder / f"stage.{attribute}.{each}", values)
    head = {
        "interval": history.interval,
        "terms": [vars(track.terms) for track in history.tracks.values()],
        "columns": list(stage.series[names[0]].columns),
        "stage": kinds,
    }
    (folder / "head.json").write_text(json.dumps(head))
    return folder


def _save(path: Path, values: Any) -> None:
    np.save(path.with_name(path.name + ".npy"), np.ascontiguousarray(values))


class Mapped(Stage):
    """The stage that `write` wrote; reading it takes no memory of its own."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        head = json.loads((folder / "head.json").read_text())

        def array(name: str) -> Any:
            # A plain array over the mapped file: numpy's own kind is slow to cut.
            return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))

        tracks, series = {}, {}
        for each, given in enumerate(head["terms"]):
            terms = Terms(**given)
            track = Track(terms, **{name: array(f"track{each}.{name}") for name in COLUMNS})
            tracks[terms.name] = track
            floats = {name: array(f"series{each}.{name}") for name in head["columns"]}
            series[terms.name] = Series(track.start, track.known, floats)
        self.history, self.settings = History(head["interval"], tracks), settings
        self._names, self.series = list(tracks), series
        for attribute, (kind, keys) in head["stage"].items():
            if kind == "ndarray":
                setattr(self, attribute, array(f"stage.{attribute}.0"))
                continue
            parts = [array(f"stage.{attribute}.{each}") for each in range(len(keys))]
            setattr(self, attribute, dict(zip(keys, parts, strict=True)) if kind == "dict" else parts)

    def daily(self, first: int | None = None) -> Daily:
        """Its days; with `first` (ns) returns begin there."""
        return Daily.of(self._end[self._last], list(self.history.tracks), first)
