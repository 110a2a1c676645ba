"""Several runs beside each other: what was different in what was asked, and their curves on one time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.research.store import Row


def differences(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """What is not the same in all of them, by name, with the value of each: parameters, settings, costs,
    code, data and outcome. None stands for what one does not have."""
    lines: list[dict[str, Any]] = [_flat(row) for row in rows]
    names = dict.fromkeys(name for line in lines for name in line)
    found = {name: [line.get(name) for line in lines] for name in names}
    return {name: values for name, values in found.items() if any(one != values[0] for one in values)}


def _flat(row: Row) -> dict[str, Any]:
    settings = dict(row.settings)
    costs: Mapping[str, Any] = settings.pop("costs", {})
    return {
        "strategy": row.strategy,
        "instruments": " ".join(row.instruments),
        "interval": row.interval,
        "start": None if row.start is None else str(row.start),
        "end": None if row.end is None else str(row.end),
        **{f"param {name}": value for name, value in row.params.items()},
        **settings,
        **{f"cost {name}": value for name, value in costs.items()},
        "code": row.source_digest[:12],
        "data": row.data_digest[:12],
        "version": row.version,
        "outcome": (row.outcome_digest or "")[:12],
    }


def code(rows: Sequence[Row]) -> list[str | None]:
    """What of each one's code is not as in the first, as a unified diff; None where it is the same."""
    first = rows[0]
    return [
        None
        if row.source == first.source
        else "\n".join(
            difflib.unified_diff(
                first.source.splitlines(), row.source.splitlines(), first.strategy, row.strategy, lineterm=""
            )
        )
        for row in rows
    ]


def curves(days: Sequence[pa.Table], points: int) -> tuple[npt.NDArray[np.int64], list[list[float | None]]]:
    """Growth of 1 of each run at the ends of days that any of them has, at most `points` of them; None where
    a run has not begun, or is over."""
    ends = [table["end"].to_numpy() for table in days]
    axis = np.unique(np.concatenate(ends)) if ends else np.empty(0, np.int64)
    if len(axis) > points:
        axis = axis[np.unique(np.linspace(0, len(axis) - 1, points).astype(np.int64))]
    found = []
    for table, mine in zip(days, ends, strict=True):
        equity = table["equity"].to_numpy()
        at = np.searchsorted(mine, axis, side="right") - 1
        alive = (at >= 0) & (axis <= mine[-1])
        grown = equity[np.maximum(at, 0)] / equity[0]
        found.append([float(v) if ok else None for v, ok in zip(grown, alive, strict=True)])
    return axis, found
