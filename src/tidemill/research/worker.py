"""A worker process of a study: told on stdin what to try, answers on stdout, one line and its returns each.

It shares the history with all others by mapped files, and ends with whoever started it.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from tidemill.errors import TidemillError
from tidemill.research import perturbed, setting, source
from tidemill.research.backtest import Stage
from tidemill.research.daily import Daily
from tidemill.research.mapped import Mapped
from tidemill.research.run import Outcome
from tidemill.research.trial import measured

ERROR_CHARS_MAX = 500


def main() -> int:
    """Until end-of-file."""
    # What the strategy prints is no answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, orders), daemon=True).start()
    order = orjson.loads(orders.get())
    bench = _Bench(order)
    out.write(b'{"op":"ready"}\n')
    out.flush()
    while True:
        asked = orjson.loads(orders.get())
        for item in asked["items"]:
            answer, payload = bench.tried(asked, item)
            out.write(orjson.dumps(answer | {"key": item["key"], "bytes": len(payload)}) + b"\n" + payload)
            out.flush()


def _listen(given: BinaryIO, orders: queue.SimpleQueue[bytes]) -> None:
    """Lines for the work; at end-of-file whoever asked is gone, and nobody waits for what is at work."""
    for line in given:
        orders.put(line)
    os._exit(0)


class _Bench:
    """The strategy and the stages that are open."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._strategy = source.load(order["strategy"])
        self._settings = setting.of_json(order["settings"])
        self._objectives = order["objectives"]
        self._stages: dict[str, tuple[Stage, Daily]] = {}

    def tried(self, asked: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """One answer; what the strategy raises is one too."""
        try:
            return self._tried(asked, item)
        except TidemillError as error:
            return {"error": f"{error.code}: {error.message}"[:ERROR_CHARS_MAX]}, b""
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            return {"error": text[:ERROR_CHARS_MAX]}, b""

    def _tried(self, asked: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        stage, daily = self._stage(asked["stage"], asked.get("first"))
        settings = self._settings
        if "costs" in item:
            settings = replace(settings, costs=settings.costs.times(item["costs"]))
        if "noise" in item:
            stage = Stage(perturbed.history(stage.history, item["noise"]), settings)
        stage.settings = settings
        strategy = self._strategy(**item["params"])
        told: dict[str, Any] = {}
        if item.get("whole"):
            outcome = stage.run(strategy)
            equity, fills = np.asarray(outcome.equity["equity"]), len(outcome.fills)
            told = _told(outcome)
        else:
            curve = stage.curve(strategy)
            equity, fills = curve.equity, curve.fills
        # As they are kept, so that what is measured can be measured again.
        series = daily.returns(equity, float(settings.cash)).astype("<f4")
        metrics = measured(np.maximum(series.astype(np.float64), -1.0), daily.per_year) | {
            "fills": float(fills)
        }
        values = [metrics[name] if fills else None for name in self._objectives]
        return {"values": values, "metrics": metrics, **told}, series.tobytes()

    def _stage(self, folder: str, first: int | None) -> tuple[Stage, Daily]:
        key = f"{folder} {first}"
        if key not in self._stages:
            while len(self._stages) > 1:
                del self._stages[next(iter(self._stages))]
            stage = Mapped(Path(folder), self._settings)
            daily = Daily.of(stage._end[stage._last], list(stage.history.tracks), first)
            self._stages[key] = stage, daily
        return self._stages[key]


def _told(outcome: Outcome) -> dict[str, Any]:
    """What is asked of the chosen trial alone."""
    traded = sum(float(price * size) for price, size in zip(
        outcome.fills["price"].to_pylist(), outcome.fills["size"].to_pylist(), strict=True))  # fmt: skip
    trades = outcome.trades.select(
        ["instrument", "side", "opened", "closed", "net", "return", "bars", "fees"]
    )
    return {
        "digest": outcome.digest, "traded": traded, "trades": trades.to_pydict(),
        "fees": float(sum(outcome.fills["fee"].to_pylist())),
    }  # fmt: skip


if __name__ == "__main__":
    os._exit(main())  # no thread of the work holds it
