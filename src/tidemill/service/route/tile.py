"""Prices at any zoom, in tiles of bytes (`docs/api.md`)."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Query, Request, Response

from tidemill.model.interval import SECOND
from tidemill.service import param, platform
from tidemill.service.command import command
from tidemill.service.platform import Platform

TILES = "application/vnd.tidemill.tiles"
COUNT_MAX = 16


@command("data.tiles", "GET", "/data/{symbol:path}/tiles", scope="data", media=(TILES,))
async def tiles(
    request: Request,
    symbol: param.Symbol,
    level: Annotated[int, Query(ge=0, le=2**62, description="width of a bucket in ns; 0 for single trades")],
    index: Annotated[int, Query(ge=0, le=2**62, description="number of the first tile since 1970")],
    count: Annotated[int, Query(ge=1, le=COUNT_MAX, description="tiles, one after the other")] = 1,
) -> Response:
    """First, highest, lowest and last price of every bucket of time, 1,000 buckets to a tile."""
    service = platform.of(request)
    wanted = range(index, index + count)
    instrument = await service.run(service.view.resolve, symbol)
    span, headers = await service.run(lambda: _facts(service, instrument, level, wanted))
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    body = await service.kept.body(
        service, instrument, _interval(level), span, ("tiles", level, wanted),
        lambda: _made(service, instrument, level, wanted),
    )  # fmt: skip
    return Response(body, media_type=TILES, headers=headers)


def _interval(level: int) -> str:
    return f"{max(level // SECOND, 1)}s"


def _facts(
    service: Platform, instrument: str, level: int, wanted: range
) -> tuple[tuple[int, int], dict[str, str]]:
    """The span of tiles, and what their answer says of itself."""
    from tidemill.stores import tile

    start, end = tile.span(level, wanted[0])[0], tile.span(level, wanted[-1])[1]
    version, _ = service.view.call(lambda live: live.version(instrument, _interval(level), start, end))
    tag = f'"{hashlib.sha256(f"{version} {instrument} {level} {wanted}".encode()).hexdigest()[:32]}"'
    # Asked again whenever it is shown again, and answered without a byte where nothing has changed.
    return (start, end), {"ETag": tag, "Cache-Control": "private, no-cache"}


def _made(service: Platform, instrument: str, level: int, wanted: range) -> bytes:
    from tidemill.stores import tile

    found = service.view.call(lambda live: tile.tiles(live, instrument, level, wanted))
    return b"".join(one.encode() for one in found)
