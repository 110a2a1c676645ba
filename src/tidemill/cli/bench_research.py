"""`tidemill bench sweep`, `engine` and `indicators`: our kernels of research beside those of others."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table as Grid

from tidemill.cli.app import JsonOption, talk

ROUNDS = 5


def sweep(
    rows: Annotated[int, typer.Option(help="Invented bars.", min=1_000)] = 500_000,
    pairs: Annotated[int, typer.Option(help="Pairs of windows.", min=1, max=4_950)] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Sweep crossing averages, with costs and drawdowns: ours, and a plain loop by Numba."""
    from tidemill.cli import bench_sweep

    with talk.status("measuring …"):
        told = {"rows": rows, "pairs": pairs, **bench_sweep.measured(rows, pairs, ROUNDS)}
    _say(f"{rows:,} bars × {pairs:,} pairs", told, "ms", as_json)


def engine(
    rows: Annotated[int, typer.Option(help="Invented bars.", min=1_000)] = 1_000_000,
    peer_rows: Annotated[int, typer.Option(help="The first of them, for NautilusTrader.", min=100)] = 20_000,
    as_json: JsonOption = False,
) -> None:
    """Play crossing averages through an event engine: ours, all at once and bar by bar, and
    NautilusTrader."""
    from tidemill.cli import bench_engine

    with talk.status("measuring …"):
        told = {"rows": rows, "peer_rows": peer_rows, **bench_engine.measured(rows, peer_rows, ROUNDS)}
    _say(f"{rows:,} bars", told, "ns a bar", as_json)


def indicators(
    rows: Annotated[int, typer.Option(help="Invented bars.", min=1_000)] = 100_000,
    as_json: JsonOption = False,
) -> None:
    """Compute indicators over a series, beside TA-Lib; and stream six of them, beside talipp."""
    from tidemill.cli import bench_indicator

    with talk.status("measuring …"):
        told = {"rows": rows, **bench_indicator.measured(rows, 3 * ROUNDS)}
    _say(f"{rows:,} bars", told, "ns a bar", as_json)


def compared(spent: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and theirs by ours."""
    median = {name: statistics.median(some) for name, some in spent.items()}
    ours = median["tidemill"]
    return {
        "median": {name: round(one, 3) for name, one in median.items()},
        "ratio": {name: round(one / ours, 2) for name, one in median.items() if name != "tidemill"},
    }


def _lines(told: dict[str, Any]) -> Iterator[tuple[str, str, float, float | None]]:
    for what, found in told.items():
        if isinstance(found, dict) and "median" in found:
            for name, spent in found["median"].items():
                yield what, name, spent, found["ratio"].get(name)


def _say(title: str, told: dict[str, Any], unit: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    grid = Grid("", "who", unit, "ours is faster by")
    for what, name, spent, ratio in _lines(told):
        grid.add_row(what.replace("_", " "), name, f"{spent:,.2f}", "" if ratio is None else f"{ratio} ×")
    talk.print(title)
    talk.print(grid)
    for name in ("geometric_mean", "absent"):
        if told.get(name):
            talk.print(f"{name.replace('_', ' ')}: {told[name]}")
