"""Indicators: which there are, what they say of bars, and that as it moves."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Request, Response, WebSocket

from tidemill.errors import UsageError
from tidemill.service import calculation, instant, packed, param, platform, schema, shape
from tidemill.service import websocket as sockets
from tidemill.service.calculation import Task
from tidemill.service.command import command
from tidemill.service.indicator_session import Session

MEDIA = tuple(shape.MEDIA.values())


@command("indicators", "GET", "/indicators/list", scope="data", model=schema.Indicators)
async def indicators(request: Request) -> Response:
    """Every indicator with parameters, outputs and warm-up: ours, then TA-Lib's where it is installed."""
    service = platform.of(request)
    body = await service.run(
        lambda: service.cache.get_or_compute("indicators", calculation.listed, alone=True)
    )
    return packed.response(body)


@command(
    "indicators.calculate", "POST", "/indicators/calculate", scope="data",
    model=schema.CalculatedSeries | schema.CalculatedRows, media=MEDIA,
)  # fmt: skip
async def calculate(request: Request, body: Annotated[schema.Calculate, Body()]) -> Response:
    """Values of indicators over bars, the same however they are paged; told of as `indicator_calculated`."""
    return await platform.of(request).calculations.answer(_task(body), param.actor(request))


@command("indicators.follow", "WS", "/ws/indicators", scope="data", base="")
async def follow(websocket: WebSocket) -> None:
    """Indicators as they move: history, then each bar that closes, and the open one as it changes."""
    async with sockets.enter(websocket, "indicators.follow") as principal:
        session = Session(platform.of(websocket), websocket)
        await sockets.send(websocket, {"type": "hello", "version": 1})
        try:
            await sockets.attend(websocket, principal, session.work(), session.handle)
        finally:
            await session.close()


def _task(body: schema.Calculate) -> Task:
    if (body.indicator is None) == (body.indicators is None):
        raise UsageError(
            "parameter_invalid",
            "the body names both or neither of indicator and indicators",
            hint='send "indicator": "rsi", or "indicators": [{"indicator": "rsi"}]',
        )
    if body.indicators is not None and body.params:
        raise UsageError(
            "parameter_invalid", "params came beside indicators", hint="each of indicators has its own params"
        )
    several = [(one.indicator, one.params) for one in body.indicators or ()]
    low, high = calculation.span(body.start, body.end, body.last)
    asked = shape.Asked(
        body.instrument, low, high, body.limit, body.cursor, body.format, body.time,
        adjusted=body.adjusted, known=instant.parse(body.known, "known"),
    )  # fmt: skip
    one = () if body.indicator is None else ((body.indicator, body.params),)
    return Task(asked, body.interval, (*one, *several), bool(several), instant.parse(body.since, "since"))
