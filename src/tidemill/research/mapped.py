"""A stage in files that any number of processes map: they share its memory, however many they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tidemill.research.backtest import Stage
from tidemill.research.history import COLUMNS, History, Terms, Track
from tidemill.research.run import Settings
from tidemill.strategies.evaluation import Series

_PRICES = ("open", "high", "low", "close")


def write(history: History, folder: Path) -> Path:
    """A history as files of arrays below `folder`, with everything that a stage makes of it once."""
    folder.mkdir(parents=True)
    stage = Stage(history, Settings())
    arrays: dict[str, Any] = {
        "end": stage._end, "start": stage._start, "number": stage._number, "axis": stage._axis,
        "last": stage._last,
    }  # fmt: skip
    arrays |= {f"row_{name}": column for name, column in zip(_PRICES, stage._prices, strict=True)}
    for each, track in enumerate(history.tracks.values()):
        arrays |= {f"track{each}_{name}": getattr(track, name) for name in COLUMNS}
        columns = stage.series[track.terms.name].columns
        arrays |= {f"track{each}_float_{name}": column for name, column in columns.items()}
        arrays[f"track{each}_rows"] = stage._rows[each]
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values))
    head = {
        "interval": history.interval,
        "terms": [vars(track.terms) for track in history.tracks.values()],
        "columns": list(stage.series[next(iter(history.tracks))].columns),
    }
    (folder / "head.json").write_text(json.dumps(head))
    return folder


class Mapped(Stage):
    """The stage that `write` wrote; reading it takes no memory of its own."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        head = json.loads((folder / "head.json").read_text())

        def array(name: str) -> Any:
            # A plain array over the mapped file: numpy's own kind is slow to cut.
            return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))

        tracks, series, rows = {}, {}, []
        for each, given in enumerate(head["terms"]):
            terms = Terms(**given)
            track = Track(terms, **{name: array(f"track{each}_{name}") for name in COLUMNS})
            tracks[terms.name] = track
            floats = {name: array(f"track{each}_float_{name}") for name in head["columns"]}
            series[terms.name] = Series(track.start, track.known, floats)
            rows.append(array(f"track{each}_rows"))
        self.history, self.settings = History(head["interval"], tracks), settings
        self._names = list(tracks)
        self._end, self._start, self._number = array("end"), array("start"), array("number")
        self._prices = [array(f"row_{name}") for name in _PRICES]
        self._rows, self.series = rows, series
        self._axis, self._last = array("axis"), array("last")
