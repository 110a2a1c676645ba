"""Bars over HTTP as a plain FastAPI application gives them: data ready in memory, FastAPI's own encoding.

    python -m benches.peer.http COUNT     says its port, serves until its input has a line

`/rows` has a model a bar, `/columns` the model of our own answer, `/default` columns without a model.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from tidemill.service import schema


class Bar(BaseModel):
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int


def rows(count: int) -> list[dict[str, Any]]:
    bars = []
    for n in range(count):
        price = 64_231.5 + n % 97 / 10
        prices = {"open": price, "high": price + 0.3, "low": price - 0.3, "close": price + 0.1}
        bars.append(
            {"ts": 1_763_596_800_000_000_000 + n * 60_000_000_000, **prices, "volume": 1.5, "trades": n}
        )
    return bars


def columns(bars: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer our service gives."""
    names = ("open", "high", "low", "close", "volume", "trades")
    return {
        "instrument": "BTC-USD.bench", "interval": "1m", "ts": [str(bar["ts"]) for bar in bars],
        **{name: [bar[name] for bar in bars] for name in names}, "revision": [0] * len(bars),
        "current": None, "through": None, "complete": True, "gaps": [], "next": None, "settling": 0,
    }  # fmt: skip


def application(count: int) -> FastAPI:
    app = FastAPI()
    bars = rows(count)
    answer = columns(bars)

    @app.get("/rows", response_model=list[Bar])
    async def of_rows() -> list[dict[str, Any]]:
        return bars

    @app.get("/columns", response_model=schema.Bars)
    async def of_columns() -> dict[str, Any]:
        return answer

    @app.get("/default")
    async def default() -> dict[str, Any]:
        return answer

    return app


async def main(count: int) -> None:
    place = socket.socket()
    place.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application(count), log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve([place]))
    while not server.started:
        await asyncio.sleep(0.01)
    print(json.dumps({"port": place.getsockname()[1]}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
